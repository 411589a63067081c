"""The operator's Role, right by right, and a way to grant all of them but one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from testbed.cluster import Cluster
from testbed.places import REPOSITORY

ACCOUNT = "modelecology-operator"


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, as RBAC names them."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def rules() -> list[dict[str, Any]]:
    """Read the rules of the Role that is shipped."""
    text = (REPOSITORY / "manifests/operator/role.yaml").read_text(encoding="utf-8")
    (role,) = (each for each in yaml.safe_load_all(text) if each["kind"] == "Role")
    found: list[dict[str, Any]] = role["rules"]
    return found


def kuberay_rules() -> list[dict[str, Any]]:
    """Read the rules that are added for jobs of KubeRay."""
    return _added("kuberay")


def _added(name: str) -> list[dict[str, Any]]:
    path = REPOSITORY / "manifests/components" / name / "kustomization.yaml"
    component = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [step["value"] for patch in component["patches"] for step in yaml.safe_load(patch["patch"])]


def rights() -> tuple[Right, ...]:
    """Take the rules of the Role apart."""
    return _apart(rules())


def kuberay_rights() -> tuple[Right, ...]:
    """Take those for KubeRay apart."""
    return _apart(kuberay_rules())


def gateway_rights() -> tuple[Right, ...]:
    """Take those for the routing tables of gateways apart."""
    return _apart(_added("gateway"))


def selector_rights() -> tuple[Right, ...]:
    """Take those for engines behind a Service apart."""
    return _apart(_added("endpointslices"))


def _apart(found: list[dict[str, Any]]) -> tuple[Right, ...]:
    return tuple(
        Right(group, resource, verb)
        for rule in found
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def grant(cluster: Cluster, namespace: str, granted: tuple[Right, ...]) -> str:
    """Give a service account of the namespace these rights and no others; returns its user name."""
    rule = [{"apiGroups": [r.group], "resources": [r.resource], "verbs": [r.verb]} for r in granted]
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rule},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "roleRef": reference,
            "subjects": [subject],
        },
    ]
    named = [{**each, "metadata": {"name": ACCOUNT, "namespace": namespace}} for each in objects]
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(named))
    return f"system:serviceaccount:{namespace}:{ACCOUNT}"
