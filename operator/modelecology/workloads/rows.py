"""Reads data files: the digest first, then every line, so that a bad line is named before any work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelecology.governance.sequential import order
from modelecology.jobs.intents import DataRef, EvaluationTask, SealedRef, UnitRange, in_shadow_split
from modelecology.store import PlaceNotFound, Places
from modelecology.workloads.errors import (
    DataContaminated,
    DataDigestMismatch,
    DataEmpty,
    DataInvalid,
    DataNotFound,
)

NAME_LIMIT = 200
"""Characters of an item's id or cluster: they are kept beside every score."""


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One question of a suite; items of one cluster are not independent of each other."""

    id: str
    cluster: str
    prompt: str
    answer: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One question and the answer that the adapter is to give."""

    id: str
    prompt: str
    answer: str


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)


class _EvalLine(_Line):
    id: str = Field(min_length=1, max_length=NAME_LIMIT)
    cluster: str | None = Field(default=None, max_length=NAME_LIMIT)
    answer: str = ""
    choices: list[str] = []


class _TrainLine(_Line):
    answer: str = Field(min_length=1)


_Parsed = TypeVar("_Parsed", bound=_Line)


def checked_bytes(ref: DataRef, places: Places) -> bytes:
    """Read a data file whose digest is right; raises DataNotFound, DataDigestMismatch."""
    try:
        content = places.read(ref.uri)
    except PlaceNotFound as error:
        raise DataNotFound(
            f"The data file {ref.uri} cannot be read; mend the uri or put it there."
        ) from error
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != ref.digest:
        raise DataDigestMismatch(
            f"The data file {ref.uri} has digest {found}, not {ref.digest}; mend the file or the digest."
        )
    return content


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])


def _lines(content: bytes, name: str, shape: type[_Parsed]) -> list[_Parsed]:
    rows: list[_Parsed] = []
    seen: dict[str, int] = {}
    # Only "\n" ends a line: splitlines would also cut at U+2028 and its like, which stand in texts.
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = shape.model_validate_json(line)
        except ValidationError as error:
            raise DataInvalid(
                f"{name} line {number} cannot be used: {_first_fault(error)}; mend it."
            ) from error
        if row.id in seen:
            raise DataInvalid(
                f"{name} line {number} repeats the id {row.id!r} of line {seen[row.id]}; rename it."
            )
        seen[row.id] = number
        rows.append(row)
    if not rows:
        raise DataEmpty(f"{name} has no rows; put some there.")
    return rows


def eval_items(ref: DataRef, places: Places) -> tuple[EvalItem, ...]:
    """Read a suite task's items in their order; raises the Data errors."""
    return tuple(
        EvalItem(line.id, line.cluster or line.id, line.prompt, line.answer, tuple(line.choices))
        for line in _lines(checked_bytes(ref, places), ref.uri, _EvalLine)
    )


def items_of_task(task: EvaluationTask, places: Places) -> tuple[EvalItem, ...]:
    """Read the items on the task's side of the split; raises the Data errors."""
    wanted: list[EvalItem] = []
    for item in eval_items(task.data, places):
        if task.scorer in ("Exact", "Contains", "Choice", "Perplexity") and not item.answer:
            raise DataInvalid(f"{task.data.uri}: item {item.id!r} has no answer, which {task.scorer} needs.")
        if task.scorer == "Choice" and (len(item.choices) < 2 or item.answer not in item.choices):
            raise DataInvalid(
                f"{task.data.uri}: item {item.id!r} needs two or more choices, the answer among them."
            )
        if in_shadow_split(item.cluster, task.shadow_share) == (task.split == "Shadow"):
            wanted.append(item)
    if not wanted:
        raise DataEmpty(f"{task.data.uri} has no item on the {task.split} side of the split; add items.")
    return tuple(wanted) if task.units is None else _in_range(wanted, task.units, task.data.uri)


def _in_range(items: Sequence[EvalItem], units: UnitRange, name: str) -> tuple[EvalItem, ...]:
    names = order((item.cluster for item in items), units.seed)
    if not units.first < units.last <= len(names):
        raise DataEmpty(
            f"{name} has {len(names)} clusters, and {units.first} up to {units.last} are ordered; retry."
        )
    asked = frozenset(names[units.first : units.last])
    return tuple(item for item in items if item.cluster in asked)


def train_rows(ref: DataRef, places: Places) -> tuple[TrainRow, ...]:
    """Read training rows in their order; raises the Data errors."""
    return tuple(
        TrainRow(line.id, line.prompt, line.answer)
        for line in _lines(checked_bytes(ref, places), ref.uri, _TrainLine)
    )


def normalised(prompt: str) -> str:
    """Write a prompt so that copies which differ in case or white space are equal."""
    return " ".join(prompt.casefold().split())


def refuse_contamination(
    rows: Sequence[TrainRow], name: str, sealed: Sequence[SealedRef], places: Places
) -> None:
    """Refuse training rows that also stand in a sealed suite, naming the first and their number.

    Raises DataContaminated.
    """
    tasks: dict[str, str] = {}
    for ref in sealed:
        for item in eval_items(ref.data, places):
            tasks.setdefault(normalised(item.prompt), ref.task)
    shared = [row for row in rows if normalised(row.prompt) in tasks]
    if shared:
        first = shared[0]
        raise DataContaminated(
            f"{len(shared)} of {len(rows)} rows of {name} also stand in the sealed suite, first {first.id!r} "
            f"(task {tasks[normalised(first.prompt)]}); take them out of the training data."
        )
