"""The product on a cluster with pods, installed as a user would: Helm, KubeRay, a volume, one population."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelecology.store import ArtifactStore
from testbed.binaries import tool
from testbed.errors import ControlPlaneError
from testbed.images.build import TARGETS, ImageBuilder
from testbed.node import NodeCluster
from testbed.places import REPOSITORY, Progress, say

STORE_PATH = "/var/lib/modelecology/store"
ENGINE_SECRET, GATEWAY_SECRET = "engine-token", "gateway-token"
RECORDS = "live"  # folder of the store in which gateways write
OPERATOR_RELEASE = "modelecology"
POPULATION_RELEASE = "desk"
CLAIM = f"{POPULATION_RELEASE}-store"
USER = 65532
_HELM_SECONDS = 600.0
_SIZE = "20Gi"
Values = dict[str, Any]


class HelmFailed(ControlPlaneError):
    """Helm said no."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the node has: its repository and its tag."""

    repository: str
    tag: str

    @property
    def name(self) -> str:
        """Both together."""
        return f"{self.repository}:{self.tag}"

    @property
    def values(self) -> Values:
        """As a chart takes it; nothing is ever pulled."""
        return {"repository": self.repository, "tag": self.tag, "pullPolicy": "Never"}


def load_images(cluster: NodeCluster, progress: Progress = say) -> Mapping[str, Image]:
    """Build what is not built yet, and bring operator, workload and serving to the node."""
    builder, found = ImageBuilder(progress=progress), {}
    for target in TARGETS:
        built = builder.build(target)
        # A tag names all that goes into an image, so one that is there is this one.
        if not cluster.has_image(built.name):
            progress(f"bringing {built.name} to the node")
            with tempfile.TemporaryDirectory(prefix="modelecology-images-") as folder:
                rest = builder.export_rest(built, Path(folder), cluster.layers())
                if rest is not None:
                    cluster.load_image(rest)
            if rest is None:
                tar = builder.export(built)
                cluster.load_image(tar)
                # It has 6 GB, which buildah's store can give again.
                tar.unlink()
        repository, _, tag = built.name.rpartition(":")
        found[target] = Image(repository, tag)
    return found


class Installation:
    """One namespace, which admits only pods of the restricted standard, with operator, population and engine.

    `store` is a folder of this machine: the volume that all pods of the namespace share.
    """

    def __init__(
        self, cluster: NodeCluster, namespace: str, store: Path, images: Mapping[str, Image]
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.store = store
        self._images = images
        self._token, self._gateway_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)

    @property
    def service(self) -> str:
        """The address of the engines' Service, as this machine reaches it."""
        return f"http://{self._address('engine')}:8000"

    @property
    def gateway(self) -> str:
        """The address of the gateways' Service, as this machine reaches it. Raises KubectlFailed."""
        return f"http://{self._address('gateway')}:8080"

    def _address(self, part: str) -> str:
        wanted = ("service", f"{POPULATION_RELEASE}-{part}", "--output=jsonpath={.spec.clusterIP}")
        return self.kubectl("get", *wanted)

    @property
    def token(self) -> str:
        """What the engines ask for."""
        return self._token

    @property
    def gateway_token(self) -> str:
        """What the gateways ask for."""
        return self._gateway_token

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120.0) -> str:
        """Run kubectl in the namespace. Raises KubectlFailed."""
        return self.cluster.kubectl(
            f"--namespace={self.namespace}", *arguments, stdin=stdin, timeout_seconds=seconds
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read an object. Raises KubectlFailed."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def prepare(self) -> None:
        """Make the volume, and the tokens of engines and gateways."""
        # A volume of the node's own gives folders that are made for a mount to root alone.
        (self.store / RECORDS).mkdir(exist_ok=True)
        own_all(self.store)
        claim = {"name": CLAIM, "namespace": self.namespace}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{self.namespace}-store"},
            "spec": {
                "capacity": {"storage": _SIZE},
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": str(self.store), "type": "Directory"},
                "claimRef": claim,
            },
        }
        tokens = {ENGINE_SECRET: self._token, GATEWAY_SECRET: self._gateway_token}
        made: list[Values] = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": {"token": token},
            }
            for name, token in tokens.items()
        ]
        for each in (volume, *made):
            self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(each))

    def install_operator(self, values: Values | None = None) -> None:
        """Install the operator's chart, or upgrade it; its pod waits for the population's volume."""
        ours = {
            "image": self._images["operator"].values,
            # As much as a job: where jobs take both processors, its share decides how soon it acts.
            "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
            "jobs": {"image": self._images["workload"].name},
            "kubeRay": {"enabled": True, "namespace": "kuberay-system"},
            "secrets": [{"name": ENGINE_SECRET, "keys": ["token"]}],
            "store": {
                "volumes": [{"name": "store", "persistentVolumeClaim": CLAIM, "mountPath": STORE_PATH}]
            },
        }
        self._upgrade(OPERATOR_RELEASE, "modelecology", {**ours, **(values or {})})

    def install_population(self, values: Values) -> None:
        """Install the population's chart, or upgrade it, with what differs from its own values."""
        engine = {
            "image": self._images["serving"].values,
            "resources": {"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
            "threads": 1,
            **values.get("engine", {}),
        }
        # What is asked for must fit beside the rest; what may be used is both cores.
        resources = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "6Gi"}}
        mount = {"name": "store", "mountPath": STORE_PATH}
        head = {"name": "ray-head", "resources": resources, "volumeMounts": [mount]}
        jobs = {"podSpec": {"containers": [head]}, **values.get("jobs", {})}
        gateway = {
            "image": self._images["serving"].values,
            "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}},
            **values.get("gateway", {}),
        }
        ours = {"engine": engine, "gateway": gateway, "jobs": jobs}
        self._upgrade(POPULATION_RELEASE, "modelecology-population", {**values, **ours})

    def wait_rolled_out(self, seconds: float = 300.0) -> None:
        """Wait until operator and engine run."""
        for each in (f"deployment/{OPERATOR_RELEASE}-operator", f"statefulset/{POPULATION_RELEASE}-engine"):
            self.kubectl("rollout", "status", each, f"--timeout={seconds:.0f}s", seconds=seconds + 10)

    def uninstall(self, release: str) -> None:
        """Uninstall a release and wait until what is its own is gone."""
        self.helm("uninstall", release, "--wait", "--timeout=5m")

    def helm(self, *arguments: str, values: Values | None = None) -> str:
        """Run helm in the namespace; its standard output. Raises HelmFailed."""
        with tempfile.TemporaryDirectory(prefix="modelecology-helm-") as home:
            more = []
            if values is not None:
                path = Path(home) / "values.json"
                path.write_text(json.dumps(values), encoding="utf-8")
                more = [f"--values={path}"]
            done = subprocess.run(
                [str(tool("helm")), f"--namespace={self.namespace}", *arguments, *more],
                env={**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "HOME": home},
                capture_output=True,
                text=True,
                timeout=_HELM_SECONDS,
                check=False,
            )
        if done.returncode != 0:
            raise HelmFailed(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _upgrade(self, release: str, chart: str, values: Values) -> None:
        # The kinds that a release of another namespace left behind are taken over.
        options = ("--take-ownership", "--timeout=5m")
        self.helm(
            "upgrade", "--install", release, str(REPOSITORY / "charts" / chart), *options, values=values
        )


def own_all(folder: Path) -> None:
    """Give a folder to the user that pods run as: a volume of the node's own is owned by nobody else."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)


def fill(store: Path, files: Mapping[str, Path]) -> None:
    """Make a store with files and folders in it, each at the path by which `store:///` names it."""
    ArtifactStore.create(f"file://{store}")
    for name, source in files.items():
        target = store / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
