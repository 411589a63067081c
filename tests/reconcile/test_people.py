"""Annotations of people are read strictly: what cannot be read approves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import (
    APPROVE_ANNOTATION,
    RETIRE_ANNOTATION,
    RETRY_ANNOTATION,
    UNDO_ANNOTATION,
)
from modelecology.governance.facts import Approval, RevisionRecord
from modelecology.governance.log import SpecialistRecord, pending
from modelecology.reconcile.people import acceptance, approval, retry_asked, undoing
from testbed.pretend_desk import PretendDesk

from .stage import Stage

REVISION = "0123456789ab"
RECORD = pending(REVISION, f"dates-{REVISION}", datetime(2026, 3, 1, tzinfo=UTC))


def annotated(manifests: PretendDesk, **annotations: str) -> Specialist:
    body = manifests.specialist("dates", "dates", 0.6)
    body["metadata"]["annotations"] = annotations
    return Specialist.model_validate(body)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"{REVISION}/ada@2026-03-01T12:00:00Z", Approval(REVISION, "ada@2026-03-01T12:00:00Z")),
        (
            f"{REVISION}/system:serviceaccount:a:b@2026-03-01T12:00:00+02:00",
            Approval(REVISION, "system:serviceaccount:a:b@2026-03-01T12:00:00+02:00"),
        ),
        (
            f"{REVISION}/oidc/ada@example.org@2026-03-01T12:00:00Z",
            Approval(REVISION, "oidc/ada@example.org@2026-03-01T12:00:00Z"),
        ),
        ("yes", Approval("", "yes")),
        (f"{REVISION}/ada@noon", Approval("", f"{REVISION}/ada@noon")),
        (f"{REVISION}/ada@2026-03-01T12:00:00", Approval("", f"{REVISION}/ada@2026-03-01T12:00:00")),
        (f"{REVISION}/@2026-03-01T12:00:00Z", Approval("", f"{REVISION}/@2026-03-01T12:00:00Z")),
        (
            f"{REVISION[:7]}/ada@2026-03-01T12:00:00Z",
            Approval("", f"{REVISION[:7]}/ada@2026-03-01T12:00:00Z"),
        ),
        ("x" * 300, Approval("", "x" * 200)),
        ("", None),
    ],
)
async def test_an_approval_names_revision_person_and_time(
    stage: Stage, text: str, read: Approval | None
) -> None:
    assert approval(annotated(stage.manifests, **{APPROVE_ANNOTATION: text}), RECORD) == read


async def test_a_retry_is_asked_until_it_was_served(stage: Stage) -> None:
    asking = annotated(stage.manifests, **{RETRY_ANNOTATION: "ada@1"})
    assert retry_asked(asking, SpecialistRecord("dates", "u")) == "ada@1"
    assert retry_asked(asking, SpecialistRecord("dates", "u", retried_by="ada@1")) == ""
    assert retry_asked(annotated(stage.manifests), SpecialistRecord("dates", "u")) == ""


@pytest.mark.parametrize(
    ("record", "used"),
    [
        (RECORD, False),
        (replace(RECORD, restored_by="ada@2026-03-01T12:00:00Z"), True),
        (replace(RECORD, restored_by="bob@2026-03-01T12:00:00Z"), False),
        (replace(RECORD, retired_at=datetime(2026, 3, 1, 12, 4, tzinfo=UTC)), False),
        (replace(RECORD, retired_at=datetime(2026, 3, 1, 12, 6, tzinfo=UTC)), True),
    ],
)
async def test_a_word_takes_one_retirement_back_that_was_before_it(
    stage: Stage, record: RevisionRecord, used: bool
) -> None:
    word = f"{REVISION}/ada@2026-03-01T12:00:00Z"
    found = undoing(annotated(stage.manifests, **{UNDO_ANNOTATION: word}), record)
    assert found == Approval(REVISION, "ada@2026-03-01T12:00:00Z", used=used)


async def test_what_cannot_be_read_neither_retires_nor_brings_back(stage: Stage) -> None:
    words = {RETIRE_ANNOTATION: "yes", UNDO_ANNOTATION: f"{REVISION}/ada@noon"}
    asked = annotated(stage.manifests, **words)
    assert acceptance(asked, RECORD) == Approval("", "yes")
    assert undoing(asked, RECORD) == Approval("", f"{REVISION}/ada@noon")
    assert acceptance(annotated(stage.manifests), RECORD) is None
    assert undoing(annotated(stage.manifests), RECORD) is None
