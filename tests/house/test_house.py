"""The house keeps its shape."""

from __future__ import annotations

import subprocess
from pathlib import Path

from modelecology.api.reasons import reference
from testbed.places import REPOSITORY

MOST_LINES = 500
CACHES = ("__pycache__", ".mypy_cache")


def test_operator_has_exactly_one_child_and_is_no_package() -> None:
    room = [path.name for path in (REPOSITORY / "operator").iterdir() if path.name not in CACHES]
    assert room == ["modelecology"]


def test_no_source_file_is_longer_than_the_limit() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    lengths = {name: _lines(REPOSITORY / name) for name in tracked if (REPOSITORY / name).exists()}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_the_page_of_reasons_is_rendered_from_them() -> None:
    page = (REPOSITORY / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert page == reference(), "run python -m modelecology.api.reasons > docs/reasons.md"
