"""A population that is kept in git: a repository, an Application of Argo CD, and a desk with its operator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from testbed.argocd import DESTINATION, ArgoCD
from testbed.cluster import Cluster
from testbed.operators import Nursery, jobs_at_work
from testbed.pretend_desk import Manifest
from testbed.waiting import holds_within
from tests.reconcile.desk import Desk, Object, open_desk

from . import MANIFESTS
from .chronicle import Chronicle
from .repository import Repository

PATIENCE = 60.0
_REFRESH = "argocd.argoproj.io/refresh"
# As the example annotates each kind.
ANNOTATIONS = {
    "EvaluationSuite": {
        "argocd.argoproj.io/sync-wave": "0",
        "argocd.argoproj.io/sync-options": "PruneLast=true",
    },
    "Population": {
        "argocd.argoproj.io/sync-wave": "1",
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=confirm",
    },
    "Specialist": {"argocd.argoproj.io/sync-wave": "2"},
}


@dataclass
class Garden:
    """What a test does: it commits, and sees what Argo CD and the operator make of it."""

    desk: Desk
    argocd: ArgoCD
    repository: Repository
    chronicle: Chronicle
    commits: list[str] = field(default_factory=list)
    changes: int = 0  # objects that a commit has changed, brought or taken away

    @property
    def name(self) -> str:
        """The name of the Application: that of its namespace."""
        return self.desk.namespace

    def plant(self, *manifests: Manifest, **policy: Any) -> None:
        """Commit suite, population and specialists, and create the Application of the example."""
        population = self.desk.manifests.population(**policy)
        self.commit("The first commit", self.desk.manifests.suite(), population, *manifests)
        self.argocd.kubectl("apply", "-f", "-", stdin=json.dumps(self.application()))

    def application(self) -> Manifest:
        """Give the Application that is shipped as the example, with this repository and namespace."""
        found: Manifest = yaml.safe_load((MANIFESTS / "example" / "application.yaml").read_text())
        found["metadata"]["name"] = self.name
        found["spec"]["source"] = {"repoURL": self.repository.url, "targetRevision": "main", "path": "."}
        found["spec"]["destination"] = {"name": DESTINATION, "namespace": self.desk.namespace}
        return found

    def commit(self, message: str, *manifests: Manifest, without: tuple[str, ...] = ()) -> str:
        """Commit manifests, and take others away by the names of their files; gives the commit's id."""
        files = {file_of(m): yaml.safe_dump(annotated(m)) for m in manifests}
        self.changes += len(manifests) + len(without)
        self.commits.append(self.repository.commit(message, {**files, **dict.fromkeys(without)}))
        return self.commits[-1]

    def push(self, message: str, *manifests: Manifest, without: tuple[str, ...] = ()) -> None:
        """Commit, have Argo CD look at once, as a webhook would, and wait until it has applied that."""
        revision = self.commit(message, *manifests, without=without)

        def applied() -> bool:
            body = self.get()
            # It forgets a request that comes while it looks already.
            looking = _REFRESH in body["metadata"].get("annotations", {})
            if not looking and body["status"]["sync"].get("revision") != revision:
                self.refresh()
            return self.synced() == revision

        self.wait(applied, f"sync of {message!r}")

    def refresh(self, kind: str = "normal") -> None:
        """Have Argo CD look at git; `hard` has it forget what it made of each commit."""
        self.argocd.kubectl("annotate", "application", self.name, "--overwrite", f"{_REFRESH}={kind}")

    def has_looked(self) -> bool:
        """Whether the last refresh is over: Argo CD takes the annotation away then."""
        return _REFRESH not in self.get()["metadata"].get("annotations", {})

    def get(self) -> Object:
        """Read the Application."""
        found: Object = json.loads(self.argocd.kubectl("get", "application", self.name, "--output=json"))
        return found

    def synced(self) -> str:
        """The commit that it is in sync with; an empty string if it is not."""
        sync = self.get().get("status", {}).get("sync", {})
        return str(sync.get("revision", "")) if sync.get("status") == "Synced" else ""

    def health(self) -> str:
        """The Application's health."""
        return str(self.get().get("status", {}).get("health", {}).get("status", ""))

    def wait_health(self, health: str) -> None:
        """Wait until it is in sync with the last commit, and its health is this."""
        self.wait(lambda: self.synced() == self.commits[-1] and self.health() == health, health)

    def resources(self) -> dict[str, tuple[str, str]]:
        """What Argo CD's API says of each object of the Application: its health and the message."""
        tree = json.loads(self.argocd.run("app", "get", self.name, "--output=json"))
        found = {}
        for each in tree["status"]["resources"]:
            health = each.get("health", {})
            found[f"{each['kind']}/{each['name']}"] = (health.get("status", ""), health.get("message", ""))
        return found

    def act(self, action: str, specialist: str) -> None:
        """Run an action of a Specialist, as a person does in Argo CD. Raises ArgoCDFailed."""
        names = ("--kind=Specialist", f"--resource-name={specialist}", f"--namespace={self.desk.namespace}")
        self.argocd.run("app", "actions", "run", self.name, action, *names)

    def actions(self, specialist: str) -> list[str]:
        """Name the actions that Argo CD offers for a Specialist."""
        names = ("--kind=Specialist", f"--resource-name={specialist}", f"--namespace={self.desk.namespace}")
        listed = self.argocd.run("app", "actions", "list", self.name, *names, "--out=json")
        return sorted(each["Action"] for each in json.loads(listed) if not each["Disabled"])

    def told(self, words: str) -> bool:
        """Say whether Argo CD's controller has said something of this Application in its log."""
        lines = self.argocd.log("application-controller").splitlines()
        return any(words in line and self.name in line for line in lines)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds. Raises TimeoutError with all that may explain why not."""
        if not holds_within(condition, PATIENCE):
            story = (self.chronicle.transcript(), self.desk.story())
            raise TimeoutError(f"{what} did not come about.\n" + "\n".join(story))

    def writers(self, name: str) -> dict[str, set[str]]:
        """Who owns which fields of a Specialist, by the manager's name and the top of the field's path."""
        path = ("get", "specialist", name, "--show-managed-fields", "--output=json")
        found: dict[str, set[str]] = {}
        for entry in json.loads(self.desk.kubectl(*path))["metadata"]["managedFields"]:
            owned = found.setdefault(entry["manager"], set())
            for top, below in entry["fieldsV1"].items():
                inner = [f"{top}.{key}" for key in below] if top == "f:metadata" else [top]
                owned.update(each.replace("f:", "") for each in inner)
        return found

    def remove(self) -> None:
        """Delete the Application, and wait until it is gone with all that it made."""
        self.argocd.kubectl("delete", "application", self.name, "--ignore-not-found", "--wait=false")
        if self.argocd.kubectl("get", "application", self.name, "--ignore-not-found"):
            self.confirm()
            self.argocd.kubectl("wait", "--for=delete", f"application/{self.name}", "--timeout=60s")

    def confirm(self) -> None:
        """Say yes to the deletion of the population, as a person does in Argo CD."""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        approval = f"argocd.argoproj.io/deletion-approved={now}"
        self.argocd.kubectl("annotate", "application", self.name, "--overwrite", approval)


def file_of(manifest: Manifest) -> str:
    """Name the file of a manifest."""
    return f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"


def annotated(manifest: Manifest) -> Manifest:
    """Annotate a manifest as the example does its kind."""
    annotations = ANNOTATIONS[manifest["kind"]]
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


@contextmanager
def open_garden(
    cluster: Cluster, argocd: ArgoCD, nursery: Nursery, namespace: str, directory: Path
) -> Iterator[Garden]:
    """Prepare a garden whose operator works, with nothing committed yet."""
    with open_desk(cluster, nursery, namespace, directory) as desk, jobs_at_work(directory / "state"):
        chronicle = Chronicle(desk.api, argocd.namespace, namespace)
        desk.operator.start()
        desk.operator.wait_ready()
        with chronicle:
            garden = Garden(desk, argocd, Repository(directory / "git"), chronicle)
            try:
                yield garden
            finally:
                garden.remove()
