"""Reads the replay file that came with this package, without torch."""

from __future__ import annotations

from pathlib import Path

PLACE = Path(__file__).with_name("replay.jsonl")


def replay_bytes() -> bytes:
    """Give the file's bytes."""
    return PLACE.read_bytes()
