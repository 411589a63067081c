"""The audit log of the API server, read as requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from testbed.audit import AuditLog, request_of

USER = "system:serviceaccount:ns:modelecology-operator"


def entry(
    verb: str, resource: str, subresource: str = "", code: int = 200, user: str = USER
) -> dict[str, Any]:
    return {
        "verb": verb,
        "user": {"username": user},
        "objectRef": {
            "apiGroup": "modelecology.io",
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


def test_the_moment_of_a_request_is_read_to_the_microsecond() -> None:
    request = request_of(entry("create", "decisions", code=201))
    assert request is not None
    assert round(request.received % 1, 6) == 0.755027


def test_each_read_of_the_log_gives_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(lines(entry("patch", "specialists")))
    log = AuditLog(path)
    log.skip()
    with path.open("a") as file:
        file.write(lines(entry("create", "events", code=201), entry("create", "events", user="else")))
    assert [r.resource for r in log.read(USER)] == ["events"]
    assert log.read(USER) == []


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    whole = lines(entry("create", "decisions", code=201))
    path.write_text(whole[:40])
    log = AuditLog(path)
    assert log.read(USER) == []
    with path.open("a") as file:
        file.write(whole[40:])
    assert [r.resource for r in log.read(USER)] == ["decisions"]


def test_a_right_is_named_as_rbac_names_it() -> None:
    request = request_of(entry("patch", "specialists", "status"))
    assert request is not None
    assert request.right == ("modelecology.io", "specialists/status", "patch")


def test_what_is_about_no_object_is_passed_over() -> None:
    assert request_of({key: value for key, value in entry("get", "x").items() if key != "objectRef"}) is None
