"""The base with adapters: mixed batches, rows that come and go, adapters that do not fit."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import DynamicCache, LlamaForCausalLM

from modelecology.serving.engine.admission import CONFIG_NAME, WEIGHTS_NAME, admit
from modelecology.serving.engine.batch import Batch, Completion, Prompt, Row, Sampling
from modelecology.serving.engine.generalist import BaseUnusable, Generalist
from modelecology.serving.engine.pool import BASE_SLOT, Slot
from modelecology.serving.engine.refusal import Refusal, broken
from tests.engines.tiny_base import make_adapter

GREEDY = Sampling()
TEXTS = ["a", "hello there", "what is the time in the longest of these prompts?", "42"]


def attach(generalist: Generalist, directory: Path) -> Slot:
    return generalist.attach(generalist.fit(admit(directory.name, str(directory), (), 8)))


def ask(
    generalist: Generalist,
    text: str,
    slot: str,
    *,
    limit: int = 10,
    sampling: Sampling = GREEDY,
    stops: tuple[str, ...] = (),
) -> Row:
    return Row(Prompt(tuple(generalist.encode(text)), slot, limit, sampling, stops))


def finish(batch: Batch) -> None:
    while batch.rows:
        batch.step()


def alone(generalist: Generalist, row: Row) -> Completion:
    """What a row's prompt gets when nothing else runs."""
    batch = Batch(generalist)
    single = Row(row.prompt)
    batch.admit([single])
    finish(batch)
    return single.future.result(timeout=0)


def test_rows_of_all_adapters_mixed_at_any_time_answer_as_each_alone(
    generalist: Generalist, tiny_root: Path
) -> None:
    slots = [
        BASE_SLOT,
        attach(generalist, tiny_root / "one").key,
        attach(generalist, tiny_root / "two").key,
    ]
    rows = [
        ask(generalist, text, slot, limit=3 + 4 * index) for index, text in enumerate(TEXTS) for slot in slots
    ]
    batch = Batch(generalist)
    waiting = list(rows)
    while waiting or batch.rows:
        if waiting:
            batch.admit([waiting.pop(0) for _ in range(min(2, len(waiting)))])
        if batch.rows:
            batch.step()
    for row in rows:
        assert row.future.result(timeout=0) == alone(generalist, row)


def test_the_base_answers_the_same_before_and_after_adapters(generalist: Generalist, tiny_root: Path) -> None:
    rows = [ask(generalist, text, BASE_SLOT) for text in TEXTS]
    before = [alone(generalist, row) for row in rows]
    slot = attach(generalist, tiny_root / "one")
    assert [alone(generalist, row) for row in rows] == before
    generalist.detach(slot.key)
    assert [alone(generalist, row) for row in rows] == before


def test_a_sampled_answer_depends_on_its_seed_and_not_on_its_company(generalist: Generalist) -> None:
    row, other = (
        ask(generalist, "dice", BASE_SLOT, limit=20, sampling=Sampling(1.0, 0.95, seed)) for seed in (7, 8)
    )
    batch = Batch(generalist)
    batch.admit([ask(generalist, text, BASE_SLOT, limit=5) for text in TEXTS])
    batch.step()
    batch.admit([row, other])
    finish(batch)
    assert row.future.result(timeout=0) == alone(generalist, row)
    assert row.future.result(timeout=0).text != other.future.result(timeout=0).text


def test_a_small_nucleus_leaves_the_likeliest_token_only(generalist: Generalist) -> None:
    greedy = ask(generalist, "dice", BASE_SLOT)
    narrow = ask(generalist, "dice", BASE_SLOT, sampling=Sampling(1.0, 1e-6, 3))
    assert alone(generalist, narrow) == alone(generalist, greedy)


def test_a_row_ends_at_its_own_limit_and_counts_its_tokens(generalist: Generalist) -> None:
    completion = alone(generalist, ask(generalist, "abcd", BASE_SLOT, limit=2))
    assert completion.finish == "length"
    assert (completion.prompt_tokens, completion.completion_tokens) == (4, 2)


def test_a_row_ends_at_a_stop_text_which_is_not_part_of_the_answer(generalist: Generalist) -> None:
    whole = alone(generalist, ask(generalist, "hello there", BASE_SLOT, limit=30)).text
    middle = whole[4]
    cut = alone(generalist, ask(generalist, "hello there", BASE_SLOT, limit=30, stops=(middle,)))
    assert cut.finish == "stop"
    assert cut.text == whole[: whole.index(middle)]


def test_a_row_ends_at_the_end_token(generalist: Generalist) -> None:
    generalist.ends = frozenset({int(_logits(generalist, "hello there").argmax())})
    completion = alone(generalist, ask(generalist, "hello there", BASE_SLOT))
    assert (completion.text, completion.finish, completion.completion_tokens) == ("", "stop", 1)


def test_an_abandoned_row_leaves_and_the_others_go_on(generalist: Generalist) -> None:
    gone, stays = (ask(generalist, text, BASE_SLOT, limit=6) for text in TEXTS[1:3])
    batch = Batch(generalist)
    batch.admit([gone, stays])
    gone.future.cancel()
    batch.drop_abandoned()
    assert batch.rows == [stays]
    finish(batch)
    assert stays.future.result(timeout=0) == alone(generalist, stays)


def test_a_failed_batch_fails_its_rows_and_starts_afresh(generalist: Generalist) -> None:
    batch = Batch(generalist)
    row, later = (ask(generalist, text, BASE_SLOT) for text in TEXTS[:2])
    batch.admit([row])
    batch.fail(broken("gone"))
    with pytest.raises(Refusal, match="gone"):
        row.future.result(timeout=0)
    batch.admit([later])
    finish(batch)
    assert later.future.result(timeout=0) == alone(generalist, later)


def test_a_detached_adapter_changes_no_layer(generalist: Generalist, tiny_root: Path) -> None:
    slot = attach(generalist, tiny_root / "one")
    assert slot.size > 0
    assert generalist.layers_of(slot.key)
    generalist.detach(slot.key)
    assert generalist.layers_of(slot.key) == ()


def test_adapters_of_other_targets_and_ranks_live_side_by_side(
    generalist: Generalist, tiny_root: Path, tmp_path: Path
) -> None:
    wide = make_adapter(tmp_path / "wide", seed=3, rank=8, targets=("k_proj", "up_proj", "down_proj"))
    rows = [ask(generalist, "hello", attach(generalist, path).key) for path in (tiny_root / "one", wide)] + [
        ask(generalist, "hello", BASE_SLOT)
    ]
    batch = Batch(generalist)
    batch.admit(rows)
    finish(batch)
    assert [row.future.result(timeout=0) for row in rows] == [alone(generalist, row) for row in rows]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_rslora": True},
        {"alpha_pattern": {"v_proj": 3}},
        {"r": 2, "rank_pattern": {"q_proj": 4, "layers.1.self_attn.v_proj": 4, "v_proj": 4}},
    ],
    ids=["plain", "by the root of the rank", "an alpha of its own", "ranks of their own"],
)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_says_what_it_says_under_peft(
    generalist: Generalist, tiny_root: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    directory = make_adapter(tmp_path / "adapter", seed=6, rank=4)
    config = json.loads((directory / CONFIG_NAME).read_text())
    (directory / CONFIG_NAME).write_text(json.dumps({**config, **changes}))
    base = LlamaForCausalLM.from_pretrained(tiny_root / "base")
    peft = PeftModel.from_pretrained(base, str(directory))
    tokens = torch.tensor([generalist.encode("hello there")])
    with torch.inference_mode():
        wanted = peft(input_ids=tokens).logits[:, -1]
    torch.testing.assert_close(_logits(generalist, "hello there", attach(generalist, directory).key), wanted)


def test_an_adapter_for_another_width_does_not_fit(generalist: Generalist, tmp_path: Path) -> None:
    directory = make_adapter(tmp_path / "odd", seed=4)
    file = directory / WEIGHTS_NAME
    weights = {
        name: tensor[:, :-2].contiguous() if ".lora_A." in name else tensor
        for name, tensor in load_file(file).items()
    }
    save_file(weights, file)
    with pytest.raises(Refusal, match="does not fit the base"):
        attach(generalist, directory)


def test_an_adapter_for_a_layer_that_is_not_there_does_not_fit(
    generalist: Generalist, tmp_path: Path
) -> None:
    directory = make_adapter(tmp_path / "odd", seed=4)
    file = directory / WEIGHTS_NAME
    save_file(
        {name.replace("layers.1", "layers.7"): tensor for name, tensor in load_file(file).items()}, file
    )
    with pytest.raises(Refusal, match="no linear layer"):
        attach(generalist, directory)


def test_weights_that_are_not_finite_are_refused(generalist: Generalist, tmp_path: Path) -> None:
    directory = make_adapter(tmp_path / "odd", seed=4)
    file = directory / WEIGHTS_NAME
    weights = load_file(file)
    next(iter(weights.values()))[0, 0] = torch.nan
    save_file(weights, file)
    with pytest.raises(Refusal, match="not finite"):
        attach(generalist, directory)


def test_a_rank_that_the_weights_contradict_is_refused_and_leaves_nothing(
    generalist: Generalist, tmp_path: Path, tiny_root: Path
) -> None:
    directory = make_adapter(tmp_path / "odd", seed=4, rank=4)
    config = json.loads((directory / CONFIG_NAME).read_text())
    (directory / CONFIG_NAME).write_text(json.dumps({**config, "r": 2}))
    with pytest.raises(Refusal, match="does not fit the base"):
        attach(generalist, directory)
    assert generalist.layers_of("slot1") == ()
    row = ask(generalist, "hello", attach(generalist, tiny_root / "one").key)
    assert alone(generalist, row).completion_tokens > 0


def test_targets_without_weights_are_refused(generalist: Generalist, tmp_path: Path) -> None:
    directory = make_adapter(tmp_path / "odd", seed=4)
    config = json.loads((directory / CONFIG_NAME).read_text())
    config["target_modules"].append("o_proj")
    (directory / CONFIG_NAME).write_text(json.dumps(config))
    with pytest.raises(Refusal, match="disagree about"):
        attach(generalist, directory)


def test_a_directory_without_a_model_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(BaseUnusable, match="not a causal language model"):
        Generalist(str(tmp_path), "float32", 64, max_loras=1, max_rank=8)


def _logits(generalist: Generalist, text: str, slot: str = BASE_SLOT) -> torch.Tensor:
    tokens = torch.tensor([generalist.encode(text)])
    positions = torch.arange(tokens.shape[1])[None]
    return generalist.forward(tokens, torch.ones_like(tokens), positions, DynamicCache(), [slot])
