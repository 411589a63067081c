"""From the kinds of the API to the terms of governance, for the operator and for the command line."""

from __future__ import annotations

from fractions import Fraction

from modelecology.api import policy as api
from modelecology.api.population import Population
from modelecology.api.quantities import bytes_of
from modelecology.api.suite import SuiteSpec
from modelecology.api.vocabulary import LiveUnit, OnInconclusive, Scope
from modelecology.governance.facts import SuiteTask
from modelecology.governance.rules import (
    Budget,
    Canary,
    CanaryStep,
    EvidenceRules,
    JudgeRules,
    Limits,
    LiveLimits,
    LiveShadow,
    Policy,
    Prices,
)


def _budget(budget: api.Budget | None) -> Budget | None:
    if budget is None:
        return None
    each = budget.per_specialist
    return Budget(
        budget.window,
        budget.gpu_hours,
        budget.cpu_hours,
        each.gpu_hours if each else None,
        each.cpu_hours if each else None,
    )


def _limits(limits: api.Limits) -> Limits:
    latency, percentile = _latency(limits.latency)
    memory = bytes_of(limits.memory) if limits.memory is not None else None
    return Limits(memory=memory, latency=latency, percentile=percentile)


def _live_limits(rules: api.LiveLimits | None) -> LiveLimits | None:
    if rules is None:
        return None
    latency, percentile = _latency(rules.latency)
    return LiveLimits(
        errors=rules.maximum_errors, latency=latency, percentile=percentile, score=rules.minimum_score
    )


def _latency(limit: api.Latency | None) -> tuple[float | None, int]:
    """Seconds, and the share of the answers that come within them, in per cent."""
    return (None, 90) if limit is None else (limit.most.total_seconds(), limit.percentile)


def _judge(rules: api.Judge | None) -> JudgeRules | None:
    if rules is None:
        return None
    return JudgeRules(rules.name, rules.minimum_agreement, rules.minimum_labelled, rules.bias_margin)


def _live_shadow(rules: api.Shadow) -> LiveShadow | None:
    live = rules.live
    if live is None:
        return None
    late = live.on_inconclusive is OnInconclusive.REJECT
    return LiveShadow(live.minimum_scored, live.minimum_gain, late, _judge(live.judge))


def _canary(rules: api.Promotion) -> Canary | None:
    if rules.steps is None:
        return None
    steps = (CanaryStep(s.percent, s.minimum_scored, s.minimum_duration, s.approval) for s in rules.steps)
    judged = rules.canary or api.Canary()
    late = judged.on_inconclusive is OnInconclusive.REJECT
    return Canary(tuple(steps), judged.tolerance, judged.maximum_errors, judged.maximum_duration, late)


def policy(population: Population) -> Policy:
    """Translate the population's rules."""
    spec = population.spec
    rules = spec.policy
    return Policy(
        confidence=rules.confidence,
        minimum_gap=rules.minimum_gap,
        threshold=rules.viability.threshold,
        horizon=rules.viability.horizon,
        requests_per_day=rules.viability.requests_per_day,
        prices=Prices(
            rules.prices.gpu_hour,
            rules.prices.cpu_hour,
            rules.prices.gib_hour,
            rules.prices.token_million,
            rules.prices.wait_hour,
            rules.prices.stored_gib_hour,
        ),
        minimum_scored=rules.shadow.minimum_scored,
        shadow_maximum=rules.shadow.maximum_duration,
        undo_window=rules.retirement.undo_window,
        budget=_budget(rules.budget),
        adapters=spec.serving.capacity.adapters,
        max_rank=spec.serving.capacity.max_rank,
        replicas=spec.serving.replicas,
        retries=spec.jobs.retries,
        manual=rules.promotion.mode == "Manual",
        limits=_limits(rules.limits),
        evidence=EvidenceRules(
            method=rules.evidence.method,
            disclosure=rules.evidence.disclosure,
            looks=rules.evidence.looks,
            slices=rules.evidence.slices,
            rounds=rules.evidence.rounds,
            grid=rules.evidence.grid,
            screen=Fraction(str(rules.evidence.screen)),
            minimum_effect=rules.evidence.minimum_effect,
            effect=rules.evidence.effect,
        ),
        misrouting=rules.viability.misrouting,
        reevaluate_every=rules.viability.reevaluate_every,
        memory=spec.serving.capacity.memory_bytes,
        automatic_retirement=rules.retirement.mode == "Automatic",
        retirement_grace=rules.retirement.grace,
        retire_by_point=rules.retirement.basis == "Point",
        idle_after=rules.retirement.idle_after,
        live_shadow=_live_shadow(rules.shadow),
        canary=_canary(rules.promotion),
        unit_is_request=rules.evidence.live_unit is LiveUnit.REQUEST,
        quarantine=_live_limits(rules.quarantine),
    )


def tasks(suite: SuiteSpec) -> tuple[SuiteTask, ...]:
    """Translate the suite's tasks."""
    return tuple(
        SuiteTask(
            t.name,
            t.role,
            t.scope or Scope.ADAPTER,
            t.share,
            t.price,
            t.max_regression,
            t.floor,
            t.must_pass,
        )
        for t in suite.tasks
    )
