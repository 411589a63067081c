"""Adapter directories that never reach torch, and what the refusal says."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from modelecology.serving.engine.admission import CONFIG_NAME, WEIGHTS_NAME, admit
from modelecology.serving.engine.refusal import Refusal
from tests.engines.tiny_base import make_adapter

MAX_RANK = 8


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A sound adapter to spoil."""
    return make_adapter(tmp_path / "adapter", seed=1)


def config(**changes: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        file = path / CONFIG_NAME
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return spoil


def header(spoil: Callable[[dict[str, dict[str, object]]], None]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        file = path / WEIGHTS_NAME
        data = file.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        parsed = json.loads(data[8 : 8 + length])
        spoil(parsed)
        text = json.dumps(parsed).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])

    return rewrite


def first_tensor(parsed: dict[str, dict[str, object]]) -> dict[str, object]:
    return next(value for name, value in parsed.items() if name != "__metadata__")


def link_weights(path: Path) -> None:
    target = path.parent / "elsewhere"
    (path / WEIGHTS_NAME).rename(target)
    (path / WEIGHTS_NAME).symlink_to(target)


def pipe_weights(path: Path) -> None:
    (path / WEIGHTS_NAME).unlink()
    os.mkfifo(path / WEIGHTS_NAME)


def drop_one(parsed: dict[str, dict[str, object]]) -> None:
    del parsed[next(name for name in parsed if ".lora_B." in name)]


UNSOUND: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pickle beside the weights": (lambda p: (p / "adapter_model.bin").touch(), "adapter_model.bin"),
    "a readme": (lambda p: (p / "README.md").touch(), "README.md"),
    "no weights": (lambda p: (p / WEIGHTS_NAME).unlink(), WEIGHTS_NAME),
    "weights by symbolic link": (link_weights, "not a readable regular file"),
    "weights that are a pipe": (pipe_weights, "not a regular file"),
    "a config that is no JSON": (lambda p: (p / CONFIG_NAME).write_text("{"), "JSON"),
    "a config that is too long": (lambda p: (p / CONFIG_NAME).write_text(" " * 70_000), "70000 bytes"),
    "another method": (config(peft_type="VERA"), "peft_type must be LORA"),
    "a bias": (config(bias="all"), "bias must be none"),
    "DoRA": (config(use_dora=True), "use_dora is not supported"),
    "saved modules": (config(modules_to_save=["lm_head"]), "modules_to_save is not supported"),
    "an unknown field": (config(brand_new={"x": 1}), "brand_new is not supported"),
    "a rank above the limit": (config(r=64), "rank 64 is greater than max_lora_rank 8"),
    "a rank above the limit in a pattern": (config(rank_pattern={"q_proj": 64}), "rank 64"),
    "a pattern that is no name": (config(alpha_pattern={"q_.*": 4}), "plain name of a layer"),
    "no target": (config(target_modules=[]), "target_modules"),
    "a rank of zero": (config(r=0), "r: "),
    "weights that are empty": (lambda p: (p / WEIGHTS_NAME).write_bytes(b""), "too short"),
    "a header longer than the file": (
        lambda p: (p / WEIGHTS_NAME).write_bytes(struct.pack("<Q", 2**40) + b"{}"),
        "does not fit",
    ),
    "a header that is no JSON": (
        lambda p: (p / WEIGHTS_NAME).write_bytes(struct.pack("<Q", 2) + b"[["),
        "cannot be read",
    ),
    "a header that is a list": (
        lambda p: (p / WEIGHTS_NAME).write_bytes(struct.pack("<Q", 2) + b"[]"),
        "cannot be read",
    ),
    "no tensors": (header(lambda h: h.clear()), "no tensors"),
    "a tensor that is no LoRA weight": (
        header(lambda h: h.update({"lm_head.weight": dict(first_tensor(h))})),
        "lm_head.weight is not a LoRA weight",
    ),
    "integers": (header(lambda h: first_tensor(h).update(dtype="I64")), "does not fit"),
    "offsets beyond the file": (
        header(lambda h: first_tensor(h).update(data_offsets=[0, 2**40])),
        "does not fit",
    ),
    "a shape that its bytes contradict": (
        header(lambda h: first_tensor(h).update(shape=[1, 1])),
        "does not fit",
    ),
    "half a pair": (header(drop_one), "does not match"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_an_unsound_adapter_is_refused_and_told_why(adapter: Path, case: str) -> None:
    spoil, words = UNSOUND[case]
    spoil(adapter)
    with pytest.raises(Refusal) as caught:
        admit("dates", str(adapter), (), MAX_RANK)
    assert caught.value.status == 400
    assert words in caught.value.message


def test_a_sound_adapter_is_admitted_with_the_bytes_that_were_checked(adapter: Path) -> None:
    files = admit("dates", str(adapter), (), MAX_RANK)
    assert files.weights == (adapter / WEIGHTS_NAME).read_bytes()
    assert files.config.r == 4


def test_what_peft_writes_of_its_own_defaults_is_admitted(adapter: Path) -> None:
    defaults: dict[str, object] = {
        "auto_mapping": None,
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_bias": False,
        "lora_dropout": 0.0,
        "megatron_core": "megatron.core",
        "modules_to_save": None,
        "peft_version": "0.21.2",
        "qalora_group_size": 16,
        "use_dora": False,
    }
    config(**defaults)(adapter)
    assert admit("dates", str(adapter), (), MAX_RANK).config.peft_type == "LORA"


@pytest.mark.parametrize("missing", ["nowhere", "adapter/adapter_config.json"])
def test_what_is_no_directory_is_not_found(adapter: Path, missing: str) -> None:
    with pytest.raises(Refusal, match="No adapter found") as caught:
        admit("dates", str(adapter.parent / missing), (), MAX_RANK)
    assert caught.value.status == 404


def test_an_empty_directory_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"no adapter_config\.json") as caught:
        admit("dates", str(tmp_path), (), MAX_RANK)
    assert caught.value.status == 404


@pytest.mark.parametrize("path", ["relative/path", "", "/with\nnewline", "/with\0null"])
def test_a_path_that_is_not_absolute_or_not_printable_is_refused(path: str) -> None:
    with pytest.raises(Refusal, match="printable absolute path"):
        admit("dates", path, (), MAX_RANK)


def test_a_path_outside_the_allowed_roots_is_refused_also_by_detour(adapter: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "door").symlink_to(tmp_path)
    for path in (adapter, allowed / ".." / "adapter", allowed / "door" / "adapter"):
        with pytest.raises(Refusal, match="outside the engine's --allow-root"):
            admit("dates", str(path), (str(allowed),), MAX_RANK)
    assert admit("dates", str(adapter), (str(tmp_path),), MAX_RANK).path == str(adapter)


def test_a_directory_by_symbolic_link_is_refused(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(adapter)
    with pytest.raises(Refusal):
        admit("dates", str(tmp_path / "link"), (), MAX_RANK)
