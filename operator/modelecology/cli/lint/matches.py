"""The rules of contract.match: what gateways cannot use, what is never reached, and where is no gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelecology.api.matching import Match, pattern_fault
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist

from .documents import Document
from .findings import Finding, Path, Severity, field_name

_MATCH: Path = ("spec", "contract", "match")


def check_patterns(document: Document, specialist: Specialist) -> Iterator[Finding]:
    """Find the patterns that no gateway could use; the operator would leave them out."""
    for place, rule in enumerate(specialist.spec.contract.rules):
        fault = None if rule.regex is None else pattern_fault(rule.regex)
        if fault is not None:
            path = (*_MATCH, place, "regex")
            message = f"gateways cannot use this pattern: {fault}."
            remedy = "Write it in the syntax of RE2, and shorter if it is too large."
            yield Finding(
                Severity.ERROR, document.place(path), document.subject, field_name(path), message, remedy
            )


def check_gateway(document: Document, specialist: Specialist, population: Population) -> Iterator[Finding]:
    """Note rules that nobody would follow: without a gateway any, and examples without a classifier."""
    if specialist.spec.contract.rules and population.spec.serving.gateway is None:
        name = population.metadata.name
        message = f"Population {name} has no spec.serving.gateway, so no rule is followed."
        yield _note(document, _MATCH, message, "Set spec.serving.gateway there.")
        return
    if population.spec.serving.classifier is not None:
        return
    for place, rule in enumerate(specialist.spec.contract.rules):
        if rule.example is not None:
            message = f"Population {population.metadata.name} has no classifier, so no example counts."
            remedy = "Set spec.serving.gateway.classifier there, or take the examples out."
            yield _note(document, (*_MATCH, place, "example"), message, remedy)
            return


def check_reach(specialists: Iterable[tuple[Document, Specialist]]) -> Iterator[Finding]:
    """Note rules that are never reached: another Specialist has the same before, for another task."""
    first: dict[tuple[str, str, Match], Specialist] = {}
    for document, specialist in sorted(specialists, key=lambda each: each[1].metadata.name):
        contract = specialist.spec.contract
        for place, rule in enumerate(contract.rules):
            where = (document.namespace, specialist.spec.population_ref.name, rule)
            winner = first.setdefault(where, specialist)
            if winner.spec.contract.task != contract.task:
                other = f"Specialist {winner.metadata.name}, for task {winner.spec.contract.task}"
                message = f"the same rule of {other}, goes before it, so it is never reached."
                yield _note(document, (*_MATCH, place), message, "Take one of them out.")


def _note(document: Document, path: Path, message: str, remedy: str) -> Finding:
    return Finding(Severity.NOTE, document.place(path), document.subject, field_name(path), message, remedy)
