"""A routing table made ready for use: names looked up at once, and rules compiled. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from pydantic_core import SchemaValidator, core_schema

from modelecology.api.routing import Fallback, MatchRule, RoutingTable, TaskRoute, classifier_mark
from modelecology.api.vocabulary import MatchBy

from .embedder import Place

MOST_TEXT = 8192
"""Characters of a message that rules look at, from its beginning."""

_Found: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Facts:
    """What routing may know of a request. Names of headers are in lower case."""

    model: str
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule made ready; `place` is where it stands in the table, and what it looks at, in words."""

    place: str
    task: str
    by: MatchBy
    name: str
    found: _Found

    def matches(self, facts: Facts) -> bool:
        """Say whether a request is one of those that it takes."""
        if self.by is MatchBy.HEADER:
            value = facts.headers.get(self.name)
        elif self.by is MatchBy.METADATA:
            value = facts.metadata.get(self.name)
        else:
            value = facts.text[:MOST_TEXT]
        return value is not None and self.found(value)


@dataclass(frozen=True, slots=True)
class Example:
    """A request of a task, as users write it; `place` is as in a rule."""

    place: str
    task: str
    text: str


@dataclass(frozen=True, slots=True)
class Examples:
    """What the classifier is asked by: all examples, and to which of their tasks its word routes."""

    mark: str
    place: Place
    minimum: float
    sample: float
    routed: frozenset[str]
    each: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What `route` works with: lanes by task, by specialist, and by the revisions that may be asked for."""

    population: str
    generalist: str
    fallback: Fallback
    lanes: Mapping[str, TaskRoute]
    aliases: Mapping[str, TaskRoute]
    pinned: Mapping[str, TaskRoute]
    quarantined: frozenset[str]
    rules: tuple[Rule, ...]
    header_names: tuple[str, ...]
    recorded: float
    examples: Examples | None = None

    def rule_of(self, facts: Facts) -> Rule | None:
        """The first rule that matches."""
        return next((rule for rule in self.rules if rule.matches(facts)), None)

    def names(self) -> frozenset[str]:
        """Every served name that the table speaks of."""
        trials = {
            trial.revision
            for lane in self.lanes.values()
            for trial in (lane.shadow, lane.canary)
            if trial is not None
        }
        return frozenset(trials | self.pinned.keys() | self.quarantined | {self.generalist})


def plan(table: RoutingTable) -> Plan:
    """Make a table ready for use."""
    pinned = {
        name: lane
        for lane in table.routes
        for name in (*lane.pinned, *(() if lane.live is None else (lane.live,)))
    }
    rules = tuple(
        _compiled(place, rule) for place, rule in enumerate(table.rules) if rule.by is not MatchBy.EXAMPLE
    )
    return Plan(
        population=table.population,
        generalist=table.generalist,
        fallback=table.fallback,
        lanes={lane.task: lane for lane in table.routes},
        aliases={lane.specialist: lane for lane in table.routes if lane.specialist is not None},
        pinned=pinned,
        quarantined=frozenset(table.quarantined),
        rules=rules,
        header_names=tuple({rule.name for rule in rules if rule.by is MatchBy.HEADER}),
        recorded=table.recorded or 0.0,
        examples=_examples(table),
    )


def _examples(table: RoutingTable) -> Examples | None:
    classifier = table.classifier
    each = tuple(
        Example(_place(number, rule), rule.task, rule.value)
        for number, rule in enumerate(table.rules)
        if rule.by is MatchBy.EXAMPLE
    )
    if classifier is None or not each:
        return None
    return Examples(
        classifier_mark(classifier, table.rules),
        Place(classifier.endpoint, classifier.model),
        classifier.minimum_similarity,
        classifier.sample,
        frozenset(classifier.tasks) & {example.task for example in each},
        each,
    )


def _place(number: int, rule: MatchRule) -> str:
    return f"rules[{number}] {rule.by}"


def _compiled(place: int, rule: MatchRule) -> Rule:
    name = (rule.name or "").lower() if rule.by is MatchBy.HEADER else rule.name or ""
    return Rule(_place(place, rule), rule.task, rule.by, name, _finder(rule))


def _finder(rule: MatchRule) -> _Found:
    if rule.by in (MatchBy.HEADER, MatchBy.METADATA):
        return rule.value.__eq__
    return _search(rule.value if rule.by is MatchBy.REGEX else _phrase(rule.value))


def _phrase(value: str) -> str:
    literal = "".join(f"\\x{{{ord(character):x}}}" for character in value)
    return rf"(?i)(?:^|\W){literal}(?:\W|$)"


@lru_cache(maxsize=1024)
def _search(pattern: str) -> _Found:
    # pydantic's own engine: its time is linear in the text, so no pattern can hold up the gateway.
    return SchemaValidator(core_schema.str_schema(pattern=pattern)).isinstance_python
