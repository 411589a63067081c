"""Reads a job's log: the failure that the workload states itself, or else its last lines."""

import json
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelecology.jobs.port import JobFailure, bounded

FAILURE_KEY: Final = "modelecologyFailure"
TAIL_LINES: Final = 15

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_START = re.compile(r'\{\s*"' + FAILURE_KEY + '"')


class _Stated(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    reason: str = Field(pattern=r"^[A-Z][A-Za-z0-9]{0,63}$")
    message: str
    retry: bool = False


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    failure: _Stated = Field(alias=FAILURE_KEY)


def failure_of(log: str) -> JobFailure | None:
    """Find the last failure that a workload stated on a line of its own, or None.

    The line may carry a prefix or a suffix (runners decorate), and lines of other shapes are skipped.
    """
    for line in reversed(log.splitlines()):
        if FAILURE_KEY not in line:
            continue
        for start in reversed([match.start() for match in _START.finditer(line)]):
            try:
                parsed, _ = json.JSONDecoder().raw_decode(line, start)
                stated = _Line.model_validate(parsed).failure
            except (ValueError, RecursionError, ValidationError):
                continue
            return JobFailure(stated.reason, bounded(cleaned(stated.message)), stated.retry)
    return None


def tail_of(log: str, lines: int = TAIL_LINES) -> str:
    """Give the last `lines` non-empty lines, without colours and what a progress bar wrote over."""
    kept: list[str] = []
    for line in reversed(log.split("\n")):
        text = cleaned(line.rstrip("\r").rpartition("\r")[2]).rstrip()
        if text:
            kept.append(text)
        if len(kept) == lines:
            break
    return "\n".join(reversed(kept))


def cleaned(text: str) -> str:
    """Drop what a terminal would swallow, so that a condition holds plain text."""
    return _CONTROL.sub("", _ANSI.sub("", text))
