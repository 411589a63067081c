"""The writes of a contender, each in exactly one count."""

from __future__ import annotations

from pathlib import Path

from bench.audit import count, writes
from testbed.audit import AuditLog
from tests.testbed.test_audit import USER, entry, lines


def test_every_write_lands_in_exactly_one_count(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    entries = (
        entry("create", "decisions", code=201),
        entry("patch", "specialists", "status"),
        entry("patch", "populations", "status"),
        entry("patch", "specialists"),
        entry("create", "events", code=201),
        entry("patch", "specialists", "status", code=409),
    )
    path.write_text(lines(*entries))
    counts = count(writes(AuditLog(path), USER, "ns"))
    assert (counts.decisions, counts.status, counts.population_status) == (1, 1, 1)
    assert (counts.other_patches, counts.events, counts.refused) == (1, 1, 1)
    assert counts.total == len(entries)


def test_reads_questions_about_rights_and_other_namespaces_are_no_writes(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    review = entry("create", "selfsubjectaccessreviews", code=201)
    path.write_text(lines(entry("list", "specialists"), review, entry("patch", "specialists")))
    assert writes(AuditLog(path), USER, "elsewhere") == []
    assert [w.verb for w in writes(AuditLog(path), USER, "ns")] == ["patch"]
