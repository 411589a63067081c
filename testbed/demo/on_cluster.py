"""The demo's parts in pods: a node, KubeRay, Helm, and the product's own images."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from testbed.demo import prepare
from testbed.demo.stage import DIRECTORY, Stage
from testbed.installation import STORE_PATH, Installation, load_images
from testbed.node import NodeCluster
from testbed.places import Progress

RUN = DIRECTORY / "node"
NAMESPACE = "ecology"


class ClusterStage(Stage):
    """One namespace of a single-node cluster, which admits only pods of the restricted standard."""

    title = "A node, KubeRay, and the operator by Helm"
    namespace = NAMESPACE
    apply_title = "helm install desk charts/modelecology-population"

    def __init__(self, store: Path, *, keep: bool, progress: Progress) -> None:
        self._keep = keep
        self._store = store
        self._progress = progress
        self._cluster = NodeCluster(RUN, detached=keep, progress=progress)
        self._installation: Installation | None = None

    def __enter__(self) -> Self:
        self._cluster.start()
        try:
            self._cluster.install_kuberay()
            images = load_images(self._cluster, self._progress)
            self._cluster.kubectl("create", "namespace", NAMESPACE)
            label = "pod-security.kubernetes.io/enforce=restricted"
            self._cluster.kubectl("label", "namespace", NAMESPACE, label)
            self._installation = Installation(self._cluster, NAMESPACE, self._store, images)
            self._installation.prepare()
            self._progress("helm install modelecology charts/modelecology")
            self._installation.install_operator()
        except BaseException:
            self._cluster.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._keep or error is not None:
            self._cluster.stop()

    @property
    def installation(self) -> Installation:
        """What is installed. Raises RuntimeError before the stage is entered."""
        if self._installation is None:
            raise RuntimeError("the stage is not set")
        return self._installation

    @property
    def kubeconfig(self) -> Path:
        return self._cluster.kubeconfig

    @property
    def kubectl_program(self) -> Path:
        return self._cluster.kubectl_program

    @property
    def engine(self) -> str:
        return self.installation.service

    @property
    def token(self) -> str | None:
        return self.installation.token

    def kubectl(self, *arguments: str) -> str:
        return self.installation.kubectl(*arguments)

    def apply(self) -> str:
        self.installation.install_population(quickstart_values())
        self.installation.wait_rolled_out()
        return "operator and engine run; the specialists are applied"

    def release(self) -> None:
        self._cluster.release()


def quickstart_values() -> dict[str, Any]:
    """Give the quickstart as values of the population's chart."""
    read = {
        name: [*yaml.safe_load_all((prepare.QUICKSTART / f"{name}.yaml").read_text(encoding="utf-8"))]
        for name in ("suite", "population", "specialists")
    }
    specialists = {each["metadata"]["name"]: each["spec"] for each in read["specialists"]}
    for spec in specialists.values():
        del spec["populationRef"]
    population = read["population"][0]["spec"]
    return {
        "generalist": population["generalist"],
        "suite": {"tasks": read["suite"][0]["spec"]["tasks"]},
        "specialists": specialists,
        "policy": population["policy"],
        "store": {"uri": f"file://{STORE_PATH}"},
        "jobs": {"resources": population["jobs"]["resources"], "deadline": population["jobs"]["deadline"]},
    }
