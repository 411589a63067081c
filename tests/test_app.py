"""The operator's process: its options, its probes, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from modelecology.app import STUCK_SECONDS, JsonFormatter, alive, parse
from modelecology.kube.watches import EndlessBackoffs
from modelecology.reconcile.queue import WorkKey
from tests.reconcile.stage import NAMESPACE, Stage


def test_options_come_from_the_command_line_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELECOLOGY_NAMESPACES", "a,b")
    monkeypatch.setenv("MODELECOLOGY_HEALTH_PORT", "9999")
    found = parse([])
    assert found.namespaces == ("a", "b")
    assert found.health_port == 9999
    monkeypatch.delenv("MODELECOLOGY_NAMESPACES")
    assert parse(["--namespace", "c"]).namespaces == ("c",)
    assert parse([]).namespaces == ()


def test_pauses_between_tries_of_a_watch_never_end() -> None:
    pauses = iter(EndlessBackoffs())
    assert [next(pauses) for _ in range(1000)][-1] == 5.0


def test_json_logs_are_one_object_a_line() -> None:
    record = logging.LogRecord("a", logging.WARNING, "f", 1, "line %s\nmore", ("ü",), None)
    found = json.loads(JsonFormatter().format(record))
    assert found["message"] == "line ü\nmore"
    assert found["level"] == "WARNING"


async def test_it_is_alive_while_the_queue_moves_and_its_watches_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    assert alive(stage.runtime).well
    stage.runtime.queue.add(WorkKey("Specialist", NAMESPACE, "dates"))
    stage.clock.seconds += STUCK_SECONDS + 1
    assert not alive(stage.runtime).well
    assert "has not moved" in alive(stage.runtime).text
    await stage.settle(1.0)
    assert alive(stage.runtime).well
    (watch,) = stage.runtime.watches()
    watch.cancel()
    await asyncio.wait({watch})
    assert alive(stage.runtime).text.startswith("ended: job-watch")
    await stage.runtime.close()
