"""The two operators that are measured, each behind the same few questions."""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from bench.desk import NAIVE_GROUP, NAIVE_PLURAL, POPULATION, BenchDesk, Manifest, members
from modelecology.store import ArtifactStore
from testbed.audit import Request
from testbed.controlplane import ControlPlane
from testbed.places import REPOSITORY
from testbed.probe import answers_plainly
from testbed.processes import Command, Process, free_ports, start

_READY_SECONDS = 90.0
_TICKS = os.sysconf("SC_CLK_TCK")
_LOOKS = re.compile(r'^modelecology_reconcile_seconds_count\{kind="(\w+)"\} (\S+)$', re.MULTILINE)


class Contender(ABC):
    """One operator process in a namespace of its own."""

    title: str
    module: str
    group: str
    version: str
    plural: str

    def __init__(self, cluster: ControlPlane, desk: BenchDesk) -> None:
        self.desk = desk
        self._cluster = cluster
        self.namespace = cluster.create_namespace("bench")
        (self.port,) = free_ports(1)
        self.state = desk.directory / "jobs"
        self.state.mkdir(parents=True)
        ArtifactStore.create(desk.store)
        self.user, self._kubeconfig = self._rights()
        # The client's own annotations are incomplete here.
        loader: Any = config
        loader.load_kube_config(config_file=str(cluster.kubeconfig))
        self._objects: Any = client.CustomObjectsApi()
        self._process: Process | None = None

    @abstractmethod
    def _rights(self) -> tuple[str, Path]:
        """Name the operator's user and give its kubeconfig."""

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Give the command line after the module."""

    @abstractmethod
    def set_up(self) -> None:
        """Bring in what is there before the first specialist."""

    @abstractmethod
    def action_times(self, writes: Iterable[Request]) -> dict[str, list[float]]:
        """Find the moments at which each specialist's next action was asked of the API server."""

    @abstractmethod
    def _specialist(self, name: str) -> Manifest:
        """Give one specialist's manifest."""

    def start(self) -> None:
        """Start the process and wait until it says that it is ready. Raises StartFailed."""
        environment = {
            "KUBECONFIG": str(self._kubeconfig),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
        }
        command = Command(
            self.module, Path(sys.executable), ["-m", self.module, *self._arguments()], environment
        )
        self._process = start(command, self.desk.directory / "operator.log")
        self._process.wait_ready(lambda: answers_plainly(self.port, "/healthz"), _READY_SECONDS)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stop(10.0)

    def cpu_seconds(self) -> float:
        """Give the CPU time that the process used so far, user and system."""
        if self._process is None or self._process.returncode() is not None:
            raise RuntimeError(f"{self.title} has ended; read {self.desk.directory / 'operator.log'}")
        return cpu_of(Path(f"/proc/{self._process.identity.pid}/stat").read_text(encoding="utf-8"))

    def apply_members(self) -> None:
        """Create all specialists."""
        self.apply(*(self._specialist(name) for name in members(self.desk.count)))

    def apply(self, *manifests: Manifest) -> None:
        """Create objects in the namespace."""
        namespace = f"--namespace={self.namespace}"
        self._cluster.kubectl("create", "-f", "-", namespace, stdin=yaml.safe_dump_all(manifests))

    def states(self) -> list[str]:
        """List the state of each specialist."""
        found = self._list(self.group, self.version, self.plural)
        return [item.get("status", {}).get("state", "") for item in found]

    def retire_all(self) -> None:
        """Ask for every specialist's retirement."""
        for name in members(self.desk.count):
            self.patch(self.plural, name, {"spec": {"lifecycle": {"target": "Retired"}}})

    def patch(self, plural: str, name: str, body: Manifest) -> None:
        """Merge a patch into an object."""
        self._objects.patch_namespaced_custom_object(
            self.group, self.version, self.namespace, plural, name, body
        )

    def _list(self, group: str, version: str, plural: str) -> list[dict[str, Any]]:
        answer = self._objects.list_namespaced_custom_object(group, version, self.namespace, plural)
        items: list[dict[str, Any]] = answer["items"]
        return items


class Ours(Contender):
    """The operator of this repository, with the rights of its Role and nothing more."""

    title = "Model Ecology"
    module = "bench.operator_process"
    group = "modelecology.io"
    version = "v1alpha1"
    plural = "specialists"

    def _rights(self) -> tuple[str, Path]:
        namespace = f"--namespace={self.namespace}"
        self._cluster.kubectl(
            "apply", "--server-side", namespace, "-k", str(REPOSITORY / "manifests" / "operator")
        )
        user = f"system:serviceaccount:{self.namespace}:modelecology-operator"
        return user, self._cluster.kubeconfig_for(user)

    def _arguments(self) -> list[str]:
        options = {"namespace": self.namespace, "health-host": "127.0.0.1", "health-port": self.port}
        return [str(self.state), *(f"--{name}={value}" for name, value in options.items())]

    def _specialist(self, name: str) -> Manifest:
        return self.desk.specialist(name)

    def set_up(self) -> None:
        """Create the population, and wait until its generalist is evaluated."""
        self.apply(self.desk.suite(), self.desk.population())
        ready = ("--for=condition=Ready", "--timeout=90s", f"population/{POPULATION}")
        self._cluster.kubectl("wait", f"--namespace={self.namespace}", *ready)

    def action_times(self, writes: Iterable[Request]) -> dict[str, list[float]]:
        """Find each specialist's Decisions: one is written at a time, so the log's order is theirs."""
        creates = sorted(w.received for w in writes if w.resource == "decisions" and not w.refused)
        decisions = sorted(self._list(self.group, self.version, "decisions"), key=_sequence)
        if len(creates) != len(decisions):
            raise RuntimeError(f"the audit log has {len(creates)} Decisions, the API {len(decisions)}")
        times: dict[str, list[float]] = defaultdict(list)
        for received, decision in zip(creates, decisions, strict=True):
            times[decision["spec"]["subject"]["specialist"]].append(received)
        return times

    def looks(self) -> dict[str, int]:
        """Count the looks at objects of each kind since the start."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10.0) as answer:
            return looks_of(answer.read().decode())

    def resync(self, number: int) -> None:
        """Touch the population, which makes the operator look at it and at every specialist."""
        self.patch("populations", POPULATION, {"metadata": {"annotations": {"bench/resync": str(number)}}})


class Naive(Contender):
    """The operator as a usual kopf user writes it, with all rights."""

    title = "naive kopf"
    module = "bench.naive_operator"
    group = NAIVE_GROUP
    version = "v1"
    plural = NAIVE_PLURAL

    def _rights(self) -> tuple[str, Path]:
        user = f"{self.namespace}-naive"
        role = ("--clusterrole=cluster-admin", f"--user={user}")
        self._cluster.kubectl("create", "clusterrolebinding", user, *role)
        return user, self._cluster.kubeconfig_for(user)

    def _arguments(self) -> list[str]:
        return [str(self.state), self.namespace, str(self.port)]

    def _specialist(self, name: str) -> Manifest:
        return self.desk.naive_specialist(name)

    def set_up(self) -> None:
        """Do nothing: it compares with no generalist."""

    def action_times(self, writes: Iterable[Request]) -> dict[str, list[float]]:
        """Find each specialist's status patches."""
        times: dict[str, list[float]] = defaultdict(list)
        for write in writes:
            if write.subresource == "status" and not write.refused:
                times[write.name].append(write.received)
        return times


def _sequence(decision: dict[str, Any]) -> int:
    return int(decision["spec"]["sequence"])


def cpu_of(stat: str) -> float:
    """Read the CPU time in seconds, user and system, from the text of /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def looks_of(metrics: str) -> dict[str, int]:
    """Read the number of looks at each kind from the operator's metrics."""
    return {kind: int(float(value)) for kind, value in _LOOKS.findall(metrics)}
