"""The watch of the ConfigMap: against a server with an API server's moods, and against a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.table_config_map import ConfigMapTable, WatchTimes
from modelecology.serving.gateway.tables import Tables
from testbed import cluster as testbed
from tests.serving.gateway.stage import listening, table, until

_PATH = "/api/v1/namespaces/desk/configmaps"
Body = dict[str, Any]


def _event(kind: str, version: int = 1, **data: str) -> bytes:
    text = data or {"table.json": json.dumps(table(version))}
    content: Body = {"kind": "ConfigMap", "metadata": {"name": "desk-routes"}, "data": text}
    if kind == "ERROR":
        content = {"kind": "Status", "code": 410, "message": "too old resource version"}
    if kind == "BOOKMARK":
        content = {"kind": "ConfigMap", "metadata": {"resourceVersion": "9"}}
    return json.dumps({"type": kind, "object": content}).encode() + b"\n"


@dataclass
class Watch:
    """What the server does at one watch: a status, some lines, and then it ends it or keeps still."""

    lines: list[bytes] = field(default_factory=list)
    status: int = 200
    ends: bool = True
    aborts: bool = False


@dataclass
class Moods:
    """The server's plan, and what it was asked. After the plan it keeps still."""

    plan: list[Watch]
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.tokens.append(request.headers.get("Authorization", ""))
        watch = self.plan.pop(0) if self.plan else Watch(ends=False)
        if watch.status != 200:
            return web.json_response({"message": "no such right"}, status=watch.status)
        response = web.StreamResponse()
        await response.prepare(request)
        for line in watch.lines:
            await response.write(line)
        if watch.aborts:
            assert request.transport is not None
            request.transport.abort()
        elif not watch.ends:
            await asyncio.Event().wait()
        return response


@dataclass
class Following:
    """A gateway's tables as they follow a server."""

    tables: Tables
    pauses: list[float]

    def version(self) -> int | None:
        return None if self.tables.held is None else self.tables.held.table.version


def _kubeconfig(folder: Path, address: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "mine"}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(config))
    return path


@asynccontextmanager
async def following(moods: Moods, folder: Path, times: WatchTimes | None = None) -> AsyncIterator[Following]:
    app = web.Application()
    app.router.add_get(_PATH, moods.answer)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async with listening(app) as address:
        source = ConfigMapTable("desk", "desk-routes", _kubeconfig(folder, address), times, sleep)
        tables = Tables("desk", "desk", GatewayMetrics())
        task = asyncio.create_task(source.follow(tables))
        yield Following(tables, pauses)
        task.cancel()
        await asyncio.wait({task})


async def test_one_watch_of_one_name_gives_the_table_as_it_is_and_each_that_follows(tmp_path: Path) -> None:
    moods = Moods([Watch([_event("ADDED", 1), _event("BOOKMARK"), _event("MODIFIED", 2)], ends=False)])
    async with following(moods, tmp_path) as found:
        await until(lambda: found.version() == 2)
    (asked,) = moods.asked
    assert asked["fieldSelector"] == "metadata.name=desk-routes"
    assert asked["watch"] == "true"
    # From no version: the object as it is comes first, and no version can be too old.
    assert "resourceVersion" not in asked
    assert moods.tokens == ["Bearer mine"]


async def test_a_watch_that_ends_in_time_is_begun_again_at_once(tmp_path: Path) -> None:
    moods = Moods([Watch([_event("ADDED", 1)]), Watch([_event("ADDED", 1)]), Watch([_event("ADDED", 2)])])
    async with following(moods, tmp_path) as found:
        await until(lambda: found.version() == 2)
        assert set(found.pauses) == {0.0}


@pytest.mark.parametrize(
    "broken",
    [
        Watch([_event("ADDED", 1), _event("ERROR")]),
        Watch([_event("ADDED", 1), b"no json\n"]),
        Watch([_event("ADDED", 1)], aborts=True),
        Watch(status=410),
        Watch(status=403),
        Watch(status=503),
        Watch(),
    ],
)
async def test_a_watch_that_breaks_is_begun_again_after_a_pause(tmp_path: Path, broken: Watch) -> None:
    moods = Moods([broken, Watch([_event("ADDED", 2)], ends=False)])
    async with following(moods, tmp_path) as found:
        await until(lambda: found.version() == 2)
        assert found.pauses[0] > 0.0


async def test_pauses_grow_to_a_limit_while_nothing_is_heard(tmp_path: Path) -> None:
    moods = Moods([*(Watch(status=503) for _ in range(6)), Watch([_event("ADDED", 1)], ends=False)])
    times = WatchTimes(first_pause=0.1, longest_pause=0.7)
    async with following(moods, tmp_path, times) as found:
        await until(lambda: found.version() == 1)
        assert found.pauses == [0.2, 0.4, 0.7, 0.7, 0.7, 0.7]


async def test_a_watch_that_the_server_forgets_to_end_is_given_up(tmp_path: Path) -> None:
    moods = Moods([Watch([_event("ADDED", 1)], ends=False), Watch([_event("ADDED", 2)], ends=False)])
    async with following(moods, tmp_path, WatchTimes(client=0.05)) as found:
        await until(lambda: found.version() == 2)


async def test_a_table_that_is_deleted_or_without_its_key_stays_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [_event("ADDED", 1), _event("MODIFIED", 1, other="x"), _event("DELETED", 1), _event("ADDED", 2)]
    moods = Moods([Watch(lines[:3])])
    async with following(moods, tmp_path) as found:
        await until(lambda: len(moods.asked) == 2)
        assert found.version() == 1
    assert "has no key table.json" in caplog.text
    assert "its last table stays" in caplog.text


async def test_a_table_as_large_as_a_config_map_comes_through(tmp_path: Path) -> None:
    names = [f"q{n:04}-{'q' * 57}" for n in range(1024)]
    routes = [{"task": f"t{n}", "pinned": [f"{'p' * 50}-{n}-{p}" for p in range(16)]} for n in range(256)]
    whole = table(5, quarantined=names, routes=routes)
    moods = Moods([Watch([_event("ADDED", 5, **{"table.json": json.dumps(whole)})], ends=False)])
    async with following(moods, tmp_path) as found:
        await until(lambda: found.version() == 5)


async def test_without_a_service_account_it_says_so_and_tries_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    tried = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        tried.set()
        await asyncio.Event().wait()

    source = ConfigMapTable("desk", "desk-routes", sleep=sleep)
    task = asyncio.create_task(source.follow(Tables("desk", "desk", GatewayMetrics())))
    await tried.wait()
    task.cancel()
    assert "no way to the API server" in caplog.text


ACCOUNT = "gateway"


def _granted(cluster: testbed.Cluster, namespace: str) -> None:
    """Give a service account the one right: to watch this one ConfigMap."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["desk-routes"]}
    meta = {"name": ACCOUNT, "namespace": namespace}
    objects: list[Body] = [
        {"apiVersion": "v1", "kind": "ServiceAccount"},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "rules": [{**rule, "verbs": ["watch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
        },
    ]
    cluster.kubectl(
        "apply", "-f", "-", stdin=yaml.safe_dump_all([{**each, "metadata": meta} for each in objects])
    )


def _published(cluster: testbed.Cluster, namespace: str, version: int) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "desk-routes", "namespace": namespace},
        "data": {"table.json": json.dumps(table(version, namespace=namespace))},
    }
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))


async def test_on_a_real_api_server_the_right_to_watch_one_config_map_is_enough(
    control_plane: testbed.Cluster, namespace: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(_granted, control_plane, namespace)
    token = await asyncio.to_thread(
        control_plane.kubectl, "create", "token", ACCOUNT, "-n", namespace, "--duration=1h"
    )
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": str(token).strip()}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    source = ConfigMapTable(namespace, "desk-routes", path, WatchTimes(server=1))
    tables = Tables("desk", namespace, GatewayMetrics())
    task = asyncio.create_task(source.follow(tables))

    def version() -> int | None:
        return None if tables.held is None else tables.held.table.version

    # It waits for a ConfigMap that is not there yet, and follows it through watches that end each second.
    for number in range(1, 5):
        await asyncio.to_thread(_published, control_plane, namespace, number)
        await until(lambda number=number: version() == number)  # type: ignore[misc]  # bound at once
    task.cancel()
    await asyncio.wait({task})
