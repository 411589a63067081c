"""A tag names all that goes into an image, and what follows from the inputs is computed without building."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology import __version__
from modelecology.jobs.code import code_digest
from testbed.images.inputs import (
    expected_code,
    find_origin,
    image_tag,
    locked_versions,
    read_inputs,
    stage_tag,
    write_context,
)

_FILES = st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=8), min_size=1, max_size=4)
_SAID = st.lists(st.text(max_size=6), max_size=3)
_LOCK = """
[[package]]
name = "numpy"
version = "1.0"
resolution-markers = ["python_full_version < '3.12'"]
[[package]]
name = "numpy"
version = "2.0"
resolution-markers = ["python_full_version >= '3.12'"]
[[package]]
name = "torch"
version = "3.0"
"""


@given(_FILES, _SAID)
def test_a_tag_has_the_version_and_twelve_digits_and_hangs_on_no_order(
    files: dict[str, bytes], said: list[str]
) -> None:
    tag = image_tag(files, said)
    assert tag == image_tag(dict(reversed(files.items())), said)
    version, _, digits = tag.rpartition("-")
    assert version == __version__
    assert len(digits) == 12
    assert set(digits) <= set("0123456789abcdef")


@given(_FILES, _SAID, _FILES, _SAID)
def test_other_inputs_have_another_tag(
    files: dict[str, bytes], said: list[str], others: dict[str, bytes], also: list[str]
) -> None:
    assert (image_tag(files, said) == image_tag(others, also)) == ((files, said) == (others, also))


def test_the_inputs_are_the_lock_the_containerfile_and_our_sources_and_no_bytecode() -> None:
    names = set(read_inputs())
    assert {
        "uv.lock",
        "pyproject.toml",
        "images/Containerfile",
        "images/install.sh",
        "images/tools.txt",
    } <= names
    assert "operator/modelecology/workloads/train.py" in names
    assert "images/README.md" not in names
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]


_LIBRARIES = ("operator-libraries", "libraries", "workload-libraries")


@pytest.mark.parametrize("stage", _LIBRARIES)
def test_a_change_of_our_code_keeps_the_layers_of_libraries(stage: str) -> None:
    files = read_inputs()
    changed = {**files, "operator/modelecology/app.py": b"", "pyproject.toml": b"", "images/sbom.sh": b""}
    assert image_tag(changed, []) != image_tag(files, [])
    assert stage_tag(changed, stage, "base") == stage_tag(files, stage, "base")
    assert stage_tag(changed, "tools", "base") != stage_tag(files, "tools", "base")


@pytest.mark.parametrize("stage", ["tools", *_LIBRARIES])
@pytest.mark.parametrize("name", ["uv.lock", "images/install.sh", "images/tools.txt"])
def test_what_a_kept_stage_is_made_of_makes_it_anew(stage: str, name: str) -> None:
    files = read_inputs()
    changed = {**files, name: files[name] + b"\n"}
    assert stage_tag(changed, stage, "base") != stage_tag(files, stage, "base")


@pytest.mark.parametrize("stage", ["libraries", "workload-libraries"])
def test_another_base_or_another_instruction_makes_a_stage_anew(stage: str) -> None:
    files = read_inputs()
    text = files["images/Containerfile"]
    theirs = {**files, "images/Containerfile": text.replace(b"HF_HOME=/tmp", b"HF_HOME=/var")}
    assert stage_tag(theirs, stage, "base") != stage_tag(files, stage, "base")
    assert stage_tag(files, stage, "another") != stage_tag(files, stage, "base")
    others = {**files, "images/Containerfile": text.replace(b"ENTRYPOINT", b"CMD")}
    assert stage_tag(others, stage, "base") == stage_tag(files, stage, "base")


def test_a_lock_that_forks_by_python_is_read_for_the_images_python() -> None:
    names = ("numpy", "torch", "peft")
    assert locked_versions(_LOCK, names, "3.11.2") == (("numpy", "1.0"), ("torch", "3.0"), ("peft", "absent"))
    assert locked_versions(_LOCK, names, "3.12.1") == (("numpy", "2.0"), ("torch", "3.0"), ("peft", "absent"))


def test_the_code_digest_follows_from_sources_and_lock_as_the_jobs_compute_it(tmp_path: Path) -> None:
    write_context(read_inputs(), tmp_path)
    assert expected_code(tmp_path, platform.python_version()) == code_digest()


def test_the_origin_is_the_last_commit_of_the_inputs(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    for name in ("input", "other"):
        (tmp_path / name).write_text("one")
        git("add", name)
        git("commit", "--quiet", "--message", name)
    first = git("rev-parse", "HEAD~1")
    origin = find_origin(["input"], {}, tmp_path)
    assert origin.revision == first
    assert origin.epoch == int(git("log", "-1", "--format=%ct", first))
    (tmp_path / "input").write_text("two")
    assert find_origin(["input"], {}, tmp_path).revision == f"{first}-dirty"
    dated = find_origin(["input"], {"SOURCE_DATE_EPOCH": "86400"}, tmp_path)
    assert dated.created == "1970-01-02T00:00:00Z"


def test_without_git_the_origin_is_unknown_and_the_time_a_constant(tmp_path: Path) -> None:
    origin = find_origin(["input"], {}, tmp_path)
    assert (origin.revision, origin.created) == ("unknown", "1970-01-01T00:00:00Z")
