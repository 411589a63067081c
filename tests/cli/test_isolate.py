"""A person quarantines and releases; the operator reads what the command writes."""

from __future__ import annotations

import pytest

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import QUARANTINE_ANNOTATION, RELEASE_ANNOTATION, State
from modelecology.cli.isolate import quarantine, release
from modelecology.cli.port import CliError
from modelecology.governance.facts import Approval, RevisionRecord
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.situations import Isolation
from modelecology.reconcile import people

from .desk import NOW, FakeCluster, revision, specialist

WORD = "ada@example.org@2026-11-24T12:00:00Z"


def record(state: State) -> RevisionRecord:
    return RevisionRecord("a" * 12, f"dates-{'a' * 12}", state, NOW, NOW)


def serving() -> Specialist:
    return specialist("dates", state="Live", live=revision("dates", "Live", "ServedScoreConfirmed"))


def quarantined() -> Specialist:
    held = revision("dates", "Quarantined", "QuarantineRequested")
    return specialist("dates", state="Quarantined", candidate=held)


def with_word(body: Specialist, cluster: FakeCluster, annotation: str) -> Specialist:
    annotations = {annotation: cluster.annotations["dates", annotation]}
    return body.model_copy(update={"metadata": body.metadata.model_copy(update={"annotations": annotations})})


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("", ""),
        ("It  swears\nat bob@2026-11-24T13:00:00Z.", "It swears at bob@2026-11-24T13:00:00Z."),
    ],
)
def test_quarantine_takes_out_what_is_live_and_the_operator_reads_it(reason: str, read: str) -> None:
    cluster = FakeCluster(specialists=(serving(),))
    said = quarantine(cluster, "dates", reason, NOW)
    assert said == f"Took revision {'a' * 12} of dates out of service as ada@example.org."
    body = with_word(serving(), cluster, QUARANTINE_ANNOTATION)
    known = SpecialistRecord("dates", "u1", {"a" * 12: record(State.LIVE)})
    assert people.quarantine_asked(body, known) == Isolation(record(State.LIVE), WORD, read)


def test_without_a_live_revision_what_is_in_shadow_is_taken_out() -> None:
    shadow = revision("dates", "Shadow", "PortfolioGainProven")
    cluster = FakeCluster(specialists=(specialist("dates", state="Shadow", candidate=shadow),))
    quarantine(cluster, "dates", "", NOW)
    assert cluster.annotations == {("dates", QUARANTINE_ANNOTATION): f"{'a' * 12}/{WORD}"}


@pytest.mark.parametrize("known", [quarantined(), specialist("dates", state="Pending")])
def test_quarantine_refuses_what_no_engine_holds(known: Specialist) -> None:
    cluster = FakeCluster(specialists=(known,))
    with pytest.raises(CliError, match="only what is Shadow, Canary or Live can be quarantined"):
        quarantine(cluster, "dates", "", NOW)
    assert cluster.annotations == {}


@pytest.mark.parametrize("named", ["b" * 12, f"dates-{'b' * 12}"])
def test_a_pinned_revision_is_taken_out_by_its_name(named: str) -> None:
    pinned = revision("dates", "Live", "Pinned", revision="b" * 12, servedName=f"dates-{'b' * 12}")
    live = revision("dates", "Live", "ServedScoreConfirmed")
    body = specialist("dates", state="Live", live=live, pinned=[pinned])
    cluster = FakeCluster(specialists=(body,))
    quarantine(cluster, "dates", "", NOW, revision=named)
    assert cluster.annotations == {("dates", QUARANTINE_ANNOTATION): f"{'b' * 12}/{WORD}"}


def test_a_revision_that_no_engine_holds_is_refused_by_its_name() -> None:
    cluster = FakeCluster(specialists=(serving(),))
    with pytest.raises(CliError, match="Revision cccccccccccc of dates is not on the engines"):
        quarantine(cluster, "dates", "", NOW, revision="c" * 12)
    assert cluster.annotations == {}


def test_a_reason_that_is_too_long_is_refused() -> None:
    cluster = FakeCluster(specialists=(serving(),))
    with pytest.raises(CliError, match="The reason has 501 characters"):
        quarantine(cluster, "dates", "x" * 501, NOW)
    assert cluster.annotations == {}


def test_release_lets_out_what_is_quarantined_and_the_operator_reads_it() -> None:
    cluster = FakeCluster(specialists=(quarantined(),))
    said = release(cluster, "dates", NOW)
    assert said == f"Released revision {'a' * 12} of dates as ada@example.org; it must earn its place again."
    body = with_word(quarantined(), cluster, RELEASE_ANNOTATION)
    assert people.release(body, record(State.QUARANTINED)) == Approval("a" * 12, WORD)


def test_release_refuses_all_else() -> None:
    cluster = FakeCluster(specialists=(serving(),))
    with pytest.raises(CliError, match="dates is Live; only what is Quarantined can be released"):
        release(cluster, "dates", NOW)
    assert cluster.annotations == {}
