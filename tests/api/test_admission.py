"""What the real API server accepts and refuses of our kinds, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from modelecology.api.decision import GENESIS
from modelecology.api.population import ClassifierStatus, MistakenStatus, PopulationSpec, PopulationStatus
from modelecology.api.specialist import SpecialistSpec
from modelecology.api.suite import SuiteSpec
from modelecology.governance.lifecycle import TRANSITIONS, Transition
from testbed.cluster import Cluster
from testbed.errors import KubectlFailed

from .conftest import Refused, Server
from .manifests import KINDS, PLURALS, Manifest, Wrong, changed, examples, good, wrong

WRONG = wrong()
EXAMPLES = examples()
NOW = "2026-11-24T22:00:00Z"
DIGEST = "sha256:" + "5" * 64


def _paths(value: Any, path: str = "") -> set[str]:
    """Every place in a document where something stands."""
    if isinstance(value, dict):
        return {path}.union(*(_paths(child, f"{path}.{key}") for key, child in value.items()))
    if isinstance(value, list):
        return {path}.union(*(_paths(child, f"{path}[{i}]") for i, child in enumerate(value)))
    return {path}


def test_the_wrong_manifests_are_many_and_of_every_kind() -> None:
    assert len(WRONG) >= 60
    assert {case.manifest["kind"] for case in WRONG} == set(PLURALS)
    assert len({case.name for case in WRONG}) == len(WRONG)


@pytest.mark.parametrize("case", WRONG, ids=[case.name for case in WRONG])
def test_a_wrong_manifest_is_refused_by_field_and_rule(judge: Server, case: Wrong) -> None:
    with pytest.raises(Refused) as refusal:
        judge.create(case.manifest, dry_run=True)
    assert refusal.value.status in (400, 422)
    assert case.field in refusal.value.message
    assert case.rule in refusal.value.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_manifest_is_accepted(judge: Server, kind: str) -> None:
    answer = judge.create(good(kind), dry_run=True)
    assert answer["metadata"]["uid"]


def test_every_example_is_accepted(judge: Server) -> None:
    refused = {}
    for name, manifest in EXAMPLES:
        try:
            judge.create(manifest, dry_run=True)
        except Refused as error:
            refused[name] = error.message
    assert refused == {}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("suite", {"spec.tasks.0.traffic": None, "spec.tasks.0.worth": None}),
        (
            "suite",
            {
                "spec.tasks.1.scorer": "EntryPoint",
                "spec.tasks.1.pattern": None,
                "spec.tasks.1.entryPoint": "desk.scorers:cron",
            },
        ),
        ("suite", {"spec.tasks.2.scorer": "Perplexity", "spec.tasks.2.maxRegression": 0}),
        ("suite", {"spec.tasks.0.traffic": 0, "spec.tasks.1.traffic": 1}),
        ("population", {"spec.policy": None}),
        ("population", {"spec.jobs.resources": {"cpu": "500m", "memory": "1.5Gi", "gpu": 1}}),
        ("population", {"spec.jobs.deadline": "1h30m", "spec.policy.retirement.undoWindow": "0s"}),
        ("population", {"spec.policy.viability.threshold": "-0.5"}),
        ("population", {"spec.policy.budget": {"cpuHours": "0"}}),
        ("population", {"spec.policy.budget": {"perSpecialist": {"gpuHours": "1.5"}}}),
        ("specialist", {"spec.contract.target": 1, "spec.lifecycle": None}),
        ("specialist", {"spec.source.train.replay": None, "spec.source.train.recipe": {"batchSize": 1}}),
        ("specialist", {"spec.source": {"artifact": {"uri": "store:///adapter", "digest": DIGEST}}}),
        ("specialist", {"metadata.name": "a" * 50}),
        (
            "specialist",
            {
                "spec.contract.match": [
                    {"header": {"name": "X-Kind", "value": "calendar"}},
                    {"metadata": {"key": "kind", "value": "calendar"}},
                    {"keyword": "k" * 256},
                    {"regex": r"\b(?i:\d{1,2}\. (May|June))\b"},
                    *({"regex": "a{1000}" + "b" * 200 + str(n)} for n in range(12)),
                ]
            },
        ),
        ("specialist", {"spec.contract.match": [{"example": "When?\nAnd where?"}, {"example": "e" * 256}]}),
        (
            "population",
            {
                "spec.serving.gateway": {
                    "records": "file:///live",
                    "classifier": {"endpoint": "https://embed:8443", "model": "m", "minimumSimilarity": -1},
                }
            },
        ),
        ("population", {"spec.serving.gateway": {"records": "store:///live"}}),
        ("population", {"spec.serving.gateway": {"records": "store:///artifacts-of-users/live.1"}}),
        ("decision", {"metadata.name": "desk-000000000001", "spec.sequence": 1, "spec.previous": GENESIS}),
        (
            "decision",
            {
                "metadata.name": "a" * 50 + "-999999999999",
                "spec.population": "a" * 50,
                "spec.sequence": 999_999_999_999,
            },
        ),
    ],
)
def test_what_stands_on_the_edge_of_a_rule_is_accepted(
    judge: Server, kind: str, changes: dict[str, Any]
) -> None:
    assert judge.create(changed(good(kind), changes), dry_run=True)["metadata"]["uid"]


@pytest.mark.parametrize(
    ("kind", "model", "left_out"),
    [
        ("population", PopulationSpec, {"spec.policy": None, "spec.jobs.resources": None}),
        ("population", PopulationSpec, {"spec.policy.shadow": {}, "spec.serving.capacity": None}),
        ("specialist", SpecialistSpec, {"spec.source.train.recipe": None, "spec.lifecycle": None}),
        ("suite", SuiteSpec, {}),
    ],
)
def test_the_server_fills_in_the_same_defaults_as_the_models(
    judge: Server, kind: str, model: Any, left_out: dict[str, Any]
) -> None:
    manifest = changed(good(kind), left_out)
    answer = judge.create(manifest, dry_run=True)
    ours = model.model_validate(manifest["spec"])
    assert model.model_validate(answer["spec"]) == ours
    assert _paths(answer["spec"]) == _paths(ours.model_dump(mode="json", by_alias=True, exclude_none=True))


@pytest.mark.parametrize("edge", TRANSITIONS, ids=lambda t: f"{t.action}:{t.source}>{t.target}")
def test_every_transition_of_the_table_can_be_recorded(judge: Server, edge: Transition) -> None:
    changes = {"spec.action": edge.action, "spec.from": edge.source, "spec.to": edge.target}
    judge.create(changed(good("decision"), {k: str(v) for k, v in changes.items()}), dry_run=True)


@pytest.mark.parametrize(
    ("kind", "patch", "message"),
    [
        ("suite", {"spec": {"shadowShare": 0.5}}, "an EvaluationSuite is immutable"),
        ("decision", {"spec": {"outcome": "Fail"}}, "a Decision is immutable"),
        ("decision", {"spec": {"message": ""}}, "a Decision is immutable"),
        ("specialist", {"spec": {"populationRef": {"name": "other"}}}, "populationRef is immutable"),
        ("population", {"spec": {"store": {"uri": "file:///elsewhere"}}}, "store.uri is immutable"),
    ],
)
def test_what_is_immutable_cannot_be_changed(
    server: Server, kind: str, patch: Manifest, message: str
) -> None:
    made = server.create(good(kind))
    with pytest.raises(Refused) as refusal:
        server.patch(made["kind"], made["metadata"]["name"], patch)
    assert message in refusal.value.message
    assert "spec" in refusal.value.message


def test_the_tasks_of_a_suite_keep_their_order(server: Server) -> None:
    made = server.create(good("suite"))
    with pytest.raises(Refused, match="the order of tasks is immutable"):
        server.patch("EvaluationSuite", "desk", {"spec": {"tasks": made["spec"]["tasks"][::-1]}})


def test_a_label_may_still_be_put_on_what_is_immutable(server: Server) -> None:
    for kind in ("suite", "decision"):
        made = server.create(good(kind))
        patch = {"metadata": {"labels": {"team": "desk"}}}
        assert server.patch(made["kind"], made["metadata"]["name"], patch)["metadata"]["labels"]


def test_the_generalist_can_be_mended_until_it_is_scored_and_not_after(server: Server) -> None:
    server.create(good("population"))
    mended = {"spec": {"generalist": {"digest": "sha256:" + "1" * 64}}}
    assert server.patch("Population", "desk", mended)["spec"]["generalist"]["digest"].endswith("11")
    scored = {"status": {"baseline": [{"task": "dates", "score": 0.1, "n": 64}]}}
    server.patch("Population", "desk", scored, subresource="status")
    with pytest.raises(Refused, match=r"spec.generalist.digest.*immutable once the generalist is scored"):
        server.patch("Population", "desk", {"spec": {"generalist": {"digest": "sha256:" + "2" * 64}}})


def test_status_is_written_through_its_subresource_alone(server: Server) -> None:
    made = server.create(good("specialist") | {"status": {"state": "Live"}})
    assert "status" not in made
    assert "status" not in server.patch("Specialist", "dates", {"status": {"state": "Live"}})
    both = {"status": {"state": "Training"}, "spec": {"contract": {"target": 0.9}}}
    changed_by_status = server.patch("Specialist", "dates", both, subresource="status")
    assert changed_by_status["status"] == {"state": "Training"}
    assert changed_by_status["spec"]["contract"]["target"] == 0.6
    assert changed_by_status["metadata"]["generation"] == made["metadata"]["generation"]


def test_a_status_of_a_state_that_does_not_exist_is_refused(server: Server) -> None:
    server.create(good("specialist"))
    with pytest.raises(Refused, match=r"status.state: Unsupported value"):
        server.patch("Specialist", "dates", {"status": {"state": "Glorious"}}, subresource="status")


def test_the_server_adds_nothing_to_what_the_operator_writes(server: Server) -> None:
    assert server.create(good("decision"))["spec"] == good("decision")["spec"]
    server.create(good("specialist"))
    status = {"status": {"observedGeneration": 1, "state": "Pending", "ledger": {"cost": "0"}}}
    assert server.patch("Specialist", "dates", status, subresource="status")["status"] == status["status"]


def test_a_mistake_about_a_request_of_no_task_is_taken_as_the_operator_writes_it(server: Server) -> None:
    server.create(good("population"))
    found = ClassifierStatus(
        mark="0123456789abcdef", mistaken=(MistakenStatus(taken_for="cron", requests=3),)
    )
    status = PopulationStatus(classifier=found).model_dump(mode="json", by_alias=True)
    answer = server.patch("Population", "desk", {"status": status}, subresource="status")
    assert PopulationStatus.model_validate(answer["status"]).classifier == found


def test_a_decision_is_created_once(server: Server) -> None:
    server.create(good("decision"))
    with pytest.raises(Refused, match="already exists") as refusal:
        server.create(good("decision"))
    assert refusal.value.status == 409


def test_kubectl_waits_for_ready(kinds: Cluster, server: Server) -> None:
    for kind, name in (("Population", "desk"), ("Specialist", "dates")):
        server.create(good(kind.lower()))
        ready = {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": NOW,
            "reason": "Ready",
            "message": "Everything is as the spec asks.",
        }
        server.patch(kind, name, {"status": {"conditions": [ready]}}, subresource="status")
        said = kinds.kubectl(
            "wait",
            "--for=condition=Ready",
            "--timeout=10s",
            f"{kind}/{name}",
            f"--namespace={server.namespace}",
        )
        assert "condition met" in said


def test_two_writers_apply_their_conditions_side_by_side(kinds: Cluster, server: Server) -> None:
    server.create(good("specialist"))
    for kind in ("Ready", "Degraded"):
        condition = {
            "type": kind,
            "status": "False",
            "lastTransitionTime": NOW,
            "reason": "Queued",
            "message": "It waits.",
        }
        manifest = {
            "apiVersion": "modelecology.io/v1alpha1",
            "kind": "Specialist",
            "metadata": {"name": "dates", "namespace": server.namespace},
            "status": {"conditions": [condition]},
        }
        kinds.kubectl(
            "apply",
            "--server-side",
            "--subresource=status",
            f"--field-manager={kind.lower()}",
            "--filename=-",
            stdin=yaml.safe_dump(manifest),
        )
    template = "{.status.conditions[*].type}"
    found = kinds.kubectl(
        "get", "sp", "dates", f"--namespace={server.namespace}", f"--output=jsonpath={template}"
    )
    assert sorted(found.split()) == ["Degraded", "Ready"]


def test_kubectl_apply_refuses_a_field_that_nobody_knows(kinds: Cluster) -> None:
    manifest = changed(good("specialist"), {"spec.contract.tsak": "dates"})
    with pytest.raises(KubectlFailed) as refusal:
        kinds.kubectl("apply", "--filename=-", stdin=yaml.safe_dump(manifest))
    assert 'unknown field "spec.contract.tsak"' in refusal.value.stderr


def test_kubectl_explains_a_field_in_words(kinds: Cluster) -> None:
    said = " ".join(kinds.kubectl("explain", "specialist.spec.contract.target").split())
    assert "target <number>" in said
    assert "The score the owner needs. The gap is the target minus the incumbent's score." in said


def test_kubectl_gets_the_whole_ecology(kinds: Cluster, server: Server) -> None:
    for kind in KINDS:
        server.create(good(kind))
    said = kinds.kubectl("get", "ecology", f"--namespace={server.namespace}", "--output=name")
    assert sorted(said.split()) == [
        "decision.modelecology.io/desk-000000000007",
        "evaluationsuite.modelecology.io/desk",
        "population.modelecology.io/desk",
        "specialist.modelecology.io/dates",
    ]


@pytest.mark.parametrize(
    ("short", "columns"),
    [
        ("pop", "NAME READY SPECIALISTS LIVE VALUE AGE"),
        ("sp", "NAME STATE POPULATION TASK SCORE LIVE AGE"),
        ("suite", "NAME AGE"),
        ("dec", "NAME SEQUENCE SPECIALIST ACTION FROM TO OUTCOME REASON AGE"),
    ],
)
def test_kubectl_prints_the_columns_that_a_person_needs(
    kinds: Cluster, server: Server, short: str, columns: str
) -> None:
    for kind in KINDS:
        server.create(good(kind))
    where = f"--namespace={server.namespace}"
    assert kinds.kubectl("get", short, where).splitlines()[0].split() == columns.split()
    wide = kinds.kubectl("get", short, where, "--output=wide").splitlines()[0].split()
    assert wide[: len(columns.split())] == columns.split()
    assert len(wide) > len(columns.split())


def test_specialists_and_decisions_are_selected_by_their_population(kinds: Cluster, server: Server) -> None:
    for kind in KINDS:
        server.create(good(kind))
    where = (f"--namespace={server.namespace}", "--output=name")
    for kind, field in (("specialists", "spec.populationRef.name"), ("decisions", "spec.population")):
        assert kinds.kubectl("get", kind, f"--field-selector={field}=desk", *where).strip()
        assert not kinds.kubectl("get", kind, f"--field-selector={field}=other", *where).strip()
