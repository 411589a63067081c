"""From what the cluster says of a population to the portfolio's terms: the facts that its status rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelecology.api.population import ClassifierStatus, MemberStatus, RouteStatus, TrafficStatus
from modelecology.api.population import Population as ApiPopulation
from modelecology.api.suite import EvaluationSuite
from modelecology.governance.facts import (
    GENERALIST,
    Cost,
    Interval,
    Member,
    Standing,
    SuiteTask,
)
from modelecology.governance.portfolio import Population, generalists
from modelecology.governance.residents import Capacity
from modelecology.governance.rules import Policy
from modelecology.translation import policy, tasks

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
    terms = Terms(standing, tasks(suite.spec), policy(population))
    return _measured(_charged(terms, status.classifier), status.traffic)


def _charged(terms: Terms, classifier: ClassifierStatus | None) -> Terms:
    """Charge what the classifier leads astray, as the operator does."""
    if classifier is None:
        return terms
    shares = {task.task: task.misrouting for task in classifier.tasks}
    found = (replace(t, misrouting=shares.get(t.name, t.misrouting)) for t in terms.tasks)
    return replace(terms, tasks=tuple(found))


def _measured(terms: Terms, traffic: TrafficStatus | None) -> Terms:
    """Weigh by what gateways counted, as the operator does."""
    if traffic is None:
        return terms
    shares = {task.task: task.share for task in traffic.tasks}
    found = (replace(t, traffic=shares.get(t.name, t.traffic)) for t in terms.tasks)
    then = replace(terms.policy, requests_per_day=traffic.requests_per_day)
    return replace(terms, tasks=tuple(found), policy=then)


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
    live = Interval(member.live.low, member.live.high, member.live.confidence) if member.live else None
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
        live,
    )
