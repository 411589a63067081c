"""Revisions that no trial is about: what decides on them, and what the status says of pinned ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

from modelecology.api.meta import Condition, ConditionType
from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist, SpecialistStatus
from modelecology.api.vocabulary import Target
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.pins import missing
from modelecology.governance.situations import Pin, Succession
from modelecology.governance.succession import placed
from modelecology.store import StoreError

from .conditions import said, with_remedy
from .frame import Frame
from .rivals import known_bytes, resident_bytes
from .status import revision_status


async def succession_of(
    frame: Frame, specialist: Specialist, log: SpecialistRecord, current: str, now: datetime
) -> Succession:
    """Gather what decides on revisions that no trial is about; the store is asked for sizes alone."""
    policy, lifecycle = frame.policy, specialist.spec.lifecycle
    bare = Succession(replace(log, last=None), current, now, policy.undo_window, lifecycle.target)
    if not lifecycle.pins:
        return bare
    pins = tuple(Pin(name) for name in lifecycle.pins)
    made = replace(bare, pins=pins, taken=len(placed(frame.log)), slots=policy.adapters)
    return made if policy.memory is None else await asyncio.to_thread(_sized, frame, made, policy.memory)


def _sized(frame: Frame, made: Succession, memory: int) -> Succession:
    def size(pin: Pin) -> int | None:
        known = made.record.revisions.get(pin.revision)
        try:
            return known_bytes(frame, known.key) if known is not None and known.key else None
        except StoreError:
            return None

    return replace(
        made,
        pins=tuple(replace(pin, resident_bytes=size(pin)) for pin in made.pins),
        taken_bytes=sum(resident_bytes(frame, r.key) for r in placed(frame.log)),
        memory=memory,
    )


def with_pins(before: Specialist, after: SpecialistStatus, seen: Succession) -> SpecialistStatus:
    """Add what became of each pinned revision, and the condition Pinned; nothing where no pin counts."""
    if not seen.pins or seen.wanted is Target.RETIRED:
        return after
    known = (seen.record.revisions.get(pin.revision) for pin in seen.pins)
    found = tuple(status for record in known if (status := revision_status(record)) is not None)
    conditions = (*after.conditions, _condition(before, seen))
    return after.model_copy(update={"pinned": found, "conditions": conditions})


def _condition(before: Specialist, seen: Succession) -> Condition:
    faults, meta = missing(seen), before.metadata
    reason = Reason.PIN_NOT_HELD if faults else Reason.PINNED
    message = "; ".join(faults) or "All revisions that lifecycle.pinned names are live, or on their way."
    return said(
        before.status.conditions,
        ConditionType.PINNED,
        not faults,
        reason,
        with_remedy(reason, message, meta.name),
        generation=meta.generation,
        now=seen.now,
    )
