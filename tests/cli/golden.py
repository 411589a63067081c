"""Texts that stand in files: what a screen must look like, to the letter."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> str:
    """The expected text of one screen."""
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")
