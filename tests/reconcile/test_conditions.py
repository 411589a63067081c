"""Conditions tell machines who moves what stands still, and people what to do."""

from __future__ import annotations

import pytest

from modelecology.api.reasons import Mover, Reason, mover
from modelecology.reconcile.conditions import with_remedy

from .stage import Stage


async def test_what_waits_for_a_free_slot_is_not_called_progressing(stage: Stage) -> None:
    population = stage.manifests.population()
    population["spec"]["serving"]["capacity"] = {"adapters": 1}
    await stage.apply(stage.manifests.suite(), population, stage.manifests.specialist("plain", "dates", 0.6))
    await stage.settle()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(30.0)
    assert stage.state("dates") == "Evaluating CapacityFull"
    assert mover(stage.condition("dates")["reason"]) is Mover.PERSON
    assert {c["type"]: c["status"] for c in stage.status("dates")["conditions"]} == {
        "Ready": "False",
        "Progressing": "False",
        "Degraded": "False",
    }


async def test_what_is_at_work_is_called_progressing(stage: Stage) -> None:
    await stage.apply_desk()
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(1.0, work=False)
    assert stage.state("dates") == "Training Training"
    assert stage.condition("dates", of="Progressing")["status"] == "True"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("It waits.", "It waits. It goes live when a person approves it: kubectl ecology approve dates."),
        ("", "It goes live when a person approves it: kubectl ecology approve dates."),
        (
            "It goes live when a person approves it: kubectl ecology approve dates.",
            "It goes live when a person approves it: kubectl ecology approve dates.",
        ),
    ],
)
def test_a_remedy_names_the_object_and_is_said_once(message: str, said: str) -> None:
    assert with_remedy(Reason.AWAITING_APPROVAL, message, "dates") == said
