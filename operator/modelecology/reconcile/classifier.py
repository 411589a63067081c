"""What was measured of a population's classifier: where its word routes, and what its errors are charged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modelecology.api.population import (
    ClassifierStatus,
    ConfusionStatus,
    MistakenStatus,
    Population,
)
from modelecology.api.routing import ClassifierRoute, MatchRule, RoutingTable, classifier_mark
from modelecology.api.serving import Classifier
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import MatchBy
from modelecology.governance.facts import SuiteTask
from modelecology.governance.misrouting import Checks, ClassifierRules, Confusion, confusions, mistakes
from modelecology.governance.routing import MOST_RULES, in_order

from .matching import contract_of, rule_of
from .usage import Counted

_MOST_TASKS, _MOST_MISTAKES = 32, 16  # as the CRD says


@dataclass(frozen=True, slots=True)
class Measured:
    """The classifier with its examples, and how right it is about each task that has some."""

    mark: str
    checks: Checks
    tasks: tuple[Confusion, ...]

    @property
    def routed(self) -> tuple[str, ...]:
        """Name the tasks that its word routes to."""
        return tuple(each.task for each in self.tasks if each.routed)


def classifier_of(
    population: Population, specialists: Iterable[Specialist], counted: Counted | None
) -> Measured | None:
    """Measure the classifier of a population by what gateways counted; None where there is none."""
    if population.spec.serving.classifier is None:
        return None
    contracts = (contract_of(s) for s in specialists if s.metadata.deletion_timestamp is None)
    rules = in_order(sorted(contracts, key=lambda c: (c.specialist, c.uid)))[:MOST_RULES]
    return measured(population, [rule_of(each) for each in rules], counted)


def measured(population: Population, rules: Iterable[MatchRule], counted: Counted | None) -> Measured | None:
    """Measure it with these examples; None where there is no classifier, or no example."""
    asked = population.spec.serving.classifier
    examples = [rule for rule in rules if rule.by is MatchBy.EXAMPLE]
    if asked is None or not examples:
        return None
    mark = classifier_mark(bare_route(asked), examples)
    checks = counted.checks(mark) if counted is not None else {}
    known = ClassifierRules(asked.minimum_accuracy, asked.minimum_checked)
    tasks = {rule.task for rule in examples}
    return Measured(mark, checks, confusions(tasks, checks, known, population.spec.policy.confidence))


def classifier_route(
    population: Population,
    rules: tuple[MatchRule, ...],
    counted: Counted | None,
    last: RoutingTable | None,
) -> ClassifierRoute | None:
    """Say what the table says of the classifier; it routes to a task only where it is proven to be right.

    Until the records were read since the start, what the last table says of the same classifier stands.
    """
    asked, found = population.spec.serving.classifier, measured(population, rules, counted)
    if asked is None or found is None:
        return None
    routed, bare = found.routed, bare_route(asked)
    before = last.classifier if last is not None else None
    if counted is None and last is not None and before is not None:
        same = classifier_mark(before, last.rules) == found.mark
        routed = before.tasks if same else ()
    return bare.model_copy(update={"tasks": routed})


def bare_route(asked: Classifier) -> ClassifierRoute:
    """Write a population's classifier as the table has it, with no task yet."""
    return ClassifierRoute(
        endpoint=asked.endpoint,
        model=asked.model,
        minimum_similarity=asked.minimum_similarity,
        sample=asked.sample,
    )


def classifier_status(found: Measured | None, tasks: tuple[SuiteTask, ...]) -> ClassifierStatus | None:
    """Show what was measured, and what each task is charged."""
    if found is None:
        return None
    shares = {task.name: task.misrouting for task in tasks}
    rows = (
        ConfusionStatus(
            task=each.task,
            right=each.right,
            elsewhere=each.elsewhere,
            strangers=each.strangers,
            unsaid=each.unsaid,
            accuracy=round(each.accuracy, 4),
            routed=each.routed,
            misrouting=shares.get(each.task, 0.0),
        )
        for each in found.tasks[:_MOST_TASKS]
    )
    mistaken = (
        MistakenStatus(task=each.task, taken_for=each.taken_for, requests=each.requests)
        for each in mistakes(found.checks, _MOST_MISTAKES)
    )
    return ClassifierStatus(mark=found.mark, tasks=tuple(rows), mistaken=tuple(mistaken))
