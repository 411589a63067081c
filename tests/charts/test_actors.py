"""Who asks by annotation signs with their own name: the API server sees to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.cluster import Cluster
from testbed.errors import KubectlFailed
from testbed.places import REPOSITORY
from testbed.waiting import holds_within

from .accepted import as_list
from .helm import OPERATOR, of_kind, render

AT, LATER = "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z"
REVISION = "0123456789ab"
ROBOT = "system:serviceaccount:argocd:argocd-server"
ADA = "ada@example.com"


@dataclass(frozen=True)
class Desk:
    """A namespace with the chart's policy, and people who may edit its Specialists."""

    cluster: Cluster
    namespace: str
    users: dict[str, Path]

    def ask(self, user: str, act: str, word: str) -> None:
        """Annotate a Specialist as somebody. Raises KubectlFailed."""
        self.cluster.kubectl(
            f"--namespace={self.namespace}",
            "annotate",
            "specialist",
            "dates",
            f"modelecology.io/{act}={word}",
            "--overwrite",
            kubeconfig=self.users[user],
        )

    def refused(self, user: str, act: str, word: str) -> bool:
        """Say whether the API server refuses what somebody writes, and says how it is done."""
        try:
            self.ask(user, act, word)
        except KubectlFailed as error:
            return f"modelecology.io/{act} must name who asks, {user}@<time>" in str(error)
        return False


@pytest.fixture(scope="module")
def desk(kinds: Cluster) -> Iterator[Desk]:
    namespace = kinds.create_namespace("actors")
    people = ("ada", ADA, ROBOT)
    objects = render(OPERATOR, {"namespaces": [namespace], "actors": {"trusted": [ROBOT]}})
    policies = of_kind(objects, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    rules = [{"apiGroups": ["modelecology.io"], "resources": ["specialists"], "verbs": ["get", "patch"]}]
    about = {"name": "people", "namespace": namespace}
    api = "rbac.authorization.k8s.io"
    rights = [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": about, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": "people"},
            "subjects": [{"apiGroup": api, "kind": "User", "name": name} for name in people],
        },
    ]
    kinds.kubectl("apply", "--filename=-", stdin=as_list([*policies, *rights]))
    kinds.kubectl(
        f"--namespace={namespace}", "apply", "--server-side", "-k", str(REPOSITORY / "manifests/quickstart")
    )
    found = Desk(kinds, namespace, {name: kinds.kubeconfig_for(name) for name in people})
    # A policy takes a moment to be seen; what it let in before is no change, so each try is another.
    tries = itertools.count()
    assert holds_within(lambda: found.refused("ada", "approve", f"{REVISION}/bob{next(tries)}@{AT}"), 30.0)
    yield found
    kinds.kubectl("delete", "--filename=-", stdin=as_list(policies))


@pytest.mark.parametrize("user", ["ada", ADA])
def test_whoever_signs_with_their_own_name_may_ask(desk: Desk, user: str) -> None:
    for act in ("approve", "promote", "release", "retire", "undo"):
        desk.ask(user, act, f"{REVISION}/{user}@{AT}")
    desk.ask(user, "quarantine", f"{REVISION}/{user}@{AT} it answers in Latin, as bob@example.com saw")
    desk.ask(user, "retry", f"{user}@{AT}")


@pytest.mark.parametrize(
    ("user", "act", "word"),
    [
        ("ada", "approve", f"{REVISION}/bob@{LATER}"),
        ("ada", "approve", f"{REVISION}/{ADA}@{LATER}"),
        (ADA, "approve", f"{REVISION}/ada@{LATER}"),
        ("ada", "approve", "yes"),
        ("ada", "retry", f"bob@{LATER}"),
        ("ada", "retry", f"{REVISION}/ada@{LATER}"),
        ("ada", "quarantine", f"{REVISION}/bob@{LATER} ada@{LATER}"),
        ("ada", "undo", f"{REVISION}/ada@noon"),
        ("ada", "approve", f"{REVISION}/ada@{LATER} bob@{LATER}"),
        ("ada", "approve", f"{REVISION}/ada@{LATER}\rbob@{LATER}"),
        ("ada", "approve", f"{REVISION}/ada@{LATER}\n"),
    ],
)
def test_whoever_signs_with_another_name_is_told_how_it_is_done(
    desk: Desk, user: str, act: str, word: str
) -> None:
    assert desk.refused(user, act, word)


def test_what_somebody_asked_before_keeps_nobody_from_writing_anything_else(desk: Desk) -> None:
    desk.ask(ADA, "promote", f"{REVISION}/{ADA}@{AT}")
    for change in ({"labels": {"a": "b"}}, {"annotations": {"modelecology.io/promote": None}}):
        desk.cluster.kubectl(
            f"--namespace={desk.namespace}",
            "patch",
            "specialist",
            "dates",
            "--type=merge",
            f"--patch={json.dumps({'metadata': change})}",
            kubeconfig=desk.users["ada"],
        )


def test_who_is_trusted_signs_for_others(desk: Desk) -> None:
    desk.ask(ROBOT, "approve", f"{REVISION}/argocd@{AT}")
    assert not desk.refused(ROBOT, "retry", f"argocd@{AT}")
