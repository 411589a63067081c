"""One trace through gateway and engine, as a collector of OpenTelemetry's receives it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from modelecology.serving.tracing import NO_SPAN, NO_TRACING, Tracing, open_tracing
from tests.serving.conftest import StartEngine
from tests.serving.gateway.stage import LIVE, SHADOW, Engine, engine_listening, listening, staged, until

# peft's own use of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT


@dataclass
class Collector:
    """Takes traces, by OTLP over HTTP."""

    endpoint: str = ""
    received: list[ExportTraceServiceRequest] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    def spans(self, service: str) -> list[Span]:
        return [
            span
            for request in self.received
            for resource in request.resource_spans
            if said(resource.resource)["service.name"] == f"modelecology-{service}"
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def tracing(self, service: str) -> Tracing:
        return open_tracing(f"modelecology-{service}", {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint})


def said(bearer: object) -> dict[str, object]:
    """The attributes of a span or a resource."""
    pairs = [(each.key, each.value) for each in bearer.attributes]  # type: ignore[attr-defined]
    return {key: getattr(value, value.WhichOneof("value")) for key, value in pairs}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    found = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    async with listening(app) as found.endpoint:
        # The exporter reads the environment by itself.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield found


async def test_a_request_has_a_span_at_the_gateway_and_one_for_each_try_below_it(
    collector: Collector,
) -> None:
    async with (
        engine_listening(Engine()) as engine,
        staged([engine], tracing=collector.tracing("gateway")) as stage,
    ):
        table = stage.publish()
        status, _, headers = await stage.ask(text="a secret question", headers=PARENT)
        assert status == 200
    ours, tries = ([s for s in collector.spans("gateway") if s.kind == kind] for kind in (SERVER, CLIENT))
    (span,), (tried,) = ours, tries
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, "b7ad6b7169203331")
    assert (tried.trace_id, tried.parent_span_id) == (span.trace_id, span.span_id)
    attributes = said(span)
    assert str(attributes.pop("modelecology.table")).startswith(headers["x-modelecology-table"])
    assert attributes == {
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "gen_ai.response.model": LIVE,
        "modelecology.route": LIVE,
        "modelecology.task": "dates",
        "modelecology.reason": "Live",
        "modelecology.fallback": False,
        "modelecology.request_id": headers["x-request-id"],
    }
    assert said(tried) == {
        "http.response.status_code": 200,
        "gen_ai.response.model": LIVE,
        "modelecology.engine": table.engines[0],
    }
    assert engine.headers[0]["traceparent"] == f"00-{TRACE}-{tried.span_id.hex()}-01"
    assert "secret" not in str(collector.received)
    assert span.start_time_unix_nano <= tried.start_time_unix_nano <= tried.end_time_unix_nano


async def test_a_fallback_and_a_failure_are_seen_in_the_span(collector: Collector) -> None:
    async with (
        engine_listening(Engine(resident={"generalist"})) as engine,
        staged([engine], tracing=collector.tracing("gateway")) as stage,
    ):
        stage.publish()
        assert (await stage.ask())[0] == 200
        engine.status = 500
        assert (await stage.ask())[0] == 500
    spans = [s for s in collector.spans("gateway") if s.kind == SERVER]
    assert said(spans[0])["modelecology.fallback"] is True
    assert said(spans[0])["modelecology.route"] == "generalist"
    assert said(spans[0])["modelecology.reason"] == "NotResident"
    assert [span.status.code == Status.STATUS_CODE_ERROR for span in spans[:2]] == [False, True]
    tried = [said(s)["http.response.status_code"] for s in collector.spans("gateway") if s.kind == CLIENT]
    assert 404 in tried


async def test_a_copy_for_a_shadow_belongs_to_the_trace_of_its_request(collector: Collector) -> None:
    async with (
        engine_listening(Engine()) as engine,
        staged([engine], tracing=collector.tracing("gateway")) as stage,
    ):
        stage.publish(shadow={"revision": SHADOW, "share": 1.0})
        await stage.ask(headers=PARENT)
        await until(lambda: len(engine.headers) == 2)
    assert all(TRACE in headers["traceparent"] for headers in engine.headers)


async def test_the_engine_continues_the_trace_of_the_gateway(
    collector: Collector, start_engine: StartEngine
) -> None:
    engine = Engine(endpoint="")
    client = await start_engine(tracing=collector.tracing("engine"))
    engine.endpoint = str(client._base_url).rstrip("/")
    async with staged([engine], tracing=collector.tracing("gateway")) as stage:
        stage.publish()
        status, body, _ = await stage.ask(model="generalist", text="hello", max_tokens=2)
        assert (status, body["model"]) == (200, "generalist")
        await stage.ask(model="generalist", text="hello", max_tokens=100_000)
    await client.post("/v1/unload_lora_adapter", json={"lora_name": "none"})
    async with client.get("/metrics") as answer:
        assert answer.status == 200
    await until(lambda: len(collector.spans("engine")) >= 3)
    tries = {s.span_id: s for s in collector.spans("gateway") if s.kind == CLIENT}
    first, second, third = collector.spans("engine")
    assert tries[first.parent_span_id].trace_id == first.trace_id
    assert said(first) == {
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "gen_ai.response.model": "generalist",
    }
    assert (said(second)["http.response.status_code"], second.kind) == (400, SERVER)
    assert third.parent_span_id == b""


async def test_without_an_endpoint_there_is_no_tracing_and_no_header_of_ours() -> None:
    assert open_tracing("x", {}) is NO_TRACING
    assert NO_TRACING.serve("POST /", PARENT) is NO_SPAN
    async with engine_listening(Engine()) as engine, staged([engine]) as stage:
        stage.publish()
        await stage.ask()
        await stage.ask(headers=PARENT)
    assert "traceparent" not in engine.headers[0]
    assert engine.headers[1]["traceparent"] == PARENT["traceparent"]


def test_where_the_extra_is_not_installed_users_are_served_without_traces(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert open_tracing("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) is NO_TRACING
    assert "modelecology[tracing] is not installed" in caplog.text


async def test_a_collector_that_is_away_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    tracing = open_tracing("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    async with engine_listening(Engine()) as engine, staged([engine], tracing=tracing) as stage:
        stage.publish()
        assert (await stage.ask())[0] == 200
