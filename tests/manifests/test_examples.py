"""The examples are accepted as they are, fit together, and can be applied again and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from modelecology.cli.app import app
from modelecology.kube.cluster import POPULATION, SPECIALIST, ApiCluster
from modelecology.reconcile.finalizer import FINALIZER
from testbed.cluster import Cluster
from tests.charts.accepted import as_list, try_objects, try_pods
from tests.charts.helm import POPULATION as POPULATION_CHART
from tests.charts.helm import of_kind, only, pod_templates, render

from .kustomize import MANIFESTS, Manifest, build, build_in
from .test_overlays import bare

EXAMPLES = MANIFESTS / "examples"
POPULATIONS = ["cpu", "gateway", "gpu", "queue"]
EVERY = pytest.mark.parametrize("name", ["operator", *POPULATIONS])
EACH = pytest.mark.parametrize("name", POPULATIONS)


def test_every_example_is_tested_and_listed() -> None:
    folders = sorted(path.parent.name for path in EXAMPLES.glob("*/kustomization.yaml"))
    assert folders == sorted(["operator", *POPULATIONS])
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in folders if f"manifests/examples/{name}`" not in readme] == ["operator"]
    assert "kubectl apply --server-side -k manifests/examples/operator" in readme


@EVERY
def test_an_example_is_accepted(kinds: Cluster, namespace: str, tmp_path: Path, name: str) -> None:
    built = build_in(kinds, EXAMPLES / name, namespace, tmp_path)
    assert try_objects(kinds, [each for each in built if each["kind"] != "Namespace"])


@EVERY
def test_the_pods_of_an_example_meet_the_restricted_standard(
    control_plane: Cluster, namespace: str, name: str
) -> None:
    try_pods(control_plane, namespace, pod_templates(build(control_plane, EXAMPLES / name)))


def test_the_loader_is_accepted_and_restricted(control_plane: Cluster, namespace: str) -> None:
    pod = yaml.safe_load((EXAMPLES / "loader.yaml").read_text(encoding="utf-8"))
    try_pods(control_plane, namespace, {"loader": {"metadata": {"labels": {}}, "spec": pod["spec"]}})
    (operator,) = pod_templates(build(control_plane, EXAMPLES / "operator")).values()
    assert _store_mount(pod) == _store_mount(operator)


@EACH
def test_an_example_passes_lint(control_plane: Cluster, tmp_path: Path, name: str) -> None:
    objects = build(control_plane, EXAMPLES / name)
    ours = [each for each in objects if each["apiVersion"].startswith("modelecology.io/")]
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump_all(ours), encoding="utf-8")
    result = CliRunner().invoke(app, ["lint", str(path)])
    assert result.exit_code == 0, result.output


@EACH
def test_all_mount_the_store_where_the_population_says(control_plane: Cluster, name: str) -> None:
    objects = build(control_plane, EXAMPLES / name)
    spec = only(objects, "Population")["spec"]
    place = spec["store"]["uri"].removeprefix("file://")
    operator = pod_templates(build(control_plane, EXAMPLES / "operator"))
    engines = [pod for name, pod in pod_templates(objects).items() if name.endswith("/desk-engine")]
    pods = [*operator.values(), *engines, spec["jobs"]["kubeRay"]["podTemplate"]]
    assert [_store_mount(pod) for pod in pods] == [place] * 3
    assert {v["persistentVolumeClaim"]["claimName"] for pod in pods for v in _claims(pod)} == {"store"}


def _claims(pod: Manifest) -> list[Any]:
    return [volume for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]


def _store_mount(pod: Manifest) -> str:
    (volume,) = _claims(pod)
    (mount,) = (m for m in pod["spec"]["containers"][0]["volumeMounts"] if m["name"] == volume["name"])
    return str(mount["mountPath"])


@EACH
def test_the_endpoint_names_an_engine_that_has_the_capacity_and_the_token(
    control_plane: Cluster, name: str
) -> None:
    objects = build(control_plane, EXAMPLES / name)
    serving = only(objects, "Population")["spec"]["serving"]
    (engine,) = (
        o for o in of_kind(objects, "StatefulSet", "Deployment") if o["metadata"]["name"] == "desk-engine"
    )
    meta, spec = engine["metadata"], engine["spec"]
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Service")}
    (endpoint,) = serving["endpoints"]
    *pod, service, namespace, zone = endpoint.removeprefix("http://").split(".")
    assert (namespace, zone) == (meta["namespace"], "svc:8000")
    assert pod == ([f"{meta['name']}-0"] if engine["kind"] == "StatefulSet" else [])
    assert service == spec.get("serviceName", service)
    assert services[service]["selector"] == spec["selector"]["matchLabels"]
    assert spec["template"]["metadata"]["labels"]["modelecology.io/component"] == "engine"
    container = spec["template"]["spec"]["containers"][0]
    assert f"--max-loras={serving['capacity']['adapters']}" in container["args"]
    assert f"--max-lora-rank={serving['capacity']['maxRank']}" in container["args"]
    assert f'"{serving["tokenSecretRef"]["name"]}"' in json.dumps(spec["template"])


def test_the_gateways_of_the_example_are_those_that_the_chart_makes(control_plane: Cluster) -> None:
    objects = build(control_plane, EXAMPLES / "gateway")
    values = {"gateway": {"create": True}, "store": {"volume": {"claim": "store"}}}
    charts = render(POPULATION_CHART, values, namespace="desk")
    names = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")
    rights = ("ServiceAccount", "Role", "RoleBinding")
    found, made = (
        {
            o["kind"]: bare(o)
            for o in of_kind(each, *names, *rights)
            if o["metadata"]["name"] == "desk-gateway"
        }
        for each in (objects, charts)
    )
    assert found.keys() == {*names, *rights}
    for kind, manifest in found.items():
        # The chart labels its objects as its own; what selects pods is the same.
        assert manifest == {**made[kind], "metadata": manifest["metadata"]}, kind
    serving = only(objects, "Population")["spec"]["serving"]
    assert serving["gateway"] == only(charts, "Population")["spec"]["serving"]["gateway"]


def test_the_operator_of_the_examples_may_keep_routing_tables(control_plane: Cluster) -> None:
    rules = only(build(control_plane, EXAMPLES / "operator"), "Role")["rules"]
    assert {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]} in rules


def test_the_operator_is_given_the_token_that_the_population_names(control_plane: Cluster) -> None:
    population = only(build(control_plane, EXAMPLES / "cpu"), "Population")
    (pod,) = pod_templates(build(control_plane, EXAMPLES / "operator")).values()
    name = population["spec"]["serving"]["tokenSecretRef"]["name"]
    mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert f"/var/run/secrets/modelecology/{population['metadata']['namespace']}/{name}" in mounts


async def test_applying_again_meets_no_conflict_with_what_the_operator_wrote(
    kinds: Cluster, namespace: str, tmp_path: Path
) -> None:
    built = build_in(kinds, EXAMPLES / "cpu", namespace, tmp_path)
    ours = as_list([each for each in built if each["apiVersion"].startswith("modelecology.io/")])
    apply = ("apply", "--server-side", "--field-manager=gitops", "--filename=-")
    kinds.kubectl(*apply, stdin=ours)
    operator = await ApiCluster.connect(kinds.kubeconfig)
    try:
        for kind, name in ((POPULATION, "desk"), (SPECIALIST, "dates")):
            await operator.patch(kind, namespace, name, {"metadata": {"finalizers": [FINALIZER]}})
            status = {"status": {"observedGeneration": 1}}
            await operator.patch(kind, namespace, name, status, status=True)
    finally:
        await operator.close()
    kinds.kubectl(*apply, stdin=ours)
    kinds.kubectl(*apply, stdin=ours)
    for what in ("population/desk", "specialist/dates"):
        text = kinds.kubectl("get", what, f"--namespace={namespace}", "--output=json")
        found = json.loads(text)
        assert found["metadata"]["finalizers"] == [FINALIZER]
        assert found["metadata"]["generation"] == 1
        assert found["status"]["observedGeneration"] == 1
        patch = json.dumps({"metadata": {"finalizers": []}})
        kinds.kubectl("patch", what, f"--namespace={namespace}", "--type=merge", f"--patch={patch}")


def test_the_quota_of_the_queue_is_what_the_queue_names(control_plane: Cluster) -> None:
    objects = build(control_plane, EXAMPLES / "queue")
    quota = list(yaml.safe_load_all((EXAMPLES / "queue/quota.yaml").read_text(encoding="utf-8")))
    queue = only(objects, "LocalQueue")
    population = only(objects, "Population")
    assert population["spec"]["jobs"]["kubeRay"]["queue"] == queue["metadata"]["name"]
    cluster_queue = only(quota, "ClusterQueue")
    assert queue["spec"]["clusterQueue"] == cluster_queue["metadata"]["name"]
    (group,) = cluster_queue["spec"]["resourceGroups"]
    flavors = [flavor["name"] for flavor in group["flavors"]]
    assert flavors == [each["metadata"]["name"] for each in of_kind(quota, "ResourceFlavor")]
    assert {*population["spec"]["jobs"]["resources"]} <= {*group["coveredResources"]}
