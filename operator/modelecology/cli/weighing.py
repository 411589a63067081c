"""From what the cluster says of a population to the portfolio's terms: the facts that its status rests on."""

from __future__ import annotations

from dataclasses import dataclass

from modelecology.api.population import MemberStatus, RouteStatus
from modelecology.api.population import Population as ApiPopulation
from modelecology.api.suite import EvaluationSuite
from modelecology.api.vocabulary import Scope
from modelecology.governance.facts import (
    GENERALIST,
    Cost,
    Interval,
    Member,
    Policy,
    Prices,
    Standing,
    SuiteTask,
)
from modelecology.governance.portfolio import Population, generalists
from modelecology.governance.residents import Capacity

from .port import CliError


@dataclass(frozen=True, slots=True)
class Terms:
    """What a population is weighed by."""

    standing: Standing
    tasks: tuple[SuiteTask, ...]
    policy: Policy

    @property
    def population(self) -> Population:
        """What serves."""
        return Population(generalists(self.standing.generalist), self.standing.members)

    @property
    def capacity(self) -> Capacity:
        """What every engine holds."""
        return Capacity(self.policy.adapters, self.policy.memory)


def terms_of(population: ApiPopulation, suite: EvaluationSuite | None) -> Terms:
    """Read the terms of a population. Raises `CliError` while the operator has not measured it."""
    name, status = population.metadata.name, population.status
    if suite is None:
        raise CliError(
            f"The suite {population.spec.suite_ref.name} of {name} does not exist.",
            "Create it, or mend spec.suiteRef.name.",
        )
    if not status.routes:
        raise CliError(
            f"Nothing of {name} is measured on its suite yet.",
            f"Wait for it: kubectl ecology status {name} -w.",
        )
    standing = Standing(
        generalist=tuple(_route(route) for route in status.routes),
        members=tuple(_member(member) for member in status.members),
    )
    return Terms(standing, _tasks(suite), _policy(population))


def _route(route: RouteStatus) -> Member:
    return Member(
        GENERALIST,
        route.task,
        route.quality,
        0,
        route.quality_low,
        route.quality_high,
        tokens=route.tokens,
        seconds=route.seconds,
    )


def _member(member: MemberStatus) -> Member:
    lead = member.lead
    return Member(
        member.served_name,
        member.task,
        member.quality,
        member.resident_bytes,
        member.quality_low,
        member.quality_high,
        member.over,
        Interval(lead.low, lead.high, lead.confidence) if lead is not None else None,
        member.tokens,
        member.seconds,
        Cost(member.review_cpu_seconds, member.review_gpu_seconds),
    )


def _tasks(suite: EvaluationSuite) -> tuple[SuiteTask, ...]:
    return tuple(
        SuiteTask(t.name, t.role, t.scope or Scope.ADAPTER, t.share, t.price, t.max_regression)
        for t in suite.spec.tasks
    )


def _policy(population: ApiPopulation) -> Policy:
    """Translate what the portfolio looks at, and the rest of the policy along with it."""
    spec, rules = population.spec, population.spec.policy
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
        ),
        minimum_scored=rules.shadow.minimum_scored,
        shadow_maximum=rules.shadow.maximum_duration,
        undo_window=rules.retirement.undo_window,
        budget=None,
        adapters=spec.serving.capacity.adapters,
        max_rank=spec.serving.capacity.max_rank,
        replicas=len(spec.serving.endpoints),
        retries=spec.jobs.retries,
        misrouting=rules.viability.misrouting,
        reevaluate_every=rules.viability.reevaluate_every,
        memory=spec.serving.capacity.memory_bytes,
        retire_by_point=rules.retirement.basis == "Point",
    )
