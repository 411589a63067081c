"""`lint`: what it refuses, where, and with which remedy."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from modelecology.cli.lint import LintResult, lint
from modelecology.cli.lint.findings import Finding, Severity
from modelecology.cli.lint.report import render_lint

from ..api.manifests import Manifest, Wrong, changed, good, wrong


def linted(*manifests: Manifest) -> LintResult:
    # As JSON, for PyYAML would write "1e-3" without quotes, which kubectl takes for a number.
    return lint(["-"], io.StringIO("\n---\n".join(map(json.dumps, manifests))))


def errors(*manifests: Manifest) -> list[str]:
    return [f"{f.subject}: {f.field}: {f.message} {f.remedy}" for f in linted(*manifests).errors]


def desk(**changes: dict[str, Any]) -> list[Manifest]:
    """The good suite, population and specialist, with changes by kind."""
    return [changed(good(kind), changes.get(kind, {})) for kind in ("suite", "population", "specialist")]


def text_of(text: str) -> list[Finding]:
    return list(lint(["-"], io.StringIO(text)).findings)


def test_good_manifests_pass_without_a_word() -> None:
    result = linted(*desk())
    assert result.findings == ()
    assert (result.checked, result.skipped, result.ok) == (3, 0, True)


@pytest.mark.parametrize("case", wrong(), ids=lambda case: case.name)
def test_what_the_api_server_refuses_lint_refuses_at_the_same_field(case: Wrong) -> None:
    found = linted(case.manifest).errors
    assert found, "lint passed what the API server refuses"
    said = [f.field for f in found]
    assert any(related(field, case.field) for field in said), f"{said} instead of {case.field}"


def related(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def test_every_rule_of_every_kind_can_be_evaluated_here() -> None:
    notes = [
        f for kind in ("suite", "population", "specialist", "decision") for f in linted(good(kind)).findings
    ]
    assert [n.message for n in notes if "was not checked here" in n.message] == []


def test_the_line_is_that_of_the_field() -> None:
    text = (
        "# a comment\n"
        "apiVersion: modelecology.io/v1alpha1\n"
        "kind: Specialist\n"
        "metadata: {name: dates}\n"
        "spec:\n"
        "  populationRef: {name: desk}\n"
        "  contract:\n"
        "    task: dates\n"
        "    target: 1.5\n"
        "    owner: me\n"
        "  source:\n"
        "    train:\n"
        "      data: {uri: 'file:///d', digest: 'sha256:" + "a" * 64 + "'}\n"
        "      lora: {rnak: 8}\n"
    )
    found = [(f.place.line, f.place.column, f.field) for f in text_of(text) if f.severity is Severity.ERROR]
    assert found == [(9, 5, "spec.contract.target"), (14, 14, "spec.source.train.lora.rnak")]


def test_a_misspelt_field_is_told_its_name() -> None:
    assert errors(changed(good("specialist"), {"spec.contract.taks": "dates"})) == [
        "Specialist/dates: spec.contract.taks: is not a field of this kind. Did you mean task?"
    ]


def test_a_reserved_field_says_what_to_do_whatever_stands_in_it() -> None:
    found = errors(changed(good("specialist"), {"spec.source.merge": {"app": "engine"}}))
    assert len(found) == 1
    assert found[0].startswith("Specialist/dates: spec.source.merge: source.merge is not implemented")


def test_a_number_where_kubectl_sends_a_number_is_refused_like_there() -> None:
    text = json.dumps(good("specialist")).replace('"1e-3"', "1e-3")
    found = [f.message for f in text_of(text) if f.severity is Severity.ERROR]
    assert found == ["0.001 is of type number, but must be a string."]


def test_a_default_is_filled_in_before_a_rule_is_asked() -> None:
    specialist = good("specialist")
    del specialist["spec"]["source"]["train"]["recipe"]["batchSize"]
    assert linted(specialist).ok


def test_a_repeated_key_is_refused() -> None:
    text = "apiVersion: v1\nkind: Specialist\nkind: Population\napiVersion: modelecology.io/v1alpha1\n"
    assert [f.field for f in text_of(text) if "stands twice" in f.message] == ["kind", "apiVersion"]


def test_text_that_is_no_yaml_names_its_line() -> None:
    found = text_of("apiVersion: v1\nkind: [\n")
    assert [f.severity for f in found] == [Severity.ERROR]
    assert found[0].place.line == 3
    assert "not YAML" in found[0].message


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "- 1\n", "just words\n", "? {a: 1}\n: 2\n"])
def test_a_document_that_is_no_object_is_refused(text: str) -> None:
    assert [f.severity for f in text_of(text)] == [Severity.ERROR]


def test_an_alias_bomb_ends_soon() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert "stand for too much" in text_of(f"l0: &l0 [x, x]\n{levels}")[0].message


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    result = lint([str(tmp_path / "absent.yaml")], io.StringIO())
    assert [f.message for f in result.errors] == ["it cannot be read: No such file or directory."]


def test_a_folder_stands_for_its_manifests(tmp_path: Path) -> None:
    for manifest in desk():
        (tmp_path / f"{manifest['kind']}.yaml").write_text(json.dumps(manifest))
    (tmp_path / "readme.md").write_text("no manifest")
    assert lint([str(tmp_path)], io.StringIO()).checked == 3


def test_the_items_of_a_list_are_checked_one_by_one() -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": desk(specialist={"spec.contract.target": 2})}
    result = linted(items)
    assert result.checked == 3
    assert [f.field for f in result.errors] == ["spec.contract.target"]


def test_other_kinds_are_noted_and_skipped() -> None:
    result = linted({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    assert (result.ok, result.skipped) == (True, 1)
    assert result.findings[0].message == "v1 Secret is not of modelecology.io, and was skipped."


def test_an_unknown_kind_of_our_group_is_an_error() -> None:
    found = errors(changed(good("population"), {"kind": "Populaton"}))
    assert found[0].startswith("Populaton/desk: kind: modelecology.io/v1alpha1 has no kind Populaton.")


def test_a_status_in_a_file_is_noted() -> None:
    result = linted(changed(good("specialist"), {"status": {"state": "Live"}}))
    assert result.ok
    assert "status" in [f.field for f in result.findings]


def test_references_are_notes_where_the_other_kind_is_not_given() -> None:
    result = linted(good("specialist"))
    assert result.ok
    assert [f.message for f in result.findings] == [
        "no Population is in these files, so the reference to desk was not checked."
    ]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        (
            {"specialist": {"spec.populationRef.name": "dekc"}},
            "spec.populationRef.name",
            "Name one of: desk.",
        ),
        ({"population": {"spec.suiteRef.name": "other"}}, "spec.suiteRef.name", "Name one of: desk."),
        ({"specialist": {"spec.contract.task": "french"}}, "spec.contract.task", "Name one of: dates, cron."),
        ({"specialist": {"spec.contract.task": "everyday"}}, "spec.contract.task", "never traded"),
        ({"specialist": {"spec.source.train.lora.rank": 32}}, "spec.source.train.lora.rank", "above 16"),
        (
            {"population": {"metadata.namespace": "team"}, "suite": {"metadata.namespace": "team"}},
            "spec.populationRef.name",
            "Put the Population into the same namespace.",
        ),
    ],
)
def test_a_reference_that_cannot_hold_is_refused(changes: dict[str, Any], field: str, words: str) -> None:
    found = linted(*desk(**changes)).errors
    assert [f.field for f in found] == [field]
    assert words in f"{found[0].message} {found[0].remedy}"


@pytest.mark.parametrize("part", ["data", "replay"])
@pytest.mark.parametrize("same", ["digest", "uri"])
def test_training_on_the_sealed_suite_is_refused(part: str, same: str) -> None:
    sealed = good("suite")["spec"]["tasks"][0]["data"][same]
    found = errors(*desk(specialist={f"spec.source.train.{part}.{same}": sealed}))
    assert len(found) == 1
    assert f"spec.source.train.{part}.{same}: this is the sealed" in found[0]
    assert "Train on other rows" in found[0]


def test_two_objects_of_one_name_are_refused_with_the_place_of_the_first() -> None:
    found = errors(*desk(), good("specialist"))
    assert len(found) == 1
    assert "Specialist/dates is already defined at stdin:" in found[0]


def test_a_reference_to_a_broken_object_is_not_called_missing() -> None:
    found = linted(*desk(population={"spec.policy.confidence": 3})).errors
    assert [f.field for f in found] == ["spec.policy.confidence"]


def test_the_report_reads_like_a_compiler_s() -> None:
    text = render_lint(linted(*desk(specialist={"spec.contract.target": 2}))).plain
    first, summary = text.splitlines()
    assert first.startswith("stdin:")
    assert ": error: Specialist/dates: spec.contract.target: 2 must be at most 1." in first
    assert summary == "3 documents checked, 1 error."


def test_both_modes_of_promotion_are_known() -> None:
    for mode in ("Automatic", "Manual"):
        assert linted(*desk(population={"spec.policy.promotion": {"mode": mode}})).findings == ()
    (wrong_mode,) = errors(changed(good("population"), {"spec.policy.promotion": {"mode": "Perhaps"}}))
    assert "spec.policy.promotion.mode" in wrong_mode


def notes(*manifests: Manifest) -> list[str]:
    return [f"{f.subject}: {f.field}: {f.message}" for f in linted(*manifests).findings]


def test_a_pattern_that_gateways_cannot_use_is_an_error_though_the_api_server_takes_it() -> None:
    manifest = changed(good("specialist"), {"spec.contract.match": [{"regex": r"\Qa.b\E"}]})
    assert errors(manifest) == [
        "Specialist/dates: spec.contract.match[0].regex: gateways cannot use this pattern: unrecognized "
        "escape sequence. Write it in the syntax of RE2, and shorter if it is too large."
    ]


def test_rules_that_no_gateway_follows_or_that_are_never_reached_are_noted() -> None:
    rules = {"spec.contract.match": [{"keyword": "date"}]}
    suite, population, dates = desk(specialist=rules)
    assert notes(suite, population, dates) == [
        "Specialist/dates: spec.contract.match: Population desk has no spec.serving.gateway, so no rule is "
        "followed."
    ]
    population = changed(population, {"spec.serving.gateway": {}})
    same = changed(dates, {"metadata.name": "also"})
    assert notes(suite, population, dates, same) == []
    other = changed(dates, {"metadata.name": "cron", "spec.contract.task": "cron"})
    assert notes(suite, population, dates, other) == [
        "Specialist/dates: spec.contract.match[0]: the same rule of Specialist cron, for task cron, goes "
        "before it, so it is never reached."
    ]


def test_examples_that_no_classifier_looks_at_are_noted() -> None:
    rules = {"spec.contract.match": [{"keyword": "date"}, {"example": "which day?"}, {"example": "when?"}]}
    suite, population, dates = desk(specialist=rules)
    population = changed(population, {"spec.serving.gateway": {"records": "file:///live"}})
    assert notes(suite, population, dates) == [
        "Specialist/dates: spec.contract.match[1].example: Population desk has no classifier, so no example "
        "counts."
    ]
    classifier = {"endpoint": "http://embed:8000", "model": "m", "minimumSimilarity": 0.6}
    population = changed(population, {"spec.serving.gateway.classifier": classifier})
    assert notes(suite, population, dates) == []
