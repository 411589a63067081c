"""What the gateway counts, for Prometheus. A label is a name of the table, never one that a client made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from modelecology.api.routing import RouteReason

NONE: Final = "none"
"""The label of a request that no served name was chosen for, or that is of no task."""

MOST_NAMES: Final = 512
"""Served names that are counted at once; beyond that, those which the table has dropped are forgotten."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_COSINES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_PREFIX = "modelecology_gateway"


class GatewayMetrics:
    """One registry a gateway, so that two gateways in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        PlatformCollector(self.registry)
        ProcessCollector(registry=self.registry)
        self._requests = self._counter("requests", "Requests by who answered.", "model", "task", "status")
        self._errors = self._counter("errors", "Requests that failed: 5xx.", "model", "status")
        self._tokens = self._counter("tokens", "Tokens, as the engines count them.", "model", "kind")
        self._fallbacks = self._counter(
            "fallbacks", "Requests that the fallback took, by who should have.", "model", "reason"
        )
        self._mirrored = self._counter("mirrored", "Copies that a shadow was asked.", "model", "outcome")
        self._compared = self._counter(
            "shadow_answers",
            "Copies by whether the shadow said what the user got; unknown where it failed.",
            "model",
            "agreed",
        )
        self._dropped = self._counter("mirror_dropped", "Copies that were not made.", "model", "reason")
        self._records = self._counter("records", "Records of live traffic.", "outcome")
        self._segments = self._counter("segments_deleted", "Segments of records deleted here.", "reason")
        self._engines = self._counter("engine_failures", "Tries that an engine failed.", "engine", "kind")
        self._isolated = self._counter("isolated", "Running requests cut off by a quarantine.", "model")
        self._refused = self._counter("tables_refused", "Routing tables that were not taken.", "reason")
        self._classified = self._counter(
            "classified", "Requests that the classifier was to route.", "outcome"
        )
        self._checked = self._counter(
            "classifier_checks", "Requests of known tasks that it was to be checked by.", "outcome"
        )
        self._examples_failed = self._counter(
            "examples_failed", "Times that the classifier did not embed the examples."
        )
        self._similarity = Histogram(
            f"{_PREFIX}_check_similarity",
            "Cosine to the nearest example, by whether the classifier was right.",
            ("right",),
            buckets=_COSINES,
            registry=self.registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}_request_seconds",
            "From a request to the end of its answer.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._version = self._gauge("table_version", "Decision that the routing table is of.")
        self._info = self._gauge("table_info", "The routing table in use.", "population", "digest")
        self._named: set[str] = set()
        self._failing: set[str] = set()

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Expose a value that is read at each scrape."""
        self._gauge(name, text).set_function(read)

    def answered(self, model: str | None, task: str | None, status: int, seconds: float) -> None:
        """A request ended; `model` is who answered, None if nobody did."""
        label = self._label(model)
        self._requests.labels(label, task or NONE, str(status)).inc()
        self._seconds.labels(label).observe(seconds)
        # What a client did wrong, or that it hung up, is no fault of who answers.
        if status >= 500:
            self._errors.labels(label, str(status)).inc()

    def counted(self, model: str, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """An engine counted tokens."""
        label = self._label(model)
        self._tokens.labels(label, "prompt").inc(prompt_tokens or 0)
        self._tokens.labels(label, "completion").inc(completion_tokens or 0)

    def fell_back(self, wanted: str | None, reason: RouteReason) -> None:
        """The fallback was taken."""
        self._fallbacks.labels(self._label(wanted), reason.value).inc()

    def mirrored(self, shadow: str, outcome: str) -> None:
        """A shadow was asked: answered or failed."""
        self._mirrored.labels(self._label(shadow), outcome).inc()

    def compared(self, shadow: str, agreed: bool | None) -> None:
        """A shadow said what the user got, or something else, or (None) nothing."""
        word = "unknown" if agreed is None else str(agreed).lower()
        self._compared.labels(self._label(shadow), word).inc()

    def dropped(self, shadow: str, reason: str) -> None:
        """A copy was not made: queue_full or not_comparable; or was given up: stale, isolated or ended."""
        self._dropped.labels(self._label(shadow), reason).inc()

    def recorded(self, outcome: str, number: int = 1) -> None:
        """Records were written, dropped or failed."""
        self._records.labels(outcome).inc(number)

    def segment_deleted(self, reason: str) -> None:
        """A segment of records was deleted here: old or too_much."""
        self._segments.labels(reason).inc()

    def engine_failed(self, engine: str, kind: str) -> None:
        """An engine did not answer as it must."""
        self._failing.add(engine)
        self._engines.labels(engine, kind).inc()

    def isolated(self, model: str) -> None:
        """A running request was cut off."""
        self._isolated.labels(self._label(model)).inc()

    def classified(self, outcome: str) -> None:
        """The classifier was to route: routed, unproven, not_similar, slow, broken, resting or unready."""
        self._classified.labels(outcome).inc()

    def checked(self, outcome: str) -> None:
        """It was checked: right, wrong or unsaid; or was not: dropped or failed."""
        self._checked.labels(outcome).inc()

    def similar(self, cosine: float, *, right: bool) -> None:
        """A check found its nearest example."""
        self._similarity.labels(str(right).lower()).observe(cosine)

    def examples_failed(self) -> None:
        """The examples were not embedded."""
        self._examples_failed.inc()

    def table_refused(self, reason: str) -> None:
        """A table was not taken."""
        self._refused.labels(reason).inc()

    def table_taken(
        self, population: str, version: int, digest: str, names: frozenset[str], engines: tuple[str, ...]
    ) -> None:
        """A new table is in use; what it dropped is forgotten where there are too many names."""
        self._info.clear()
        self._info.labels(population, digest).set(1)
        self._version.set(version)
        if len(self._named) > MOST_NAMES:
            gone = self._named - names
            for metric in (
                self._requests,
                self._errors,
                self._tokens,
                self._fallbacks,
                self._mirrored,
                self._compared,
                self._dropped,
                self._isolated,
                self._seconds,
            ):
                for name in gone:
                    metric.remove_by_labels({"model": name})
            self._named &= names
        for engine in self._failing - set(engines):
            self._engines.remove_by_labels({"engine": engine})
        self._failing &= set(engines)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def _label(self, model: str | None) -> str:
        if model is None:
            return NONE
        self._named.add(model)
        return model

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)
