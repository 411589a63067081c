"""A person ends the step of a canary; the operator reads what the command writes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import PROMOTE_ANNOTATION, State
from modelecology.cli.port import CliError
from modelecology.cli.promote import promote
from modelecology.governance.facts import Approval, RevisionRecord
from modelecology.reconcile.people import promoting

from .desk import NOW, FakeCluster, condition, revision, specialist

WORD = "ada@example.org@2026-11-24T12:00:00Z"


def canary(state: str = "Canary") -> Specialist:
    return specialist(
        "dates",
        state=state,
        candidate=revision("dates", state, "CanaryRunning"),
        conditions=[condition("Ready", "False", "CanaryRunning", "Step 1 of 2.")],
    )


def test_promote_ends_the_step_of_a_canary_and_the_operator_reads_it_once() -> None:
    cluster = FakeCluster(specialists=(canary(),))
    said = promote(cluster, "dates", NOW)
    assert said.startswith(f"Ended the step of revision {'a' * 12} of dates as ada@example.org.")
    assert cluster.annotations == {("dates", PROMOTE_ANNOTATION): f"{'a' * 12}/{WORD}"}
    body = canary()
    annotations = {PROMOTE_ANNOTATION: cluster.annotations["dates", PROMOTE_ANNOTATION]}
    body = body.model_copy(update={"metadata": body.metadata.model_copy(update={"annotations": annotations})})
    begun = NOW - timedelta(minutes=5)
    record = RevisionRecord("a" * 12, f"dates-{'a' * 12}", State.CANARY, begun, begun)
    assert promoting(body, record) == Approval("a" * 12, WORD)
    later = RevisionRecord("a" * 12, f"dates-{'a' * 12}", State.CANARY, NOW + timedelta(seconds=1), begun)
    assert promoting(body, later) == Approval("a" * 12, WORD, used=True)
    shadow = RevisionRecord("a" * 12, f"dates-{'a' * 12}", State.SHADOW, begun, begun)
    assert promoting(body, shadow) is None


def test_promote_of_what_is_no_canary_is_refused() -> None:
    with pytest.raises(CliError, match="dates is Shadow and no canary") as error:
        promote(FakeCluster(specialists=(canary("Shadow"),)), "dates", NOW)
    assert error.value.remedy == "kubectl ecology explain dates says what it waits for."
