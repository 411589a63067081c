"""A cluster that runs pods, as tests see it: the testbed's own node, or the cluster of the caller."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from testbed.cluster import Cluster, GivenCluster
from testbed.errors import ClusterNotOwned
from testbed.node import kuberay, leftovers
from testbed.node.containerd import Containers
from testbed.places import Progress, say

_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class PodCluster(Cluster):
    """A cluster whose pods run."""

    @abstractmethod
    def load_image(self, tar: Path) -> tuple[str, ...]:
        """Bring an image to the node unless it has this very one; its names, which pods can use at once.

        Raises NodeProgramFailed, or ClusterNotOwned where images come from a registry.
        """

    @abstractmethod
    def install_kuberay(self) -> None:
        """Install KubeRay's operator and wait until it runs. Raises ClusterNotOwned."""

    def create_restricted_namespace(self, prefix: str = "test") -> str:
        """Create a namespace that admits only pods of the restricted security standard; its name."""
        name = self.create_namespace(prefix)
        self.kubectl("label", "namespace", name, _RESTRICTED)
        return name

    def pod_logs(self, namespace: str, pod: str, container: str | None = None) -> str:
        """What a pod's container wrote."""
        of = [f"--container={container}"] if container else []
        return self.kubectl("logs", f"--namespace={namespace}", pod, *of)

    def wait_gone(self, namespace: str, *objects: str, timeout_seconds: float = 60.0) -> None:
        """Wait until objects, such as ``pod/x``, are gone. Raises KubectlFailed if one is late."""
        wanted = (f"--namespace={namespace}", f"--timeout={timeout_seconds:.0f}s", *objects)
        self.kubectl("wait", "--for=delete", *wanted, timeout_seconds=timeout_seconds + 10)


class GivenPodCluster(GivenCluster, PodCluster):
    """The cluster of the caller's KUBECONFIG; images can be loaded if the testbed left it running."""

    def __init__(self, kubeconfig: Path, progress: Progress = say) -> None:
        super().__init__(kubeconfig, progress)
        self._progress = progress

    def load_image(self, tar: Path) -> tuple[str, ...]:
        return self._containers(f"the image in {tar}").load(tar)

    def install_kuberay(self) -> None:
        self._containers("KubeRay's operator")
        kuberay.install(self, self.load_image, self._progress)

    def _containers(self, what: str) -> Containers:
        record = leftovers.read_record()
        if record is None or not self.kubeconfig.resolve().is_relative_to(record.run.resolve()):
            raise ClusterNotOwned(
                f"The cluster of {self.kubeconfig} is not the testbed's: bring {what} to it by its own means."
            )
        return Containers(record.layout)
