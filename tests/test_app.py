"""The operator's process: its options, its probes, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from importlib import metadata
from pathlib import Path

import pytest

from modelecology.app import EXIT_DEAF, STUCK_SECONDS, JsonFormatter, _first_end, alive, main
from modelecology.kube.cluster import POPULATION
from modelecology.kube.watches import EndlessBackoffs
from modelecology.reconcile.queue import WorkKey
from tests.reconcile.stage import NAMESPACE, Stage


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


async def test_a_watch_that_ends_ends_the_process_unless_nobody_needs_it_any_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    (before,) = stage.runtime.watches()
    stop = asyncio.Event()
    ending = asyncio.create_task(_first_end([asyncio.create_task(stop.wait())], stage.runtime, stop))
    await asyncio.sleep(0)
    jobs = {"ray": {"address": "http://127.0.0.1:3"}}
    await stage.cluster.patch(POPULATION, NAMESPACE, "desk", {"spec": {"jobs": jobs}})
    (desk,) = stage.runtime.cache.populations()
    stage.runtime.runner(desk)
    await asyncio.wait({before})
    (after,) = stage.runtime.watches()
    assert (after.done(), ending.done()) == (False, False)
    after.cancel()
    assert await ending == EXIT_DEAF
    await stage.runtime.close()


def test_an_operator_that_does_not_know_the_code_of_its_jobs_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.delenv("MODELECOLOGY_JOB_CODE", raising=False)
    monkeypatch.setattr(sys, "argv", ["modelecology-operator", "--namespace", "a"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "Give --job-code" in capsys.readouterr().err


def test_an_operator_whose_key_for_the_log_is_missing_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    monkeypatch.setattr(
        sys, "argv", ["modelecology-operator", "--namespace", "a", "--log-key-file", str(file)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert f"The key file {file} cannot be read" in capsys.readouterr().err
