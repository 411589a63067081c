"""The ledger of a place: what is read of it once, for all who ask, and what of it stays in memory."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import pytest

from modelecology.api.live_records import LiveRecord, write_line
from modelecology.reconcile.live import of_shadow
from modelecology.reconcile.live_ledger import LiveLedger, LiveLedgers
from modelecology.reconcile.live_memory import Limits
from modelecology.store import ArtifactStore
from modelecology.store.double import Fault, FlakyObjects, memory_objects, object_files
from modelecology.store.live_files import LiveFiles

from .test_live import LIVE, TRIED, asked, said, told, trial


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_line_that_cannot_be_read_costs_that_line_only(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "live-20260301T120000-000001-g.jsonl"
    path.write_bytes(b"nonsense\n" + write_line(asked("r1", said(LIVE, "a"), said(TRIED, "b"))))
    found = LiveLedger(LiveFiles.in_directory(folder))
    found.read()
    assert of_shadow(found, trial()).answered == 1
    assert "a record cannot be read" in caplog.text


def test_a_place_has_one_ledger(folder: Path) -> None:
    ledgers, store = LiveLedgers(), ArtifactStore.open(f"file://{folder}")
    assert ledgers.at(store, f"file://{folder}") is ledgers.at(store, f"file://{folder}")


def test_a_folder_of_the_store_has_one_ledger_a_store_since_who_may_read_one_may_not_read_another(
    folder: Path,
) -> None:
    ledgers, store = LiveLedgers(), ArtifactStore.open(f"file://{folder}")
    assert ledgers.at(store, "store:///live") is ledgers.at(store, "store:///live")
    assert ledgers.at(ArtifactStore.open(f"file://{folder}"), "store:///live") is not ledgers.at(
        store, "store:///live"
    )


def test_what_is_known_is_told_while_a_bucket_takes_long(folder: Path) -> None:
    asked_for, answered = threading.Event(), threading.Event()

    def slow(kind: str, _path: str) -> Fault:
        if kind == "get":
            asked_for.set()
            assert answered.wait(30)
        return Fault.NONE

    objects = memory_objects()
    files = object_files(FlakyObjects(objects, slow), folder)
    line = write_line(asked("r1", said(LIVE, "a"), said(TRIED, "b")))
    objects.put("live/live-20260301T120000-000001-g.jsonl", line)
    found = LiveLedger(LiveFiles(files, "live"))
    reader = threading.Thread(target=found.read)
    reader.start()
    assert asked_for.wait(30)
    assert (found.exchanges("desk", "dates", 0.0), found.has_read) == ((), False)
    answered.set()
    reader.join()
    assert [e.request_id for e in found.exchanges("desk", "dates", 0.0)] == ["r1"]


def test_a_month_of_records_costs_what_is_kept_of_it(folder: Path) -> None:
    for segment in range(10):
        records: list[LiveRecord] = []
        for number in range(segment * 100, segment * 100 + 100):
            name, text = f"r{number}", f"{number} " * 1000
            records += [asked(name, said(LIVE, text), said(TRIED, text)), told(name, label=text)]
            records.append(told(f"unknown{number}", label=text))
        path = folder / f"live-20260301T12{segment:02}00-000001-g.jsonl"
        path.write_bytes(b"".join(map(write_line, records)))
    found = LiveLedger(LiveFiles.in_directory(folder), Limits(held_bytes=1 << 20, early_bytes=1 << 18))
    tracemalloc.start()
    found.read()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1.5 * 2**20
    kept = found.exchanges("desk", "dates", 0.0)
    assert len(kept) > 50
    assert [e.request_id for e in kept] == sorted(f"r{n}" for n in range(1000 - len(kept), 1000))
    assert all(found.feedback(e.request_id) for e in kept)
