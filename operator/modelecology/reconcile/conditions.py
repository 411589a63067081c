"""Conditions: set by type, and moved in time only when their status changes."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.meta import Condition, ConditionStatus, ConditionType
from modelecology.api.reasons import remedy_of


def said(
    before: tuple[Condition, ...],
    kind: ConditionType,
    status: bool,
    reason: str,
    message: str,
    *,
    generation: int,
    now: datetime,
) -> Condition:
    """State one condition, keeping its transition time while the status stays the same."""
    value = ConditionStatus.TRUE if status else ConditionStatus.FALSE
    old = next((c for c in before if c.type == kind), None)
    since = old.last_transition_time if old is not None and old.status is value else now
    return Condition(
        type=kind,
        status=value,
        observed_generation=generation,
        last_transition_time=since,
        reason=reason,
        message=message[:4000],
    )


def with_remedy(reason: str, message: str, name: str) -> str:
    """Add to a message about an object what to do, unless it says so itself."""
    remedy = remedy_of(reason).replace("NAME", name)
    if not remedy or remedy in message:
        return message
    return f"{sentence(message)} {remedy}".strip()


def sentence(text: str) -> str:
    """End a text with a full stop, unless it has an end."""
    return text if not text or text[-1] in ".!?" else f"{text}."
