"""Where a request goes, and why. Pure: the same plan, facts and key give the same route."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TypeAlias

from modelecology.api.routing import CanaryRoute, Fallback, RouteReason, TaskRoute

from .plan import Examples, Facts, Plan, Rule
from .word import Word

Tried: TypeAlias = tuple[Plan, Rule | None]
"""A plan, and the rule of it that a request matches."""

_MOST_KEY = 256


@dataclass(frozen=True, slots=True)
class Route:
    """Where to: a served name, or None for an error. `wanted` could not serve, where the fallback does.

    `rule` is the place of the rule that chose the task, where the request named the population; `similarity`
    is what the classifier found, where it was asked.
    """

    target: str | None
    reason: RouteReason
    fallback: bool = False
    task: str | None = None
    wanted: str | None = None
    rule: str | None = None
    similarity: float | None = None

    @property
    def by_classifier(self) -> bool:
        """Whether the classifier's word chose the task."""
        return self.task is not None and self.similarity is not None


def route(
    plan: Plan, facts: Facts, sticky: str, word: Word | None = None, tried: Tried | None = None
) -> Route:
    """Route one request; `sticky` keeps a user or a session on one side of a canary.

    `word` is the classifier's, where it was asked before; it counts where no rule matches. Rules that were
    `tried` are not tried again, if they are this plan's.
    """
    if facts.model == plan.population:
        rule = tried[1] if tried is not None and tried[0] is plan else plan.rule_of(facts)
        if rule is None:
            return _by_word(plan, sticky, word)
        return replace(_of_task(plan, rule.task, sticky), rule=rule.place)
    lane = plan.lanes.get(facts.model) or plan.aliases.get(facts.model)
    if lane is not None:
        return _serve(plan, lane, sticky)
    if facts.model in plan.quarantined:
        return fall_back(plan, RouteReason.QUARANTINED, wanted=facts.model)
    if facts.model == plan.generalist:
        return Route(plan.generalist, RouteReason.GENERALIST_ASKED)
    lane = plan.pinned.get(facts.model)
    if lane is not None:
        # Who asks for one that does not serve the task is no traffic of who does.
        return Route(facts.model, RouteReason.PINNED, task=lane.task if facts.model == lane.live else None)
    return fall_back(plan, RouteReason.UNKNOWN_MODEL)


def fall_back(plan: Plan, reason: RouteReason, task: str | None = None, wanted: str | None = None) -> Route:
    """What the population declares for requests that no specialist may answer."""
    if plan.fallback is Fallback.ERROR or plan.generalist in plan.quarantined:
        return Route(None, reason, task=task, wanted=wanted)
    return Route(plan.generalist, reason, fallback=True, task=task, wanted=wanted)


def shadow_of(plan: Plan, chosen: Route, ticket: str) -> str | None:
    """The shadow that gets a copy of a request, if it is among the sampled; each request has its `ticket`.

    Only what the incumbent answers is copied: the live revision or, before there is one, the generalist.
    """
    lane = plan.lanes.get(chosen.task or "")
    if lane is None or lane.shadow is None or chosen.target is None:
        return None
    if chosen.reason not in (RouteReason.LIVE, RouteReason.NO_LIVE_REVISION):
        return None
    shadow = lane.shadow
    if shadow.revision in plan.quarantined or shadow.revision in (chosen.target, plan.generalist):
        return None
    return shadow.revision if _unit(shadow.revision, ticket) < shadow.share else None


def is_sampled(plan: Plan, chosen: Route, ticket: str) -> bool:
    """Whether an answer of a live revision is written down for what may be said of it later."""
    return chosen.reason is RouteReason.LIVE and _unit("recorded", ticket) < plan.recorded


def is_checked(examples: Examples, ticket: str) -> bool:
    """Whether the classifier is checked by a request, if its task is known."""
    return _unit("checked", ticket) < examples.sample


def _by_word(plan: Plan, sticky: str, word: Word | None) -> Route:
    """Route by what the classifier says, as far as the table lets it; anything else falls back."""
    examples = plan.examples
    if examples is None:
        return fall_back(plan, RouteReason.NO_RULE_MATCHED)
    if not examples.routed:
        return fall_back(plan, RouteReason.CLASSIFIER_UNPROVEN)
    if word is None or word.mark != examples.mark:
        # It was not asked, or of the examples of another table.
        return fall_back(plan, RouteReason.CLASSIFIER_AWAY)
    if word.task is None or word.similarity is None:
        chosen = fall_back(plan, word.why or RouteReason.NOTHING_SIMILAR)
    elif word.task not in examples.routed:
        chosen = fall_back(plan, RouteReason.CLASSIFIER_UNPROVEN)
    else:
        chosen = replace(_of_task(plan, word.task, sticky), rule=word.place)
    return replace(chosen, similarity=word.similarity)


def _of_task(plan: Plan, task: str, sticky: str) -> Route:
    lane = plan.lanes.get(task)
    if lane is None:
        return fall_back(plan, RouteReason.NO_LIVE_REVISION, task)
    return _serve(plan, lane, sticky)


def _serve(plan: Plan, lane: TaskRoute, sticky: str) -> Route:
    canary = lane.canary
    if canary is not None and _may_serve(plan, canary.revision) and _meets(canary, sticky):
        return Route(canary.revision, RouteReason.CANARY, task=lane.task)
    if lane.live is None or lane.live == plan.generalist:
        return fall_back(plan, RouteReason.NO_LIVE_REVISION, task=lane.task)
    if lane.live in plan.quarantined:
        return fall_back(plan, RouteReason.QUARANTINED, task=lane.task, wanted=lane.live)
    return Route(lane.live, RouteReason.LIVE, task=lane.task)


def _meets(canary: CanaryRoute, sticky: str) -> bool:
    # The salt is the revision: the next canary tries its luck with other users.
    return 100 * _unit(canary.revision, sticky) < canary.percent


def _may_serve(plan: Plan, name: str) -> bool:
    return name not in plan.quarantined and name != plan.generalist


def _unit(salt: str, key: str) -> float:
    """A number in [0, 1) that looks random and is the same for the same words."""
    words = f"{salt}\0{key[:_MOST_KEY]}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(words, digest_size=8).digest()) / 2**64
