"""KubeRay's operator in the testbed's cluster: from the sources of its Go module, in an image made here."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from testbed.binaries import module_dir, tool
from testbed.cluster import Cluster
from testbed.node import images
from testbed.node.images import ProgramImage
from testbed.places import Progress

NAMESPACE = "kuberay-system"
_NAME = "kuberay-operator"
# The name that the module's own kustomization gives to its image.
_THEIR_IMAGE = "quay.io/kuberay/operator"
_ARGUMENTS = (
    # There is one operator: without an election it works at once, also after it was killed.
    "--enable-leader-election=false",
    "--reconcile-concurrency=4",
    "--feature-gates=RayClusterStatusConditions=true",
)
_PROBE = {"initialDelaySeconds": 1, "periodSeconds": 2, "failureThreshold": 30}


def install(cluster: Cluster, load: Callable[[Path], object], progress: Progress) -> None:
    """Install the kinds, the rights and the operator, and wait until it runs.

    ``load`` brings an image's tar to the cluster. Raises GoUnavailable, BuildFailed, BuildahFailed or
    KubectlFailed.
    """
    started = time.monotonic()
    progress("installing KubeRay's operator")
    image = images.of_program(_NAME, tool(_NAME, progress), "manager", ["/manager"])
    load(image.tar)
    with tempfile.TemporaryDirectory(dir=cluster.scratch, prefix="kuberay-") as folder:
        # Kustomize reads nothing outside of its folder, and the module's own is read-only.
        shutil.copytree(module_dir("kuberay", progress) / "config", Path(folder) / "config")
        (Path(folder) / "kustomization.yaml").write_text(kustomization(image))
        (Path(folder) / "namespace.yaml").write_text(_namespace())
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", folder)
    kinds = [f"crd/{kind}.ray.io" for kind in ("rayclusters", "rayjobs", "rayservices")]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", *kinds)
    place = f"--namespace={NAMESPACE}"
    cluster.kubectl("rollout", "status", place, "--timeout=120s", f"deployment/{_NAME}", timeout_seconds=130)
    progress(f"KubeRay's operator runs after {time.monotonic() - started:.0f} s")


def kustomization(image: ProgramImage) -> str:
    """What is changed of the module's own installation.

    The namespace and the image are ours; the operator drops all capabilities, so that the namespace can be
    restricted, and it has no processor limit, which would throttle it to a tenth of one.
    """
    name, tag = image.name.rsplit(":", 1)
    container = {
        "name": _NAME,
        "args": list(_ARGUMENTS),
        "imagePullPolicy": "Never",
        "livenessProbe": _PROBE,
        "readinessProbe": _PROBE,
        "resources": {
            "limits": {"cpu": None, "memory": "512Mi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
        },
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True},
    }
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _NAME},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": ["namespace.yaml", "config/default"],
        "images": [{"name": _THEIR_IMAGE, "newName": name, "newTag": tag}],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _namespace() -> str:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": NAMESPACE, "labels": labels}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
