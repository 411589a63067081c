"""The operator as a process: how it rests, stops, and lives through an API server that goes and comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cluster import Cluster
from testbed.controlplane import ControlPlane
from testbed.operators import Nursery, Operator, jobs_at_work
from testbed.waiting import holds_within

from .conftest import ROOT
from .desk import Desk, open_desk


def test_it_stops_in_order_within_five_seconds_when_it_is_told_to(desk: Desk) -> None:
    desk.apply_all()
    desk.wait_states(dates="Live Serving")
    assert desk.operator.stop(5.0) == 0
    assert "stopping, as asked" in desk.operator.log()
    assert "Traceback" not in desk.operator.log()
    assert "never awaited" not in desk.operator.log()


def test_at_rest_it_writes_nothing_through_ten_resyncs(desk: Desk) -> None:
    desk.apply_all()
    desk.wait_states(
        dates="Live Serving", dates_hasty="Rejected", capitals="Pending Insufficient", french="Shelved"
    )
    looks = looks_at_populations(desk)

    def quiet() -> bool:
        nonlocal looks
        before = desk.operator.writes()
        start = looks_at_populations(desk)
        assert holds_within(lambda: looks_at_populations(desk) > start, 30.0)
        return desk.operator.writes() == before

    desk.wait(quiet, "rest")
    before, start = desk.operator.writes(), looks_at_populations(desk)
    assert holds_within(lambda: looks_at_populations(desk) >= start + 10, 60.0)
    assert desk.operator.writes() == before
    statuses = before["patch-status Specialist"]
    decisions = before["create Decision"]
    assert statuses <= decisions + 12, before  # waiting for the generalist, for a slot and for the proof


def looks_at_populations(desk: Desk) -> int:
    text = desk.operator.ask("/metrics")[1]
    (line,) = [x for x in text.splitlines() if x.startswith('modelecology_reconcile_seconds_count{kind="Pop')]
    return int(float(line.rpartition(" ")[2]))


def test_two_operators_at_once_neither_fork_nor_break_the_log(idle_desk: Desk, nursery: Nursery) -> None:
    other = idle_desk.second_operator(nursery)
    for each in (idle_desk.operator, other):
        each.start()
    for each in (idle_desk.operator, other):
        each.wait_ready()
    idle_desk.apply_all()
    idle_desk.wait_states(
        dates="Live Serving", dates_hasty="Rejected", capitals="Pending Insufficient", french="Shelved"
    )
    idle_desk.want("dates", "Retired")
    idle_desk.wait_states(dates="Retired Retired")
    idle_desk.wait(lambda: not idle_desk.engine.adapters(), "an empty engine")
    log = idle_desk.log()
    assert log.sequence == len(idle_desk.decisions())
    assert all(idle_desk.runner.effects(n) == 1 for n in idle_desk.runner.names())
    for each in (idle_desk.operator, other):
        assert "Traceback" not in each.log()


@pytest.fixture(scope="module")
def own_plane() -> Iterator[Cluster]:
    """A control plane that may be broken."""
    with ControlPlane(controllers=False) as plane:
        plane.install_crds(ROOT / "crds")
        yield plane


@pytest.fixture(scope="module")
def own_nursery(own_plane: Cluster) -> Iterator[Nursery]:
    """Operators of that control plane."""
    with Nursery(own_plane.kubeconfig) as found:
        yield found


@pytest.fixture
def breakable(own_plane: Cluster, own_nursery: Nursery, tmp_path: Path) -> Iterator[Desk]:
    """A desk with an operator on a control plane that may be broken."""
    namespace = own_plane.create_namespace("breakable")
    with open_desk(own_plane, own_nursery, namespace, tmp_path) as desk, jobs_at_work(tmp_path / "state"):
        desk.operator.start()
        desk.operator.wait_ready()
        yield desk
        desk.operator.kill()
    own_plane.delete_namespace(namespace)


def test_an_api_server_that_is_killed_and_comes_back_interrupts_nothing_for_good(breakable: Desk) -> None:
    breakable.apply_all()
    breakable.wait(lambda: len(breakable.decisions()) >= 3, "some decisions")
    breakable.cluster.kill_apiserver()
    assert holds_within(lambda: "the Kubernetes API does not answer" in breakable.operator.log(), 30.0)
    breakable.cluster.start_apiserver()
    breakable.wait_states(
        dates="Live Serving", dates_hasty="Rejected", capitals="Pending Insufficient", french="Shelved"
    )
    breakable.want("dates", "Retired")  # the watches hear again
    breakable.wait_states(dates="Retired Retired")
    assert breakable.operator.exit_code() is None
    breakable.log()
    assert "Traceback" not in breakable.operator.log()


def test_an_api_server_that_answers_nothing_for_a_while_interrupts_nothing_for_good(breakable: Desk) -> None:
    breakable.apply_all()
    breakable.wait(lambda: len(breakable.decisions()) >= 3, "some decisions")
    with breakable.cluster.paused_apiserver():
        assert not holds_within(lambda: not breakable.operator.answers("/healthz"), 5.0)
    breakable.wait_states(dates="Live Serving", dates_hasty="Rejected", french="Shelved")
    breakable.log()
    assert "Traceback" not in breakable.operator.log()


MAY_NOT_WATCH = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: deaf}
rules:
- {apiGroups: [modelecology.io], resources: ["*"], verbs: [get, list, patch, create, update]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: deaf}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: deaf}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: deaf}]
"""


def test_an_operator_whose_watches_are_deaf_ends_with_an_error(own_plane: Cluster, tmp_path: Path) -> None:
    own_plane.kubectl("apply", "-f", "-", stdin=MAY_NOT_WATCH)
    namespace = own_plane.create_namespace("deaf")
    with (
        Nursery(own_plane.kubeconfig_for("deaf")) as nursery,
        open_desk(own_plane, nursery, namespace, tmp_path) as desk,
    ):
        operator = Operator(nursery, tmp_path / "deaf", namespace, "--watchdog-seconds=3")
        operator.start()
        operator.wait_ready()
        desk.apply(desk.manifests.suite())
        codes: list[int] = []

        def ended() -> bool:
            code = operator.exit_code()
            codes.extend([] if code is None else [code])
            return code is not None

        assert holds_within(ended, 60.0), operator.log()
        assert codes == [70], operator.log()
        assert "the process ends" in operator.log()
    own_plane.delete_namespace(namespace)
