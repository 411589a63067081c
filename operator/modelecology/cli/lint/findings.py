"""What lint finds: where, which field, what is wrong, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Path = tuple[str | int, ...]

_PLAIN_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


class Severity(StrEnum):
    """An error makes lint fail; a note says what was not checked, or what to look at."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that lint says."""

    severity: Severity
    place: Place
    subject: str
    field: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class LintResult:
    """Everything that lint found; `checked` counts the documents of known kinds, `skipped` the others."""

    findings: tuple[Finding, ...]
    checked: int
    skipped: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What makes lint fail."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.errors


def field_name(path: Sequence[str | int]) -> str:
    """Write a path as Kubernetes does: spec.tasks[0].name."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        elif _PLAIN_NAME.match(part):
            out += f".{part}" if out else part
        else:
            out += f'["{part}"]'
    return out
