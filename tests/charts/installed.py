"""A release on a real API server, with objects of a user's beside it, and somebody who does a hook's work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes import client, config

from modelecology.api.meta import GROUP, VERSION
from modelecology.reconcile.finalizer import FINALIZER
from testbed.cluster import Cluster
from testbed.places import REPOSITORY
from testbed.waiting import holds_within

from .helm import Manifest, helm

RELEASE = "modelecology"
HOOK = "modelecology-release"
_PATIENCE = 60.0
_OURS = "populations,specialists,evaluationsuites"
_FINISHED = {
    "startTime": "2026-01-01T00:00:00Z",
    "completionTime": "2026-01-01T00:00:10Z",
    "succeeded": 1,
    "uncountedTerminatedPods": {},
    "conditions": [
        {"type": kind, "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-01T00:00:10Z"}
        for kind in ("SuccessCriteriaMet", "Complete")
    ],
}


@dataclass(frozen=True)
class Release:
    """One release in one namespace."""

    cluster: Cluster
    namespace: str

    def helm(self, *arguments: str) -> str:
        """Run Helm on the release's namespace. Raises HelmFailed."""
        return helm(*arguments, f"--namespace={self.namespace}", kubeconfig=self.cluster.kubeconfig)

    def install(self, chart: Path, *flags: str) -> None:
        """Install the chart, or upgrade the release to it."""
        self.helm("upgrade", "--install", RELEASE, str(chart), *flags)

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl in the release's namespace."""
        return self.cluster.kubectl(
            f"--namespace={self.namespace}", *arguments, stdin=stdin, kubeconfig=kubeconfig
        )

    def get(self, what: str, name: str, kubeconfig: Path | None = None) -> Manifest:
        """Read an object."""
        found: Manifest = json.loads(self.kubectl("get", what, name, "--output=json", kubeconfig=kubeconfig))
        return found

    def items(self, what: str, *flags: str, kubeconfig: Path | None = None) -> list[Manifest]:
        """List objects."""
        text = self.kubectl("get", what, "--output=json", *flags, kubeconfig=kubeconfig)
        found: list[Manifest] = json.loads(text)["items"]
        return found

    def account(self, name: str) -> Path:
        """A kubeconfig with the rights of a service account of the release's namespace."""
        return self.cluster.kubeconfig_for(f"system:serviceaccount:{self.namespace}:{name}")

    def users_objects(self) -> dict[str, str]:
        """Everything that a user made, with its uid."""
        return {f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["uid"] for o in self.items(_OURS)}

    def apply_quickstart(self) -> None:
        """Make a user's objects."""
        self.kubectl("apply", "--server-side", "-k", str(REPOSITORY / "manifests/quickstart"))

    def hold(self, what: str, name: str, *others: str) -> None:
        """Put the finalizer on an object as the operator does, with its rights."""
        self.patch(what, name, [FINALIZER, *others], self.account("modelecology-operator"))

    def patch(self, what: str, name: str, finalizers: list[str], kubeconfig: Path) -> None:
        """Write an object's finalizers."""
        # Not by kubectl, which reads before it writes: the accounts have no right to that.
        connection = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]  # untyped
        client.CustomObjectsApi(connection).patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, what, name, {"metadata": {"finalizers": finalizers}}
        )

    def let_go(self) -> None:
        """Take every finalizer off, where the kinds are there at all."""
        for what in ("populations", "specialists"):
            if self.kubectl("get", "crd", f"{what}.{GROUP}", "--ignore-not-found", "--output=name"):
                for each in self.items(what):
                    self.patch(what, each["metadata"]["name"], [], self.cluster.kubeconfig)

    def run_hook(self) -> None:
        """Run what the hook's Job says, with the rights of its account, and say that it is done."""
        job = self.get("job", HOOK)
        (container,) = job["spec"]["template"]["spec"]["containers"]
        environment = {
            **os.environ,
            # What is no value is asked of the pod: its namespace.
            **{each["name"]: each.get("value", self.namespace) for each in container.get("env", ())},
            "KUBECONFIG": str(self.account(job["spec"]["template"]["spec"]["serviceAccountName"])),
        }
        command = [sys.executable, "-m", "modelecology.app", *container["args"]]
        subprocess.run(command, env=environment, check=True, timeout=_PATIENCE)
        status = json.dumps({"status": _FINISHED})
        self.kubectl("patch", "job", HOOK, "--subresource=status", "--type=merge", f"--patch={status}")

    @contextmanager
    def hook_at_work(self) -> Iterator[None]:
        """Run the hook's Job in this process when Helm has created it: there is no node here."""
        wrong: list[BaseException] = []

        def work() -> None:
            try:
                assert holds_within(lambda: bool(self.items("jobs")), _PATIENCE)
                self.run_hook()
            except BaseException as error:
                wrong.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield
        thread.join(_PATIENCE)
        assert not thread.is_alive()
        assert wrong == []
