"""A cluster as tests and the demo see it: the testbed's own, or the caller's by explicit wish."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Self

import yaml

from testbed import binaries
from testbed.errors import ClusterNotGiven, ClusterNotOwned, KubectlFailed
from testbed.kubeconfig import write_private_text
from testbed.places import Progress, say
from testbed.waiting import holds_within

USE_KUBECONFIG = "MODELECOLOGY_USE_KUBECONFIG"
_KUBECTL_SECONDS = 120.0
_ESTABLISHED_SECONDS = 60.0


class Cluster(ABC):
    """A Kubernetes API server that can be used with ``kubeconfig`` as its administrator."""

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """The URL of the API server."""

    @property
    @abstractmethod
    def kubectl_program(self) -> Path:
        """The kubectl to use with this cluster."""

    @property
    @abstractmethod
    def scratch(self) -> Path:
        """A private folder that lives as long as this object is open."""

    @property
    @abstractmethod
    def has_controllers(self) -> bool:
        """Whether a kube-controller-manager collects garbage, ends namespaces and makes service accounts."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for a user that has no rights but those that RBAC grants to it or its groups."""

    @abstractmethod
    def kill_apiserver(self) -> None:
        """SIGKILL the API server; its data stays. Raises ClusterNotOwned."""

    @abstractmethod
    def start_apiserver(self) -> None:
        """Start the API server again on the same port and wait until it is ready. Raises ClusterNotOwned."""

    @abstractmethod
    def restart_apiserver(self) -> None:
        """Stop the API server in order and start it again on the same port. Raises ClusterNotOwned."""

    @abstractmethod
    def paused_apiserver(self) -> AbstractContextManager[None]:
        """Hold the API server still while the block runs: connections stay open and nothing answers."""

    @abstractmethod
    def restart_controllers(self) -> None:
        """Restart the controllers, so that the garbage collector knows the kinds that exist now.

        It looks for new kinds every 30 s only. Raises ClusterNotOwned or ControllersAbsent.
        """

    def kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        kubeconfig: Path | None = None,
        timeout_seconds: float = _KUBECTL_SECONDS,
    ) -> str:
        """Run kubectl as the administrator (or by another kubeconfig); its standard output.

        Raises KubectlFailed, whose ``stderr`` is what kubectl said.
        """
        command = [
            str(self.kubectl_program),
            f"--kubeconfig={kubeconfig or self.kubeconfig}",
            # Ports are used again by later clusters: what they served must not be remembered for this one.
            f"--cache-dir={self.scratch / 'kubectl-cache'}",
            *arguments,
        ]
        try:
            done = subprocess.run(
                command,
                input=stdin if stdin is not None else "",
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlFailed(arguments, -1, "", f"no answer in {timeout_seconds:.0f} s") from error
        if done.returncode != 0:
            raise KubectlFailed(arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def install_crds(self, *paths: Path) -> None:
        """Apply files or folders of CustomResourceDefinitions and wait until the kinds can be used.

        On the testbed's own cluster the garbage collector knows them too when this returns.
        """
        files = [f"--filename={path}" for path in paths]
        names = self.kubectl("apply", "--server-side", "--output=name", *files).split()
        if not holds_within(lambda: self._are_established(names), _ESTABLISHED_SECONDS):
            # Once more, for what kubectl says of it.
            self.kubectl("wait", "--for=condition=Established", "--timeout=0s", *names)

    def _are_established(self, names: Sequence[str]) -> bool:
        # Right after a start the API server may not answer for a kind that it has just taken.
        with suppress(KubectlFailed):
            self.kubectl("wait", "--for=condition=Established", "--timeout=10s", *names)
            return True
        return False

    def create_namespace(self, prefix: str = "test") -> str:
        """Create a namespace of a unique name and wait for its default service account; its name."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        if self.has_controllers:
            wanted = ("serviceaccount/default", f"--namespace={name}")
            self.kubectl("wait", "--for=create", "--timeout=60s", *wanted)
        return name

    def delete_namespace(self, name: str) -> None:
        """Ask for the deletion of a namespace; its contents go in the background."""
        self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


class GivenCluster(Cluster):
    """The cluster of the caller's KUBECONFIG; it is used, never broken, and outlives this object."""

    def __init__(self, kubeconfig: Path, progress: Progress = say) -> None:
        if not kubeconfig.is_file():
            raise ClusterNotGiven(
                f"KUBECONFIG={kubeconfig} is not a file. Set it to one kubeconfig file, "
                f"or unset {USE_KUBECONFIG} to have a control plane started."
            )
        self._kubeconfig = kubeconfig
        self._scratch = tempfile.TemporaryDirectory(prefix="modelecology-testbed-")
        on_path = shutil.which("kubectl")
        self._kubectl = Path(on_path) if on_path is not None else binaries.resolve(progress).kubectl
        flat = self.kubectl("config", "view", "--raw", "--minify", "--flatten")
        self._endpoint = str(yaml.safe_load(flat)["clusters"][0]["cluster"]["server"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    @property
    def kubeconfig(self) -> Path:
        return self._kubeconfig

    @property
    def endpoint(self) -> str:
        return self._endpoint

    @property
    def kubectl_program(self) -> Path:
        return self._kubectl

    @property
    def scratch(self) -> Path:
        return Path(self._scratch.name)

    @property
    def has_controllers(self) -> bool:
        return True

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """The caller's own kubeconfig with impersonation: its authority cannot issue certificates here."""
        document = yaml.safe_load(self.kubectl("config", "view", "--raw", "--minify", "--flatten"))
        document["users"][0]["user"] |= {"as": user, "as-groups": [*groups, "system:authenticated"]}
        path = self.scratch / f"kubeconfig-{secrets.token_hex(4)}.yaml"
        write_private_text(path, yaml.safe_dump(document))
        return path

    def kill_apiserver(self) -> None:
        raise self._not_owned()

    def start_apiserver(self) -> None:
        raise self._not_owned()

    def restart_apiserver(self) -> None:
        raise self._not_owned()

    def paused_apiserver(self) -> AbstractContextManager[None]:
        raise self._not_owned()

    def restart_controllers(self) -> None:
        raise self._not_owned()

    def _not_owned(self) -> ClusterNotOwned:
        return ClusterNotOwned(
            f"The cluster of {self._kubeconfig} is not the testbed's, so it is not stopped or restarted. "
            f"Unset {USE_KUBECONFIG} to run this on a control plane of its own."
        )


def wants_given_cluster() -> bool:
    """Whether the caller asked, by MODELECOLOGY_USE_KUBECONFIG=1, to use the cluster of KUBECONFIG."""
    return os.environ.get(USE_KUBECONFIG, "") in {"1", "true", "yes"}


def given_kubeconfig() -> Path:
    """The caller's KUBECONFIG; raises ClusterNotGiven."""
    path = os.environ.get("KUBECONFIG", "")
    if not path:
        raise ClusterNotGiven(
            f"{USE_KUBECONFIG} is set, but KUBECONFIG is not. Set it to the kubeconfig of the cluster to use."
        )
    return Path(path)


def given_cluster(progress: Progress = say) -> GivenCluster:
    """The cluster of the caller's KUBECONFIG; raises ClusterNotGiven."""
    return GivenCluster(given_kubeconfig(), progress)
