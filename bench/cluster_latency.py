"""Measures job end to next action in real pods, beside the moment at which KubeRay's own RayJob says so.

    python -m bench.cluster_latency [--specialists 6]

Needs root. A node of the testbed with KubeRay and the product installed by Helm runs real trainings of a tiny
generalist, one at a time. For each job three moments are noted: its last commit marker in the store (the
file's time), the next Decision (when the API server received it, from the audit log), and the first time that
a watch shows the RayJob as ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, watch

from bench.figures import FILE_CLOCK_SECONDS, Spread, percentile
from testbed import tiny_values
from testbed.audit import AuditLog
from testbed.errors import ControlPlaneError
from testbed.installation import Installation, fill, load_images
from testbed.node import NodeCluster
from testbed.tiny import TinyDesk, make_tiny_desk
from testbed.waiting import holds_within

_PATIENCE_SECONDS = 1800.0
_SETTLED = ("Live", "Shelved", "Rejected")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
NAMESPACE = "latency"
GOAL_SECONDS = 0.05


def values(desk: TinyDesk, count: int) -> dict[str, Any]:
    """Give a population of so many specialists, each alone on a task, with an adapter of its own."""
    names = [f"code-{n}" for n in range(count)]
    found = tiny_values.population(
        desk, **{name: tiny_values.specialist(desk, name, seed=n) for n, name in enumerate(names)}
    )
    code, _, kept = found["suite"]["tasks"]
    found["suite"]["tasks"] = [*({**code, "name": name, "traffic": 0.1} for name in names), kept]
    found["engine"]["capacity"] = {"adapters": count + 1, "maxRank": 16}
    return found


@contextmanager
def job_ends(kubeconfig: Path) -> Iterator[dict[str, float]]:
    """Note when a watch first shows each RayJob as ended, in unix seconds, while the block runs."""
    seen: dict[str, float] = {}
    loader: Any = config
    api: Any = loader.new_client_from_config(str(kubeconfig))
    done = threading.Event()

    def look() -> None:
        objects: Any = client.CustomObjectsApi(api)
        while not done.is_set():
            # A watch cache that is behind answers 504: the next watch begins anew.
            with suppress(client.ApiException):
                for event in _events(objects):
                    status = event["object"].get("status", {})
                    if status.get("jobStatus") in _ENDED:
                        seen.setdefault(event["object"]["metadata"]["name"], time.time())

    thread = threading.Thread(target=look, name="job-ends", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join(10.0)


def _events(objects: Any) -> Iterator[dict[str, Any]]:
    events: Any = watch
    where = ("ray.io", "v1", NAMESPACE, "rayjobs")
    yield from events.Watch().stream(objects.list_namespaced_custom_object, *where, timeout_seconds=5)


def commits(store: Path) -> dict[str, float]:
    """Give the moment of each commit marker, by its key."""
    return {p.parent.name: p.stat().st_mtime for p in store.glob("artifacts/*/commit.json")}


def keys_of(job: Mapping[str, Any]) -> tuple[str, ...]:
    """Read from a RayJob which keys it commits."""
    variables = yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]
    intent = json.loads(variables["MODELECOLOGY_INTENT"])
    tasks = intent.get("tasks") or [intent]
    return tuple(task["key"] for task in tasks)


def measure(count: int) -> tuple[list[float], list[float]]:
    """Give delays in seconds after the commit: of the next Decision, and of KubeRay's word.

    Raises TimeoutError, ControlPlaneError.
    """
    with tempfile.TemporaryDirectory(prefix="modelecology-latency-", dir="/var/tmp") as folder:
        root = Path(folder)
        root.chmod(0o755)
        desk = make_tiny_desk(root / "desk")
        store = root / "store"
        fill(store, tiny_values.files(desk))
        with NodeCluster(audit=True) as cluster:
            cluster.install_kuberay()
            images = load_images(cluster)
            cluster.kubectl("create", "namespace", NAMESPACE)
            installation = Installation(cluster, NAMESPACE, store, images)
            installation.prepare()
            installation.install_operator()
            with job_ends(cluster.kubeconfig) as ends:
                installation.install_population(values(desk, count))
                if not holds_within(lambda: _all_settled(installation, count), _PATIENCE_SECONDS):
                    raise TimeoutError(installation.kubectl("get", "ecology"))
            return _delays(cluster, installation, ends)


def _all_settled(installation: Installation, count: int) -> bool:
    time.sleep(2.0)
    items = json.loads(installation.kubectl("get", "specialists", "--output=json"))["items"]
    states = [each.get("status", {}).get("state") for each in items]
    # The figures are those of the jobs, whatever comes of the candidates.
    return len(states) == count and all(state in _SETTLED for state in states)


def _delays(
    cluster: NodeCluster, installation: Installation, ends: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    times = commits(installation.store)
    moments = _decision_times(cluster, installation)
    ours, theirs = [], []
    for job in json.loads(installation.kubectl("get", "rayjobs", "--output=json"))["items"]:
        name = job["metadata"]["name"]
        keys = keys_of(job)
        if name not in ends or not all(key in times for key in keys):
            continue
        committed = max(times[key] for key in keys)
        theirs.append(max(0.0, ends[name] - committed))
        after = [m for m in moments if m >= committed - FILE_CLOCK_SECONDS]
        if after:
            ours.append(max(0.0, min(after) - committed))
    return ours, theirs


def _decision_times(cluster: NodeCluster, installation: Installation) -> list[float]:
    """Give the moments at which the API server was asked to create each Decision."""
    user = f"system:serviceaccount:{NAMESPACE}:modelecology-operator"
    requests = AuditLog(cluster.audit_log).read(user)
    by_verb: dict[str, list[float]] = defaultdict(list)
    for request in requests:
        if request.resource == "decisions" and not request.refused:
            by_verb[request.verb].append(request.received)
    return sorted(by_verb["create"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster_latency", description=__doc__)
    parser.add_argument("--specialists", type=int, default=6, help="each runs three jobs or four")
    try:
        ours, theirs = measure(parser.parse_args().specialists)
    except (TimeoutError, ControlPlaneError) as error:
        sys.exit(f"bench: {error}")
    for title, delays in (("next Decision", ours), ("RayJob ended", theirs)):
        spread = Spread.of(1000 * d for d in delays)
        print(
            f"{title:<16} {len(delays):>3} jobs, ms after the commit: min/median/max {spread.text(0)}, "
            f"p99 {1000 * percentile(delays, 0.99):.0f}"
        )
    met = percentile(ours, 0.99) <= GOAL_SECONDS
    print(f"goal p99 <= {1000 * GOAL_SECONDS:.0f} ms: {'met' if met else 'missed'}")


if __name__ == "__main__":
    main()
