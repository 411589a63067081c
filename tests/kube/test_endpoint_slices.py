"""What is behind a Service: as its slices say, and told as they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import config
from kubernetes.aio import client as aio

from modelecology.kube import endpoint_slices
from modelecology.kube.cluster import ApiCluster, Cluster
from modelecology.kube.double import InMemoryCluster
from modelecology.kube.endpoint_slices import Behind, Slice, behind
from testbed import cluster as testbed
from tests.serving.gateway.stage import until

from .slices import delete_slice, pod, put_slice

Object = dict[str, Any]


def of(*pods: Object, family: str = "IPv4") -> Slice:
    """Read a slice as the API server gives it."""
    return Slice.model_validate({"metadata": {"name": "x"}, "addressType": family, "endpoints": list(pods)})


def test_pods_that_are_not_ready_are_named_apart_and_those_that_end_not_at_all() -> None:
    found = behind(
        [
            of(pod("10.0.0.2"), pod("10.0.0.1"), pod("10.0.0.3", ready=False)),
            of(pod("10.0.0.4", ready=False, terminating=True), pod("10.0.0.5", terminating=True)),
        ]
    )
    assert found == Behind(ready=("10.0.0.1", "10.0.0.2"), unready=("10.0.0.3",))


def test_who_says_nothing_of_readiness_is_ready() -> None:
    assert behind([of(pod("10.0.0.1", ready=None))]) == Behind(("10.0.0.1",))


def test_a_pod_that_two_slices_name_while_it_moves_counts_once_and_as_ready() -> None:
    assert behind([of(pod("10.0.0.1", ready=False)), of(pod("10.0.0.1"))]) == Behind(("10.0.0.1",))


def test_of_two_families_one_counts_and_an_address_of_six_is_written_for_a_url() -> None:
    six = of(pod("fd00::1"), family="IPv6")
    assert behind([six, of(pod("10.0.0.1"))]) == Behind(("10.0.0.1",))
    assert behind([six, of()]) == Behind(("[fd00::1]",))


def test_nothing_is_behind_a_service_without_slices_or_with_empty_ones() -> None:
    empty = Slice.model_validate({"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": None})
    assert behind([]) == behind([empty]) == Behind()


@dataclass
class Heard:
    """What was told of a Service."""

    seen: list[Behind] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@asynccontextmanager
async def following(cluster: Cluster, namespace: str) -> AsyncIterator[Heard]:
    """Follow the Service engines meanwhile."""
    heard = Heard()
    task = asyncio.create_task(
        cluster.follow_service(namespace, "engines", heard.seen.append, heard.failed.append)
    )
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
def administrator(control_plane: testbed.Cluster) -> Any:
    """A client that writes slices."""
    api: Any = config.new_client_from_config(str(control_plane.kubeconfig))  # type: ignore[no-untyped-call]  # no types there
    yield api
    api.close()


async def _connected(kubeconfig: Path) -> ApiCluster:
    return await ApiCluster.connect(kubeconfig)


async def test_each_change_of_a_services_slices_is_told_and_other_services_are_none(
    control_plane: testbed.Cluster, namespace: str, administrator: Any
) -> None:
    def put(name: str, *pods: Object, service: str = "engines") -> None:
        put_slice(administrator, namespace, name, pods, service=service)

    await asyncio.to_thread(put, "a", pod("10.0.0.1"))
    cluster = await _connected(control_plane.kubeconfig)
    async with following(cluster, namespace) as heard:
        await until(lambda: heard.seen == [Behind(("10.0.0.1",))])
        await asyncio.to_thread(put, "other", pod("10.0.9.9"), service="other")
        await asyncio.to_thread(put, "b", pod("10.0.0.2", ready=False))
        await until(lambda: heard.seen[-1] == Behind(("10.0.0.1",), ("10.0.0.2",)))
        await asyncio.to_thread(put, "b", pod("10.0.0.2"))
        await until(lambda: heard.seen[-1] == Behind(("10.0.0.1", "10.0.0.2")))
        await asyncio.to_thread(delete_slice, administrator, namespace, "a")
        await until(lambda: heard.seen[-1] == Behind(("10.0.0.2",)))
        assert len(heard.seen) == 4
        assert heard.failed == []
    await cluster.close()


async def test_a_watch_that_ends_is_followed_by_a_list_so_that_nothing_is_missed(
    control_plane: testbed.Cluster, namespace: str, administrator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_slices, "_WATCH_SECONDS", 1)
    await asyncio.to_thread(put_slice, administrator, namespace, "a", [pod("10.0.0.1")])
    cluster = await _connected(control_plane.kubeconfig)
    async with following(cluster, namespace) as heard:
        await until(lambda: len(heard.seen) >= 3)
        await asyncio.to_thread(delete_slice, administrator, namespace, "a")
        await until(lambda: heard.seen[-1] == Behind())
        assert heard.failed == []
    await cluster.close()


async def test_who_may_not_list_is_told_why(control_plane: testbed.Cluster, namespace: str) -> None:
    cluster = await _connected(control_plane.kubeconfig_for("nobody"))
    async with following(cluster, namespace) as heard:
        await until(lambda: bool(heard.failed))
    assert "HTTP 403" in heard.failed[0]
    assert "endpointslices" in heard.failed[0]
    assert heard.seen == []
    await cluster.close()


async def test_an_api_server_that_is_away_is_waited_for() -> None:
    heard = Heard()
    api = aio.ApiClient(aio.Configuration(host="http://127.0.0.1:9"))
    task = asyncio.create_task(
        endpoint_slices.follow(api, "desk", "engines", heard.seen.append, heard.failed.append)
    )
    await until(lambda: len(heard.failed) >= 2)
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})
    close: Any = api.close
    await close()


async def test_the_double_tells_what_is_put_behind_a_service() -> None:
    cluster = InMemoryCluster()
    async with following(cluster, "desk") as heard:
        await until(lambda: heard.seen == [Behind()])
        cluster.put_behind("desk", "engines", Behind(("10.0.0.1",)))
        cluster.put_behind("desk", "other", Behind(("10.0.0.2",)))
        assert heard.seen == [Behind(), Behind(("10.0.0.1",))]
    cluster.put_behind("desk", "engines", Behind())
    assert len(heard.seen) == 2
