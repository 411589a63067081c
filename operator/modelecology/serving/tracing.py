"""OpenTelemetry traces of requests, through gateway and engine: spans, and never a prompt or an answer.

They are on where OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) is set and the extra
`tracing` is installed; the SDK's other variables hold too, such as OTEL_TRACES_SAMPLER and OTEL_SERVICE_NAME.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

_LOG = logging.getLogger(__name__)
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Attributes: TypeAlias = Mapping[str, str | int | bool]

PATH: Final = "url.path"
STATUS: Final = "http.response.status_code"
MODEL: Final = "gen_ai.response.model"
ENGINE: Final = "modelecology.engine"
ROUTE: Final = "modelecology.route"
TASK: Final = "modelecology.task"
TABLE: Final = "modelecology.table"
REASON: Final = "modelecology.reason"
FALLBACK: Final = "modelecology.fallback"
REQUEST: Final = "modelecology.request_id"


class Span(Protocol):
    """A part of a trace. `on` says whether anybody listens, so that attributes need not be made in vain."""

    @property
    def on(self) -> bool:
        """Whether what it is told is kept."""

    def tell(self, attributes: Attributes) -> None:
        """Keep attributes."""

    def headers(self) -> dict[str, str]:
        """Give the headers by which whoever is asked continues the trace."""

    def ask(self, name: str) -> Span:
        """Begin the span of a request to somebody else."""

    def end(self, status: int | None = None) -> None:
        """End it, with the HTTP status where there is one; from 500 on it has failed."""


class Tracing(Protocol):
    """Begins traces."""

    @property
    def on(self) -> bool:
        """Whether there are any."""

    def serve(self, name: str, headers: Mapping[str, str]) -> Span:
        """Begin the span of a request that came with these headers."""

    def close(self) -> None:
        """Send what is left; this may block for seconds."""


class _Nothing:
    """No span and no tracing."""

    on = False

    def tell(self, attributes: Attributes) -> None:
        """Keep nothing."""

    def headers(self) -> dict[str, str]:
        """Give none."""
        return {}

    def ask(self, name: str) -> Span:
        """Begin nothing."""
        return self

    def serve(self, name: str, headers: Mapping[str, str]) -> Span:
        """Begin nothing."""
        return self

    def end(self, status: int | None = None) -> None:
        """End nothing."""

    def close(self) -> None:
        """Send nothing."""


_NOTHING: Final = _Nothing()
NO_SPAN: Final[Span] = _NOTHING
NO_TRACING: Final[Tracing] = _NOTHING


class _Span:
    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        from opentelemetry import trace

        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span)

    @property
    def on(self) -> bool:
        return self._span.is_recording()

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def headers(self) -> dict[str, str]:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        found: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(found, self._context)
        return found

    def ask(self, name: str) -> Span:
        from opentelemetry.trace import SpanKind

        return _Span(self._tracer, self._tracer.start_span(name, self._context, SpanKind.CLIENT))

    def end(self, status: int | None = None) -> None:
        from opentelemetry.trace import StatusCode

        if status is not None:
            self._span.set_attribute(STATUS, int(status))
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _Tracing:
    on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("modelecology")

    def serve(self, name: str, headers: Mapping[str, str]) -> Span:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # Both lower and upper case come; the client's mapping knows that they are the same.
        came = TraceContextTextMapPropagator().extract(headers)
        return _Span(self._tracer, self._tracer.start_span(name, came, SpanKind.SERVER))

    def close(self) -> None:
        self._provider.shutdown()


def open_tracing(service: str, environ: Mapping[str, str]) -> Tracing:
    """Open what the environment asks for. `service` is the service's name, unless that is said there."""
    if not any(environ.get(name) for name in _ENDPOINTS):
        return NO_TRACING
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        # Users are worth more than traces of them.
        _LOG.warning(
            "%s is set, and modelecology[tracing] is not installed: there are no traces", _ENDPOINTS[0]
        )
        return NO_TRACING
    named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return _Tracing(provider)
