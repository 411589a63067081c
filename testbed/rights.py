"""The rights of the product's parts when they run as processes: those of their Roles and nothing more."""

from __future__ import annotations

import json
import os
from pathlib import Path

from modelecology.api.routing import routes_name
from testbed.cluster import Cluster
from testbed.places import REPOSITORY

_OPERATOR = REPOSITORY / "manifests" / "operator"
_TABLES = REPOSITORY / "manifests" / "components" / "gateway"
_RBAC = "rbac.authorization.k8s.io"


def operator_rights(cluster: Cluster, namespace: str, folder: Path, *, tables: bool) -> Path:
    """Grant an operator its Role, with `tables` also that it may keep routing tables; its kubeconfig."""
    chosen = _with_tables(folder) if tables else _OPERATOR
    cluster.kubectl("apply", "--server-side", f"--namespace={namespace}", "-k", str(chosen))
    return cluster.kubeconfig_for(f"system:serviceaccount:{namespace}:modelecology-operator")


def gateway_rights(cluster: Cluster, namespace: str, population: str) -> Path:
    """Grant a population's gateway that it may watch its routing table; its kubeconfig."""
    name = f"{population}-gateway"
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [routes_name(population)],
        "verbs": ["watch"],
    }
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    items: list[dict[str, object]] = [
        {"kind": "Role", "rules": [rule]},
        {
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    ]
    objects = [{"apiVersion": f"{_RBAC}/v1", "metadata": {"name": name}, **item} for item in items]
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=body)
    return cluster.kubeconfig_for(f"system:serviceaccount:{namespace}:{name}")


def _with_tables(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(_OPERATOR, folder)],
        "components": [os.path.relpath(_TABLES, folder)],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(body), encoding="utf-8")
    return folder
