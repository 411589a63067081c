"""Real pods: one cluster, one installation by Helm, a tiny generalist, real trainings in RayJobs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelecology.store import ArtifactStore
from testbed import tiny_values
from testbed.asking import GatewayClient
from testbed.installation import Image, Installation, fill, load_images
from testbed.node import NodeCluster
from testbed.tiny import TinyDesk, make_tiny_desk
from testbed.traffic import Crowd, Question, Script, Traffic
from testbed.waiting import holds_within

PATIENCE_SECONDS = 600.0
# Each question starts a kubectl, which takes CPU from the pods that it asks about.
PACE_SECONDS = 1.0
# Images are built and brought to the node before the first test; a cold machine takes a while for 6 GB.
LIMIT_SECONDS = 2700


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that their pods need."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_SECONDS))


@dataclass(frozen=True)
class Installed:
    """An installation, its desk, and a way to wait for what its specialists become."""

    installation: Installation
    desk: TinyDesk

    @property
    def store(self) -> ArtifactStore:
        """The store, as this machine sees it."""
        return ArtifactStore.open(f"file://{self.installation.store}")

    def status(self, name: str) -> dict[str, Any]:
        """Read a specialist's status."""
        found: dict[str, Any] = self.installation.get("specialist", name).get("status", {})
        return found

    def until(
        self, name: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait until a status is as wanted, and give it; tells all that may explain why it never is."""
        last: dict[str, Any] = {}

        def holds() -> bool:
            last.clear()
            last.update(self.status(name))
            return wanted(last)

        if not holds_within(holds, seconds, PACE_SECONDS):
            raise AssertionError(f"{name}: {json.dumps(last, indent=1)}\n\n{self.story()}")
        return last

    def state(self, name: str, state: str) -> dict[str, Any]:
        """Wait until a specialist is in a state and nothing is left to do about it."""
        return self.until(name, lambda status: _is_in(status, state))

    def is_in(self, name: str, state: str) -> bool:
        """Say whether a specialist is in a state and nothing is left to do about it."""
        return _is_in(self.status(name), state)

    def want(self, name: str, target: str) -> None:
        """Set a specialist's lifecycle.target."""
        patch = json.dumps({"spec": {"lifecycle": {"target": target}}})
        self.installation.kubectl("patch", "specialist", name, "--type=merge", f"--patch={patch}")

    def decisions(self, name: str) -> list[str]:
        """List what was decided about a specialist, as `Action Reason`."""
        items = json.loads(self.installation.kubectl("get", "decisions", "--output=json"))["items"]
        specs = sorted((d["spec"] for d in items), key=lambda s: int(s["sequence"]))
        return [f"{s['action']} {s['reason']}" for s in specs if s["subject"]["specialist"] == name]

    def story(self) -> str:
        """Tell what is known, for a failing test."""
        kubectl = self.installation.kubectl
        parts = [kubectl("get", "ecology,rayjobs,rayclusters,pods,pvc", "--output=wide")]
        parts.append(kubectl("get", "events", "--sort-by=.lastTimestamp")[-4000:])
        parts.append(kubectl("logs", "deployment/modelecology-operator", "--tail=60"))
        parts.append(kubectl("get", "configmaps", "--output=yaml")[-4000:])
        return "\n".join(parts)


def _is_in(status: dict[str, Any], state: str) -> bool:
    conditions = status.get("conditions", ())
    at_work = any(c["type"] == "Progressing" and c["status"] == "True" for c in conditions)
    return status.get("state") == state and not at_work


@pytest.fixture(scope="session")
def images(owned_node: NodeCluster) -> Mapping[str, Image]:
    """KubeRay's operator runs, and the node has our images."""
    owned_node.install_kuberay()
    return load_images(owned_node)


@pytest.fixture(scope="session")
def tiny_desk(tmp_path_factory: pytest.TempPathFactory) -> TinyDesk:
    """The tiny base and its data."""
    return make_tiny_desk(tmp_path_factory.mktemp("desk"))


def prepared(
    cluster: NodeCluster,
    images: Mapping[str, Image],
    desk: TinyDesk,
    factory: pytest.TempPathFactory,
    prefix: str,
) -> Installation:
    """Make a namespace, with a store that holds the tiny base and its data; nothing is installed yet."""
    store = factory.mktemp("store")
    let_others_in(store)
    fill(store, tiny_values.files(desk))
    found = Installation(cluster, cluster.create_restricted_namespace(prefix), store, images)
    found.prepare()
    return found


@pytest.fixture(scope="session")
def installed(
    owned_node: NodeCluster,
    images: Mapping[str, Image],
    tiny_desk: TinyDesk,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installed:
    """The product on the cluster, with no specialist yet."""
    found = prepared(owned_node, images, tiny_desk, tmp_path_factory, "ecology")
    found.install_operator({"gateway": {"enabled": True}})
    found.install_population(tiny_values.with_users(tiny_values.population(tiny_desk)))
    found.wait_rolled_out()
    # They are ready once they have a table, which the operator writes.
    found.kubectl("rollout", "status", "deployment/desk-gateway", "--timeout=120s", seconds=130.0)
    return Installed(found, tiny_desk)


@pytest.fixture(scope="session")
def users(installed: Installed) -> Iterator[Traffic]:
    """Users who ask the population for codes through the gateways' Service, once they are given a pace."""
    questions = [Question(f"code {number}", "zulu") for number in range(400, 900)]
    client = GatewayClient(installed.installation.gateway, installed.installation.gateway_token)
    with Traffic(client, Script([Crowd("desk", questions, 8)], 1)) as traffic:
        yield traffic
    client.close()


def let_others_in(folder: Path) -> None:
    """Open pytest's folders, which are for one user only, so that pods of another can pass through."""
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o111)
