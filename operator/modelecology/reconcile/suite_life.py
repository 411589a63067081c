"""The suite's budget of looks, as a population's status tells it."""

from __future__ import annotations

from collections.abc import Mapping

from modelecology.api.population import Provable, SuiteLifeStatus
from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Role
from modelecology.governance.evidence import EvidenceError
from modelecology.governance.facts import Results
from modelecology.governance.supply import Aim, provable, units_for
from modelecology.governance.trial import units_of

from .frame import Frame


def suite_life(frame: Frame, baseline: Mapping[str, Results]) -> SuiteLifeStatus | None:
    """Say what is left of the suite; None until the generalist has answered all of it."""
    life = frame.life
    found = []
    for task in frame.tasks:
        if task.role is Role.TASK:
            if task.name not in baseline:
                return None
            try:
                units = len(units_of(baseline[task.name], frame.suite_digest))
            except EvidenceError:
                return None
            gain = provable(life, task.name, units)
            found.append(Provable(task=task.name, units=len(life.proof(task.name, units)), gain=gain))
    return SuiteLifeStatus(
        disclosure=life.disclosure,
        looks=life.looks,
        looks_left=max(0, life.horizon - life.begun - life.silent),
        passes=life.passes,
        slice=life.slice,
        next_level=float(f"{float(life.next_level()):.4g}"),
        provable=tuple(found),
    )


def exhaustion(frame: Frame, status: SuiteLifeStatus | None) -> tuple[str, str] | None:
    """Give reason and message where no task of the suite can be proven any more; None while one can."""
    if status is None or any(p.gain is not None for p in status.provable) or not status.provable:
        return None
    aim = Aim(effect=frame.policy.evidence.effect)
    fresh = units_for(frame.life, status.provable[0].task, 1, aim)
    message = (
        f"{status.looks} proofs were opened and {status.passes} passed: nothing more can be proven on this "
        f"suite. A new suite needs {fresh:,} fresh items a task to prove a gain of {aim.effect:+.2f} once."
    )
    return str(Reason.SUITE_EXHAUSTED), message
