"""A desk on a real API server with a real operator process: what the tests do and what they wait for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes import client, config

from modelecology.api.meta import GROUP, VERSION
from modelecology.governance.log import LogState, fold
from modelecology.jobs.double import InMemoryRunner
from modelecology.kube.decisions import to_entry
from modelecology.store import ArtifactStore
from testbed.cluster import Cluster
from testbed.operators import Nursery, Operator
from testbed.pretend_desk import Manifest, PretendDesk, to_yaml
from testbed.pretend_engine import PretendEngine
from testbed.pretend_operator import engine_directory
from testbed.waiting import holds_within

PATIENCE = 60.0
_PLURALS = {"population": "populations", "specialist": "specialists", "suite": "evaluationsuites"}
ENDPOINT = "http://127.0.0.1:2"
Object = dict[str, Any]


@dataclass
class Desk:
    """One namespace with a population, its store, its jobs, its engine and its operator."""

    cluster: Cluster
    namespace: str
    manifests: PretendDesk
    runner: InMemoryRunner
    engine: PretendEngine
    store: ArtifactStore
    operator: Operator
    api: Any  # the administrator's client; it has no types
    _extra: list[Operator] = field(default_factory=list)

    def apply(self, *manifests: Manifest) -> None:
        """Apply manifests, as a user would."""
        self.kubectl("apply", "-f", "-", stdin=to_yaml(*manifests))

    def apply_all(self) -> None:
        """Apply suite, population and the four specialists."""
        self.apply(self.manifests.suite(), self.manifests.population(), *self.manifests.all_specialists())

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def patch(self, kind: str, name: str, patch: Object) -> None:
        """Merge a patch."""
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(patch)}")

    def want(self, name: str, target: str) -> None:
        """Set a specialist's lifecycle.target."""
        self.patch("specialist", name, {"spec": {"lifecycle": {"target": target}}})

    def get(self, kind: str, name: str) -> Object:
        """Read an object; an empty one if it is not there."""
        objects: Any = client.CustomObjectsApi(self.api)
        try:
            found: Object = objects.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, _PLURALS[kind], name
            )
        except client.ApiException as error:
            if error.status != 404:
                raise
            return {}
        return found

    def all_of(self, plural: str) -> list[Object]:
        """List objects."""
        objects: Any = client.CustomObjectsApi(self.api)
        items: list[Object] = objects.list_namespaced_custom_object(GROUP, VERSION, self.namespace, plural)[
            "items"
        ]
        return items

    def status(self, name: str, kind: str = "specialist") -> Object:
        """Read a status."""
        found: Object = self.get(kind, name).get("status", {})
        return found

    def condition(self, name: str, kind: str = "specialist", of: str = "Ready") -> Object:
        """Read a condition; an empty one if it is not there."""
        conditions = self.status(name, kind).get("conditions", ())
        return next((c for c in conditions if c["type"] == of), {})

    def states(self) -> dict[str, str]:
        """Name every specialist's state and, where it has one, the reason of its Ready condition."""
        found = {}
        for item in self.all_of("specialists"):
            ready = (c for c in item.get("status", {}).get("conditions", ()) if c["type"] == "Ready")
            reason = next((c["reason"] for c in ready), "")
            found[item["metadata"]["name"]] = f"{item.get('status', {}).get('state', '')} {reason}".strip()
        return found

    def decisions(self) -> list[Object]:
        """Read the log, oldest first."""
        return sorted(self.all_of("decisions"), key=lambda d: int(d["spec"]["sequence"]))

    def log(self) -> LogState:
        """Fold the log; raises LogBroken if it is not whole."""
        return fold(to_entry(d) for d in self.decisions())

    def actions(self, name: str) -> list[str]:
        """List what was decided about a specialist, as `Action Reason`."""
        specs = (d["spec"] for d in self.decisions())
        return [f"{s['action']} {s['reason']}" for s in specs if s["subject"]["specialist"] == name]

    def events(self, name: str) -> list[Object]:
        """List the Events about an object."""
        items = json.loads(self.kubectl("get", "events.events.k8s.io", "--output=json"))["items"]
        return [e for e in items if e["regarding"]["name"] == name]

    def trained(self) -> list[str]:
        """Name the training jobs that ran."""
        return [n for n in self.runner.names() if n.startswith("train-") and self.runner.effects(n)]

    def key(self, name: str) -> str:
        """Give the key of a specialist's newest artifact."""
        status = self.status(name)
        revision = status.get("candidate") or status.get("live") or status.get("previous") or {}
        return str(revision.get("key", ""))

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds. Raises TimeoutError with all that may explain why not."""
        if not holds_within(condition, PATIENCE):
            raise TimeoutError(f"{what} did not come about.\n{self.story()}")

    def wait_states(self, **wanted: str) -> None:
        """Wait for the beginnings of `State Reason`, underscores in names standing for dashes."""
        names = {name.replace("_", "-"): state for name, state in wanted.items()}

        def all_there() -> bool:
            found = self.states()
            return all(found.get(name, "").startswith(state) for name, state in names.items())

        self.wait(all_there, str(names))

    def wait_reason(self, name: str, reason: str, kind: str = "specialist") -> Object:
        """Wait for the reason of a Ready condition; gives the condition."""
        self.wait(lambda: self.condition(name, kind).get("reason") == reason, f"{name}: {reason}")
        return self.condition(name, kind)

    def story(self) -> str:
        """Tell what is known, for a failing test."""
        log = [
            "{sequence} {subject[specialist]} {action} {from}>{to} {reason}".format(**d["spec"])
            for d in self.decisions()
        ]
        messages = [self.condition(name).get("message", "") for name in self.states()]
        parts = [str(self.states()), *messages, str(self.condition("desk", "population")), *log]
        return "\n".join([*parts, self.operator.log()[-3000:]])

    def second_operator(self, nursery: Nursery) -> Operator:
        """Prepare another operator on the same desk."""
        other = Operator(nursery, self.operator.directory, self.namespace)
        self._extra.append(other)
        return other


@contextmanager
def open_desk(
    cluster: Cluster, nursery: Nursery, namespace: str, directory: Path, *options: str
) -> Iterator[Desk]:
    """Prepare a desk, with no operator started and no manifest applied yet; options are the operator's."""
    state = directory / "state"
    (directory / "store").mkdir(parents=True)
    operator = Operator(nursery, state, namespace, *options)
    api: Any = config.new_client_from_config(str(cluster.kubeconfig))  # type: ignore[no-untyped-call]  # no types there
    desk = Desk(
        cluster=cluster,
        namespace=namespace,
        manifests=PretendDesk(directory),
        runner=InMemoryRunner(directory=state),
        engine=PretendEngine(engine_directory(state, ENDPOINT), ENDPOINT),
        store=ArtifactStore.open(f"file://{directory}/store"),
        operator=operator,
        api=api,
    )
    try:
        yield desk
    finally:
        for each in (operator, *desk._extra):
            each.__exit__(None, None, None)
        api.close()
