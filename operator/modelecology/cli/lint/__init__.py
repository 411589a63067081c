"""`lint`: manifests checked without a cluster, by the same models, schemas and rules that the cluster has."""

from __future__ import annotations

import functools
from typing import Any, TextIO

from pydantic import BaseModel, ValidationError

from modelecology.api.meta import API_VERSION, GROUP
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.crds import KINDS, Kind, definition

from . import references, rules
from .documents import Document, read
from .findings import Finding, LintResult, Path, Severity, field_name
from .structural import Problem, Schema, inspect

__all__ = ["LintResult", "lint"]


def lint(files: list[str], stdin: TextIO) -> LintResult:
    """Check all documents of the files together; other groups' kinds are noted and skipped."""
    documents, findings = read(files, stdin)
    known = {kind.name: kind for kind in KINDS}
    parsed: list[references.Parsed] = []
    skipped = 0
    for document in documents:
        kind = known.get(document.kind) if document.api_version == API_VERSION else None
        if kind is None:
            skipped += 1
            findings.append(_unknown(document))
            continue
        found, model = _check(document, kind)
        findings += found
        parsed.append(references.Parsed(document, model))
    findings += references.check(parsed)
    order = {name: position for position, name in enumerate(dict.fromkeys(f.place.file for f in findings))}
    findings.sort(key=lambda f: (order[f.place.file], f.place.line, f.place.column, f.field))
    return LintResult(tuple(findings), len(parsed), skipped)


def _unknown(document: Document) -> Finding:
    ours = document.api_version.partition("/")[0] == GROUP
    if not document.kind or not document.api_version:
        message, remedy = (
            "apiVersion and kind are needed to tell what it is.",
            f"Write apiVersion: {API_VERSION}.",
        )
        return Finding(Severity.ERROR, document.place(), document.subject, "kind", message, remedy)
    if ours:
        names = ", ".join(kind.name for kind in KINDS)
        message = f"{document.api_version} has no kind {document.kind}."
        remedy = f"Use {API_VERSION} and one of: {names}."
        return Finding(Severity.ERROR, document.place(("kind",)), document.subject, "kind", message, remedy)
    message = f"{document.api_version} {document.kind} is not of {GROUP}, and was skipped."
    return Finding(Severity.NOTE, document.place(("kind",)), document.subject, "kind", message)


def _check(
    document: Document, kind: Kind
) -> tuple[list[Finding], Population | Specialist | EvaluationSuite | None]:
    problems = [
        Problem(path, "stands twice in the same object.", "Take one of them out.")
        for path in document.repeated
    ]
    problems += _metadata(document)
    inspection = inspect(document.value, _schema(kind.name))
    problems += inspection.problems
    problems += rules.check(inspection.spots)
    model, faults = _model(document, kind.model)
    # The schema's word comes first; the model speaks up only where the schema is silent.
    told = [p.path for p in problems if not p.note]
    problems += [fault for fault in faults if not any(_related(fault.path, path) for path in told)]
    return [_finding(document, problem) for problem in problems], model


@functools.cache
def _schema(kind: str) -> Schema:
    found = next(k for k in KINDS if k.name == kind)
    schema: dict[str, Any] = definition(found)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _metadata(document: Document) -> list[Problem]:
    problems: list[Problem] = []
    if not document.name:
        remedy = "Add a name of lower-case letters, digits and dashes."
        problems.append(Problem(("metadata", "name"), "is required, and missing.", remedy))
    if "status" in document.value:
        message = "is written by the operator alone, and ignored here."
        problems.append(Problem(("status",), message, "Take it out.", note=True))
    return problems


def _model(
    document: Document, model: type[BaseModel]
) -> tuple[Population | Specialist | EvaluationSuite | None, list[Problem]]:
    given = {name: part for name, part in document.value.items() if name in ("metadata", "spec")}
    try:
        parsed = model.model_validate(given)
    except ValidationError as error:
        return None, [
            Problem(tuple(e["loc"]), f"{e['msg'].removeprefix('Value error, ')}.") for e in error.errors()
        ]
    return (parsed if isinstance(parsed, Population | Specialist | EvaluationSuite) else None), []


def _related(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _finding(document: Document, problem: Problem) -> Finding:
    severity = Severity.NOTE if problem.note else Severity.ERROR
    place = document.place(problem.path)
    return Finding(
        severity, place, document.subject, field_name(problem.path), problem.message, problem.remedy
    )
