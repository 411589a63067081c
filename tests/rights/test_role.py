"""Least privilege: no right of the Role is spare, none is missing, and no Secret is ever read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from modelecology.api.meta import API_VERSION, GROUP, VERSION
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.log import Entry, LogState, Subject, apply, sealed
from modelecology.kube.decisions import to_body
from testbed.audit import FORBIDDEN, AuditLog, Request
from testbed.controlplane import ControlPlane
from testbed.operators import Nursery, jobs_at_work
from testbed.places import REPOSITORY
from testbed.pretend_desk import Manifest
from testbed.waiting import holds_within
from tests.kube.slices import pod, put_slice
from tests.reconcile.desk import Desk, open_desk

from .role import Right, gateway_rights, grant, rights, selector_rights

PATIENCE = 30.0
RETAIN, SEGMENT = 100, 10


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane that writes down every request."""
    with ControlPlane(audit=True) as found:
        found.install_crds(REPOSITORY / "crds")
        yield found


@dataclass
class Watched:
    """A desk whose operator has some rights, and what it asked for."""

    desk: Desk
    requests: list[Request]
    _log: AuditLog
    _user: str

    def refused(self) -> set[Right]:
        """The rights that were asked for and not there."""
        self.requests += self._log.read(self._user)
        return {Right(*r.right) for r in self.requests if r.code == FORBIDDEN}

    def used(self) -> set[Right]:
        """The rights that were asked for and there."""
        self.requests += self._log.read(self._user)
        return {Right(*r.right) for r in self.requests if not r.refused}


@contextmanager
def operated(
    plane: ControlPlane,
    tmp_path: Path,
    granted: tuple[Right, ...],
    *,
    gateway: bool = False,
    selector: bool = False,
) -> Iterator[Watched]:
    """Apply everything in a namespace of its own, with an operator of these rights at work."""
    namespace = plane.create_namespace("rights")
    user = grant(plane, namespace, granted)
    log = AuditLog(plane.audit_log)
    with (
        Nursery(plane.kubeconfig_for(user)) as nursery,
        open_desk(plane, nursery, namespace, tmp_path) as desk,
        jobs_at_work(tmp_path / "state"),
    ):
        population = soon_pruned(desk.manifests.population())
        if gateway:
            population["spec"]["serving"]["gateway"] = {}
        if selector:
            population["spec"]["serving"] = {"selector": {"service": "engines", "port": 2}}
            put_slice(desk.api, namespace, "engines-a", [pod("10.0.0.1")])
        desk.apply(desk.manifests.suite(), population)
        fill_log(desk, RETAIN + SEGMENT)
        desk.operator.start()
        desk.apply(*desk.manifests.all_specialists())
        yield Watched(desk, [], log, user)


def soon_pruned(population: Manifest) -> Manifest:
    """Give a population a log that is pruned as soon as may be."""
    population["spec"]["log"] = {"retain": RETAIN, "segment": SEGMENT}
    return population


def fill_log(desk: Desk, count: int) -> None:
    """Let a log be long before its operator starts."""
    objects: Any = client.CustomObjectsApi(desk.api)
    owner = str(desk.get("population", "desk")["metadata"]["uid"])
    state = LogState()
    for sequence in range(1, count + 1):
        entry = sealed(
            Entry(
                population="desk",
                sequence=sequence,
                time=datetime(2026, 3, 1, tzinfo=UTC),
                subject=Subject("past", "uid-past", "a" * 12),
                action=Action.HOLD,
                from_state=State.PENDING,
                to=State.PENDING,
                outcome=Outcome.INCONCLUSIVE,
                reason="InsufficientEvidence",
                actor="operator",
                previous=state.digest,
            )
        )
        state = apply(state, entry)
        body = {"apiVersion": API_VERSION, "kind": "Decision", **to_body(entry, owner)}
        objects.create_namespaced_custom_object(GROUP, VERSION, desk.namespace, "decisions", body)


@pytest.mark.parametrize("right", rights(), ids=str)
def test_without_one_right_of_the_role_the_operator_is_refused_just_that(
    plane: ControlPlane, tmp_path: Path, right: Right
) -> None:
    granted = tuple(each for each in rights() if each != right)
    with operated(plane, tmp_path, granted) as watched:
        assert holds_within(lambda: bool(watched.refused()), PATIENCE), watched.desk.story()
        assert watched.refused() == {right}


def test_in_a_whole_life_every_right_is_used_none_is_missing_and_no_secret_is_read(
    plane: ControlPlane, tmp_path: Path
) -> None:
    with operated(plane, tmp_path, rights()) as watched:
        desk = watched.desk
        desk.wait_states(dates="Live", dates_hasty="Rejected", french="Shelved")
        desk.want("dates", "Retired")
        desk.wait_states(dates="Retired")
        desk.kubectl("delete", "specialist", "--all", "--timeout=60s")
        assert watched.refused() == set()
        assert watched.used() == set(rights())
        assert {r.resource for r in watched.requests}.isdisjoint({"secrets", "namespaces", "pods"})
        assert {r.namespace for r in watched.requests} == {desk.namespace}


@pytest.mark.parametrize("right", gateway_rights(), ids=str)
def test_without_one_right_on_config_maps_an_operator_with_a_gateway_is_refused_just_that(
    plane: ControlPlane, tmp_path: Path, right: Right
) -> None:
    granted = (*rights(), *(each for each in gateway_rights() if each != right))
    with operated(plane, tmp_path, granted, gateway=True) as watched:
        assert holds_within(lambda: bool(watched.refused()), PATIENCE), watched.desk.story()
        assert watched.refused() == {right}


def test_with_a_gateway_every_right_on_config_maps_is_used_and_none_is_missing(
    plane: ControlPlane, tmp_path: Path
) -> None:
    with operated(plane, tmp_path, (*rights(), *gateway_rights()), gateway=True) as watched:
        watched.desk.wait_states(dates="Live")
        # The table is read again once a minute, in case somebody else changed it.
        found = holds_within(lambda: set(gateway_rights()) <= watched.used(), 3 * PATIENCE)
        assert found, set(gateway_rights()) - watched.used()
        assert watched.refused() == set()


@pytest.mark.parametrize("right", selector_rights(), ids=str)
def test_without_one_right_on_endpoint_slices_an_operator_with_selected_engines_is_refused_just_that(
    plane: ControlPlane, tmp_path: Path, right: Right
) -> None:
    granted = (*rights(), *(each for each in selector_rights() if each != right))
    with operated(plane, tmp_path, granted, selector=True) as watched:
        assert holds_within(lambda: bool(watched.refused()), PATIENCE), watched.desk.story()
        assert watched.refused() == {right}
        condition = watched.desk.wait_reason("desk", "EngineUnreachable", "population")
        assert "endpointSlices.enabled" in condition["message"]


def test_with_selected_engines_every_right_on_endpoint_slices_is_used_and_none_is_missing(
    plane: ControlPlane, tmp_path: Path
) -> None:
    with operated(plane, tmp_path, (*rights(), *selector_rights()), selector=True) as watched:
        watched.desk.wait_states(dates="Live")
        assert set(selector_rights()) <= watched.used()
        assert watched.refused() == set()
