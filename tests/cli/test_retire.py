"""A person accepts a proposed retirement, and takes one back; the operator reads what the command writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import RETIRE_ANNOTATION, UNDO_ANNOTATION, State, Target
from modelecology.cli.app import _next_after_status
from modelecology.cli.port import CliError, Snapshot
from modelecology.cli.retire import restore, retire, undo
from modelecology.governance.facts import Approval, RevisionRecord
from modelecology.reconcile.people import acceptance, undoing

from .desk import NOW, FakeCluster, condition, decision, revision, specialist

WORD = "ada@example.org@2026-11-24T12:00:00Z"
RECORD = RevisionRecord("a" * 12, f"dates-{'a' * 12}", State.LIVE, NOW, NOW)


def proposed() -> Specialist:
    message = f"dates-{'a' * 12}, since 2026-11-24 11:00:00 UTC: Let it go: kubectl ecology retire dates."
    return specialist(
        "dates",
        state="Live",
        live=revision("dates", "Live", "Dominated"),
        conditions=[
            condition("Ready", "True", "Serving", "Loaded and proved."),
            condition("RetirementProposed", "True", "Dominated", message),
        ],
    )


def retired(reason: str = "Dominated", state: str = "Retired") -> Specialist:
    return specialist("dates", state=state, previous=revision("dates", state, reason))


def about(revision: str) -> dict[str, str]:
    return {"specialist": "dates", "uid": "u", "revision": revision, "key": "c" * 64}


def to_be_retired() -> Specialist:
    body = retired("RetirementRequested")
    lifecycle = body.spec.lifecycle.model_copy(update={"target": Target.RETIRED})
    return body.model_copy(update={"spec": body.spec.model_copy(update={"lifecycle": lifecycle})})


def with_word(body: Specialist, cluster: FakeCluster, annotation: str) -> Specialist:
    annotations = {annotation: cluster.annotations["dates", annotation]}
    return body.model_copy(update={"metadata": body.metadata.model_copy(update={"annotations": annotations})})


def test_retire_accepts_what_evidence_proposes_and_the_operator_reads_it() -> None:
    cluster = FakeCluster(specialists=(proposed(),))
    said = retire(cluster, "dates", NOW)
    assert said == f"Accepted the retirement of revision {'a' * 12} of dates (Dominated) as ada@example.org."
    assert cluster.annotations == {("dates", RETIRE_ANNOTATION): f"{'a' * 12}/{WORD}"}
    read = acceptance(with_word(proposed(), cluster, RETIRE_ANNOTATION), RECORD)
    assert read == Approval("a" * 12, WORD)


def test_retire_sets_the_target_where_evidence_proposes_nothing_and_the_operator_reads_who() -> None:
    body = specialist("dates", state="Live", live=revision("dates", "Live", "Serving"))
    cluster = FakeCluster(specialists=(body,))
    said = retire(cluster, "dates", NOW)
    assert said == (
        "Set lifecycle.target of dates to Retired as ada@example.org. Where Git owns its manifest, change it "
        "there too."
    )
    assert cluster.targets == {"dates": Target.RETIRED}
    assert acceptance(with_word(body, cluster, RETIRE_ANNOTATION), RECORD) == Approval("a" * 12, WORD)


def test_retire_refuses_what_the_owner_has_retired_already() -> None:
    cluster = FakeCluster(specialists=(to_be_retired(),))
    with pytest.raises(CliError, match="dates has nothing that could be retired: it is Retired"):
        retire(cluster, "dates", NOW)
    assert (cluster.annotations, cluster.targets) == ({}, {})


def test_restore_sets_the_target_of_what_the_owner_retired_and_the_operator_reads_who() -> None:
    cluster = FakeCluster(specialists=(to_be_retired(),))
    said = restore(cluster, "dates", NOW)
    assert said.startswith("Set lifecycle.target of dates to Live as ada@example.org.")
    assert cluster.targets == {"dates": Target.LIVE}
    assert undoing(with_word(retired(), cluster, UNDO_ANNOTATION), RECORD) == Approval("a" * 12, WORD)


def test_restore_takes_back_what_evidence_retired_and_leaves_the_target() -> None:
    cluster = FakeCluster(specialists=(retired(),))
    assert restore(cluster, "dates", NOW).startswith("Took the retirement of revision")
    assert cluster.targets == {}


def test_restore_names_the_revision_that_went_last_which_is_the_specs() -> None:
    older = decision(7, "Retire", "Live", "Retired", "RetirementRequested", subject=about("b" * 12))
    newest = decision(8, "Retire", "Shadow", "Retired", "RetirementRequested", subject=about("c" * 12))
    cluster = FakeCluster(specialists=(to_be_retired(),), recorded=(older, newest))
    restore(cluster, "dates", NOW)
    assert cluster.annotations["dates", UNDO_ANNOTATION].startswith(f"{'c' * 12}/")


def test_what_evidence_retired_is_taken_back_also_when_its_files_are_deleted() -> None:
    gone = decision(7, "Retire", "Live", "Retired", "Dominated", subject=about("b" * 12))
    cluster = FakeCluster(specialists=(specialist("dates", state="Deleted"),), recorded=(gone,))
    assert restore(cluster, "dates", NOW).startswith(f"Took the retirement of revision {'b' * 12}")


def test_restore_refuses_what_is_not_retired() -> None:
    cluster = FakeCluster(specialists=(proposed(),))
    with pytest.raises(CliError, match="dates is Live; only what evidence has retired can be taken back"):
        restore(cluster, "dates", NOW)


def test_undo_takes_back_what_evidence_retired_and_the_operator_reads_it() -> None:
    cluster = FakeCluster(specialists=(retired(),))
    said = undo(cluster, "dates", NOW)
    assert said == f"Took the retirement of revision {'a' * 12} of dates back as ada@example.org."
    assert undoing(with_word(retired(), cluster, UNDO_ANNOTATION), RECORD) == Approval("a" * 12, WORD)


@pytest.mark.parametrize(
    "known",
    [retired("RetirementRequested"), retired("UndoWindowClosed", "Deleted"), proposed()],
)
def test_undo_refuses_all_else(known: Specialist) -> None:
    cluster = FakeCluster(specialists=(known,))
    with pytest.raises(CliError, match="only what evidence has retired can be taken back"):
        undo(cluster, "dates", NOW)
    assert cluster.annotations == {}


def test_undo_refuses_what_its_owner_wants_retired() -> None:
    body: dict[str, Any] = retired().model_dump(by_alias=True)
    body["spec"]["lifecycle"]["target"] = "Retired"
    cluster = FakeCluster(specialists=(Specialist.model_validate(body),))
    with pytest.raises(CliError, match=r"its lifecycle\.target says so") as error:
        undo(cluster, "dates", NOW)
    assert error.value.remedy == "kubectl ecology restore dates sets it to Live."


def test_status_says_what_to_do_about_a_proposal() -> None:
    shown = Snapshot("team", (), (proposed(),))
    assert _next_after_status(shown) == (
        "Next: kubectl ecology explain dates, then kubectl ecology retire dates.",
    )


@pytest.mark.parametrize(
    ("record", "used"),
    [
        ({}, False),
        ({"retired_by": WORD}, True),
        ({"since": datetime(2026, 11, 24, 12, 4, tzinfo=UTC)}, False),
        ({"since": datetime(2026, 11, 24, 12, 6, tzinfo=UTC)}, True),
    ],
)
def test_a_word_accepts_one_retirement_that_was_proposed_before_it(
    record: dict[str, Any], used: bool
) -> None:
    cluster = FakeCluster(specialists=(proposed(),))
    retire(cluster, "dates", NOW)
    found = acceptance(with_word(proposed(), cluster, RETIRE_ANNOTATION), replace(RECORD, **record))
    assert found is not None
    assert found.used is used


def test_undo_is_about_what_evidence_retired_though_a_pinned_one_was_let_go_since() -> None:
    decisions = (
        decision(7, "Retire", "Live", "Retired", "Unused", subject=about("a" * 12)),
        decision(8, "Retire", "Live", "Retired", "Superseded", subject=about("b" * 12)),
    )
    cluster = FakeCluster(specialists=(retired("Unused"),), recorded=decisions)
    undo(cluster, "dates", NOW)
    assert cluster.annotations == {("dates", UNDO_ANNOTATION): f"{'a' * 12}/{WORD}"}
