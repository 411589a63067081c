"""What the documents of one lint run say of each other: names, references, ranks, and sealed data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelecology.api.meta import DataRef
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.api.vocabulary import Role

from . import matches
from .documents import Document
from .findings import Finding, Path, Severity, field_name


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document of a known kind; `model` is None when it is broken: then only its name counts."""

    document: Document
    model: Population | Specialist | EvaluationSuite | None


def check(parsed: list[Parsed]) -> list[Finding]:
    """Check every reference between the given documents of one namespace."""
    findings = list(_duplicates(p.document for p in parsed))
    index = _Index(parsed)
    for entry in parsed:
        if isinstance(entry.model, Population):
            findings += _population(entry.document, entry.model, index)
        elif isinstance(entry.model, Specialist):
            findings += _specialist(entry.document, entry.model, index)
            findings += matches.check_patterns(entry.document, entry.model)
    findings += matches.check_reach((p.document, p.model) for p in parsed if isinstance(p.model, Specialist))
    return findings


class _Index:
    """Finds documents by kind, namespace and name."""

    def __init__(self, parsed: list[Parsed]) -> None:
        self._found = {(p.document.kind, p.document.namespace, p.document.name): p for p in parsed}
        self._kinds = {p.document.kind for p in parsed}

    def find(self, kind: str, near: Document, name: str) -> Parsed | None:
        """Find an object in the namespace of another."""
        return self._found.get((kind, near.namespace, name))

    def missing(self, near: Document, path: Path, kind: str, name: str) -> Finding:
        """Say that a referent is not here: an error where its kind is, else a note."""
        here = ", ".join(sorted(n for k, ns, n in self._found if k == kind and ns == near.namespace))
        if kind in self._kinds:
            message = f"no {kind} {name} is in these files."
            remedy = f"Name one of: {here}." if here else f"Put the {kind} into the same namespace."
            return _error(near, path, message, remedy)
        message = f"no {kind} is in these files, so the reference to {name} was not checked."
        return Finding(Severity.NOTE, near.place(path), near.subject, field_name(path), message)


def _duplicates(documents: Iterable[Document]) -> Iterator[Finding]:
    first: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        key = (document.kind, document.namespace, document.name)
        if not document.name:
            continue
        if key in first:
            place = first[key].place(("metadata", "name"))
            message = f"{document.subject} is already defined at {place.file}:{place.line}."
            yield _error(document, ("metadata", "name"), message, "Rename one, or take it out.")
        first.setdefault(key, document)


def _population(document: Document, population: Population, index: _Index) -> Iterator[Finding]:
    name = population.spec.suite_ref.name
    if index.find("EvaluationSuite", document, name) is None:
        yield index.missing(document, ("spec", "suiteRef", "name"), "EvaluationSuite", name)


def _specialist(document: Document, specialist: Specialist, index: _Index) -> Iterator[Finding]:
    name = specialist.spec.population_ref.name
    found = index.find("Population", document, name)
    if found is None:
        yield index.missing(document, ("spec", "populationRef", "name"), "Population", name)
        return
    population = found.model
    if not isinstance(population, Population):
        return
    yield from _rank(document, specialist, population)
    yield from matches.check_gateway(document, specialist, population)
    # A missing suite is said once, at its population.
    suite = index.find("EvaluationSuite", document, population.spec.suite_ref.name)
    if suite is not None and isinstance(suite.model, EvaluationSuite):
        yield from _task(document, specialist, suite.model)
        yield from _sealed(document, specialist, suite.model)


def _rank(document: Document, specialist: Specialist, population: Population) -> Iterator[Finding]:
    train = specialist.spec.source.train
    most = population.spec.serving.capacity.max_rank
    if train is not None and train.lora.rank > most:
        where = f"spec.serving.capacity.maxRank of Population {population.metadata.name}"
        message = f"rank {train.lora.rank} is above {most}, the {where}."
        yield _error(
            document,
            ("spec", "source", "train", "lora", "rank"),
            message,
            "Lower the rank, or raise maxRank.",
        )


def _task(document: Document, specialist: Specialist, suite: EvaluationSuite) -> Iterator[Finding]:
    path = ("spec", "contract", "task")
    name = specialist.spec.contract.task
    task = suite.spec.task(name)
    traded = ", ".join(t.name for t in suite.spec.tasks if t.role is Role.TASK)
    if task is None:
        message = f"EvaluationSuite {suite.metadata.name} has no task {name}."
        yield _error(document, path, message, f"Name one of: {traded}.")
    elif task.role is Role.INVARIANT:
        message = f"{name} is an invariant of EvaluationSuite {suite.metadata.name}, which is never traded."
        yield _error(document, path, message, f"Name one of: {traded}.")


def _sealed(document: Document, specialist: Specialist, suite: EvaluationSuite) -> Iterator[Finding]:
    train = specialist.spec.source.train
    if train is None:
        return
    given: list[tuple[str, DataRef]] = [("data", train.data)]
    if train.replay is not None:
        given.append(("replay", train.replay))
    for label, data in given:
        for task in suite.spec.tasks:
            if data.digest == task.data.digest:
                what, field = "digest", "digest"
            elif data.uri == task.data.uri:
                what, field = "file", "uri"
            else:
                continue
            message = (
                f"this is the sealed {what} of task {task.name} in EvaluationSuite {suite.metadata.name}."
            )
            remedy = "Train on other rows; the suite must stay unseen."
            yield _error(document, ("spec", "source", "train", label, field), message, remedy)


def _error(document: Document, path: Path, message: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, document.place(path), document.subject, field_name(path), message, remedy)
