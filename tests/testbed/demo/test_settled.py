"""When the demo takes a specialist for settled."""

from __future__ import annotations

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from testbed.demo.settled import is_settled
from tests.cli.desk import condition, specialist


@pytest.mark.parametrize(
    ("state", "ready", "reason", "settled"),
    [
        ("Live", "True", Reason.SERVING, True),
        ("Pending", "False", Reason.INSUFFICIENT_EVIDENCE, True),
        ("Pending", "False", Reason.INTERNAL_ERROR, False),  # an evaluation failed, and is tried again
        ("Pending", "False", Reason.BASELINE_RUNNING, False),
        ("Training", "False", Reason.QUEUED, False),
        ("Shelved", "False", Reason.PROOF_NOT_PASSED, True),
    ],
)
def test_it_is_settled_where_it_stays(state: str, ready: str, reason: Reason, settled: bool) -> None:
    found = _at(1, specialist("dates", state=state, conditions=[condition("Ready", ready, reason)]))
    assert is_settled(found) is settled


def test_what_is_said_of_an_earlier_spec_settles_nothing() -> None:
    found = specialist("dates", state="Live", conditions=[condition("Ready", "True", Reason.SERVING)])
    assert not is_settled(_at(2, found))


def _at(generation: int, found: Specialist) -> Specialist:
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"generation": generation})})
