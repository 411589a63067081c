"""The peer of the engine's bench: peft, which switches to another adapter for each request."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


@dataclass(frozen=True, slots=True)
class Answered:
    """Tokens that were written, and the seconds that they took, by the clock and of the CPU."""

    tokens: int
    seconds: float
    cpu: float


class _Switcher:
    """The peer: one model with all adapters in it, which answers one request after another, each by its own.

    Greedy answers of a fixed length by transformers, the adapter chosen by peft's set_adapter.
    """

    def __init__(self, base: Path, dtype: str, adapters: Sequence[Path], question: Sequence[int]) -> None:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(base), dtype=getattr(torch, dtype), local_files_only=True
        )
        with warnings.catch_warnings():
            # How peft uses transformers is peft's to mend.
            warnings.simplefilter("ignore", FutureWarning)
            self._model: Any = PeftModel.from_pretrained(model, str(adapters[0]), adapter_name="adapter0")
            for number, path in enumerate(adapters[1:], 1):
                self._model.load_adapter(str(path), adapter_name=f"adapter{number}")
        self._model.eval()
        self._adapters = len(adapters)
        self._question = torch.tensor([list(question)])

    @torch.inference_mode()
    def answer(self, adapter: int, tokens: int) -> int:
        """Answer one request by an adapter; how many tokens were written."""
        self._model.set_adapter(f"adapter{adapter % self._adapters}")
        made = self._model.generate(
            input_ids=self._question,
            attention_mask=torch.ones_like(self._question),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
        return int(made.shape[1]) - int(self._question.shape[1])


class Peer:
    """The peer in a process of its own, so that its threads do not count among the engine's."""

    def __init__(
        self, base: Path, *, dtype: str, threads: int, adapters: Sequence[Path], question: Sequence[int]
    ) -> None:
        given = (base, dtype, threads, tuple(adapters), tuple(question))
        self._process = ProcessPoolExecutor(1, get_context("spawn"), _begin, given)

    def close(self) -> None:
        """End the process."""
        self._process.shutdown()

    def answer(self, requests: int, tokens: int) -> Answered:
        """Answer requests, each by the next adapter."""
        return self._process.submit(_answer, requests, tokens).result()


_switcher: list[_Switcher] = []  # the process's own


def _begin(
    base: Path, dtype: str, threads: int, adapters: tuple[Path, ...], question: tuple[int, ...]
) -> None:
    torch.set_num_threads(threads)
    _switcher.append(_Switcher(base, dtype, adapters, question))


def _answer(requests: int, tokens: int) -> Answered:
    (switcher,) = _switcher
    began, cpu = time.monotonic(), time.process_time()
    count = sum(switcher.answer(each, tokens) for each in range(requests))
    return Answered(count, time.monotonic() - began, time.process_time() - cpu)
