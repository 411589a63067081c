"""Populations whose jobs run as RayJobs, for the tests of the KubeRay runner."""

from __future__ import annotations

import json
from typing import Any

from modelecology.api.population import Population
from testbed.cluster import Cluster

IMAGE = "example.org/workload:1"


def population(
    kube_ray: dict[str, Any] | None = None,
    *,
    store: dict[str, Any] | None = None,
    serving: dict[str, Any] | None = None,
    jobs: dict[str, Any] | None = None,
    namespace: str = "team-a",
    name: str = "desk",
    uid: str = "0b8a8c1e-0000-4000-8000-000000000001",
) -> Population:
    """Give a population with these settings of `jobs.kubeRay` and, where given, of its other parts."""
    return Population.model_validate(
        {
            "apiVersion": "modelecology.io/v1alpha1",
            "kind": "Population",
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "1"},
            "spec": {
                "generalist": {"model": "file:///models/base", "digest": "sha256:" + "b" * 64},
                "suiteRef": {"name": "desk"},
                "store": store or {"uri": "file:///var/store"},
                "jobs": {"runner": "KubeRay", "kubeRay": kube_ray or {}, **(jobs or {})},
                "serving": {"endpoints": ["http://engine:8000"], **(serving or {})},
            },
        }
    )


def created(
    cluster: Cluster,
    namespace: str,
    kube_ray: dict[str, Any] | None = None,
    store: dict[str, Any] | None = None,
    name: str = "desk",
) -> Population:
    """Create a population; without its owner a RayJob would be collected as garbage."""
    found = population(kube_ray, store=store, namespace=namespace, name=name)
    manifest = {
        "apiVersion": "modelecology.io/v1alpha1",
        "kind": "Population",
        "metadata": {"name": name, "namespace": namespace},
        "spec": found.spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }
    said = cluster.kubectl("create", "-f", "-", "--output=json", stdin=json.dumps(manifest))
    return population(
        kube_ray, store=store, namespace=namespace, name=name, uid=json.loads(said)["metadata"]["uid"]
    )
