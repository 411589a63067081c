"""The probes and the metrics over HTTP."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from modelecology.kube.health import Answer, serve_health
from testbed.processes import free_ports


async def test_probes_say_what_is_so_and_metrics_are_given() -> None:
    registry = CollectorRegistry()
    Gauge("modelecology_test", "A number.", registry=registry).set(7)
    alive = [Answer(True, "alive")]
    (port,) = free_ports(1)
    probes = await serve_health(
        "127.0.0.1", port, lambda: alive[-1], lambda: Answer(False, "not yet"), registry
    )

    async def ask(path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as reply:
            return reply.status, await reply.text()

    assert await ask("/healthz") == (200, "alive\n")
    alive.append(Answer(False, "ended: job-watch"))
    assert await ask("/healthz") == (503, "ended: job-watch\n")
    assert await ask("/readyz") == (503, "not yet\n")
    assert "modelecology_test 7.0" in (await ask("/metrics"))[1]
    with pytest.raises(OSError, match="in use"):
        await serve_health("127.0.0.1", port, lambda: alive[-1], lambda: alive[-1], registry)
    await probes.cleanup()
