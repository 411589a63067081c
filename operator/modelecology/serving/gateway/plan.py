"""A routing table made ready for use: names looked up at once, and rules compiled. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic_core import SchemaValidator, core_schema

from modelecology.api.routing import Fallback, MatchBy, MatchRule, RoutingTable, TaskRoute

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
class _Rule:
    task: str
    by: MatchBy
    name: str
    found: _Found

    def matches(self, facts: Facts) -> bool:
        if self.by is MatchBy.HEADER:
            value = facts.headers.get(self.name)
        elif self.by is MatchBy.METADATA:
            value = facts.metadata.get(self.name)
        else:
            value = facts.text[:MOST_TEXT]
        return value is not None and self.found(value)


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
    rules: tuple[_Rule, ...]
    header_names: tuple[str, ...]

    def task_of(self, facts: Facts) -> str | None:
        """The task of the first rule that matches."""
        return next((rule.task for rule in self.rules if rule.matches(facts)), None)

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
    rules = tuple(_compiled(rule) for rule in table.rules)
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
    )


def _compiled(rule: MatchRule) -> _Rule:
    name = rule.name or ""
    if rule.by is MatchBy.HEADER:
        return _Rule(rule.task, rule.by, name.lower(), rule.value.__eq__)
    if rule.by is MatchBy.METADATA:
        return _Rule(rule.task, rule.by, name, rule.value.__eq__)
    pattern = rule.value if rule.by is MatchBy.REGEX else _phrase(rule.value)
    return _Rule(rule.task, rule.by, name, _search(pattern))


def _phrase(value: str) -> str:
    literal = "".join(f"\\x{{{ord(character):x}}}" for character in value)
    return rf"(?i)(?:^|\W){literal}(?:\W|$)"


def _search(pattern: str) -> _Found:
    # pydantic's own engine: its time is linear in the text, so no pattern can hold up the gateway.
    return SchemaValidator(core_schema.str_schema(pattern=pattern)).isinstance_python
