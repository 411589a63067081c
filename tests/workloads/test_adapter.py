"""An adapter is admitted only when every part of it is known to be sound."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from modelecology.api.specialist import Lora
from modelecology.workloads.adapter import (
    CONFIG,
    LARGEST_ALPHA,
    WEIGHTS,
    AdapterShape,
    check_adapter,
    normalised_config,
)
from modelecology.workloads.errors import AdapterUnsound

Tensors = dict[str, npt.NDArray[np.generic]]
LINEARS = {"model.layers.0.self_attn.q_proj": (6, 4), "model.layers.0.self_attn.v_proj": (2, 4)}
PREFIX = "base_model.model.model.layers.0.self_attn."
CONFIGURED: Mapping[str, object] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["v_proj", "q_proj"],
    "bias": "none",
    "auto_mapping": None,
    "rank_pattern": {},
}


def sound_tensors() -> Tensors:
    """Give the tensors of a sound adapter of rank 2."""
    return {
        f"{PREFIX}q_proj.lora_A.weight": np.full((2, 4), 0.5, np.float32),
        f"{PREFIX}q_proj.lora_B.weight": np.full((6, 2), 0.25, np.float32),
        f"{PREFIX}v_proj.lora_A.weight": np.full((2, 4), 0.5, np.float32),
        f"{PREFIX}v_proj.lora_B.weight": np.full((2, 2), 0.25, np.float32),
    }


def packed(tensors: Mapping[str, npt.NDArray[np.generic]], **changed: object) -> bytes:
    """Write a safetensors file, with entries of its header changed or added."""
    names = {"float32": "F32", "float16": "F16", "float64": "F64", "uint16": "BF16"}
    header: dict[str, object] = {}
    content = b""
    for name, tensor in tensors.items():
        some = tensor.tobytes()
        header[name] = {
            "dtype": names[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [len(content), len(content) + len(some)],
        }
        content += some
    text = json.dumps({**header, **changed}).encode()
    return len(text).to_bytes(8, "little") + text + content


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A sound adapter's directory."""
    directory = tmp_path / "adapter"
    directory.mkdir()
    (directory / CONFIG).write_text(json.dumps(CONFIGURED))
    (directory / WEIGHTS).write_bytes(packed(sound_tensors()))
    return directory


def refused(adapter: Path, match: str, *, max_rank: int = 8) -> None:
    """Expect a refusal that says so."""
    with pytest.raises(AdapterUnsound, match=match):
        check_adapter(adapter, LINEARS, max_rank)


def test_a_sound_adapter_is_admitted(adapter: Path) -> None:
    assert check_adapter(adapter, LINEARS, 2) == AdapterShape(2, 4.0, ("q_proj", "v_proj"))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_half_and_single_precision_are_admitted(adapter: Path, kind: type[np.floating]) -> None:
    (adapter / WEIGHTS).write_bytes(packed({name: t.astype(kind) for name, t in sound_tensors().items()}))
    check_adapter(adapter, LINEARS, 2)


def test_brain_floats_are_read_as_what_they_are(adapter: Path) -> None:
    halves = {
        name: (t.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        for name, t in sound_tensors().items()
    }
    (adapter / WEIGHTS).write_bytes(packed(halves))
    check_adapter(adapter, LINEARS, 2)
    halves[f"{PREFIX}q_proj.lora_A.weight"][0, 0] = 0x7FC0
    (adapter / WEIGHTS).write_bytes(packed(halves))
    refused(adapter, r"q_proj\.lora_A\.weight holds NaN or Inf")


@pytest.mark.parametrize("name", ["adapter_model.bin", "README.md", "weights.pkl"])
def test_a_further_file_is_refused_by_name(adapter: Path, name: str) -> None:
    (adapter / name).write_text("x")
    refused(adapter, f"{name} must not be there")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_refused_by_name(adapter: Path, name: str) -> None:
    (adapter / name).unlink()
    refused(adapter, f"{name} is missing")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_link_is_refused_by_name(adapter: Path, tmp_path: Path, name: str) -> None:
    (adapter / name).rename(tmp_path / "elsewhere")
    (adapter / name).symlink_to(tmp_path / "elsewhere")
    refused(adapter, f"{name} is not a regular file")


def test_a_pipe_is_refused(adapter: Path) -> None:
    (adapter / CONFIG).unlink()
    os.mkfifo(adapter / CONFIG)
    refused(adapter, "not a regular file")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("peft_type", "IA3", "peft_type must be LORA"),
        ("task_type", "SEQ_CLS", "task_type must be CAUSAL_LM"),
        ("bias", "all", "bias must be none"),
        ("r", 0, "r is 0 and must be from 1 to 8"),
        ("r", 9, "r is 9 and must be from 1 to 8"),
        ("r", True, "r must be a whole number"),
        ("r", "2", "r must be a whole number"),
        ("lora_alpha", 0, "lora_alpha is 0"),
        ("lora_alpha", 1e9, "lora_alpha"),
        ("lora_alpha", "4", "lora_alpha must be a number"),
        ("target_modules", "all-linear", "target_modules must be a list"),
        ("target_modules", [], "target_modules names nothing"),
        ("target_modules", ["q_proj", "lm_head"], "lm_head"),
        ("modules_to_save", ["lm_head"], "modules_to_save is not supported"),
        ("auto_mapping", {"base_model_class": "os.system"}, "auto_mapping is not supported"),
        ("rank_pattern", {"q_proj": 64}, "rank_pattern is not supported"),
        ("use_dora", True, "use_dora is not supported"),
        ("layer_replication", [[0, 9]], "layer_replication is not supported"),
        ("surprise", 1, "surprise is unknown"),
    ],
)
def test_a_wrong_config_is_refused_by_field(adapter: Path, name: str, value: object, match: str) -> None:
    (adapter / CONFIG).write_text(json.dumps({**CONFIGURED, name: value}))
    refused(adapter, match)


@pytest.mark.parametrize("alpha", [0.5, LARGEST_ALPHA + 1, -1, float("nan")])
def test_an_alpha_that_no_specialist_may_ask_for_is_refused(adapter: Path, alpha: float) -> None:
    (adapter / CONFIG).write_text(json.dumps({**CONFIGURED, "lora_alpha": alpha}))
    refused(adapter, "lora_alpha is .* must be from 1 to 4096")


@pytest.mark.parametrize("alpha", [1, LARGEST_ALPHA])
def test_every_alpha_that_a_specialist_may_ask_for_is_admitted(adapter: Path, alpha: int) -> None:
    asked = Lora(alpha=alpha).alpha
    with pytest.raises(ValidationError):
        Lora(alpha=LARGEST_ALPHA + 1)
    small = {name: t.astype(np.float32) / np.float32(10) for name, t in sound_tensors().items()}
    (adapter / WEIGHTS).write_bytes(packed(small))
    (adapter / CONFIG).write_text(json.dumps({**CONFIGURED, "lora_alpha": asked}))
    assert check_adapter(adapter, LINEARS, 2).alpha == alpha


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\xff"])
def test_a_config_that_is_no_json_object_is_refused(adapter: Path, text: str) -> None:
    (adapter / CONFIG).write_bytes(text.encode("latin-1"))
    refused(adapter, CONFIG)


def test_a_huge_config_is_refused_unread(adapter: Path) -> None:
    (adapter / CONFIG).write_text(" " * 70_000)
    refused(adapter, "larger than 65536 bytes")


def changed_tensors(change: Callable[[Tensors], object]) -> Tensors:
    """Give the sound tensors after a change."""
    tensors = sound_tensors()
    change(tensors)
    return tensors


A = f"{PREFIX}q_proj.lora_A.weight"
B = f"{PREFIX}q_proj.lora_B.weight"
Fault = tuple[Callable[[Tensors], object], str]
FAULTS: dict[str, Fault] = {
    "missing": (lambda t: t.pop(A), f"{A} is missing"),
    "unknown": (lambda t: t.update(evil=np.zeros(1, np.float32)), "evil does not belong there"),
    "shape": (lambda t: t.update({A: np.ones((3, 4), np.float32)}), "has shape .3, 4., not .2, 4."),
    "dtype": (lambda t: t.update({A: np.ones((2, 4), np.float64)}), "dtype F64"),
    "nan": (lambda t: t.update({A: np.full((2, 4), np.nan, np.float32)}), "holds NaN or Inf"),
    "inf": (lambda t: t.update({B: np.full((6, 2), np.inf, np.float32)}), "holds NaN or Inf"),
    "value": (lambda t: t.update({B: np.full((6, 2), 101, np.float32)}), "beyond 100"),
    "norm": (
        lambda t: t.update({A: np.full((2, 4), 90, np.float32), B: np.full((6, 2), 90, np.float32)}),
        "q_proj adds up to .* beyond 1000",
    ),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_wrong_tensor_is_refused_by_name(adapter: Path, fault: str) -> None:
    change, match = FAULTS[fault]
    (adapter / WEIGHTS).write_bytes(packed(changed_tensors(change)))
    refused(adapter, match)


def test_an_adapter_that_changes_nothing_is_refused(adapter: Path) -> None:
    zero = {name: np.zeros_like(t) if "lora_B" in name else t for name, t in sound_tensors().items()}
    (adapter / WEIGHTS).write_bytes(packed(zero))
    refused(adapter, "changes nothing")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "header length"),
        (b"\xff" * 8, "header length"),
        ((2).to_bytes(8, "little") + b"{}", "is missing"),
        ((2).to_bytes(8, "little") + b"{}x", "bytes, and its tensors need"),
        ((2).to_bytes(8, "little") + b"[]", "not a JSON object"),
        ((2).to_bytes(8, "little") + b"\x80\x04", "not JSON"),
        ((22).to_bytes(8, "little") + b'{"a":1,"a":2}         ', "twice"),
    ],
)
def test_a_broken_header_is_refused(adapter: Path, content: bytes, match: str) -> None:
    (adapter / WEIGHTS).write_bytes(content)
    refused(adapter, match)


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 31]}, "its shape does not need"),
        ({"dtype": "F32", "shape": [-2, -4], "data_offsets": [0, 32]}, "natural numbers"),
        ({"dtype": "F32", "shape": [2, 4], "data_offsets": [16, 48]}, "overlaps another or leaves a gap"),
        ({"dtype": "X1", "shape": [2, 4], "data_offsets": [0, 32]}, "unknown dtype"),
        ({"dtype": "F32"}, "exactly dtype, shape and data_offsets"),
        (7, "exactly dtype, shape and data_offsets"),
    ],
)
def test_a_lying_header_is_refused_by_tensor(adapter: Path, entry: object, match: str) -> None:
    (adapter / WEIGHTS).write_bytes(packed(sound_tensors(), **{A: entry}))
    refused(adapter, match)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_get_a_verdict_and_no_other_error(adapter: Path, data: st.DataObject) -> None:
    content = bytearray(packed(sound_tensors()))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    (adapter / WEIGHTS).write_bytes(bytes(content[:cut]) if data.draw(st.booleans()) else bytes(content))
    with suppress(AdapterUnsound):
        check_adapter(adapter, LINEARS, 8)


def test_a_normalised_config_is_admitted_again_and_says_nothing_of_its_origin(adapter: Path) -> None:
    (adapter / CONFIG).write_text(
        json.dumps({**CONFIGURED, "base_model_name_or_path": "/home/someone", "peft_version": "9"})
    )
    shape = check_adapter(adapter, LINEARS, 2)
    made = normalised_config(shape)
    assert b"someone" not in made
    assert json.loads(made)["target_modules"] == ["q_proj", "v_proj"]
    (adapter / CONFIG).write_bytes(made)
    assert check_adapter(adapter, LINEARS, 2) == shape
