"""A gateway may watch the routing table of its population, needs no more, and may do nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.table_config_map import ConfigMapTable, WatchTimes
from modelecology.serving.gateway.tables import Tables
from testbed.audit import FORBIDDEN, AuditLog, Request
from testbed.controlplane import ControlPlane
from testbed.errors import KubectlFailed
from testbed.places import REPOSITORY
from testbed.waiting import holds_within
from tests.serving.gateway.stage import table, until

RIGHTS = REPOSITORY / "manifests/examples/gateway/rights.yaml"
ACCOUNT, ROUTES = "desk-gateway", "desk-routes"
PATIENCE = 20.0


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane that writes down every request."""
    with ControlPlane(audit=True) as found:
        yield found


def _granted(plane: ControlPlane, namespace: str, *, rules: list[Any] | None = None) -> str:
    """Apply what the example grants, or other rules in its place; the gateway's user name."""
    objects = list(yaml.safe_load_all(RIGHTS.read_text(encoding="utf-8")))
    for each in objects:
        for subject in each.get("subjects", ()):
            subject["namespace"] = namespace
        if each["kind"] == "Role" and rules is not None:
            each["rules"] = rules
    plane.kubectl("apply", "--filename=-", f"--namespace={namespace}", stdin=yaml.safe_dump_all(objects))
    return f"system:serviceaccount:{namespace}:{ACCOUNT}"


def _publish(plane: ControlPlane, namespace: str, name: str, version: int) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"table.json": json.dumps(table(version, namespace=namespace))},
    }
    plane.kubectl("apply", "--filename=-", stdin=json.dumps(body))


async def _follow(plane: ControlPlane, namespace: str, user: str) -> None:
    """Live as long as it takes to see a table and two that follow, through watches that end each second."""
    source = ConfigMapTable(namespace, ROUTES, plane.kubeconfig_for(user), WatchTimes(server=1))
    tables = Tables("desk", namespace, GatewayMetrics())
    following = asyncio.create_task(source.follow(tables))
    for version in (1, 2, 3):
        await asyncio.to_thread(_publish, plane, namespace, ROUTES, version)
        await until(lambda v=version: tables.held is not None and tables.held.table.version == v)  # type: ignore[misc]  # bound at once
    following.cancel()
    await asyncio.wait({following})


async def test_a_gateway_uses_its_one_right_and_misses_none(plane: ControlPlane) -> None:
    namespace = await asyncio.to_thread(plane.create_namespace, "rights")
    user = await asyncio.to_thread(_granted, plane, namespace)
    log = AuditLog(plane.audit_log)
    log.skip()
    await _follow(plane, namespace, user)
    requests = log.read(user)
    assert {(r.verb, r.resource, r.name, r.namespace) for r in requests} == {
        ("watch", "configmaps", ROUTES, namespace)
    }
    assert [r for r in requests if r.refused] == []


async def test_without_that_right_it_is_refused_and_takes_the_table_when_it_is_given(
    plane: ControlPlane,
) -> None:
    namespace = await asyncio.to_thread(plane.create_namespace, "rights")
    user = await asyncio.to_thread(_granted, plane, namespace, rules=[])
    log = AuditLog(plane.audit_log)
    log.skip()
    following = asyncio.create_task(_follow(plane, namespace, user))
    refused: list[Request] = []

    def heard() -> bool:
        refused.extend(r for r in log.read(user) if r.code == FORBIDDEN)
        return bool(refused)

    assert await asyncio.to_thread(holds_within, heard, PATIENCE)
    assert {(r.verb, r.resource, r.name) for r in refused} == {("watch", "configmaps", ROUTES)}
    await asyncio.to_thread(_granted, plane, namespace)
    await following


@pytest.mark.parametrize(
    "forbidden",
    [
        ("get", f"configmap/{ROUTES}"),
        ("list", "configmaps"),
        ("watch", "configmaps"),
        ("watch", "configmap/other-routes"),
        ("patch", f"configmap/{ROUTES}"),
        ("delete", f"configmap/{ROUTES}"),
        ("watch", "secrets"),
        ("get", "secret/gateway-token"),
        ("list", "pods"),
    ],
    ids=" ".join,
)
def test_it_may_do_nothing_else(plane: ControlPlane, forbidden: tuple[str, str]) -> None:
    namespace = plane.create_namespace("rights")
    user = _granted(plane, namespace)

    def may(verb: str, what: str) -> bool:
        try:
            plane.kubectl("auth", "can-i", verb, what, f"--as={user}", f"--namespace={namespace}")
        except KubectlFailed:
            return False
        return True

    assert may("watch", f"configmap/{ROUTES}")
    assert not may(*forbidden)
