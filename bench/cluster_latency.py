"""Measures job end to next action in real pods, beside the moment at which KubeRay's own RayJob says so.

    python -m bench.cluster_latency [--specialists 6] [--rounds 1]

Needs root. A node of the testbed with KubeRay and the product installed by Helm runs real trainings of a tiny
generalist, one at a time. For each job three moments are noted: its last commit marker in the store (the
file's time), the next Decision about the adapter that it is for (when the API server received it, from the
audit log), and the first time that a watch shows the RayJob as ended. A job that asks a live specialist the
rest of the suite is left out: no Decision waits for it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, watch

from bench.figures import FILE_CLOCK_SECONDS, Spread, percentile
from modelecology.api.reasons import Reason
from modelecology.jobs.intents import EvaluateIntent, parse_intent
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


@dataclass(frozen=True, slots=True)
class Work:
    """What a RayJob commits last, and for whom: an adapter's key, a specialist's name, or the generalist."""

    keys: tuple[str, ...]
    adapter: str = ""
    specialist: str = ""


def work_of(job: Mapping[str, Any]) -> Work | None:
    """Read from a RayJob what it is for; None for one that no Decision waits for."""
    variables = yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]
    intent = parse_intent(variables["MODELECOLOGY_INTENT"])
    if not isinstance(intent, EvaluateIntent):
        return Work((intent.key,), adapter=intent.key)
    keys = (intent.key,) if intent.course is not None else tuple(task.key for task in intent.tasks)
    if intent.served is not None:
        return Work(keys, specialist=intent.served.model.rpartition("-")[0])
    if intent.adapter is None:
        return Work(keys)
    return Work(keys, adapter=intent.adapter.key) if intent.course is not None else None


@dataclass(frozen=True, slots=True)
class Made:
    """A Decision, and when the API server was asked to create it."""

    received: float
    adapter: str
    specialist: str

    def follows(self, work: Work) -> bool:
        """Whether it is about what a job was for; the first one of all follows the generalist's."""
        if work.specialist:
            return self.specialist == work.specialist
        return not work.adapter or self.adapter == work.adapter


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
    # The figures are those of the jobs, whatever comes of the candidates.
    return len(items) == count and all(_is_settled(each.get("status", {})) for each in items)


def _is_settled(status: Mapping[str, Any]) -> bool:
    reasons = {c["reason"] for c in status.get("conditions", ())}
    return status.get("state") in _SETTLED or Reason.SUITE_EXHAUSTED in reasons


def _delays(
    cluster: NodeCluster, installation: Installation, ends: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    times = commits(installation.store)
    made = _decisions(cluster, installation)
    ours, theirs = [], []
    for job in json.loads(installation.kubectl("get", "rayjobs", "--output=json"))["items"]:
        name, work = job["metadata"]["name"], work_of(job)
        if work is None or name not in ends or not all(key in times for key in work.keys):
            continue
        committed = max(times[key] for key in work.keys)
        theirs.append(max(0.0, ends[name] - committed))
        after = [m.received for m in made if m.follows(work) and m.received >= committed - FILE_CLOCK_SECONDS]
        if after:
            ours.append(max(0.0, min(after) - committed))
        print(f"{name:<48} {1000 * ours[-1]:>6.0f} ms" if after else f"{name:<48} no Decision", flush=True)
    return ours, theirs


def _decisions(cluster: NodeCluster, installation: Installation) -> list[Made]:
    """Pair each Decision with the moment at which the API server was asked to create it."""
    user = f"system:serviceaccount:{NAMESPACE}:modelecology-operator"
    requests = AuditLog(cluster.audit_log).read(user)
    moments = sorted(
        r.received for r in requests if r.resource == "decisions" and r.verb == "create" and not r.refused
    )
    items = json.loads(installation.kubectl("get", "decisions", "--output=json"))["items"]
    specs = sorted((item["spec"] for item in items), key=lambda spec: int(spec["sequence"]))
    return [
        Made(moment, spec["subject"].get("key", ""), spec["subject"]["specialist"])
        for moment, spec in zip(moments, specs, strict=True)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster_latency", description=__doc__)
    parser.add_argument("--specialists", type=int, default=6, help="each runs three jobs or four")
    parser.add_argument("--rounds", type=int, default=1, help="clusters, one after the other")
    arguments = parser.parse_args()
    ours, theirs = list[float](), list[float]()
    try:
        for _ in range(arguments.rounds):
            decided, ended = measure(arguments.specialists)
            ours += decided
            theirs += ended
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
