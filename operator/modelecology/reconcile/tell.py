"""Events: told once, when something changes, and never waited for."""

from __future__ import annotations

import logging

from modelecology.api.meta import Condition, ConditionType
from modelecology.api.population import Population, PopulationStatus
from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist, SpecialistStatus
from modelecology.governance.lifecycle import STOPPED
from modelecology.kube.cluster import EventText, Kind
from modelecology.kube.errors import KubeError

from .metrics import WRITES
from .runtime import Runtime
from .trouble import TOLD

_LOG = logging.getLogger(__name__)


def tell(runtime: Runtime, kind: Kind, namespace: str, name: str, *, uid: str, event: EventText) -> None:
    """Post an Event in the background; an Event that is lost loses nothing but itself."""

    async def post() -> None:
        try:
            await runtime.cluster.post_event(kind, namespace, name, uid, event)
            WRITES.labels("create", "Event").inc()
        except KubeError as error:
            _LOG.warning("no Event for %s/%s: %s", namespace, name, error)

    runtime.in_background(post())


def tell_trouble(
    runtime: Runtime,
    kind: Kind,
    before: Specialist | Population,
    after: SpecialistStatus | PopulationStatus,
) -> None:
    """Post an Event when trouble begins or becomes another one; what a Decision says is told by that."""
    now = _ready(after.conditions)
    if now is None or now.reason not in TOLD:
        return
    if isinstance(after, SpecialistStatus) and after.state in STOPPED:
        return
    known = _ready(before.status.conditions)
    if known is not None and known.reason == now.reason:
        return
    meta = before.metadata
    asked = now.reason == Reason.AWAITING_APPROVAL
    level = logging.INFO if asked else logging.WARNING
    _LOG.log(level, "%s %s/%s: %s: %s", kind.kind, meta.namespace, meta.name, now.reason, now.message)
    event = EventText(not asked, now.reason, "Wait", now.message)
    tell(runtime, kind, meta.namespace, meta.name, uid=meta.uid, event=event)


def _ready(conditions: tuple[Condition, ...]) -> Condition | None:
    return next((c for c in conditions if c.type == ConditionType.READY), None)
