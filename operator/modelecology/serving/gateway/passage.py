"""One request on its way through the gateway: how it is routed, and what its answer's headers say."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import Final

from modelecology.api.live_records import Arm
from modelecology.api.routing import RouteReason
from modelecology.serving import tracing
from modelecology.serving.tracing import NO_SPAN, Attributes, Span

from .orders import Order
from .refusal import Refusal
from .route import Route, Tried
from .tables import Held

GENERALIST: Final = "generalist"
REQUEST_ID: Final = "x-request-id"
ROUTE: Final = "x-modelecology-route"
REASON: Final = "x-modelecology-reason"
FALLBACK: Final = "x-modelecology-fallback"
TABLE: Final = "x-modelecology-table"
TASK: Final = "x-modelecology-task"
RULE: Final = "x-modelecology-rule"
SIMILARITY: Final = "x-modelecology-similarity"

_NO_TASK: Final = frozenset(
    {RouteReason.NO_RULE_MATCHED, RouteReason.NOTHING_SIMILAR, RouteReason.CLASSIFIER_UNPROVEN}
)
_ARMS: Final = {RouteReason.LIVE: Arm.LIVE, RouteReason.CANARY: Arm.CANARY}
_RECORDED: Final = frozenset({RouteReason.LIVE, RouteReason.CANARY, RouteReason.NO_LIVE_REVISION})


@dataclass(frozen=True, slots=True)
class Routed:
    """A request whose way is chosen: by which table, where to, and who else is asked."""

    order: Order
    held: Held
    route: Route
    shadow: str | None
    """The revision that is asked the same, out of the user's sight."""
    kept: bool
    """Whether it is written down: its task has a canary, or it is among the sampled."""
    asker: str | None = None
    """Hash of who asks, as records have it."""

    @property
    def recorded(self) -> bool:
        """Whether the answer is written down, so its words are wanted."""
        return self.shadow is not None or self.kept

    @property
    def arm(self) -> Arm:
        """Who answers, as records say it."""
        return _ARMS.get(self.route.reason, Arm.GENERALIST)


@dataclass(slots=True)
class Passage:
    """What is known of a request so far. `started` is the clock's; the fallback may take over a way."""

    request_id: str
    started: float
    tried: Tried | None = None
    routed: Routed | None = None
    span: Span = NO_SPAN
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    """What the client got; nobody counts what failed unforeseen."""

    def end(self) -> None:
        """End the span, with the way in it."""
        if self.span.on:
            self.span.tell(self._attributes())
        self.span.end(self.status)

    def _attributes(self) -> Attributes:
        found: dict[str, str | bool] = {tracing.REQUEST: self.request_id}
        if self.routed is None:
            return found
        held, route = self.routed.held, self.routed.route
        found |= {
            tracing.PATH: self.routed.order.path,
            tracing.TABLE: held.digest,
            tracing.REASON: route.reason.value,
            tracing.FALLBACK: route.fallback,
        }
        if route.target is not None:
            found[tracing.MODEL] = route.target
            found[tracing.ROUTE] = GENERALIST if route.target == held.plan.generalist else route.target
        if route.task is not None:
            found[tracing.TASK] = route.task
        return found

    def headers(self) -> dict[str, str]:
        """What the answer says of its way."""
        found = {REQUEST_ID: self.request_id}
        if self.routed is None:
            return found
        held, route = self.routed.held, self.routed.route
        found[TABLE] = held.mark
        found[REASON] = route.reason.value
        if route.target is not None:
            found[ROUTE] = GENERALIST if route.target == held.plan.generalist else route.target
        if route.fallback:
            found[FALLBACK] = "true"
        if route.task is not None:
            found[TASK] = route.task
        if route.rule is not None:
            found[RULE] = route.rule
        if route.similarity is not None:
            found[SIMILARITY] = f"{route.similarity:.3f}"
        return found


def sticky_key(session: str | None, order: Order, request_id: str) -> str:
    """What keeps a user on one side of a canary: the session, else the user, else nothing."""
    if session:
        return f"session {session}"
    return f"user {order.user}" if order.user else f"request {request_id}"


def asker_of(population: str, session: str | None, order: Order) -> str | None:
    """Hash who asks, so that records can tell people apart and name none; None where nobody is named."""
    if not session and not order.user:
        return None
    words = f"{population}\0{sticky_key(session, order, '')}".encode("utf-8", "surrogatepass")
    return blake2b(words, digest_size=8).hexdigest()


def on_trial(held: Held, chosen: Route) -> bool:
    """Whether the task has a canary that this request could have met."""
    lane = held.plan.lanes.get(chosen.task or "")
    if lane is None or lane.canary is None or chosen.reason not in _RECORDED:
        return False
    return lane.canary.percent > 0 and lane.canary.revision not in held.plan.quarantined


def no_route(chosen: Route, model: str) -> Refusal:
    """Say why nobody answers, and what to do."""
    reason = chosen.reason
    if reason is RouteReason.UNKNOWN_MODEL:
        return Refusal(
            HTTPStatus.NOT_FOUND,
            "invalid_request_error",
            f"model: the population has no {model!r}. GET /v1/models lists what it has.",
            "model",
        )
    if reason in _NO_TASK:
        return Refusal(
            HTTPStatus.NOT_FOUND,
            "invalid_request_error",
            "model: no rule of the population matches this request. Name a task.",
            "model",
        )
    words = {
        RouteReason.NO_LIVE_REVISION: "no live revision serves this task",
        RouteReason.QUARANTINED: "the revision is quarantined",
        RouteReason.NOT_RESIDENT: "no engine has the revision loaded",
        RouteReason.WRONG_MODEL_ANSWERED: "an engine answered in another model's name",
        RouteReason.CLASSIFIER_AWAY: "the classifier does not answer now",
    }.get(reason, reason.value)
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "service_unavailable",
        f"model: {words}, and the population declares no fallback.",
        "model",
        retry=True,
    )
