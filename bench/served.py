"""A population that is served, on real parts: API server, operator, engine doubles, gateways, each a process.

Its jobs are played (bench.job_process); all from the Decision to the user's answer is the product's own.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml
from kubernetes import client, config

from bench.desk import MOST_MEMBERS, POPULATION, BenchDesk, Manifest, members
from modelecology.api.meta import GROUP, VERSION
from modelecology.api.routing import TABLE_KEY, RoutingTable, read_table, routes_name
from modelecology.store import ArtifactStore
from testbed.cluster import Cluster
from testbed.places import REPOSITORY
from testbed.probe import answers_plainly
from testbed.processes import Command, Process, free_ports, start
from testbed.rights import gateway_rights, operator_rights
from testbed.waiting import holds_within

_READY_SECONDS: Final = 90.0
_LIVE_SECONDS: Final = 120.0
_STILL_SECONDS: Final = 10.0  # without another that goes live: the suite is used up
_GRACE_SECONDS: Final = 10.0


class NotServed(Exception):
    """Raised when the population does not come to serve what it should; it says where to read on."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be served, and by how many. Seconds are those of one answer of an engine."""

    members: int
    engines: int = 2
    gateways: int = 3
    answer_seconds: float = 0.05
    isolate: str = "Finish"


@dataclass
class Served:
    """The parts. Those that are processes end with this object."""

    cluster: Cluster
    directory: Path
    wish: Wish
    namespace: str = field(init=False)
    ports: list[int] = field(init=False)  # of the gateways
    _engines: dict[str, Process] = field(default_factory=dict)
    _others: list[Process] = field(default_factory=list)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        wish = self.wish
        self.directory.mkdir(parents=True, exist_ok=True)
        self.namespace = self.cluster.create_namespace("served")
        self.ports = free_ports(wish.gateways)
        loader: Any = config  # the client's own annotations are incomplete here
        self._api: Any = loader.new_client_from_config(str(self.cluster.kubeconfig))
        self._objects: Any = client.CustomObjectsApi(self._api)
        self._core: Any = client.CoreV1Api(self._api)
        for port in free_ports(wish.engines):
            self.start_engine(f"http://127.0.0.1:{port}")
        desk = BenchDesk(self.directory, wish.members, MOST_MEMBERS)
        self._store = ArtifactStore.create(desk.store)
        self._start_operator()
        kubeconfig = gateway_rights(self.cluster, self.namespace, POPULATION)
        for number, port in enumerate(self.ports):
            options = ("--population", POPULATION, "--namespace", self.namespace, "--port", str(port))
            self._others.append(
                self._run(
                    f"gateway-{number}",
                    ["modelecology.serving.gateway", *options, "--kubeconfig", str(kubeconfig)],
                )
            )
        self._apply(desk.suite(), self._population(desk), *map(desk.specialist, members(wish.members)))

    def _start_operator(self) -> None:
        state = self.directory / "jobs"
        state.mkdir()
        (port,) = free_ports(1)
        kubeconfig = operator_rights(self.cluster, self.namespace, self.directory / "operator", tables=True)
        options = [str(state), "--engines-listen", f"--namespace={self.namespace}"]
        options += ["--health-host=127.0.0.1", f"--health-port={port}"]
        operator = self._run(
            "operator", ["bench.operator_process", *options], {"KUBECONFIG": str(kubeconfig)}
        )
        self._others.append(operator)
        operator.wait_ready(lambda: answers_plainly(port, "/readyz"), _READY_SECONDS)
        self._others.append(
            self._run("jobs", ["bench.job_process", str(state), str(self.wish.members), "0.1"])
        )

    def _population(self, desk: BenchDesk) -> Manifest:
        found = desk.population()
        found["spec"]["serving"]["endpoints"] = self.engines
        found["spec"]["serving"]["gateway"] = {"isolate": self.wish.isolate}
        return found

    def _stop(self) -> None:
        for process in (*reversed(self._others), *self._engines.values()):
            process.stop(_GRACE_SECONDS)
        if hasattr(self, "_api"):
            self._api.close()
        if hasattr(self, "namespace"):
            self.cluster.delete_namespace(self.namespace)

    @property
    def engines(self) -> list[str]:
        """Addresses of the engines."""
        return list(self._engines)

    def start_engine(self, endpoint: str, *options: str) -> None:
        """Start an engine double at its address, and wait until it answers. Raises StartFailed."""
        port = int(endpoint.rpartition(":")[2])
        arguments = ["--port", str(port), "--max-loras", str(MOST_MEMBERS + 1)]
        arguments += ["--answer-seconds", str(self.wish.answer_seconds), *options]
        self._engines[endpoint] = self._run(
            f"engine-{port}", ["modelecology.engines.double_server", *arguments]
        )
        self._engines[endpoint].wait_ready(lambda: answers_plainly(port, "/health"), _READY_SECONDS)

    def kill_engine(self, endpoint: str) -> None:
        """SIGKILL an engine."""
        self._engines[endpoint].kill()

    def wait_live(self) -> dict[str, str]:
        """Wait until everything is served, or no more will be; gives served names by member.

        A suite proves a few promotions only, before it is used up. Raises NotServed if nothing is served.
        """

        def live() -> dict[str, str]:
            table = self.table()
            return {r.specialist: r.live for r in table.routes if r.specialist and r.live} if table else {}

        found: dict[str, str] = {}
        moved = time.monotonic()

        def is_over() -> bool:
            nonlocal found, moved
            seen = live()
            if seen.keys() != found.keys():
                found, moved = seen, time.monotonic()
            still = bool(found) and time.monotonic() - moved > _STILL_SECONDS
            return len(found) == self.wish.members or still

        holds_within(is_over, _LIVE_SECONDS, every=0.3)
        if not found:
            raise NotServed(f"nothing is served. Read {self.directory}/operator.log.")
        return found

    def voices(self) -> dict[str, str]:
        """How an engine double begins the answers of each live revision, by served name."""
        live = (s["status"].get("live") for s in self.specialists() if "status" in s)
        return {e["servedName"]: Path(self._store.local_path(e["key"])).name for e in live if e}

    def table(self) -> RoutingTable | None:
        """The routing table, as gateways see it."""
        try:
            found = self._core.read_namespaced_config_map(routes_name(POPULATION), self.namespace)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return None
        return read_table(found.data[TABLE_KEY])

    def specialists(self) -> list[dict[str, Any]]:
        """All Specialists."""
        return self._list("specialists")

    def decisions(self) -> list[dict[str, Any]]:
        """The log, oldest first."""
        return sorted(self._list("decisions"), key=lambda each: int(each["spec"]["sequence"]))

    def annotate(self, member: str, annotation: str, text: str) -> float:
        """Write an annotation; gives the moment before it was sent, in seconds since 1970."""
        body = {"metadata": {"annotations": {annotation: text}}}
        asked = time.time()
        self._objects.patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, "specialists", member, body
        )
        return asked

    def _list(self, plural: str) -> list[dict[str, Any]]:
        answer = self._objects.list_namespaced_custom_object(GROUP, VERSION, self.namespace, plural)
        items: list[dict[str, Any]] = answer["items"]
        return items

    def _apply(self, *manifests: Manifest) -> None:
        text = yaml.safe_dump_all(manifests)
        self.cluster.kubectl("create", "-f", "-", f"--namespace={self.namespace}", stdin=text)

    def _run(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Process:
        paths = f"{REPOSITORY}:{REPOSITORY / 'operator'}"
        command = Command(
            name, Path(sys.executable), ["-m", *arguments], {"PYTHONPATH": paths, **(environment or {})}
        )
        return start(command, self.directory / f"{name}.log")


def listed(endpoint: str) -> frozenset[str]:
    """What an engine says that it serves; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{endpoint}/v1/models", timeout=2.0) as answer:
            return frozenset(each["id"] for each in json.load(answer)["data"])
    except (OSError, ValueError):
        return frozenset()
