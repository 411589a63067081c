"""Whoever installs by `kubectl apply -k` gets what the chart renders, no more and no less."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.cluster import Cluster
from testbed.places import REPOSITORY
from tests.charts.helm import OPERATOR, Manifest, Values, is_hook, of_kind, render

from .kustomize import MANIFESTS, build, build_in

NAMESPACE = "eco"
POLICY = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
HELMS_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version")


def _key(manifest: Manifest) -> tuple[str, str, str]:
    meta = manifest["metadata"]
    return manifest["kind"], meta.get("namespace", ""), meta["name"]


def bare(manifest: Manifest) -> Manifest:
    """Take away what only Helm writes."""
    found = copy.deepcopy(manifest)
    for meta in _metadata(found):
        for label in HELMS_LABELS:
            meta.get("labels", {}).pop(label, None)
    annotations: dict[str, Any] = found["metadata"].pop("annotations", {})
    kept = {k: v for k, v in annotations.items() if not k.startswith(("helm.sh/", "argocd.argoproj.io/"))}
    return found | ({"metadata": found["metadata"] | {"annotations": kept}} if kept else {})


def _metadata(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for child in value for found in _metadata(child)]
    if not isinstance(value, dict):
        return []
    here = [value["metadata"]] if isinstance(value.get("metadata"), dict) else []
    return here + [found for child in value.values() for found in _metadata(child)]


def _by_key(objects: list[Manifest]) -> dict[tuple[str, str, str], Manifest]:
    return {_key(each): bare(each) for each in objects}


@pytest.mark.parametrize(
    ("overlay", "namespace", "values"),
    [
        # Kustomize would put the policy on who signs into a namespace, so it is a file of its own.
        ("namespaced", NAMESPACE, {"actors": {"verify": False}}),
        ("cluster", "modelecology-system", {"scope": "Cluster", "actors": {"verify": False}}),
    ],
)
def test_an_overlay_is_what_the_chart_renders(
    control_plane: Cluster, tmp_path: Path, overlay: str, namespace: str, values: Values
) -> None:
    built = build_in(control_plane, MANIFESTS / "overlays" / overlay, namespace, tmp_path)
    ours = _by_key([each for each in built if each["kind"] != "Namespace"])
    charts = _by_key(render(OPERATOR, values, namespace=namespace, hooks=False))
    assert ours.keys() == charts.keys()
    for key, manifest in ours.items():
        assert manifest == charts[key], key


def test_the_policy_on_who_signs_is_the_charts() -> None:
    text = (MANIFESTS / "actors.yaml").read_text(encoding="utf-8")
    charts = of_kind(render(OPERATOR, {"scope": "Cluster"}), *POLICY)
    assert _by_key(list(yaml.safe_load_all(text))) == _by_key(charts)
    assert len(charts) == 2


@pytest.mark.parametrize(
    ("folder", "namespace", "values"),
    [
        ("namespaced", NAMESPACE, {"namespaces": [NAMESPACE]}),
        ("cluster", "modelecology-system", {"scope": "Cluster"}),
    ],
)
def test_what_lets_go_of_finalizers_is_the_charts_hook(
    control_plane: Cluster, tmp_path: Path, folder: str, namespace: str, values: Values
) -> None:
    built = build_in(control_plane, MANIFESTS / "release-finalizers" / folder, namespace, tmp_path)
    hooks = [each for each in render(OPERATOR, values, namespace=namespace) if is_hook(each)]
    ours, charts = _by_key(built), _by_key(hooks)
    assert ours.keys() == charts.keys()
    for key, manifest in ours.items():
        kind = key[0]
        if kind in ("Role", "ClusterRole"):
            assert manifest["rules"] == charts[key]["rules"]
        elif kind == "Job":
            spec, theirs = manifest["spec"], charts[key]["spec"]
            # The chart knows the namespaces, a manifest asks where it is.
            for each in (spec, theirs):
                env = each["template"]["spec"]["containers"][0].pop("env", [])
                assert [variable["name"] for variable in env] in ([], ["MODELECOLOGY_NAMESPACES"])
                del each["template"]["metadata"]
            assert spec == theirs


def test_an_uninstall_by_label_leaves_the_kinds(control_plane: Cluster) -> None:
    """docs/install.md deletes by this label; with a kind would go all its objects."""
    for overlay in ("namespaced", "cluster"):
        built = build(control_plane, MANIFESTS / "overlays" / overlay)
        marked = [
            o
            for o in built
            if o["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == "modelecology"
        ]
        left = {each["kind"] for each in built if each not in marked}
        assert left <= {"CustomResourceDefinition", "Namespace"}
        assert "CustomResourceDefinition" in left
        assert not {"CustomResourceDefinition", "Namespace"} & {each["kind"] for each in marked}


def test_the_operators_folder_stands_alone_as_rights_in_one_namespace(control_plane: Cluster) -> None:
    built = build(control_plane, MANIFESTS / "operator")
    assert sorted(each["kind"] for each in built) == ["Role", "RoleBinding", "ServiceAccount"]
    assert {each["metadata"]["name"] for each in built} == {"modelecology-operator"}


def test_the_kinds_come_from_one_place(control_plane: Cluster) -> None:
    built = build(control_plane, REPOSITORY / "crds")
    files = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((REPOSITORY / "crds").glob("*.yaml"))
    ]
    assert sorted(map(_key, built)) == sorted(map(_key, files))
