"""A base and adapters small enough to build in a second: random, but with answers that differ."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WIDTH = 64
LAYERS = 2
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def make_base(directory: Path, seed: int = 0) -> Path:
    """Write a random Llama of two layers with a byte tokenizer and a chat template."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers has no types there
        tokenizer_object=tokenizer, eos_token="<|end|>", additional_special_tokens=SPECIAL[1:]
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(directory)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,  # of 32, the smallest that vLLM serves on CPUs
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.3,
        eos_token_id=0,
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


# Of each layer: its block, then how wide it reads and writes.
SHAPES = {
    "q_proj": ("self_attn", WIDTH, WIDTH),
    "k_proj": ("self_attn", WIDTH, WIDTH // 2),
    "v_proj": ("self_attn", WIDTH, WIDTH // 2),
    "up_proj": ("mlp", WIDTH, 2 * WIDTH),
    "down_proj": ("mlp", 2 * WIDTH, WIDTH),
}


def make_adapter(
    directory: Path, seed: int, rank: int = 4, targets: tuple[str, ...] = ("q_proj", "v_proj")
) -> Path:
    """Write a random LoRA of the given projections, strong enough to change every answer."""
    directory.mkdir(parents=True)
    draw = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for layer in range(LAYERS):
        for target in targets:
            block, read, written = SHAPES[target]
            stem = f"base_model.model.model.layers.{layer}.{block}.{target}"
            weights[f"{stem}.lora_A.weight"] = torch.randn(rank, read, generator=draw)
            weights[f"{stem}.lora_B.weight"] = torch.randn(written, rank, generator=draw)
    save_file(weights, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "base_model_name_or_path": "generalist",
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": 2 * rank,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": sorted(targets),
        "task_type": "CAUSAL_LM",
    }
    text = json.dumps(config, sort_keys=True)
    (directory / "adapter_config.json").write_text(text, encoding="utf-8")
    return directory
