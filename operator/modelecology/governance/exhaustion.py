"""An exhausted suite: nothing is promoted on it, and the message says what fresh items would buy."""

from __future__ import annotations

from modelecology.api.reasons import Reason

from .courses import life_of
from .facts import Check, Situation, Wait
from .supply import Aim, units_for

NEW_LOOKS = (1, 10)  # the message of an exhausted suite says how many fresh items buy so many


def exhausted(situation: Situation, checks: tuple[Check, ...] = ()) -> Wait:
    """Wait for a new suite, and say how many fresh items buy how many looks."""
    life, aim = life_of(situation), Aim(effect=situation.policy.evidence.effect)
    bought = ", ".join(
        f"{units_for(life, situation.claim.task, looks, aim):,} items buy {looks} looks"
        for looks in NEW_LOOKS
        if looks <= life.horizon
    ).replace(" 1 looks", " 1 look")
    message = (
        f"The suite can prove nothing more: {life.looks} looks were taken and {life.passes} passed. Give it "
        f"fresh items, as a new suite: for a true gain of {aim.effect:+.2f} at 80 % power, {bought}."
    )
    return Wait(Reason.SUITE_EXHAUSTED, message, checks=checks)
