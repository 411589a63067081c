"""A contract's rules of routing: what is told to the routing table, and what no gateway could use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from modelecology.api.matching import Match, pattern_fault
from modelecology.api.meta import Condition, ConditionType
from modelecology.api.population import Population
from modelecology.api.reasons import Reason
from modelecology.api.routing import MatchRule
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import MatchBy, Target
from modelecology.governance.routing import Contract, Rule
from modelecology.governance.routing import Match as Wanted

from .conditions import said, with_remedy


def contract_of(specialist: Specialist, *, examples: bool = True) -> Contract:
    """Translate what a Specialist claims; one that its owner retires claims no requests.

    Without a classifier no example counts.
    """
    meta, contract = specialist.metadata, specialist.spec.contract
    retired = specialist.spec.lifecycle.target is Target.RETIRED
    wanted = () if retired else tuple(w for each in contract.rules for w in _wanted(each))
    rules = tuple(w for w in wanted if examples or w.by is not MatchBy.EXAMPLE)
    return Contract(meta.name, meta.log_uid, contract.task, rules)


def rule_of(found: Rule) -> MatchRule:
    """Write a rule as the table has it."""
    match = found.match
    return MatchRule(task=found.task, by=match.by, name=match.name, value=match.value)


def match_refused(
    specialist: Specialist, population: Population | None, now: datetime
) -> tuple[Condition, ...]:
    """State which rules no gateway could use; nothing where all are good.

    Those are patterns that they cannot read, and examples where the population has no classifier.
    """
    faults = [
        f"spec.contract.match[{place}].regex: {fault}"
        for place, rule in enumerate(specialist.spec.contract.rules)
        if rule.regex is not None and (fault := pattern_fault(rule.regex)) is not None
    ]
    reason, meta = Reason.MATCH_PATTERN_UNUSABLE, specialist.metadata
    if not faults and population is not None and population.spec.serving.classifier is None:
        reason = Reason.CLASSIFIER_MISSING
        faults = [
            f"spec.contract.match[{place}].example: Population {population.metadata.name} has no classifier"
            for place, rule in enumerate(specialist.spec.contract.rules)
            if rule.example is not None
        ][:1]
    if not faults:
        return ()
    return (
        said(
            specialist.status.conditions,
            ConditionType.MATCH_REFUSED,
            True,
            reason,
            with_remedy(reason, "; ".join(faults), meta.name),
            generation=meta.generation,
            now=now,
        ),
    )


def _wanted(rule: Match) -> Iterator[Wanted]:
    """Translate a rule; one that no gateway could use is left out, and the rest of its contract stands."""
    if rule.header is not None:
        yield Wanted(MatchBy.HEADER, rule.header.value, rule.header.name)
    elif rule.metadata is not None:
        yield Wanted(MatchBy.METADATA, rule.metadata.value, rule.metadata.key)
    elif rule.keyword is not None:
        yield Wanted(MatchBy.KEYWORD, rule.keyword)
    elif rule.regex is not None and pattern_fault(rule.regex) is None:
        yield Wanted(MatchBy.REGEX, rule.regex)
    elif rule.example is not None:
        yield Wanted(MatchBy.EXAMPLE, rule.example)
