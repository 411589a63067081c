"""The rows of the quickstart's files, and how they become bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A question and its answer; `others` are further spellings that count."""

    id: str
    prompt: str
    answer: str
    others: tuple[str, ...] = ()


def to_jsonl(rows: Iterable[Row]) -> bytes:
    """Write rows so that equal rows are equal bytes."""
    lines: list[str] = []
    for row in rows:
        plain: dict[str, object] = {"id": row.id, "prompt": row.prompt, "answer": row.answer}
        if row.others:
            plain["choices"] = list(row.others)
        lines.append(json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n")
    return "".join(lines).encode()


def split(
    task: str, pairs: Iterable[tuple[str, str]], held_out: int
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Part distinct (prompt, answer) pairs into the suite's items and the training rows, in that order."""
    rows = [Row(f"{task}-{number:04d}", prompt, answer) for number, (prompt, answer) in enumerate(pairs)]
    return tuple(rows[:held_out]), tuple(rows[held_out:])
