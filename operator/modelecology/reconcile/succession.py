"""Revisions that the spec does not ask for: what decides on them, and what the status says of pins."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from modelecology.api.meta import Condition, ConditionType
from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist, SpecialistStatus
from modelecology.api.vocabulary import Target
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.pins import missing
from modelecology.governance.situations import Succession
from modelecology.governance.succession import placed

from .conditions import said, with_remedy
from .frame import Frame
from .status import revision_status


def succession_of(
    frame: Frame, specialist: Specialist, log: SpecialistRecord, current: str, now: datetime
) -> Succession:
    """Gather what decides on the revisions other than the current one; the log alone is read."""
    policy, lifecycle = frame.policy, specialist.spec.lifecycle
    taken, slots = (len(placed(frame.log)), policy.adapters) if lifecycle.pins else (0, 0)
    return Succession(
        replace(log, last=None),
        current,
        now,
        policy.undo_window,
        lifecycle.target,
        lifecycle.pins,
        taken,
        slots,
    )


def with_pins(before: Specialist, after: SpecialistStatus, seen: Succession) -> SpecialistStatus:
    """Add what became of each pinned revision, and the condition Pinned; nothing where no pin counts."""
    if not seen.pins or seen.wanted is Target.RETIRED:
        return after
    known = (seen.record.revisions.get(pin) for pin in seen.pins)
    found = tuple(status for record in known if (status := revision_status(record)) is not None)
    conditions = (*after.conditions, _condition(before, seen))
    return after.model_copy(update={"pinned": found, "conditions": conditions})


def _condition(before: Specialist, seen: Succession) -> Condition:
    faults, meta = missing(seen), before.metadata
    reason = Reason.PIN_NOT_HELD if faults else Reason.PINNED
    message = "; ".join(faults) or "All revisions that lifecycle.pinned names are live."
    return said(
        before.status.conditions,
        ConditionType.PINNED,
        not faults,
        reason,
        with_remedy(reason, message, meta.name),
        generation=meta.generation,
        now=seen.now,
    )
