"""Says which task's example a request is most like: quickly, or not at all; whatever goes wrong is an answer.

The examples are embedded in the background, and again when a table has others. On a user's way there is one
question, within a strict time; after a failure nobody is kept waiting for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelecology.api.routing import RouteReason

from .embedder import Embedder, EmbedderAway, Place, Vector
from .metrics import GatewayMetrics
from .plan import MOST_TEXT, Examples
from .prototypes import Prototypes
from .tables import Held
from .word import Word

_LOG = logging.getLogger(__name__)

_BATCH: Final = 16
_PATIENT_SECONDS: Final = 30.0
"""How long an answer may take that no user waits for."""
_MOST_ASKING: Final = 64
_LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Ready:
    mark: str
    prototypes: Prototypes


class Classifier:
    """One a gateway. `clock` measures; `seconds` is the time on a user's way."""

    def __init__(
        self,
        embedder: Embedder,
        metrics: GatewayMetrics,
        clock: Callable[[], float],
        *,
        seconds: float,
        first_pause: float = 0.5,
    ) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._clock = clock
        self._seconds = seconds
        self._first_pause = first_pause
        self._wanted: Examples | None = None
        self._ready: _Ready | None = None
        self._vectors: dict[tuple[Place, str], Vector] = {}
        self._changed = asyncio.Event()
        self._pause = 0.0
        self._rests_until = 0.0
        self._asking = 0

    def use(self, held: Held) -> None:
        """Take the examples of a table."""
        if held.plan.examples != self._wanted:
            self._wanted = held.plan.examples
            self._changed.set()

    def ready(self, examples: Examples) -> bool:
        """Whether these examples are embedded."""
        return self._ready is not None and self._ready.mark == examples.mark

    async def run(self) -> None:
        """Embed examples until cancelled, as often as it takes."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            pause = self._first_pause
            while not await self._prepared():
                try:
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                self._changed.clear()
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def ask(self, examples: Examples, text: str) -> Word:
        """Classify a request that a user waits for; never raises."""
        away = Word(examples.mark, why=RouteReason.CLASSIFIER_AWAY)
        if not self.ready(examples):
            return self._told(away, "unready")
        if self._clock() < self._rests_until or self._asking >= _MOST_ASKING:
            return self._told(away, "resting")
        self._asking += 1
        try:
            async with asyncio.timeout(self._seconds):
                word = await self.check(examples, text, self._seconds)
        except TimeoutError:
            return self._failed(away, "slow")
        except EmbedderAway as error:
            return self._failed(away, "slow" if error.slow else "broken")
        finally:
            self._asking -= 1
        self._pause = 0.0
        if word.task is None:
            return self._told(word, "not_similar")
        return self._told(word, "routed" if word.task in examples.routed else "unproven")

    async def check(self, examples: Examples, text: str, seconds: float = _PATIENT_SECONDS) -> Word:
        """Classify a request, in whatever state the classifier is. Raises EmbedderAway."""
        ready = self._ready
        if ready is None or ready.mark != examples.mark:
            raise EmbedderAway("the examples are not embedded yet")
        if not text.strip():
            return Word(examples.mark, why=RouteReason.NOTHING_SIMILAR)
        vectors = await self._embedder.embed(examples.place, [text[:MOST_TEXT]], seconds)
        nearest, similarity = ready.prototypes.nearest(vectors[0])
        if similarity < examples.minimum:
            return Word(examples.mark, similarity=similarity, why=RouteReason.NOTHING_SIMILAR)
        return Word(examples.mark, nearest.task, nearest.place, similarity)

    async def close(self) -> None:
        """Close the connections."""
        await self._embedder.close()

    async def _prepared(self) -> bool:
        wanted = self._wanted
        if wanted is None:
            self._ready = None
            self._vectors.clear()
            return True
        texts = {each.text for each in wanted.each}
        known = {key: vector for key, vector in self._vectors.items() if key[0] == wanted.place}
        self._vectors = {key: vector for key, vector in known.items() if key[1] in texts}
        missing = sorted(text for text in texts if (wanted.place, text) not in self._vectors)
        try:
            for start in range(0, len(missing), _BATCH):
                batch = missing[start : start + _BATCH]
                found = await self._embedder.embed(wanted.place, batch, _PATIENT_SECONDS)
                self._vectors.update(((wanted.place, text), v) for text, v in zip(batch, found, strict=True))
            prototypes = Prototypes(wanted.each, {text: v for (_, text), v in self._vectors.items()})
        except EmbedderAway as error:
            self._metrics.examples_failed()
            _LOG.warning("the classifier's examples are not embedded yet: %s", error)
            return False
        self._ready = _Ready(wanted.mark, prototypes)
        _LOG.info("classifier %s is ready, with %d examples", wanted.mark, len(wanted.each))
        return wanted is self._wanted

    def _told(self, word: Word, outcome: str) -> Word:
        self._metrics.classified(outcome)
        return word

    def _failed(self, word: Word, outcome: str) -> Word:
        self._pause = min(max(self._first_pause, 2 * self._pause), _LONGEST_PAUSE)
        self._rests_until = self._clock() + self._pause
        return self._told(word, outcome)
