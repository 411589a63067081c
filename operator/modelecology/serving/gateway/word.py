"""What a classifier says of a request. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelecology.api.routing import RouteReason


@dataclass(frozen=True, slots=True)
class Word:
    """What the classifier of a `mark` says of a request: a task, or why none; `place` is the example's.

    `similarity` is the cosine to the nearest example, where there is one.
    """

    mark: str
    task: str | None = None
    place: str | None = None
    similarity: float | None = None
    why: RouteReason | None = None
