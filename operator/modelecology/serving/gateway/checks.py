"""Checks the classifier by requests whose task is known, off the users' way: bounded, dropped under load."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from modelecology.api.routing import RouteReason

from .classifier import Classifier
from .counts import Counts
from .embedder import EmbedderAway
from .metrics import GatewayMetrics
from .plan import Examples
from .route import Route, is_checked
from .word import Word

_MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Check:
    """A request whose task is known: `task` is None where it is for no specialist."""

    examples: Examples
    task: str | None
    text: str


class Checks:
    """A bounded queue and one worker; and what users may say later of what was classified."""

    def __init__(
        self, classifier: Classifier, counts: Counts, metrics: GatewayMetrics, *, most_waiting: int
    ) -> None:
        self._classifier = classifier
        self._counts = counts
        self._metrics = metrics
        self._queue: asyncio.Queue[Check] = asyncio.Queue(most_waiting)
        self._said: OrderedDict[str, Word] = OrderedDict()

    def offer(self, examples: Examples, chosen: Route, text: str, ticket: str) -> None:
        """Take a request that is among the sampled and whose task its route tells, or drop it."""
        if chosen.by_classifier or not is_checked(examples, ticket):
            return
        if chosen.task is None and chosen.reason is not RouteReason.GENERALIST_ASKED:
            return
        try:
            self._queue.put_nowait(Check(examples, chosen.task, text))
        except asyncio.QueueFull:
            self._metrics.checked("dropped")

    def remember(self, request_id: str, word: Word) -> None:
        """Keep what was said of a user's request, for what that user may say of it."""
        if word.why is RouteReason.CLASSIFIER_AWAY:
            return
        self._said[request_id] = word
        while len(self._said) > _MOST_REMEMBERED:
            self._said.popitem(last=False)

    def told(self, request_id: str, task: str | None) -> bool:
        """Take the task that a user says it was, once a request; False where it is not remembered."""
        word = self._said.pop(request_id, None)
        if word is None:
            return False
        self._count(word, task)
        return True

    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            check = await self._queue.get()
            try:
                word = await self._classifier.check(check.examples, check.text)
            except EmbedderAway:
                # No answer is no evidence, neither for it nor against it.
                self._metrics.checked("failed")
                continue
            self._count(word, check.task)

    def _count(self, word: Word, task: str | None) -> None:
        self._counts.check(word.mark, task, word.task)
        right = word.task == task
        self._metrics.checked("right" if right else "unsaid" if word.task is None else "wrong")
        if word.similarity is not None:
            self._metrics.similar(word.similarity, right=right)
