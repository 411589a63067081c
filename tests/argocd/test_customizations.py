"""Health and actions, as Argo CD's own command judges the golden objects by the rendered argocd-cm."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from modelecology.api.reasons import Mover, Reason, mover
from modelecology.api.vocabulary import (
    APPROVE_ANNOTATION,
    QUARANTINE_ANNOTATION,
    RELEASE_ANNOTATION,
    RETRY_ANNOTATION,
    State,
)
from modelecology.cli.retry import RETRYABLE
from testbed.argocd import ArgoCDFailed

from . import admin
from .cases import (
    KINDS,
    TREE,
    ActionCase,
    DiscoveryCase,
    HealthCase,
    action_cases,
    discovery_cases,
    health_cases,
)

SPECIALISTS = TREE / "modelecology.io" / "Specialist"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


@pytest.mark.parametrize("case", health_cases(), ids=lambda c: f"{c.input.parts[-3]}/{c.input.stem}")
def test_the_health_of_each_golden_object_is_as_written(case: HealthCase) -> None:
    assert admin.health(case.input) == (case.status, case.message)


@pytest.mark.parametrize("case", discovery_cases(), ids=lambda c: c.input.stem)
def test_an_object_offers_the_actions_that_would_do_something(case: DiscoveryCase) -> None:
    assert admin.offered(case.input) == case.offered


@pytest.mark.parametrize("case", action_cases(), ids=lambda c: f"{c.action}-{c.input.stem}")
def test_an_action_leaves_the_object_as_written_or_says_why_not(case: ActionCase) -> None:
    if case.output is None:
        with pytest.raises(ArgoCDFailed, match=re.escape(case.error)):
            admin.act(case.input, case.action)
        return
    found = admin.act(case.input, case.action)
    assert _timeless(found) == yaml.safe_load(case.output.read_text())


def test_every_golden_object_has_its_health_and_every_kind_a_script() -> None:
    tested = {case.input for case in health_cases()}
    assert tested == set(TREE.glob("*/*/testdata/*.yaml"))
    assert [kind.name for kind in KINDS] == ["Decision", "EvaluationSuite", "Population", "Specialist"]
    assert all((kind / "health.lua").exists() for kind in KINDS)


def test_there_is_a_golden_specialist_for_every_state() -> None:
    objects = (yaml.safe_load(path.read_text()) for path in SPECIALISTS.glob("testdata/*.yaml"))
    assert {o["status"]["state"] for o in objects if "status" in o} == set(State)


def test_what_a_person_or_evidence_has_to_move_is_never_called_progressing() -> None:
    seen = set()
    for case in health_cases():
        conditions = yaml.safe_load(case.input.read_text()).get("status", {}).get("conditions", ())
        reason = next((c["reason"] for c in conditions if c["type"] == "Ready"), "")
        if reason and mover(reason) is not Mover.NOBODY and case.input.parts[-3] == "Specialist":
            seen.add(reason)
            assert case.status in ("Suspended", "Degraded"), case.input.stem
    assert Reason.AWAITING_APPROVAL in seen


def test_the_health_script_names_reasons_that_exist() -> None:
    script = (SPECIALISTS / "health.lua").read_text()
    named = re.findall(r"^  (\w+) = true,$", script, re.MULTILINE)
    assert len(named) >= 7
    assert set(named) <= set(Reason)


def test_retry_is_offered_in_the_states_of_the_command_line() -> None:
    for case in discovery_cases():
        state = yaml.safe_load(case.input.read_text()).get("status", {}).get("state", "Pending")
        assert ("retry" in case.offered) == (state in RETRYABLE), case.input.stem


def test_the_actions_write_the_annotations_that_the_operator_reads() -> None:
    approved, retried = (
        yaml.safe_load((SPECIALISTS / "actions" / "testdata" / name).read_text())
        for name in ("approved.yaml", "retried.yaml")
    )
    revision = approved["status"]["candidate"]["revision"]
    approval = approved["metadata"]["annotations"][APPROVE_ANNOTATION]
    assert approval == f"{revision}/argocd@0001-01-01T00:00:00Z"
    assert retried["metadata"]["annotations"][RETRY_ANNOTATION] == "argocd@0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("name", "annotation", "whose"),
    [
        ("quarantined", QUARANTINE_ANNOTATION, "live"),
        ("quarantined_in_shadow", QUARANTINE_ANNOTATION, "candidate"),
        ("released", RELEASE_ANNOTATION, "candidate"),
    ],
)
def test_what_isolates_and_what_releases_names_the_very_revision(
    name: str, annotation: str, whose: str
) -> None:
    body = yaml.safe_load((SPECIALISTS / f"actions/testdata/{name}.yaml").read_text())
    word = body["metadata"]["annotations"][annotation]
    assert word == f"{body['status'][whose]['revision']}/argocd@0001-01-01T00:00:00Z"


def _timeless(body: dict[str, Any]) -> dict[str, Any]:
    annotations = body["metadata"].get("annotations", {})
    for name, value in annotations.items():
        annotations[name] = _TIME.sub("0001-01-01T00:00:00Z", value)
    return body
