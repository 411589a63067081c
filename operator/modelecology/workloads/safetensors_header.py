"""Reads a safetensors header without any loader: a stranger's file is measured before it is opened.

A file is: 8 bytes little-endian header length, that many bytes of JSON, then the tensors without a gap.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

HEADER_LIMIT = 8 * 1024 * 1024
_WIDTH = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class HeaderUnsound(Exception):
    """The file is not a sound safetensors file; the text says why."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: type, shape, and first and last byte within the data part."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """All tensors of a file, and where their bytes start in it."""

    tensors: Mapping[str, TensorEntry]
    data_start: int


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise HeaderUnsound("its header names something twice")
    return dict(pairs)


def _natural_numbers(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or any(type(part) is not int or part < 0 for part in value):
        return None
    return tuple(value)


def _entry(name: str, value: object) -> TensorEntry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise HeaderUnsound(f"tensor {name} must have exactly dtype, shape and data_offsets")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in _WIDTH:
        raise HeaderUnsound(f"tensor {name} has the unknown dtype {dtype!r}")
    shape = _natural_numbers(value["shape"])
    offsets = _natural_numbers(value["data_offsets"])
    if shape is None or offsets is None or len(offsets) != 2:
        raise HeaderUnsound(f"tensor {name} has a shape or offsets that are not natural numbers")
    if offsets[1] - offsets[0] != math.prod(shape) * _WIDTH[dtype]:
        raise HeaderUnsound(
            f"tensor {name} has {offsets[1] - offsets[0]} bytes, which its shape does not need"
        )
    return TensorEntry(dtype, shape, offsets[0], offsets[1])


def read_header(path: Path) -> Header:
    """Read and check the header; raises HeaderUnsound."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise HeaderUnsound(f"it cannot be opened ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > HEADER_LIMIT or 8 + length > size:
            raise HeaderUnsound("its header length does not fit the file")
        content = file.read(length)
    try:
        found = json.loads(content, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:
        raise HeaderUnsound("its header is not JSON") from error
    if not isinstance(found, dict):
        raise HeaderUnsound("its header is not a JSON object")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or any(type(value) is not str for value in metadata.values()):
        raise HeaderUnsound("its __metadata__ must hold nothing but strings")
    tensors = {name: _entry(name, value) for name, value in found.items()}
    at = 0
    for name, entry in sorted(tensors.items(), key=lambda pair: pair[1].begin):
        if entry.begin != at:
            raise HeaderUnsound(f"tensor {name} overlaps another or leaves a gap")
        at = entry.end
    if 8 + length + at != size:
        raise HeaderUnsound(f"it has {size} bytes, and its tensors need {8 + length + at}")
    return Header(tensors, 8 + length)


def read_tensor(path: Path, header: Header, name: str) -> npt.NDArray[np.float32]:
    """Read one F32, F16 or BF16 tensor as 32-bit floats in its shape; raises HeaderUnsound."""
    entry = header.tensors[name]
    with path.open("rb") as file:
        file.seek(header.data_start + entry.begin)
        content = file.read(entry.end - entry.begin)
    if entry.dtype == "F32":
        values = np.frombuffer(content, dtype="<f4").astype(np.float32)
    elif entry.dtype == "F16":
        values = np.frombuffer(content, dtype="<f2").astype(np.float32)
    elif entry.dtype == "BF16":
        values = (np.frombuffer(content, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        raise HeaderUnsound(f"tensor {name} has the dtype {entry.dtype}, which is no adapter's")
    return values.reshape(entry.shape)
