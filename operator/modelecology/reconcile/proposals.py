"""The condition RetirementProposed: it is there as long as a live revision has a cause to go."""

from __future__ import annotations

from datetime import datetime

from modelecology.api.meta import Condition, ConditionType
from modelecology.api.reasons import named
from modelecology.api.specialist import Specialist
from modelecology.governance.lifecycle import CAUSES
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.rules import Policy
from modelecology.governance.verdict import clock

from .conditions import said


def retirement_proposed(
    before: Specialist, log: SpecialistRecord, policy: Policy | None, now: datetime
) -> tuple[Condition, ...]:
    """State for what cause and since when the live revision should go; nothing where it stays."""
    live = log.revisions.get(log.live) if log.live else None
    if live is None or live.reason not in CAUSES:
        return ()
    remedy = named(live.reason).remedy.replace("NAME", before.metadata.name)
    goes = ""
    if policy is not None and policy.automatic_retirement:
        goes = f" It goes by itself at {clock(live.since + policy.retirement_grace)} if the cause lasts."
    message = f"{live.served_name}, since {clock(live.since)}: {remedy}{goes}"
    return (
        said(
            before.status.conditions,
            ConditionType.RETIREMENT_PROPOSED,
            True,
            live.reason,
            message,
            generation=before.metadata.generation,
            now=now,
        ),
    )
