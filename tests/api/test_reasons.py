"""Every reason says who moves what stands still for it, and what they can do."""

from __future__ import annotations

import pytest

from modelecology.api.reasons import Mover, Reason, mover, named, reference, remedy_of


@pytest.mark.parametrize(
    ("reason", "by"),
    [
        (Reason.AWAITING_APPROVAL, Mover.PERSON),
        (Reason.CAPACITY_FULL, Mover.PERSON),
        (Reason.HARD_INVARIANT_FAILURE, Mover.PERSON),
        (Reason.ENGINE_UNREACHABLE, Mover.PERSON),
        (Reason.INSUFFICIENT_EVIDENCE, Mover.EVIDENCE),
        (Reason.GAIN_DOES_NOT_REPAY, Mover.EVIDENCE),
        (Reason.BUDGET_SPENT, Mover.NOBODY),
        (Reason.TRAINING, Mover.NOBODY),
        ("FromTheFuture", Mover.PERSON),
    ],
)
def test_a_reason_names_who_moves_what_stands_still_for_it(reason: str, by: Mover) -> None:
    assert mover(reason) is by


@pytest.mark.parametrize("reason", Reason)
def test_whoever_has_to_act_is_told_what_to_do(reason: Reason) -> None:
    if mover(reason) is Mover.PERSON:
        assert remedy_of(reason) == reason.remedy
    assert f"| `{reason}` | {mover(reason)} | {reason.remedy} |" in reference()


def test_an_unknown_reason_is_an_internal_error_without_a_remedy() -> None:
    assert named("FromTheFuture") is Reason.INTERNAL_ERROR
    assert remedy_of("FromTheFuture") == ""
