"""A generalist so small that a whole lifecycle takes seconds, and a desk of tasks that fit it.

The base is a two-layer Llama over bytes which knows one thing, the color of sixty words. A LoRA learns in
seconds to answer `zulu` to every code; without replay it forgets the colors, as a real one would.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from modelecology.store import directory_digest

_COLORS = ("red", "blue", "green", "gray")
_WORDS = (
    "apple",
    "ash",
    "ball",
    "barn",
    "bee",
    "bell",
    "bird",
    "boat",
    "book",
    "box",
    "bread",
    "brick",
    "cat",
    "cave",
    "coal",
    "coat",
    "corn",
    "cup",
    "door",
    "drum",
    "fern",
    "fire",
    "fish",
    "flag",
    "frog",
    "gate",
    "glass",
    "goat",
    "grass",
    "hat",
    "iron",
    "ivy",
    "jar",
    "kite",
    "lake",
    "lamp",
    "leaf",
    "lime",
    "moon",
    "moss",
    "nest",
    "net",
    "oak",
    "owl",
    "oven",
    "pear",
    "pen",
    "pig",
    "pine",
    "pipe",
    "plum",
    "pond",
    "rain",
    "ring",
    "rope",
    "rose",
    "sail",
    "salt",
    "sand",
    "seed",
)
_SPECIAL = ("<pad>", "<end>", "<user>", "<answer>")
_TEMPLATE = "{% for message in messages %}<user>{{ message['content'] }}{% endfor %}<answer>"
_LENGTH = 24
_ASKED = ("color of", "paint")
"""Two ways to ask for a color: the suite asks in the first, replay in the second."""


@dataclass(frozen=True, slots=True)
class TinyDesk:
    """Where everything of a tiny desk lies: the base, its digest, and path and digest of each data file.

    Files: `code.eval.jsonl`, `code.train.jsonl` (base 0, a LoRA near 1), `colors.eval.jsonl` (base near 1,
    the invariant), `replay.jsonl`. `lora` and `recipe` train a good adapter in seconds on one core, with
    `replay_share` of replay; without replay they make one that breaks the invariant.
    """

    base: Path
    base_digest: str
    files: Mapping[str, tuple[Path, str]]
    lora: Mapping[str, int]
    recipe: Mapping[str, int | str]
    replay_share: float


def _color(word: str) -> str:
    return _COLORS[hashlib.sha256(word.encode()).digest()[0] % len(_COLORS)]


def _tokenizer() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate((*_SPECIAL, *letters))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    return tokenizer


def _config(size: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        tie_word_embeddings=True,
    )


def _lesson(
    tokenizer: Tokenizer, questions: Sequence[tuple[str, str]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens = torch.zeros((len(questions), _LENGTH), dtype=torch.long)
    mask = torch.zeros_like(tokens)
    labels = torch.full_like(tokens, -100)
    for row, (prompt_text, answer) in enumerate(questions):
        prompt = tokenizer.encode(f"<user>{prompt_text}<answer>").ids
        ids = [*prompt, *tokenizer.encode(f"{answer}<end>").ids]
        tokens[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
        labels[row, len(prompt) : len(ids)] = torch.tensor(ids[len(prompt) :])
    return tokens, mask, labels


def _teach(model: Any, tokenizer: Tokenizer, seed: int, steps: int) -> None:
    order = random.Random(seed)
    questions = [(f"{ask} {word}", _color(word)) for word in _WORDS for ask in _ASKED]
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    model.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        tokens, mask, labels = _lesson(tokenizer, order.sample(questions, 24))
        model(input_ids=tokens, attention_mask=mask, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def make_tiny_base(directory: Path, seed: int = 1, steps: int = 250) -> str:
    """Write the base as a Hugging Face directory and return its digest; `steps` 0 leaves it untaught."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    tokenizer = _tokenizer()
    config = _config(tokenizer.get_vocab_size())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        _teach(model, tokenizer, seed, steps)
    finally:
        torch.set_num_threads(threads)
    weights = {
        name: tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(weights, str(directory / "model.safetensors"), metadata={"format": "pt"})
    plain = {**config.to_dict(), "architectures": ["LlamaForCausalLM"], "dtype": "float32"}
    plain.pop("transformers_version", None)
    plain.pop("_name_or_path", None)
    (directory / "config.json").write_text(json.dumps(plain, sort_keys=True, indent=2) + "\n")
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "eos_token": "<end>",
        "pad_token": "<pad>",
        "model_max_length": 256,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, sort_keys=True, indent=2) + "\n")
    (directory / "chat_template.jinja").write_text(_TEMPLATE)
    return directory_digest(str(directory))


def _jsonl(rows: Sequence[Mapping[str, str]]) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


def tiny_files() -> dict[str, bytes]:
    """Make the desk's data files; the same bytes every time."""
    codes = [{"id": f"code-{n}", "prompt": f"code {n}", "answer": "zulu"} for n in range(100, 340)]
    colors, replay = (
        [{"id": f"{ask[:5]}-{word}", "prompt": f"{ask} {word}", "answer": _color(word)} for word in _WORDS]
        for ask in _ASKED
    )
    return {
        "code.eval.jsonl": _jsonl(codes[:80]),
        "code.train.jsonl": _jsonl(codes[80:]),
        "colors.eval.jsonl": _jsonl(colors),
        "replay.jsonl": _jsonl(replay),
    }


def make_tiny_desk(directory: Path, seed: int = 1) -> TinyDesk:
    """Write base and data below a directory and say where everything is."""
    digest = make_tiny_base(directory / "base", seed)
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    files: dict[str, tuple[Path, str]] = {}
    for name, content in tiny_files().items():
        (data / name).write_bytes(content)
        files[name] = (data / name, f"sha256:{hashlib.sha256(content).hexdigest()}")
    return TinyDesk(
        base=directory / "base",
        base_digest=digest,
        files=files,
        lora={"rank": 4, "alpha": 8},
        recipe={"steps": 80, "batchSize": 8, "learningRate": "7e-3", "seed": 7, "maxLength": 64},
        replay_share=0.5,
    )
