"""The routing table from one ConfigMap, by one watch of that name: all the right it needs is `watch` on it.

A watch without a version begins with the object as it is now, so a watch is also the read, and nothing can be
missed between the two. Nor is there a version to resume from that could be too old (410): that of a quiet
object is older than what the API server remembers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelecology.api.routing import TABLE_KEY

from .tables import Offer, Tables

_LOG = logging.getLogger(__name__)

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """Seconds. The server ends a watch after `server`; one that it did not end after `client` is deaf.

    Between two tables a watch is silent anyway, so its age is all that can tell a deaf one from a quiet one.
    """

    server: int = 20
    client: float = 25.0
    first_pause: float = 0.2
    longest_pause: float = 2.0


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Object(_Edge):
    code: int | None = None
    message: str = ""
    data: dict[str, str] = Field(default_factory=dict)


class _Event(_Edge):
    type: str
    object: _Object


class WatchBroken(Exception):
    """A watch ended otherwise than by its time; another is begun after a pause."""

    retry = True


class ConfigMapTable:
    """Watches ConfigMap `name`, by the given kubeconfig or else as the pod's service account."""

    def __init__(
        self,
        namespace: str,
        name: str,
        kubeconfig: Path | None = None,
        times: WatchTimes | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._namespace = namespace
        self._name = name
        self._kubeconfig = kubeconfig
        self._times = times or WatchTimes()
        self._sleep = sleep

    async def follow(self, tables: Tables) -> None:
        """Offer the table, and each that follows it; never returns. An outage is waited out."""
        pause, told = self._times.first_pause, ""
        while True:
            heard = False
            try:
                async with aclosing(self._events()) as events:
                    async for event in events:
                        heard = True
                        self._take(event, tables)
                why = ""
            except (WatchBroken, TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                why = str(error) or type(error).__name__
            if why and why != told:
                _LOG.warning("the watch of ConfigMap %s/%s broke off: %s", self._namespace, self._name, why)
            told = why
            pause = self._times.first_pause if heard else min(2 * pause, self._times.longest_pause)
            # One that ended in time is begun again at once, but for an API server that hangs up on everybody.
            await self._sleep(0.0 if heard and not why else pause)

    def _take(self, event: _Event, tables: Tables) -> None:
        if event.type == "ERROR":
            raise WatchBroken(f"{event.object.code or 'error'} {event.object.message}".strip())
        if event.type == "DELETED":
            _LOG.warning("ConfigMap %s/%s is deleted; its last table stays", self._namespace, self._name)
        elif event.type != "BOOKMARK":
            text = event.object.data.get(TABLE_KEY)
            if text is None:
                _LOG.warning("ConfigMap %s/%s has no key %s", self._namespace, self._name, TABLE_KEY)
            elif tables.offer(text) is Offer.TAKEN:
                _LOG.info("taken from ConfigMap %s/%s", self._namespace, self._name)

    async def _events(self) -> AsyncGenerator[_Event, None]:
        # Imported late: its models take 35 MB and a second, which a gateway with a file need not spend.
        from kubernetes.aio import client

        # A new client each time: it reads the service account's token, which is rotated.
        api: Any = client.ApiClient(await self._settings())
        try:
            response = await client.CoreV1Api(api).list_namespaced_config_map_without_preload_content(
                self._namespace,
                field_selector=f"metadata.name={self._name}",
                watch=True,
                allow_watch_bookmarks=True,
                timeout_seconds=self._times.server,
                _request_timeout=self._times.client,
            )
            async with response:
                if response.status != HTTPStatus.OK:
                    raise WatchBroken(f"HTTP {response.status}: {_said(await response.text())}")
                async for line in _lines(response.content):
                    yield _read(line)
        finally:
            await api.close()

    async def _settings(self) -> Any:
        from kubernetes.aio import client, config

        settings = client.Configuration()
        # The client's own annotations are incomplete here.
        loader: Any = config
        try:
            if self._kubeconfig is None:
                loader.load_incluster_config(client_configuration=settings)
            else:
                await loader.load_kube_config(
                    config_file=str(self._kubeconfig), client_configuration=settings
                )
        except config.ConfigException as error:
            raise WatchBroken(f"no way to the API server: {error}") from error
        return settings


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # Not readline: a table in one line is longer than what that takes.
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def _read(line: bytes) -> _Event:
    try:
        return _Event.model_validate_json(line)
    except ValidationError as error:
        raise WatchBroken("the API server sent what is no event") from error


def _said(text: str) -> str:
    try:
        return str(json.loads(text).get("message", ""))[:200]
    except (ValueError, AttributeError):
        return text[:200]
