"""The admission check of an adapter: what is not known to be sound never reaches a loader.

An adapter is two files, a JSON config and safetensors. Every refusal names the file or the tensor. No torch.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelecology.workloads.errors import AdapterUnsound
from modelecology.workloads.safetensors_header import Header, HeaderUnsound, read_header, read_tensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG_LIMIT = 64 * 1024
LARGEST_ALPHA = 4096
"""With 1 as the smallest: the bounds that source.train.lora.alpha of a Specialist has."""
LARGEST_VALUE = 100.0
LARGEST_UPDATE = 1000.0
"""Bound on scale x |A| x |B| (Frobenius), which bounds the norm of what a module adds to the base."""

_PREFIX = "base_model.model."
_DTYPES = frozenset({"F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """What a sound adapter is: rank, alpha, and the names of the projections it changes."""

    rank: int
    alpha: float
    targets: tuple[str, ...]


def _is_empty(value: object) -> bool:
    return value is None or value is False or value in ({}, [])


def _is_one_of(*allowed: object) -> Callable[[object], bool]:
    return lambda value: any(type(value) is type(choice) and value == choice for choice in allowed)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


_ALLOWED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "peft_type": (_is_one_of("LORA"), "LORA"),
    "task_type": (_is_one_of("CAUSAL_LM"), "CAUSAL_LM"),
    "bias": (_is_one_of("none"), "none"),
    "lora_dropout": (lambda value: isinstance(value, int | float) and 0 <= value < 1, "a number from 0 to 1"),
    "inference_mode": (lambda value: isinstance(value, bool), "true or false"),
    "init_lora_weights": (_is_one_of(True, "gaussian"), "true or gaussian"),
    "base_model_name_or_path": (_is_text, "a string"),
    "revision": (_is_text, "a string"),
    "peft_version": (_is_text, "a string"),
    "megatron_core": (_is_text, "a string"),
    "qalora_group_size": (lambda value: isinstance(value, int), "a number"),
    "r": (lambda value: type(value) is int, "a whole number"),
    "lora_alpha": (lambda value: type(value) in (int, float), "a number"),
    "target_modules": (
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
        "a list of names",
    ),
}
_EMPTY_ONLY = frozenset(
    {
        "alora_invocation_tokens",
        "alpha_pattern",
        "arrow_config",
        "auto_mapping",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "fan_in_fan_out",
        "kasa_config",
        "layer_replication",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_bias",
        "lora_ga_config",
        "megatron_config",
        "modules_to_save",
        "monteclora_config",
        "rank_pattern",
        "target_parameters",
        "trainable_token_indices",
        "use_bdlora",
        "use_dora",
        "use_qalora",
        "use_rslora",
        "velora_config",
    }
)


def _read_config(directory: Path) -> dict[str, object]:
    path = directory / CONFIG
    if path.stat().st_size > CONFIG_LIMIT:
        raise AdapterUnsound(f"{CONFIG} is larger than {CONFIG_LIMIT} bytes.")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AdapterUnsound(f"{CONFIG} is not JSON.") from error
    if not isinstance(found, dict):
        raise AdapterUnsound(f"{CONFIG} is not a JSON object.")
    for name, value in found.items():
        if name in _EMPTY_ONLY:
            if not _is_empty(value):
                raise AdapterUnsound(f"{CONFIG}: {name} is not supported and must be empty.")
        elif name not in _ALLOWED:
            raise AdapterUnsound(f"{CONFIG}: {name} is unknown; take it out.")
        elif not _ALLOWED[name][0](value):
            raise AdapterUnsound(f"{CONFIG}: {name} must be {_ALLOWED[name][1]}.")
    for name in ("peft_type", "r", "lora_alpha", "target_modules"):
        if name not in found:
            raise AdapterUnsound(f"{CONFIG}: {name} is missing.")
    return found


def _checked_shape(config: dict[str, object], known: frozenset[str], max_rank: int) -> AdapterShape:
    rank, alpha, targets = config["r"], config["lora_alpha"], config["target_modules"]
    assert isinstance(rank, int)
    assert isinstance(alpha, int | float)
    assert isinstance(targets, list)
    if not 1 <= rank <= max_rank:
        raise AdapterUnsound(f"{CONFIG}: r is {rank} and must be from 1 to {max_rank}.")
    if not 1 <= alpha <= LARGEST_ALPHA:
        raise AdapterUnsound(f"{CONFIG}: lora_alpha is {alpha} and must be from 1 to {LARGEST_ALPHA}.")
    strange = sorted(set(targets) - known)
    if strange or not targets:
        raise AdapterUnsound(
            f"{CONFIG}: target_modules names {strange or 'nothing'}; the base has {', '.join(sorted(known))}."
        )
    return AdapterShape(rank, float(alpha), tuple(sorted(set(targets))))


def _checked_header(
    header: Header, shape: AdapterShape, linears: Mapping[str, tuple[int, int]]
) -> tuple[str, ...]:
    modules = tuple(sorted(name for name in linears if name.rpartition(".")[2] in shape.targets))
    expected: dict[str, tuple[int, int]] = {}
    for module in modules:
        rows, columns = linears[module]
        expected[f"{_PREFIX}{module}.lora_A.weight"] = (shape.rank, columns)
        expected[f"{_PREFIX}{module}.lora_B.weight"] = (rows, shape.rank)
    for name in sorted(set(header.tensors) ^ set(expected)):
        state = "does not belong there" if name in header.tensors else "is missing"
        raise AdapterUnsound(f"{WEIGHTS}: tensor {name} {state}.")
    for name, entry in sorted(header.tensors.items()):
        if entry.dtype not in _DTYPES:
            raise AdapterUnsound(f"{WEIGHTS}: tensor {name} has dtype {entry.dtype}; use F32, F16 or BF16.")
        if entry.shape != expected[name]:
            raise AdapterUnsound(
                f"{WEIGHTS}: tensor {name} has shape {list(entry.shape)}, not {list(expected[name])}."
            )
    return modules


def _checked_norm(path: Path, header: Header, name: str) -> float:
    values = read_tensor(path, header, name)
    if not bool(np.isfinite(values).all()):
        raise AdapterUnsound(f"{WEIGHTS}: tensor {name} holds NaN or Inf.")
    if float(np.abs(values).max(initial=0.0)) > LARGEST_VALUE:
        raise AdapterUnsound(f"{WEIGHTS}: tensor {name} holds a value beyond {LARGEST_VALUE:g}.")
    return float(np.linalg.norm(values.astype(np.float64)))


def check_files(directory: Path) -> None:
    """Refuse a directory that is not exactly the two regular files; raises AdapterUnsound."""
    names = sorted(os.listdir(directory))
    for name in sorted({CONFIG, WEIGHTS} ^ set(names)):
        state = "must not be there; take it out" if name in names else "is missing"
        raise AdapterUnsound(f"The adapter's {name} {state}.")
    for name in names:
        if not stat.S_ISREG((directory / name).lstat().st_mode):
            raise AdapterUnsound(f"The adapter's {name} is not a regular file; links are not followed.")


def check_adapter(directory: Path, linears: Mapping[str, tuple[int, int]], max_rank: int) -> AdapterShape:
    """Admit an adapter to a base with these projections, (out, in) by name; raises AdapterUnsound."""
    check_files(directory)
    known = frozenset(name.rpartition(".")[2] for name in linears)
    shape = _checked_shape(_read_config(directory), known, max_rank)
    path = directory / WEIGHTS
    try:
        header = read_header(path)
    except HeaderUnsound as error:
        raise AdapterUnsound(f"{WEIGHTS} is unsound: {error}.") from error
    total = 0.0
    for module in _checked_header(header, shape, linears):
        first = _checked_norm(path, header, f"{_PREFIX}{module}.lora_A.weight")
        second = _checked_norm(path, header, f"{_PREFIX}{module}.lora_B.weight")
        update = shape.alpha / shape.rank * first * second
        if update > LARGEST_UPDATE:
            raise AdapterUnsound(
                f"{WEIGHTS}: module {module} adds up to {update:.0f} to the base, beyond {LARGEST_UPDATE:g}."
            )
        total += update
    if total == 0.0:
        raise AdapterUnsound(f"{WEIGHTS} changes nothing: it is the base under another name.")
    return shape


def normalised_config(shape: AdapterShape) -> bytes:
    """Write the config so that equal adapters are equal bytes on every machine."""
    alpha = int(shape.alpha) if shape.alpha.is_integer() else shape.alpha
    config = {
        "base_model_name_or_path": "generalist",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": shape.rank,
        "target_modules": list(shape.targets),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    return json.dumps(config, sort_keys=True, indent=2).encode() + b"\n"
