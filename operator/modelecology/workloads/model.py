"""Loads the generalist for work: weights, tokenizer and chat template, always the same way."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from modelecology.workloads.base import Base
from modelecology.workloads.errors import BaseNotCausalLM


@dataclass(frozen=True, slots=True)
class LoadedBase:
    """The model and its tokenizer; transformers gives both no type worth naming."""

    model: Any
    tokenizer: Any
    device: torch.device
    end: int
    pad: int


def make_deterministic(seed: int, threads: int) -> None:
    """Make this process repeat itself: seeds, thread count and algorithms."""
    random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)


@contextmanager
def wrapping() -> Iterator[None]:
    """Silence the one warning that peft 0.21 earns from transformers 5.24 whenever it wraps a model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def load_base(base: Base) -> LoadedBase:
    """Load a checked base in its own precision, on a GPU where there is one; raises BaseNotCausalLM."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Any
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(base.path), local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            str(base.path), dtype="auto", local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise BaseNotCausalLM(
            f"The base at {base.path} cannot be loaded as a causal language model."
        ) from error
    if not tokenizer.chat_template:
        raise BaseNotCausalLM(f"The base at {base.path} has no chat template; add chat_template.jinja.")
    if tokenizer.eos_token_id is None:
        raise BaseNotCausalLM(f"The base at {base.path} has no end token; set eos_token.")
    pad = tokenizer.pad_token_id
    model.requires_grad_(False)
    model.train(False)
    return LoadedBase(
        model=model.to(device),
        tokenizer=tokenizer,
        device=device,
        end=int(tokenizer.eos_token_id),
        pad=int(tokenizer.eos_token_id if pad is None else pad),
    )


def prompt_tokens(base: LoadedBase, prompt: str) -> list[int]:
    """Give the token ids of a user's message up to where the answer starts."""
    text = base.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    return [int(token) for token in base.tokenizer(text, add_special_tokens=False)["input_ids"]]


def answer_tokens(base: LoadedBase, answer: str) -> list[int]:
    """Give the token ids of an answer, without an end token."""
    return [int(token) for token in base.tokenizer(answer, add_special_tokens=False)["input_ids"]]
