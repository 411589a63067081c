"""Stage 1, live requests: what is remembered of them, so that the operator's memory stays bounded.

A request is remembered and forgotten with all that is said of it. A busy task costs a quiet one nothing: each
has as many requests as any other, and where bytes are too many, the task that holds most gives its oldest.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from modelecology.api.live_records import Answered, Exchange, Feedback, Preference

_Said: TypeAlias = Exchange | Feedback | Preference
_EACH = 768  # bytes that a record, and each answer in it, takes without its strings; measured


@dataclass(frozen=True, slots=True)
class Limits:
    """What is remembered of one place; of more, the oldest goes, and a trial is judged by what is left.

    The process grows by up to two and a half times these bytes, with what a look reads at once.
    """

    requests: int = 50_000  # of one task of a population
    held_bytes: int = 64 << 20  # of all requests, with what is said of them
    early_bytes: int = 8 << 20  # of what is said of requests that are not known, or not yet


@dataclass(slots=True)
class _Request:
    exchange: Exchange | None = None
    feedback: Feedback | None = None
    words: tuple[Preference, ...] = ()
    size: int = 0

    def add(self, record: _Said) -> None:
        if isinstance(record, Exchange):
            # A copy is written down after its answer: the later one knows more.
            self.exchange = record.model_copy(update={"prompt": None})
        elif isinstance(record, Feedback):
            if self.feedback is None or record.time < self.feedback.time:
                self.feedback = record
        elif self.word(record.judge) is None:
            self.words = (*self.words, record)
        self.size = sum(map(_lean, self._parts()))

    def word(self, judge: str) -> Preference | None:
        return next((word for word in self.words if word.judge == judge), None)

    def _parts(self) -> Iterator[_Said]:
        if self.exchange is not None:
            yield self.exchange
        if self.feedback is not None:
            yield self.feedback
        yield from self.words


@dataclass(slots=True)
class _Shelf:
    """Requests in the order in which they came, and their bytes."""

    requests: OrderedDict[str, _Request] = field(default_factory=OrderedDict)
    size: int = 0


class LiveMemory:
    """The requests of one place. Not for two threads at once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tasks: dict[tuple[str, str], _Shelf] = {}  # by population and task
        self._early = _Shelf()
        self._where: dict[str, _Shelf] = {}  # by request
        self._held = 0  # bytes of all tasks

    def take(self, record: _Said) -> None:
        """Remember a record, and forget the oldest where it is too much."""
        name = record.request_id
        now = self._where.get(name, self._early)
        then = now
        if isinstance(record, Exchange):
            then = self._tasks.setdefault((record.population, record.task), _Shelf())
        request = now.requests.get(name) or _Request()
        if now is not then:
            self._drop(now, name)
        before = request.size if now is then else 0
        request.add(record)
        then.requests[name] = request
        self._where[name] = then
        self._grow(then, request.size - before)
        self._forget(then)

    def exchanges(self, population: str, task: str, since: float) -> list[Exchange]:
        """List the requests of a population's task from a time on, as they came."""
        shelf = self._tasks.get((population, task))
        known = (request.exchange for request in shelf.requests.values()) if shelf else ()
        return [e for e in known if e is not None and e.time >= since]

    def feedback(self, request_id: str) -> Feedback | None:
        """Find what was said first of a request."""
        request = self._find(request_id)
        return None if request is None else request.feedback

    def word(self, judge: str, request_id: str) -> Preference | None:
        """Find what a judge said first of a request."""
        request = self._find(request_id)
        return None if request is None else request.word(judge)

    def _find(self, name: str) -> _Request | None:
        shelf = self._where.get(name)
        return None if shelf is None else shelf.requests[name]

    def _grow(self, shelf: _Shelf, size: int) -> None:
        shelf.size += size
        if shelf is not self._early:
            self._held += size

    def _drop(self, shelf: _Shelf, name: str) -> None:
        request = shelf.requests.pop(name, None)
        if request is not None:
            del self._where[name]
            self._grow(shelf, -request.size)

    def _forget(self, shelf: _Shelf) -> None:
        while self._early.size > self._limits.early_bytes:
            self._drop(self._early, next(iter(self._early.requests)))
        while shelf is not self._early and len(shelf.requests) > self._limits.requests:
            self._drop(shelf, next(iter(shelf.requests)))
        while self._held > self._limits.held_bytes:
            most = max(self._tasks.values(), key=lambda each: each.size)
            self._drop(most, next(iter(most.requests)))


def _lean(record: _Said) -> int:
    """Free what nobody asks a record for, and count the bytes that it takes, about."""
    models: list[_Said | Answered | None] = [record]
    if isinstance(record, Exchange):
        models += [record.answer, record.shadow]
    size = 0
    for model in models:
        if model is not None:
            # Which fields were given takes nearly as much as what they hold.
            model.model_fields_set.clear()
            size += _EACH + sum(sys.getsizeof(v) for v in vars(model).values() if isinstance(v, str))
    return size
