"""What the engine counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

UNKNOWN = "unknown"
"""The model label of requests for a name that is not served: names that people invent are no labels."""

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class EngineMetrics:
    """One registry an engine, so that two engines in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        PlatformCollector(self.registry)
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "modelecology_engine_requests",
            "Completion requests by model and HTTP status.",
            ("model", "status"),
            registry=self.registry,
        )
        self._tokens = Counter(
            "modelecology_engine_tokens",
            "Tokens by model and kind (prompt, completion).",
            ("model", "kind"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "modelecology_engine_request_seconds",
            "Time from request to answer, answered requests only.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._load_seconds = Histogram(
            "modelecology_engine_load_seconds",
            "Time to check and load an adapter.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._passes = Counter("modelecology_engine_passes", "Passes over the model.", registry=self.registry)
        self._rows = Counter(
            "modelecology_engine_rows",
            "Rows of all passes; by passes: the mean batch.",
            registry=self.registry,
        )
        self._adapters = Gauge("modelecology_engine_adapters", "Resident adapters.", registry=self.registry)
        self._adapter_bytes = Gauge(
            "modelecology_engine_adapter_bytes",
            "Bytes of a resident adapter's weights.",
            ("model",),
            registry=self.registry,
        )
        self._adapter_requests = Gauge(
            "modelecology_engine_adapter_requests",
            "Requests for a resident adapter that run or wait.",
            ("model",),
            registry=self.registry,
        )
        self._base_bytes = Gauge(
            "modelecology_engine_base_bytes", "Bytes of the base's weights.", registry=self.registry
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Expose a value that is read at each scrape."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def stepped(self, rows: int) -> None:
        """One pass over the model was made for so many rows."""
        self._passes.inc()
        self._rows.inc(rows)

    def answered(self, model: str, seconds: float, prompt_tokens: int, completion_tokens: int) -> None:
        """A request was answered."""
        self._requests.labels(model, "200").inc()
        self._seconds.labels(model).observe(seconds)
        self._tokens.labels(model, "prompt").inc(prompt_tokens)
        self._tokens.labels(model, "completion").inc(completion_tokens)

    def refused(self, model: str, status: int) -> None:
        """A request was not answered."""
        self._requests.labels(model, str(int(status))).inc()

    def base_loaded(self, size: int) -> None:
        """The base is in memory; `size` in bytes."""
        self._base_bytes.set(size)

    def adapter_loaded(self, model: str, size: int, seconds: float) -> None:
        """An adapter became resident; `size` in bytes."""
        self._adapters.inc()
        self._adapter_bytes.labels(model).set(size)
        self._adapter_requests.labels(model).set(0)
        self._load_seconds.observe(seconds)

    def adapter_gone(self, model: str) -> None:
        """An adapter's weights were deleted."""
        self._adapters.dec()
        self._adapter_bytes.remove(model)
        self._adapter_requests.remove(model)

    def adapter_used(self, model: str, requests: int) -> None:
        """So many requests for an adapter run or wait now."""
        self._adapter_requests.labels(model).set(requests)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
