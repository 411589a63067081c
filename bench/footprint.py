"""Measures the operator's memory with 0, 100 and 1,000 Specialists, and KubeRay's with as many RayJobs.

    python -m bench.footprint [--counts 0 100 1000]

Both are plain processes on the testbed's control plane. Each Specialist is judged once and rests; each RayJob
is suspended and rests. Resident memory is read some seconds later.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.contenders import cpu_of
from testbed.binaries import module_dir, tool
from testbed.controlplane import ControlPlane
from testbed.errors import ControlPlaneError
from testbed.places import REPOSITORY
from testbed.pretend_desk import Manifest, PretendDesk
from testbed.probe import answers_plainly
from testbed.processes import Command, Process, free_ports, start
from testbed.waiting import holds_within

_READY_SECONDS = 120.0
_SETTLED_SECONDS = 900.0
_REST_SECONDS = 10.0
_POLL_SECONDS = 1.0
_CHUNK = 250  # objects of one kubectl call


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process takes at rest: resident MiB now and at most so far, and CPU milliseconds a second."""

    title: str
    count: int
    resident: float
    peak: float
    cpu: float


class Subject(ABC):
    """One operator process, and the objects that it watches."""

    title: str

    def __init__(self, cluster: ControlPlane, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.namespace = cluster.create_namespace("footprint")
        (self.port,) = free_ports(1)
        self._process: Process | None = None

    @abstractmethod
    def command(self) -> Command:
        """Give the operator's command."""

    @abstractmethod
    def set_up(self) -> None:
        """Bring in what is there before the first object."""

    @abstractmethod
    def manifest(self, number: int) -> Manifest:
        """Give one object."""

    @abstractmethod
    def settled(self, count: int) -> bool:
        """Say whether so many objects were looked at."""

    @abstractmethod
    def ready_path(self) -> str:
        """Name the probe."""

    def start(self) -> None:
        """Start the process and wait until it is ready. Raises StartFailed."""
        self._process = start(self.command(), self.directory / "operator.log")
        self._process.wait_ready(lambda: answers_plainly(self.port, self.ready_path()), _READY_SECONDS)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stop(10.0)

    def create(self, first: int, last: int) -> None:
        """Create the objects from `first` up to, not including, `last`."""
        for begin in range(first, last, _CHUNK):
            manifests = [self.manifest(n) for n in range(begin, min(begin + _CHUNK, last))]
            namespace = f"--namespace={self.namespace}"
            self.cluster.kubectl("create", "-f", "-", namespace, stdin=yaml.safe_dump_all(manifests))

    def measure(self, count: int) -> Footprint:
        """Wait until it rests, and read what it takes. Raises TimeoutError."""
        if self._process is None:
            raise RuntimeError("it is not started")

        def is_settled() -> bool:
            time.sleep(_POLL_SECONDS)
            return self.settled(count)

        if not holds_within(is_settled, _SETTLED_SECONDS):
            raise TimeoutError(
                f"{self.title}: {count} objects were not looked at in {_SETTLED_SECONDS:.0f} s"
            )
        time.sleep(_REST_SECONDS)
        pid = self._process.identity.pid
        before, started = _cpu_seconds(pid), time.monotonic()
        time.sleep(_REST_SECONDS)
        used = (_cpu_seconds(pid) - before) / (time.monotonic() - started)
        memory = _memory(pid)
        return Footprint(self.title, count, memory["VmRSS"], memory["VmHWM"], used * 1000)


class Ours(Subject):
    """The operator of this repository, with the rights of its Role; Ray and the engine are doubles."""

    title = "Model Ecology"

    def __init__(self, cluster: ControlPlane, directory: Path) -> None:
        super().__init__(cluster, directory)
        (directory / "store").mkdir()
        self._desk = PretendDesk(directory)
        cluster.kubectl(
            "apply",
            "--server-side",
            f"--namespace={self.namespace}",
            "-k",
            str(REPOSITORY / "manifests" / "operator"),
        )

    def command(self) -> Command:
        """Give the operator's command."""
        user = f"system:serviceaccount:{self.namespace}:modelecology-operator"
        environment = {"KUBECONFIG": str(self.cluster.kubeconfig_for(user)), "PYTHONPATH": str(REPOSITORY)}
        options = {"namespace": self.namespace, "health-host": "127.0.0.1", "health-port": self.port}
        arguments = [str(self.directory / "state"), *(f"--{name}={value}" for name, value in options.items())]
        return Command(
            "operator",
            Path(sys.executable),
            ["-m", "testbed.pretend_operator", *arguments],
            environment,
        )

    def ready_path(self) -> str:
        """Name the probe."""
        return "/readyz"

    def set_up(self) -> None:
        """Create the population and wait until its generalist is evaluated."""
        namespace = f"--namespace={self.namespace}"
        objects = yaml.safe_dump_all([self._desk.suite(), self._desk.population()])
        self.cluster.kubectl("create", "-f", "-", namespace, stdin=objects)
        self.cluster.kubectl("wait", namespace, "--for=condition=Ready", "--timeout=90s", "population/desk")

    def manifest(self, number: int) -> Manifest:
        """Give a specialist which the generalist makes needless, so that it is judged and trains nothing."""
        return self._desk.specialist(f"capitals-{number:04d}", "capitals", 0.85)

    def settled(self, count: int) -> bool:
        """Say whether so many decisions are recorded."""
        path = "jsonpath={.status.lastDecision.sequence}"
        said = self.cluster.kubectl(
            "get", "population", "desk", f"--namespace={self.namespace}", f"--output={path}"
        )
        return int(said or "0") >= count


class KubeRay(Subject):
    """KubeRay's operator; its jobs are suspended."""

    title = "KubeRay"

    def command(self) -> Command:
        """Give the operator's command."""
        arguments = [
            f"--kubeconfig={self.cluster.kubeconfig}",
            "--enable-leader-election=false",
            f"--watch-namespace={self.namespace}",
            f"--health-probe-bind-address=127.0.0.1:{self.port}",
            "--metrics-addr=127.0.0.1:0",
        ]
        return Command("kuberay", tool("kuberay-operator"), arguments)

    def ready_path(self) -> str:
        """Name the probe."""
        return "/healthz"

    def set_up(self) -> None:
        """Do nothing: a RayJob needs no other object."""

    def manifest(self, number: int) -> Manifest:
        """Give a suspended RayJob of about the size of ours."""
        container = {"name": "ray-head", "image": "ray", "resources": {"limits": {"cpu": "1"}}}
        head = {"rayStartParams": {}, "template": {"spec": {"containers": [container]}}}
        return {
            "apiVersion": "ray.io/v1",
            "kind": "RayJob",
            "metadata": {"name": f"job-{number:04d}"},
            "spec": {
                "suspend": True,
                "entrypoint": "python -m modelecology.workloads",
                "shutdownAfterJobFinishes": True,
                "runtimeEnvYAML": "env_vars:\n  INTENT: " + "x" * 2000,
                "rayClusterSpec": {"rayVersion": "2.60.0", "headGroupSpec": head},
            },
        }

    def settled(self, count: int) -> bool:
        """Say whether so many jobs have a status."""
        items = json.loads(
            self.cluster.kubectl("get", "rayjobs", f"--namespace={self.namespace}", "--output=json")
        )["items"]
        return sum(1 for each in items if each.get("status", {}).get("jobDeploymentStatus")) >= count


def _cpu_seconds(pid: int) -> float:
    return cpu_of(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8"))


def _memory(pid: int) -> dict[str, float]:
    """Read the memory figures of a process in MiB."""
    found: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(value.split()[0]) / 1024
    return found


def measure(counts: list[int]) -> list[Footprint]:
    """Measure both by turns. Raises TimeoutError, ControlPlaneError."""
    found: list[Footprint] = []
    with ControlPlane() as cluster:
        cluster.install_crds(REPOSITORY / "crds", module_dir("kuberay") / "config" / "crd" / "bases")
        for kind in (Ours, KubeRay):
            subject: Subject = kind(cluster, cluster.directory / "footprint" / kind.__name__.lower())
            subject.start()
            try:
                subject.set_up()
                there = 0
                for count in counts:
                    subject.create(there, count)
                    there = count
                    found.append(subject.measure(count))
                    print(f"bench: {found[-1]}", file=sys.stderr, flush=True)
            finally:
                subject.stop()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.footprint", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 100, 1000], help="objects at rest")
    counts = sorted(parser.parse_args().counts)
    try:
        found = measure(counts)
    except (TimeoutError, ControlPlaneError) as error:
        sys.exit(f"bench: {error}")
    print(f"{'at rest':<16}{'objects':>8}{'RSS MiB':>10}{'peak MiB':>10}{'CPU ms/s':>10}")
    for each in found:
        print(f"{each.title:<16}{each.count:>8}{each.resident:>10.0f}{each.peak:>10.0f}{each.cpu:>10.1f}")


if __name__ == "__main__":
    main()
