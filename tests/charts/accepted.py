"""What the API server says of objects, and of pods where the strictest Pod Security Standard is enforced."""

from __future__ import annotations

import copy
import json

from testbed.cluster import Cluster

from .helm import Manifest

# Nobody installs the Prometheus operator's or Kueue's kinds here.
STRANGERS = ("monitoring.coreos.com/", "kueue.x-k8s.io/")


def as_list(objects: list[Manifest]) -> str:
    """Write objects for kubectl, as JSON: what YAML takes for a boolean is another matter in each library."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def try_objects(cluster: Cluster, objects: list[Manifest]) -> list[str]:
    """Let the server check objects strictly and keep none of them; their names. Raises KubectlFailed."""
    known = [each for each in objects if not each["apiVersion"].startswith(STRANGERS)]
    flags = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    said = cluster.kubectl(
        "apply",
        *flags,
        "--field-manager=tests",
        "--output=name",
        "--filename=-",
        stdin=as_list(known),
    )
    names = said.split()
    assert len(names) == len(known)
    return names


def try_pods(cluster: Cluster, namespace: str, templates: dict[str, Manifest]) -> None:
    """Create a pod of each template, as a dry run, where `restricted` is enforced. Raises KubectlFailed."""
    level = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", namespace, level, "--overwrite")
    pods = []
    for index, template in enumerate(templates.values()):
        spec = copy.deepcopy(template["spec"])
        # The account of the chart is not there, and accounts are no matter of this standard.
        spec.pop("serviceAccountName", None)
        # Priority classes of the system belong to kube-system.
        spec.pop("priorityClassName", None)
        labels = template["metadata"]["labels"]
        pods.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"pod-{index}", "labels": labels},
                "spec": spec,
            }
        )
    flags = ("--dry-run=server", "--validate=strict", f"--namespace={namespace}", "--filename=-")
    cluster.kubectl("create", *flags, stdin=as_list(pods))
