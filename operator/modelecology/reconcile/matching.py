"""A contract's rules of routing: what is told to the routing table, and what no gateway could use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from modelecology.api.matching import Match, pattern_fault
from modelecology.api.meta import Condition, ConditionType
from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import MatchBy, Target
from modelecology.governance.routing import Contract
from modelecology.governance.routing import Match as Wanted

from .conditions import said, with_remedy


def contract_of(specialist: Specialist) -> Contract:
    """Translate what a Specialist claims; one that its owner retires claims no requests."""
    meta, contract = specialist.metadata, specialist.spec.contract
    retired = specialist.spec.lifecycle.target is Target.RETIRED
    rules = () if retired else tuple(w for each in contract.rules for w in _wanted(each))
    return Contract(meta.name, meta.log_uid, contract.task, rules)


def match_refused(specialist: Specialist, now: datetime) -> tuple[Condition, ...]:
    """State which patterns no gateway could use; nothing where all are good."""
    faults = [
        f"spec.contract.match[{place}].regex: {fault}"
        for place, rule in enumerate(specialist.spec.contract.rules)
        if rule.regex is not None and (fault := pattern_fault(rule.regex)) is not None
    ]
    if not faults:
        return ()
    reason, meta = Reason.MATCH_PATTERN_UNUSABLE, specialist.metadata
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
