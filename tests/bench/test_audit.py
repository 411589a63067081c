"""The audit log of the API server, read as writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.audit import AuditLog, count, write_of

USER = "system:serviceaccount:ns:modelecology-operator"


def entry(
    verb: str, resource: str, subresource: str = "", code: int = 200, user: str = USER
) -> dict[str, Any]:
    return {
        "verb": verb,
        "user": {"username": user},
        "objectRef": {
            "resource": resource,
            "subresource": subresource,
            "namespace": "ns",
            "name": "member-00",
        },
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": "2026-11-24T22:45:34.755027Z",
    }


def lines(*entries: dict[str, Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in entries)


def test_every_write_lands_in_exactly_one_count() -> None:
    entries = (
        entry("create", "decisions", code=201),
        entry("patch", "specialists", "status"),
        entry("patch", "populations", "status"),
        entry("patch", "specialists"),
        entry("create", "events", code=201),
        entry("patch", "specialists", "status", code=409),
    )
    counts = count(w for w in map(write_of, entries) if w is not None)
    assert (counts.decisions, counts.status, counts.population_status) == (1, 1, 1)
    assert (counts.other_patches, counts.events, counts.refused) == (1, 1, 1)
    assert counts.total == len(entries)


def test_reads_and_questions_about_rights_are_no_writes() -> None:
    review = entry("create", "selfsubjectaccessreviews", code=201)
    without_object = {key: value for key, value in entry("create", "x").items() if key != "objectRef"}
    assert [write_of(e) for e in (entry("list", "specialists"), review, without_object)] == [None] * 3


def test_the_moment_of_a_write_is_read_to_the_microsecond() -> None:
    write = write_of(entry("create", "decisions", code=201))
    assert write is not None
    assert round(write.received % 1, 6) == 0.755027


def test_each_read_of_the_log_gives_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(lines(entry("patch", "specialists")))
    log = AuditLog(path)
    log.skip()
    with path.open("a") as file:
        file.write(lines(entry("create", "events", code=201), entry("create", "events", user="else")))
    assert [w.resource for w in log.read(USER, "ns")] == ["events"]
    assert log.read(USER, "ns") == []


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    whole = lines(entry("create", "decisions", code=201))
    path.write_text(whole[:40])
    log = AuditLog(path)
    assert log.read(USER, "ns") == []
    with path.open("a") as file:
        file.write(whole[40:])
    assert [w.resource for w in log.read(USER, "ns")] == ["decisions"]
