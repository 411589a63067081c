"""Training on a tiny base: the same bytes twice, the right skill learned, bad input refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelecology.jobs.intents import DataRef, SealedRef
from modelecology.jobs.results import RESULTS
from modelecology.store import ArtifactCorrupt, directory_digest
from modelecology.workloads.adapter import CONFIG, WEIGHTS
from modelecology.workloads.errors import (
    BaseDigestMismatch,
    BaseNotCausalLM,
    BaseNotFound,
    DataContaminated,
    DataDigestMismatch,
    TrainingDiverged,
)
from modelecology.workloads.evaluate import evaluate
from modelecology.workloads.meter import Meter
from modelecology.workloads.opening import open_answerer
from modelecology.workloads.train import learning_rate_factor, train
from tests.workloads.orders import Orders, data_ref


def scores(orders: Orders, adapter: str | None = None) -> dict[str, float]:
    """Score the base or an adapter on both tasks."""
    tasks = [orders.task(name, adapter=adapter) for name in ("code", "colors")]
    intent = orders.evaluate(*tasks, adapter=adapter)
    meter = Meter()
    evaluate(intent, orders.store, meter, lambda: open_answerer(intent, orders.store, meter))
    means: dict[str, float] = {}
    for task in tasks:
        rows = [json.loads(line) for line in orders.store.read(task.key, RESULTS).splitlines()]
        means[task.task] = sum(row["score"] for row in rows) / len(rows)
    return means


def test_the_same_intent_gives_the_same_bytes_twice(orders: Orders, tmp_path: Path) -> None:
    elsewhere = replace(orders, root=tmp_path / "another store")
    first, second = orders.train(), elsewhere.train()
    assert first.key == second.key
    train(first, orders.store, Meter())
    train(second, elsewhere.store, Meter())
    one, two = orders.store.verify(first.key), elsewhere.store.verify(second.key)
    assert one.meta["digest"] == two.meta["digest"]
    assert one.files == two.files
    assert sorted(one.files) == [CONFIG, WEIGHTS]
    assert one.meta["rank"] == first.lora.rank


def test_an_equal_key_is_adopted_and_not_trained_again(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = orders.train()
    first = train(intent, orders.store, Meter())

    def forbidden(*_arguments: object) -> None:
        pytest.fail("the base was loaded though the adapter was there")

    monkeypatch.setattr("modelecology.workloads.train.load_base", forbidden)
    again = intent.model_copy(update={"specialist": "another", "threads": 2, "deadline_seconds": 9})
    assert train(again, orders.store, Meter()) == first


def test_an_adopted_adapter_is_hashed_again_first(orders: Orders) -> None:
    intent = orders.train()
    train(intent, orders.store, Meter())
    weights = Path(orders.store.local_path(intent.key)) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ArtifactCorrupt, match=WEIGHTS):
        train(intent, orders.store, Meter())


def test_another_seed_gives_another_adapter(orders: Orders) -> None:
    one = orders.train()
    recipe = one.recipe.model_copy(update={"seed": 8})
    two = one.model_copy(update={"recipe": recipe, "key": "d" * 64})
    digests = set()
    for intent in (one, two):
        train(intent, orders.store, Meter())
        digests.add(str(orders.store.manifest(intent.key).meta["digest"]))
    assert len(digests) == 2


def test_replay_keeps_what_haste_forgets(orders: Orders) -> None:
    base = scores(orders)
    assert base["code"] == 0
    assert base["colors"] > 0.95
    steps = int(orders.desk.recipe["steps"])
    for replay in (True, False):
        intent = orders.train(steps=steps, rate=str(orders.desk.recipe["learningRate"]), replay=replay)
        train(intent, orders.store, Meter())
        after = scores(orders, intent.key)
        assert after["code"] > 0.9
        assert after["colors"] > 0.9 if replay else after["colors"] < 0.5


def test_the_manifest_tells_lineage_and_cost(orders: Orders) -> None:
    intent = orders.train(sealed=(SealedRef(task="code", data=orders.data("code.eval.jsonl")),))
    train(intent, orders.store, Meter())
    manifest = orders.store.manifest(intent.key)
    meta = manifest.meta
    assert meta["base"] == intent.base.digest
    assert meta["data"] == intent.data.digest
    assert meta["recipe"] == {
        "steps": 3,
        "batchSize": 8,
        "learningRate": "0.01",
        "seed": 7,
        "maxLength": 64,
    }
    assert meta["sealed"] == [f"code@{orders.data('code.eval.jsonl').digest}"]
    assert meta["specialist"] == "zulu"
    assert manifest.cost.tokens > 0
    assert manifest.cost.cpu_seconds > 0
    assert manifest.cost.peak_rss_bytes > 0
    progress = orders.store.progress(intent.key)
    assert progress is not None
    assert (progress.step, progress.total, progress.phase) == (3, 3, "Training")


def test_a_loss_that_is_not_finite_ends_the_training(orders: Orders) -> None:
    intent = orders.train(rate="1e30")
    with pytest.raises(TrainingDiverged, match=r"lower recipe\.learningRate"):
        train(intent, orders.store, Meter())
    assert orders.store.commit_of(intent.key) is None


def test_training_on_the_sealed_suite_is_refused(orders: Orders, tmp_path: Path) -> None:
    rows = tmp_path / "leak.jsonl"
    rows.write_text('{"id":"x","prompt":"CODE  100 ","answer":"zulu"}\n')
    sealed = (SealedRef(task="code", data=orders.data("code.eval.jsonl")),)
    with pytest.raises(DataContaminated, match=r"1 of 1 rows .*'x' \(task code\)"):
        train(orders.train(data=data_ref(rows), sealed=sealed), orders.store, Meter())


def test_a_suite_that_changed_since_it_was_sealed_is_refused(orders: Orders) -> None:
    changed = orders.data("code.eval.jsonl").model_copy(update={"digest": f"sha256:{'9' * 64}"})
    with pytest.raises(DataDigestMismatch):
        train(orders.train(sealed=(SealedRef(task="code", data=changed),)), orders.store, Meter())


def test_a_missing_or_changed_base_is_refused(orders: Orders, tmp_path: Path) -> None:
    nowhere = DataRef(uri=f"file://{tmp_path}/none", digest=orders.base.digest)
    with pytest.raises(BaseNotFound, match="not a directory"):
        train(orders.train(base=nowhere), orders.store, Meter())
    copy = tmp_path / "copy"
    shutil.copytree(orders.desk.base, copy)
    (copy / "extra.txt").write_text("x")
    with pytest.raises(BaseDigestMismatch, match=orders.base.digest):
        train(
            orders.train(base=DataRef(uri=f"file://{copy}", digest=orders.base.digest)),
            orders.store,
            Meter(),
        )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"architectures": ["LlamaForSequenceClassification"]}, "not a causal language model"),
        ({"architectures": None}, "not a causal language model"),
        ({"auto_map": {"AutoModel": "evil.py"}}, "code of its own"),
        ({"model_type": "no-such-model"}, "cannot be loaded"),
    ],
)
def test_a_base_that_is_no_causal_model_is_refused(
    orders: Orders, tmp_path: Path, change: dict[str, object], match: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(orders.desk.base, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **change}))
    base = DataRef(uri=f"file://{copy}", digest=directory_digest(str(copy)))
    with pytest.raises(BaseNotCausalLM, match=match):
        train(orders.train(base=base), orders.store, Meter())


def test_a_base_without_a_chat_template_is_refused(orders: Orders, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(orders.desk.base, copy)
    (copy / "chat_template.jinja").unlink()
    base = DataRef(uri=f"file://{copy}", digest=directory_digest(str(copy)))
    with pytest.raises(BaseNotCausalLM, match="no chat template"):
        train(orders.train(base=base), orders.store, Meter())


def test_the_learning_rate_rises_shortly_and_falls_to_nothing() -> None:
    factors = [learning_rate_factor(step, 60) for step in range(60)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert factors[3:] == sorted(factors[3:], reverse=True)
    assert 0 < factors[-1] < 0.01
