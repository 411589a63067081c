"""Parts are killed at random moments of a whole life: the end is the same, and nothing is done twice.

MODELECOLOGY_FAULT_SEED replays one run.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from modelecology.store import ArtifactStore
from testbed import tiny_values
from testbed.errors import KubectlFailed
from testbed.installation import Image
from testbed.node import NodeCluster
from testbed.tiny import TinyDesk
from testbed.waiting import holds_within
from tests.cluster.conftest import PACE_SECONDS, Installed, prepared

pytestmark = pytest.mark.long

KILLS = 5
LONGEST_PAUSE = 25.0  # seconds
SEED = int(os.environ.get("MODELECOLOGY_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
ENDS = {"code": "Live", "hasty": "Rejected"}
STEPS = {
    "code": ["Propose", "Evaluate", "Prove", "Admit", "Promote"],
    "hasty": ["Propose", "Evaluate", "Reject"],
}


def _delete_pods(installed: Installed, labels: str) -> None:
    kubectl, pods = installed.installation.kubectl, ("pods", f"--selector={labels}")

    def is_there() -> bool:
        return bool(kubectl("get", *pods, "--output=name"))

    # Between two jobs there is no head: the next one is hit.
    holds_within(lambda: is_there() or ended(installed), LONGEST_PAUSE, PACE_SECONDS)
    # A pod that is gone meanwhile is killed already.
    with suppress(KubectlFailed):
        print(kubectl("delete", *pods, "--grace-period=0", "--force").strip())


def the_ray_head(installed: Installed) -> None:
    _delete_pods(installed, "ray.io/node-type=head")


def the_operator(installed: Installed) -> None:
    _delete_pods(installed, "app.kubernetes.io/component=operator")


def the_engine(installed: Installed) -> None:
    _delete_pods(installed, "modelecology.io/component=engine")


def kubelet(installed: Installed) -> None:
    installed.installation.cluster.kill_kubelet()
    installed.installation.cluster.start_kubelet()


def the_api_server(installed: Installed) -> None:
    installed.installation.cluster.kill_apiserver()
    installed.installation.cluster.start_apiserver()


FAULTS: tuple[Callable[[Installed], None], ...] = (
    the_ray_head,
    the_operator,
    the_engine,
    kubelet,
    the_api_server,
)


@contextmanager
def life(
    cluster: NodeCluster,
    images: Mapping[str, Image],
    desk: TinyDesk,
    factory: pytest.TempPathFactory,
) -> Iterator[Installed]:
    """Install everything in a namespace of its own, with two specialists on their way."""
    installation = prepared(cluster, images, desk, factory, "fault")
    installation.install_operator()
    values = tiny_values.population(
        desk, code=tiny_values.specialist(desk), hasty=tiny_values.specialist(desk, replay=False)
    )
    installation.install_population({**values, "jobs": {**values["jobs"], "retries": 10}})
    try:
        yield Installed(installation, desk)
    finally:
        installation.uninstall("modelecology")
        cluster.kubectl("delete", "namespace", installation.namespace, "--timeout=120s")


def ended(installed: Installed) -> bool:
    """Say whether both specialists are where they will stay, and the live one was asked the whole suite."""
    with suppress(KubectlFailed):
        if all(installed.is_in(name, state) for name, state in ENDS.items()):
            key = installed.status("code")["live"]["key"]
            asked = [(m["model"]["adapter"], m["split"], m["n"]) for m in results(installed, "code")]
            return any((key, split, n) in asked for adapter, split, n in asked if adapter is None)
    return False


def results(installed: Installed, task: str) -> list[dict[str, Any]]:
    """List what is told of each committed result of a task."""
    return [meta for _, meta in committed(installed) if meta.get("task") == task]


def committed(installed: Installed) -> list[tuple[str, dict[str, Any]]]:
    """List the keys that are committed, with what is told of each."""
    root = installed.installation.store
    store = ArtifactStore.open(root.as_uri())
    keys = sorted(p.parent.name for p in root.glob("artifacts/*/commit.json"))
    return [(key, dict(store.manifest(key).meta)) for key in keys]


def end_state(installed: Installed) -> dict[str, Any]:
    """Say how all ended, without what depends on how often something was tried."""
    found: dict[str, Any] = {}
    for name in ENDS:
        status = installed.status(name)
        revision = status.get("live") or status.get("candidate") or {}
        found[name] = (status["state"], revision["servedName"], revision["key"])
    # What a proof asks depends on who was judged before; both are tried at once, and either may be first.
    found["commits"] = [key for key, meta in committed(installed) if "rounds" not in meta]
    return found


def steps(installed: Installed) -> dict[str, list[str]]:
    """List what was decided about each, tries and waits left out."""
    actions = {name: [d.split()[0] for d in installed.decisions(name)] for name in ENDS}
    return {name: [a for a in found if a not in ("Retry", "Hold")] for name, found in actions.items()}


def numbers(installed: Installed) -> list[int]:
    """List the sequence numbers of the log."""
    items = json.loads(installed.installation.kubectl("get", "decisions", "--output=json"))["items"]
    return sorted(int(d["spec"]["sequence"]) for d in items)


@pytest.fixture(scope="module")
def undisturbed(
    owned_node: NodeCluster,
    images: Mapping[str, Image],
    tiny_desk: TinyDesk,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """How it ends when nothing is killed."""
    with life(owned_node, images, tiny_desk, tmp_path_factory) as installed:
        assert holds_within(lambda: ended(installed), 900.0, PACE_SECONDS), installed.story()
        return end_state(installed)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_whatever_is_killed_the_end_is_the_same_and_each_key_has_one_effect(
    fault: Callable[[Installed], None],
    undisturbed: dict[str, Any],
    owned_node: NodeCluster,
    images: Mapping[str, Image],
    tiny_desk: TinyDesk,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chance = random.Random(f"{SEED} {fault.__name__}")
    print(f"MODELECOLOGY_FAULT_SEED={SEED}")
    with life(owned_node, images, tiny_desk, tmp_path_factory) as installed:
        for _ in range(KILLS):
            # At the end of the life, or at a moment of it.
            holds_within(lambda: ended(installed), chance.uniform(1.0, LONGEST_PAUSE), PACE_SECONDS)
            fault(installed)
        assert holds_within(lambda: ended(installed), 1200.0, PACE_SECONDS), installed.story()
        assert end_state(installed) == undisturbed
        assert steps(installed) == STEPS
        assert numbers(installed) == list(range(1, len(numbers(installed)) + 1))
