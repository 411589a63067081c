"""RayJobs of one namespace in the Kubernetes API: calls give the answer as it is, and a watch never ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from .cluster import MANAGER, Body, connected
from .errors import Refused

_LOG = logging.getLogger(__name__)
_GROUP, _VERSION, _JOBS, _CLUSTERS = "ray.io", "v1", "rayjobs", "rayclusters"
_CALL_SECONDS = 20.0
_PAGE = 100
# The server ends a watch first; where it says nothing at all, the client does.
_WATCH_SECONDS = 240
_SILENCE_SECONDS = 300.0
_PAUSE_SECONDS = 0.5
_MOMENT_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# Names and versions are enough for a watch, and a RayJob can be large.
_METADATA = "application/json;as={kind};g=meta.k8s.io;v=v1"

Answer: TypeAlias = tuple[int, Body]


class RayJobs:
    """What a runner asks of RayJobs; an answer is its HTTP status and body, or 0 and a message for none."""

    def __init__(self, namespace: str, kubeconfig: Path | None = None) -> None:
        self._namespace = namespace
        self._kubeconfig = kubeconfig
        self._api: client.ApiClient | None = None
        self._opening = asyncio.Lock()

    async def create(self, body: Body) -> Answer:
        """Create a RayJob; one with a field that the API server does not know is refused."""
        return await self._call(
            lambda custom: custom.create_namespaced_custom_object(
                *self._where(_JOBS),
                body,
                field_manager=MANAGER,
                field_validation="Strict",
                _request_timeout=_CALL_SECONDS,
            )
        )

    async def get(self, name: str) -> Answer:
        """Read a RayJob."""
        return await self._get(_JOBS, name)

    async def get_cluster(self, name: str) -> Answer:
        """Read a RayCluster."""
        return await self._get(_CLUSTERS, name)

    async def list(self, labels: str) -> Answer:
        """List all RayJobs with these labels."""
        items: list[Body] = []
        token = ""
        while True:
            options = {"label_selector": labels, "limit": _PAGE, "_continue": token}
            status, page = await self._list(options)
            if status != HTTPStatus.OK:
                return status, page
            items.extend(page["items"] or ())
            token = page["metadata"].get("continue") or ""
            if not token:
                return status, {"items": items}

    async def delete(self, name: str, uid: str) -> Answer:
        """Delete a RayJob, and what it owns, unless another of that name has taken its place."""
        options = client.V1DeleteOptions(
            preconditions=client.V1Preconditions(uid=uid), propagation_policy="Background"
        )
        return await self._call(
            lambda custom: custom.delete_namespaced_custom_object(
                *self._where(_JOBS), name, body=options, _request_timeout=_CALL_SECONDS
            )
        )

    async def watch(self, labels: str, changed: Callable[[str], None]) -> None:
        """Call `changed` with the name of each RayJob that is there or changes; never returns.

        An outage is waited out. Everything is listed after it, since nobody tells what happened meanwhile.
        """
        known: set[str] = set()
        pause, told = _PAUSE_SECONDS, ""
        while True:
            heard = False
            status, page = await self._list({"label_selector": labels}, "PartialObjectMetadataList")
            if status == HTTPStatus.OK:
                # A list of metadata alone says null where there is nothing.
                listed = {str(item["metadata"]["name"]) for item in page.get("items") or ()}
                # Those that are not there any more have changed as well.
                for name in sorted(known | listed):
                    changed(name)
                known = listed
                told = ""
                heard = await self._follow(labels, str(page["metadata"]["resourceVersion"]), known, changed)
            else:
                said = str(page.get("message", status))
                if said != told:
                    _LOG.warning("RayJobs in %s cannot be watched: %s", self._namespace, said)
                told = said
            pause = _PAUSE_SECONDS if heard else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Let go of connections."""
        api: Any = self._api
        self._api = None
        if api is not None:
            await api.close()

    async def _follow(
        self, labels: str, version: str, known: set[str], changed: Callable[[str], None]
    ) -> bool:
        """Tell of changes since a version, until that one is too old or the API server goes; any heard?"""
        heard = False
        while version:
            options = {"label_selector": labels, "resource_version": version, "allow_watch_bookmarks": True}
            try:
                async for event in self._events(options):
                    heard = True
                    meta = event["object"].get("metadata", {})
                    version = str(meta.get("resourceVersion", "")) if event["type"] != "ERROR" else ""
                    if event["type"] not in ("ERROR", "BOOKMARK"):
                        known.add(str(meta["name"]))
                        changed(str(meta["name"]))
            except TimeoutError:
                continue
            except (ApiException, aiohttp.ClientError, OSError, ValueError) as error:
                _LOG.info("the watch of RayJobs in %s broke off: %s", self._namespace, error)
                return heard
            heard = True
            await asyncio.sleep(_MOMENT_SECONDS)
        return heard

    async def _events(self, options: dict[str, Any]) -> AsyncIterator[Body]:
        custom = await self._custom()
        response = await custom.list_namespaced_custom_object_without_preload_content(
            *self._where(_JOBS),
            **options,
            watch=True,
            timeout_seconds=_WATCH_SECONDS,
            _request_timeout=_SILENCE_SECONDS,
            _headers={"Accept": _METADATA.format(kind="PartialObjectMetadata")},
        )
        async with response:
            if response.status != HTTPStatus.OK:
                raise ApiException(status=response.status, reason=response.reason)
            async for line in response.content:
                yield json.loads(line)

    async def _get(self, plural: str, name: str) -> Answer:
        return await self._call(
            lambda custom: custom.get_namespaced_custom_object(
                *self._where(plural), name, _request_timeout=_CALL_SECONDS
            )
        )

    async def _list(self, options: dict[str, Any], kind: str = "") -> Answer:
        headers = {"Accept": _METADATA.format(kind=kind)} if kind else None
        return await self._call(
            lambda custom: custom.list_namespaced_custom_object(
                *self._where(_JOBS), **options, _request_timeout=_CALL_SECONDS, _headers=headers
            )
        )

    def _where(self, plural: str) -> tuple[str, str, str, str]:
        return _GROUP, _VERSION, self._namespace, plural

    async def _custom(self) -> Any:
        async with self._opening:
            if self._api is None:
                self._api = await connected(self._kubeconfig)
        return client.CustomObjectsApi(self._api)

    async def _call(self, call: Callable[[Any], Awaitable[Any]]) -> Answer:
        """Make a call, and give its answer whatever it is."""
        try:
            return int(HTTPStatus.OK), await call(await self._custom())
        except ApiException as error:
            return error.status or 0, _said(error)
        except (TimeoutError, aiohttp.ClientError, OSError, Refused) as error:
            return 0, {"message": f"it does not answer: {error or type(error).__name__}"}


def _said(error: ApiException) -> Body:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"message": str(error.body or error.reason or "").strip()}
