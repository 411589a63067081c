"""The watch of RayJobs against a server that plays an API server's moods."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelecology.kube.ray_jobs import RayJobs

_PATH = "/apis/ray.io/v1/namespaces/team-a/rayjobs"
_LABELS = "modelecology.io/population=desk"
Body = dict[str, Any]


def _event(kind: str, name: str = "train-a", version: str = "7") -> bytes:
    if kind == "ERROR":
        return json.dumps({"type": kind, "object": {"kind": "Status", "code": 410}}).encode() + b"\n"
    meta = {"resourceVersion": version} if kind == "BOOKMARK" else {"name": name, "resourceVersion": version}
    return json.dumps({"type": kind, "object": {"metadata": meta}}).encode() + b"\n"


@dataclass
class Moods:
    """What the server does at each list and at each watch, and what it was asked."""

    lists: list[int] = field(default_factory=list)
    watches: list[tuple[int, list[bytes]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.accepted.append(request.headers["Accept"])
        assert request.query["labelSelector"] == _LABELS
        if "watch" not in request.query:
            self.asked.append("list")
            status = self.lists.pop(0) if self.lists else 200
            page: Body = {
                "metadata": {"resourceVersion": "5"},
                "items": [{"metadata": {"name": "train-a"}}],
                "message": "no",
            }
            return web.json_response(page, status=status)
        self.asked.append(f"watch from {request.query['resourceVersion']}")
        if not self.watches:
            await asyncio.Event().wait()
        status, lines = self.watches.pop(0)
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for line in lines:
            await response.write(line)
        return response


@asynccontextmanager
async def _watched(moods: Moods, folder: Path) -> AsyncIterator[asyncio.Queue[str]]:
    app = web.Application()
    app.router.add_get(_PATH, moods.answer)
    told: asyncio.Queue[str] = asyncio.Queue()
    async with TestServer(app) as server:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": str(server.make_url("")).rstrip("/")}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (folder / "config").write_text(yaml.safe_dump(config))
        client = RayJobs("team-a", folder / "config")
        task = asyncio.create_task(client.watch(_LABELS, told.put_nowait))
        try:
            async with asyncio.timeout(30):
                yield told
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()


async def _asked(moods: Moods, enough: Callable[[list[str]], bool]) -> None:
    for _ in iter(lambda: enough(moods.asked), True):
        await asyncio.sleep(0.02)


async def test_a_watch_that_ends_goes_on_where_it_was(tmp_path: Path) -> None:
    moods = Moods(watches=[(200, [_event("ADDED", "train-b", "6"), _event("BOOKMARK", version="9")])])
    async with _watched(moods, tmp_path) as told:
        assert [await told.get(), await told.get()] == ["train-a", "train-b"]
        await _asked(moods, lambda asked: len(asked) == 3)
    assert moods.asked == ["list", "watch from 5", "watch from 9"]
    # Names are all that is asked for: a RayJob may be large.
    assert all("PartialObjectMetadata" in accepted for accepted in moods.accepted)


@pytest.mark.parametrize(
    "end",
    [(200, [_event("ADDED", "train-b", "6"), _event("ERROR")]), (410, []), (500, []), (200, [b"not JSON\n"])],
    ids=["told that it is too old", "too old from the start", "a fault", "a broken line"],
)
async def test_a_watch_that_cannot_go_on_lists_everything_again(
    tmp_path: Path, end: tuple[int, list[bytes]]
) -> None:
    moods = Moods(watches=[end])
    async with _watched(moods, tmp_path):
        await _asked(moods, lambda asked: len(asked) == 4)
    assert moods.asked == ["list", "watch from 5", "list", "watch from 5"]


async def test_what_was_gone_meanwhile_has_changed_too(tmp_path: Path) -> None:
    moods = Moods(watches=[(200, [_event("ADDED", "train-b", "6"), _event("ERROR")])])
    async with _watched(moods, tmp_path) as told:
        assert [await told.get() for _ in range(4)] == ["train-a", "train-b", "train-a", "train-b"]


async def test_a_list_that_is_refused_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moods = Moods(lists=[403, 503])
    async with _watched(moods, tmp_path) as told:
        assert await told.get() == "train-a"
        await _asked(moods, lambda asked: len(asked) == 4)
    assert moods.asked == ["list", "list", "list", "watch from 5"]
    assert "RayJobs in team-a cannot be watched: no" in caplog.text
