"""Trains one LoRA adapter on the pinned base: the same intent on the same machine gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
from pydantic import JsonValue
from safetensors.torch import save as to_safetensors

from modelecology.jobs.code import installed_versions
from modelecology.jobs.intents import TrainIntent
from modelecology.store import ArtifactStore, Commit, directory_digest
from modelecology.workloads.adapter import CONFIG, WEIGHTS, AdapterShape, check_adapter, normalised_config
from modelecology.workloads.base import checked_base, linear_shapes
from modelecology.workloads.errors import TrainingDiverged
from modelecology.workloads.examples import IGNORED, Example, example, plan_batches
from modelecology.workloads.meter import Meter, ProgressReport
from modelecology.workloads.model import (
    LoadedBase,
    answer_tokens,
    load_base,
    make_deterministic,
    prompt_tokens,
    wrapping,
)
from modelecology.workloads.rows import TrainRow, refuse_contamination, train_rows

GRADIENT_LIMIT = 1.0
WARM_UP_SHARE = 0.05


def learning_rate_factor(step: int, steps: int) -> float:
    """Scale the peak learning rate at a step, from 0: a short rise, then half a cosine down to nothing."""
    warm_up = max(1, round(steps * WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _examples(base: LoadedBase, rows: Sequence[TrainRow], max_length: int) -> list[Example]:
    return [
        example(row, prompt_tokens(base, row.prompt), answer_tokens(base, row.answer), base.end, max_length)
        for row in rows
    ]


def _tensors(batch: Sequence[Example], base: LoadedBase) -> dict[str, torch.Tensor]:
    width = max(len(one.tokens) for one in batch)
    tokens = [list(one.tokens) + [base.pad] * (width - len(one.tokens)) for one in batch]
    labels = [list(one.labels) + [IGNORED] * (width - len(one.labels)) for one in batch]
    mask = [[1] * len(one.tokens) + [0] * (width - len(one.tokens)) for one in batch]
    return {
        "input_ids": torch.tensor(tokens, device=base.device),
        "attention_mask": torch.tensor(mask, device=base.device),
        "labels": torch.tensor(labels, device=base.device),
    }


def _answer_loss(model: Any, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean loss over the learned tokens; logits are made for those alone, as a vocabulary is wide."""
    hidden = model.get_base_model().model(
        input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"], use_cache=False
    )[0]
    labels = tensors["labels"][:, 1:]
    learned = labels != IGNORED
    logits = model.get_base_model().lm_head(hidden[:, :-1][learned]).float()
    return torch.nn.functional.cross_entropy(logits, labels[learned])


def _optimise(
    model: Any,
    base: LoadedBase,
    batches: Sequence[list[Example]],
    intent: TrainIntent,
    report: ProgressReport,
) -> tuple[list[float], int]:
    """Run all steps and return each step's loss and the number of tokens read; raises TrainingDiverged."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    peak = float(intent.recipe.learning_rate)
    optimiser = torch.optim.AdamW(trained, lr=peak, weight_decay=0.0)
    losses: list[float] = []
    tokens = 0
    model.train()
    for step, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = peak * learning_rate_factor(step, len(batches))
        loss = _answer_loss(model, _tensors(batch, base))
        loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
        norm = torch.nn.utils.clip_grad_norm_(trained, GRADIENT_LIMIT)
        value = float(loss.detach())
        if not math.isfinite(value) or not math.isfinite(float(norm)):
            raise TrainingDiverged(
                f"The loss is not finite at step {step + 1} of {len(batches)}; "
                f"lower recipe.learningRate, which is {intent.recipe.learning_rate}."
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(value)
        tokens += sum(len(one.tokens) for one in batch)
        report.report(step + 1, "Training", value)
    return losses, tokens


def _batches(
    base: LoadedBase, rows: Sequence[TrainRow], replay: Sequence[TrainRow], intent: TrainIntent
) -> list[list[Example]]:
    recipe = intent.recipe
    examples = _examples(base, rows, recipe.max_length)
    replayed = _examples(base, replay, recipe.max_length)
    plans = plan_batches(
        rows=len(rows),
        replay=len(replay),
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        share=intent.replay.share if intent.replay else 0.0,
        seed=recipe.seed,
    )
    return [[examples[i] for i in plan.data] + [replayed[i] for i in plan.replay] for plan in plans]


def _lineage(intent: TrainIntent, losses: Sequence[float], digest: str) -> dict[str, JsonValue]:
    replay: JsonValue = None
    if intent.replay:
        replay = {"digest": intent.replay.digest, "share": intent.replay.share}
    sealed: list[JsonValue] = [f"{ref.task}@{ref.data.digest}" for ref in intent.sealed]
    return {
        "digest": digest,
        "base": intent.base.digest,
        "parents": [],
        "data": intent.data.digest,
        "replay": replay,
        "rank": intent.lora.rank,
        "lora": intent.lora.model_dump(mode="json", by_alias=True),
        "recipe": intent.recipe.model_dump(mode="json", by_alias=True),
        "sealed": sealed,
        "specialist": intent.specialist,
        "code": intent.code,
        "libraries": dict(installed_versions()),
        "threads": intent.threads,
        "firstLoss": round(losses[0], 6),
        "lastLoss": round(losses[-1], 6),
    }


def train(intent: TrainIntent, store: ArtifactStore, meter: Meter) -> Commit:
    """Train, check, and commit; an artifact of the same key is adopted without training.

    Raises the Data, Base and Store errors, AdapterUnsound and TrainingDiverged.
    """
    ready = store.commit_of(intent.key)
    if ready is not None:
        store.verify(intent.key)
        return ready
    report = ProgressReport(store, intent.key, intent.recipe.steps, meter.clock, meter.cost)
    report.report(0, "Checking")
    rows = train_rows(intent.data, store.places)
    replay = train_rows(intent.replay, store.places) if intent.replay else ()
    refuse_contamination(rows, intent.data.uri, intent.sealed, store.places)
    if intent.replay:
        refuse_contamination(replay, intent.replay.uri, intent.sealed, store.places)
    checked = checked_base(intent.base, store.places)
    linears = linear_shapes(checked)
    targets = tuple(sorted({name.rpartition(".")[2] for name in linears}))
    make_deterministic(intent.recipe.seed, intent.threads)
    base = load_base(checked)
    meter.on_gpu = base.device.type == "cuda"
    batches = _batches(base, rows, replay, intent)
    lora = LoraConfig(
        r=intent.lora.rank,
        lora_alpha=intent.lora.alpha,
        lora_dropout=0.0,
        target_modules=list(targets),
        task_type=TaskType.CAUSAL_LM,
    )
    with wrapping():
        model: Any = get_peft_model(base.model, lora)
    losses, meter.tokens = _optimise(model, base, batches, intent, report)
    state = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in sorted(get_peft_model_state_dict(model).items())
    }
    shape = AdapterShape(intent.lora.rank, float(intent.lora.alpha), targets)
    with store.begin(intent.key) as attempt:
        attempt.write(CONFIG, normalised_config(shape))
        attempt.write(WEIGHTS, to_safetensors(state, metadata={"format": "pt"}))
        check_adapter(Path(attempt.path), linears, intent.lora.rank)
        digest = directory_digest(attempt.path)
        return attempt.commit("Train", _lineage(intent, losses, digest), meter.cost())
