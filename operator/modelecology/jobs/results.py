"""What a result looks like in the store: one scored answer a line."""

from __future__ import annotations

from pydantic import BaseModel, TypeAdapter

RESULTS = "results.jsonl"


class ResultLine(BaseModel):
    """One scored answer: the score is in [0, 1], and `seconds` were measured through an endpoint."""

    id: str
    cluster: str
    score: float
    output: str = ""
    seconds: float | None = None


_LINE = TypeAdapter(ResultLine)


def read_results(content: bytes) -> tuple[ResultLine, ...]:
    """Read a result's lines, in their order. Raises pydantic.ValidationError, UnicodeDecodeError."""
    return tuple(_LINE.validate_json(line) for line in content.decode().split("\n") if line)
