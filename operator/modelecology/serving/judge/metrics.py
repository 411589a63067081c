"""What the judge counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

_PREFIX = "modelecology_judge"


class JudgeMetrics:
    """One registry a judge."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._judged = self._counter("judged", "Copies by what they were found to be.", "outcome")
        self._inconsistent = self._counter(
            "inconsistent", "Ties as the order of the answers changed the reply."
        )
        self._passed_over = self._counter("passed_over", "Copies that are not judged.", "reason")
        self._segments = self._counter("segments_deleted", "Segments of records deleted here.", "reason")
        self._away = self._counter("away", "Times that the judge could not be asked.")

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Expose a value that is read at each scrape."""
        Gauge(f"{_PREFIX}_{name}", text, registry=self.registry).set_function(read)

    def judged(self, outcome: str, *, inconsistent: bool) -> None:
        """A copy was judged: better, same, worse or error."""
        self._judged.labels(outcome).inc()
        if inconsistent:
            self._inconsistent.inc()

    def passed_over(self, reason: str) -> None:
        """A copy is not judged: not_kept or too_many."""
        self._passed_over.labels(reason).inc()

    def segment_deleted(self, reason: str) -> None:
        """A segment of its records was deleted before it was in the bucket: too_much."""
        self._segments.labels(reason).inc()

    def away(self) -> None:
        """The judge could not be asked."""
        self._away.inc()

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)
