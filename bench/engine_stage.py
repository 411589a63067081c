"""What the engine's bench measures: our engine without its HTTP, and the adapters that it serves."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, DynamicCache

from modelecology.serving.engine.batch import Completion, Prompt
from modelecology.serving.engine.generalist import Generalist
from modelecology.serving.engine.metrics import EngineMetrics
from modelecology.serving.engine.pool import BASE_SLOT
from modelecology.serving.engine.residents import Residents
from modelecology.serving.engine.worker import Worker

RANK: Final = 8
QUESTION: Final = "Write this date as YYYY-MM-DD: 4. März 2031"
_STEPS: Final = 2
_START_SECONDS: Final = 120.0


def write_adapters(base: Path, directory: Path, count: int) -> tuple[Path, ...]:
    """Write random adapters of rank 8 on every projection, in bfloat16; each changes answers a little.

    What an adapter has learned costs nothing, so random ones are as dear to serve as trained ones.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(str(base), local_files_only=True)
    shapes = {
        name: (module.in_features, module.out_features)
        for name, module in model.model.named_modules()
        if isinstance(module, nn.Linear)
    }
    targets = sorted({name.rpartition(".")[2] for name in shapes})
    config = {
        "base_model_name_or_path": "generalist",
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": 2 * RANK,
        "peft_type": "LORA",
        "r": RANK,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
    }
    paths = tuple(directory / f"adapter-{number:02d}" for number in range(count))
    for number, path in enumerate(paths):
        path.mkdir(parents=True)
        draw = torch.Generator().manual_seed(number)
        weights: dict[str, Tensor] = {}
        for name, (read, written) in shapes.items():
            stem = f"base_model.model.model.{name}"
            weights[f"{stem}.lora_A.weight"] = 0.02 * torch.randn(RANK, read, generator=draw)
            weights[f"{stem}.lora_B.weight"] = 0.01 * torch.randn(written, RANK, generator=draw)
        lean = {name: weight.to(torch.bfloat16) for name, weight in weights.items()}
        save_file(lean, path / "adapter_model.safetensors", metadata={"format": "pt"})
        (path / "adapter_config.json").write_text(json.dumps(config, sort_keys=True), encoding="utf-8")
    return paths


@dataclass(frozen=True, slots=True)
class Step:
    """One pass over the model: when it ended, by a clock in seconds, how many rows and new tokens a row."""

    ended: float
    rows: int
    tokens: int


class Endless:
    """The base with its adapters as the worker knows it; no token ends an answer, and passes are noted."""

    def __init__(self, generalist: Generalist) -> None:
        self._generalist = generalist
        self.ends: frozenset[int] = frozenset()
        self.steps: list[Step] = []
        self._news = threading.Condition()

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        return self._generalist.decode(tokens)

    def forward(
        self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache, slots: Sequence[str]
    ) -> Tensor:
        """Make a pass and note it."""
        logits = self._generalist.forward(tokens, mask, positions, cache, slots)
        with self._news:
            self.steps.append(Step(time.monotonic(), tokens.shape[0], tokens.shape[1]))
            self._news.notify_all()
        return logits

    def wait_for(self, rows: int) -> None:
        """Return after two more steps in which so many rows got a token each. Raises TimeoutError."""
        seen = len(self.steps)

        def written() -> bool:
            return sum(step.tokens == 1 and step.rows >= rows for step in self.steps[seen:]) >= _STEPS

        with self._news:
            if not self._news.wait_for(written, _START_SECONDS):
                raise TimeoutError(f"{rows} requests do not run together")


class _Nobody:
    def stepped(self, rows: int) -> None:
        """Nobody counts."""


class Engine:
    """The engine's own parts in this process: the model's thread, and the residents with how they come."""

    def __init__(self, base: Path, *, dtype: str, threads: int, adapters: int, rows: int) -> None:
        self._worker = Worker(_Nobody(), max_rows=rows, max_waiting=rows)
        self._worker.start()

        def begin() -> Generalist:
            torch.set_num_threads(threads)
            return Generalist(str(base), dtype, 512, max_loras=adapters, max_rank=RANK)

        # In the model's thread, as the engine does it: no other shall have helpers of its own.
        self.generalist: Generalist = self._worker.call(begin).result()
        self.mind = Endless(self.generalist)
        self._residents = Residents(
            "generalist",
            EngineMetrics(),
            capacity=adapters,
            max_rank=RANK,
            roots=(),
            drain_seconds=_START_SECONDS,
        )
        self._question = tuple(self.generalist.encode_chat([{"role": "user", "content": QUESTION}]))
        self._worker.adopt(self.mind)

    @property
    def question(self) -> tuple[int, ...]:
        """The tokens of what is asked."""
        return self._question

    async def writes(self, rows: int) -> None:
        """Return after two more steps in which so many rows got a token each."""
        await asyncio.to_thread(self.mind.wait_for, rows)

    def longest_gap(self, rows: int) -> float:
        """Seconds of the longest gap between two tokens of the same rows, in the steps that are noted."""
        ends = [step.ended for step in self.mind.steps if step.tokens == 1 and step.rows >= rows]
        return max((later - sooner for sooner, later in pairwise(ends)), default=0.0)

    async def load(self, name: str, path: Path) -> None:
        """Load an adapter, as a request for it does."""
        await self._residents.load(name, str(path), self.generalist, self._worker.call)

    async def unload(self, name: str) -> None:
        """Unload it."""
        await self._residents.unload(name, self.generalist, self._worker.call)

    async def ask(self, model: str | None, tokens: int) -> Completion:
        """Have a model (None: the base) write so many tokens."""
        if model is None:
            return await self._written(BASE_SLOT, tokens)
        with self._residents.use(model) as use:
            return await self._written(use.slot, tokens)

    async def _written(self, slot: str, tokens: int) -> Completion:
        prompt = Prompt(self._question, slot, tokens)
        return await asyncio.wrap_future(self._worker.submit(prompt))

    def close(self) -> None:
        """End the model's thread."""
        self._worker.stop(_START_SECONDS)
