"""What an adapter directory must be before torch sees a byte of it."""

import json
import math
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from .refusal import Refusal, bad_request, not_found

CONFIG_NAME: Final = "adapter_config.json"
RECORD_NAME: Final = "manifest.json"
"""The store's own record beside an adapter's files; it is neither read nor served."""
WEIGHTS_NAME: Final = "adapter_model.safetensors"
MAX_CONFIG_BYTES: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 4 * 1024 * 1024
MAX_WEIGHT_BYTES: Final = 1024 * 1024 * 1024
LENGTH_BYTES: Final = 8
"""A safetensors file begins with its header's length, little-endian."""

MATRIX: Final = 2

_DTYPE_BYTES: Final = {"F32": 4, "F16": 2, "BF16": 2}
_TENSOR: Final = re.compile(r"base_model\.model\.(?P<module>[A-Za-z0-9_.]+)\.lora_(?P<side>[AB])\.weight")
_NAME: Final = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")

# Fields that say nothing about the weights, or that have no effect when an adapter is only served.
_INERT: Final = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "ensure_weight_tying",
        "inference_mode",
        "init_lora_weights",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
    }
)


class LoraConfigFile(BaseModel):
    """The part of adapter_config.json that this engine can serve; anything else must be empty."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    peft_type: str
    task_type: str | None = None
    r: int = Field(ge=1)
    lora_alpha: int | float = Field(gt=0)
    target_modules: tuple[str, ...] = Field(min_length=1, strict=False)
    rank_pattern: dict[str, int] = Field(default_factory=dict)
    alpha_pattern: dict[str, int | float] = Field(default_factory=dict)
    use_rslora: bool = False
    bias: str = "none"


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """An admitted adapter: its configuration and the very bytes that were checked."""

    path: str
    config: LoraConfigFile
    weights: bytes


def admit(name: str, path: str, roots: tuple[str, ...], max_rank: int) -> AdapterFiles:
    """Read and check the adapter in directory `path`; nothing of it is executed or unpickled.

    Raises Refusal: 404 if there is no such directory, 400 if it is outside `roots` (if given) or unsound.
    """
    if not path.isprintable() or not os.path.isabs(path):
        raise bad_request(f"lora_path must be a printable absolute path; got {path!r}", "lora_path")
    if roots and not any(Path(os.path.realpath(path)).is_relative_to(root) for root in roots):
        raise bad_request(f"lora_path {path} is outside the engine's --allow-root directories", "lora_path")
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise not_found(f"Loading lora {name} failed: No adapter found for {path}") from error
    except OSError as error:
        raise bad_request(f"Loading lora {name} failed: cannot open {path}: {error.strerror}") from error
    try:
        names = set(os.listdir(directory)) - {RECORD_NAME}
        if CONFIG_NAME not in names:
            raise not_found(f"Loading lora {name} failed: No adapter found for {path} (no {CONFIG_NAME})")
        if names != {CONFIG_NAME, WEIGHTS_NAME}:
            wrong = sorted(names ^ {CONFIG_NAME, WEIGHTS_NAME})[0]
            raise _unsound(path, f"it must hold {CONFIG_NAME} and {WEIGHTS_NAME} only; look at {wrong}")
        config = _config(path, _read(directory, path, CONFIG_NAME, MAX_CONFIG_BYTES), max_rank)
        weights = _read(directory, path, WEIGHTS_NAME, MAX_WEIGHT_BYTES)
    finally:
        os.close(directory)
    _check_weights(path, weights, max_rank)
    return AdapterFiles(path, config, weights)


def _unsound(path: str, what: str) -> Refusal:
    return bad_request(f"The adapter in {path} is unsound: {what}", "lora_path")


def _read(directory: int, path: str, name: str, limit: int) -> bytes:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        raise _unsound(path, f"{name} is not a readable regular file") from error
    with os.fdopen(file, "rb") as handle:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise _unsound(path, f"{name} is not a regular file")
        if facts.st_size > limit:
            raise _unsound(path, f"{name} has {facts.st_size} bytes, more than {limit}")
        return handle.read(limit + 1)


def _config(path: str, text: bytes, max_rank: int) -> LoraConfigFile:
    try:
        config = LoraConfigFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _unsound(path, f"{CONFIG_NAME}: {field}: {first['msg']}") from error
    if config.peft_type != "LORA":
        raise _unsound(path, f"{CONFIG_NAME}: peft_type must be LORA, not {config.peft_type}")
    if config.bias != "none":
        raise _unsound(path, f"{CONFIG_NAME}: bias must be none, not {config.bias}")
    for pattern in (*config.rank_pattern, *config.alpha_pattern):
        if not _NAME.fullmatch(pattern):
            raise _unsound(path, f"{CONFIG_NAME}: the pattern {pattern!r} must be the plain name of a layer")
    top = max((config.r, *config.rank_pattern.values()))
    if top > max_rank:
        raise _unsound(path, f"LoRA rank {top} is greater than max_lora_rank {max_rank}")
    extra: dict[str, JsonValue] = config.model_extra or {}
    for field, value in sorted(extra.items()):
        if field not in _INERT and value not in (None, False, "", [], {}):
            raise _unsound(path, f"{CONFIG_NAME}: {field} is not supported by this engine; it must be empty")
    return config


def _check_weights(path: str, weights: bytes, max_rank: int) -> None:
    """Parse the safetensors header and see that every tensor is half of a LoRA pair that fits its bytes."""
    if len(weights) < LENGTH_BYTES:
        raise _unsound(path, f"{WEIGHTS_NAME} is too short")
    (length,) = struct.unpack("<Q", weights[:LENGTH_BYTES])
    if length > min(MAX_HEADER_BYTES, len(weights) - LENGTH_BYTES):
        raise _unsound(path, f"{WEIGHTS_NAME} has a header of {length} bytes, which does not fit")
    try:
        header = json.loads(weights[LENGTH_BYTES : LENGTH_BYTES + length])
        header.pop("__metadata__", None)
        tensors = {key: _Tensor.model_validate(value) for key, value in header.items()}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _unsound(path, f"{WEIGHTS_NAME} has a header that cannot be read") from error
    payload = len(weights) - LENGTH_BYTES - length
    ranks: dict[tuple[str, str], int] = {}
    for key, tensor in tensors.items():
        match = _TENSOR.fullmatch(key)
        if match is None:
            raise _unsound(path, f"{WEIGHTS_NAME}: {key} is not a LoRA weight")
        begin, end = tensor.data_offsets
        size = _DTYPE_BYTES.get(tensor.dtype, 0) * math.prod(tensor.shape)
        if (
            len(tensor.shape) != MATRIX
            or size <= 0
            or not 0 <= begin <= end <= payload
            or end - begin != size
        ):
            raise _unsound(path, f"{WEIGHTS_NAME}: {key} has a shape, dtype or offset that does not fit")
        ranks[match["module"], match["side"]] = tensor.shape[0 if match["side"] == "A" else 1]
    if not ranks:
        raise _unsound(path, f"{WEIGHTS_NAME} holds no tensors")
    for (module, side), rank in ranks.items():
        if ranks.get((module, "B" if side == "A" else "A")) != rank or rank > max_rank:
            raise _unsound(path, f"{WEIGHTS_NAME}: the LoRA pair of {module} does not match or is too large")
