"""What the charts grant: exactly what the operator does, no Secret, no wildcard, nothing unasked."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from modelecology.api.routing import routes_name
from testbed.places import REPOSITORY

from .helm import NAMESPACE, OPERATOR, POPULATION, Manifest, is_hook, of_kind, only, render
from .modes import OPERATOR_MODES, POPULATION_MODES

AGGREGATED = {f"modelecology-{name}" for name in ("view", "edit", "admin")}
KUBERAY = [
    {
        "apiGroups": ["ray.io"],
        "resources": ["rayjobs"],
        "verbs": ["get", "list", "watch", "create", "delete"],
    },
    {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get"]},
]
ROUTES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]}]
SLICES = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]


def _role() -> list[Any]:
    text = (REPOSITORY / "manifests/operator/role.yaml").read_text(encoding="utf-8")
    (role,) = (each for each in yaml.safe_load_all(text) if each["kind"] == "Role")
    rules: list[Any] = role["rules"]
    return rules


def _granting(objects: list[Manifest]) -> list[Manifest]:
    return of_kind(objects, "Role", "ClusterRole")


@pytest.mark.parametrize("mode", OPERATOR_MODES)
def test_no_rule_names_a_secret_or_a_wildcard(mode: str) -> None:
    for role in _granting(render(OPERATOR, OPERATOR_MODES[mode])):
        for rule in role["rules"]:
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not words & {"*", "secrets"}, role["metadata"]["name"]
            assert "nonResourceURLs" not in rule


def test_the_charts_rules_are_those_of_the_role_that_the_tests_take_apart() -> None:
    """tests/rights proves of that Role that no right is spare and none is missing."""
    assert only(render(OPERATOR, hooks=False), "Role")["rules"] == [*_role(), *KUBERAY]
    bare = render(OPERATOR, {"kubeRay": {"enabled": False}}, hooks=False)
    assert only(bare, "Role")["rules"] == _role()
    gateway = render(OPERATOR, {"gateway": {"enabled": True}}, hooks=False)
    assert only(gateway, "Role")["rules"] == [*_role(), *KUBERAY, *ROUTES]
    selecting = render(OPERATOR, {"endpointSlices": {"enabled": True}}, hooks=False)
    assert only(selecting, "Role")["rules"] == [*_role(), *KUBERAY, *SLICES]
    wide = render(OPERATOR, {"scope": "Cluster", "rbac": {"aggregate": False}}, hooks=False)
    assert only(wide, "ClusterRole")["rules"] == [*_role(), *KUBERAY]


@pytest.mark.parametrize("namespaces", [[], ["a"], ["a", "b"]], ids=str)
def test_a_namespaced_operator_has_no_right_in_the_cluster(namespaces: list[str]) -> None:
    objects = render(OPERATOR, {"namespaces": namespaces})
    assert of_kind(objects, "ClusterRoleBinding") == []
    wide = of_kind(objects, "ClusterRole")
    assert {each["metadata"]["name"] for each in wide} == AGGREGATED
    assert all(any("aggregate-to" in label for label in each["metadata"]["labels"]) for each in wide)
    granted = [r for r in of_kind(objects, "Role", "RoleBinding") if not is_hook(r)]
    where = sorted((r["kind"], r["metadata"]["namespace"]) for r in granted)
    assert where == sorted((k, n) for k in ("Role", "RoleBinding") for n in namespaces or [NAMESPACE])
    account = {"kind": "ServiceAccount", "name": "modelecology-operator", "namespace": NAMESPACE}
    assert all(b["subjects"] == [account] for b in granted if b["kind"] == "RoleBinding")


def test_a_namespaced_release_can_do_with_nothing_of_the_cluster_but_the_kinds() -> None:
    objects = render(OPERATOR, {"rbac": {"aggregate": False}, "actors": {"verify": False}})
    wide = {each["kind"] for each in objects if "namespace" not in each["metadata"]}
    assert wide == {"CustomResourceDefinition"}


@pytest.mark.parametrize("mode", POPULATION_MODES)
def test_a_population_grants_its_gateway_one_right_and_no_other_pod_has_credentials(mode: str) -> None:
    objects = render(POPULATION, POPULATION_MODES[mode])
    deployments = of_kind(objects, "Deployment")
    judges = [each for each in deployments if each["metadata"]["name"].endswith("-judge")]
    gateways = [each for each in deployments if each not in judges]
    assert len(gateways) == int("gateway" in POPULATION_MODES[mode])
    assert len(_granting(objects)) == len(of_kind(objects, "RoleBinding", "ServiceAccount")) / 2
    assert len(_granting(objects)) == len(gateways)
    for workload in (*of_kind(objects, "StatefulSet", "Job"), *judges):
        assert workload["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_the_gateways_one_right_is_to_watch_its_own_table() -> None:
    objects = render(POPULATION, {"gateway": {"create": True}})
    (rule,) = only(objects, "Role")["rules"]
    assert rule == {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [routes_name(only(objects, "Population")["metadata"]["name"])],
        "verbs": ["watch"],
    }
    account = only(objects, "ServiceAccount")
    binding = only(objects, "RoleBinding")
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    # Whoever else runs as this account has to ask for its token.
    assert account["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is True
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": NAMESPACE}
    ]
    assert binding["roleRef"]["name"] == only(objects, "Role")["metadata"]["name"]


def test_what_is_mounted_for_the_operator_is_no_more_than_the_keys_that_were_named() -> None:
    pod = only(render(OPERATOR, OPERATOR_MODES["everything"], hooks=False), "Deployment")["spec"]["template"]
    mounted = [v["secret"] for v in pod["spec"]["volumes"] if "secret" in v]
    assert [[item["key"] for item in each["items"]] for each in mounted] == [["token"], ["A", "B"]]
