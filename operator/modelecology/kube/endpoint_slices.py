"""The pods behind a Service, by its EndpointSlices: listed, then watched, and listed anew after the watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, NoReturn

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_LOG = logging.getLogger(__name__)
SERVICE_LABEL = "kubernetes.io/service-name"
# A quiet watch and a deaf one look the same, so each is short, and everything is listed after it.
_WATCH_SECONDS = 60
_SILENCE_SECONDS = 75.0
_CALL_SECONDS = 20.0
_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Behind:
    """Addresses of the pods behind a Service, in order; those that end are not among them."""

    ready: tuple[str, ...] = ()
    unready: tuple[str, ...] = ()


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class _Conditions(_Edge):
    ready: bool | None = None
    terminating: bool | None = None


class _Pod(_Edge):
    addresses: tuple[str, ...] = ()
    conditions: _Conditions = _Conditions()


class _Meta(_Edge):
    name: str = ""
    resource_version: str = ""


class Slice(_Edge):
    """One EndpointSlice, as far as it is looked at."""

    metadata: _Meta = _Meta()
    address_type: Literal["IPv4", "IPv6", "FQDN"] = "IPv4"
    endpoints: tuple[_Pod, ...] | None = None


class _List(_Edge):
    metadata: _Meta = _Meta()
    items: tuple[Slice, ...] | None = None


class _Event(_Edge):
    type: str
    object: Slice = Field(default_factory=Slice)


def behind(slices: Iterable[Slice]) -> Behind:
    """Sum up the slices of one Service. A pod with addresses of both families counts once, by IPv4."""
    found = tuple(slices)
    families = {each.address_type for each in found if each.endpoints}
    family = next((f for f in ("IPv4", "IPv6", "FQDN") if f in families), "IPv4")
    ready, unready = set[str](), set[str]()
    for pod in (p for each in found if each.address_type == family for p in each.endpoints or ()):
        if pod.conditions.terminating or not pod.addresses:
            continue
        # All addresses of one entry lead to the same pod. Who says nothing of readiness is ready.
        host = f"[{pod.addresses[0]}]" if family == "IPv6" else pod.addresses[0]
        (unready if pod.conditions.ready is False else ready).add(host)
    return Behind(tuple(sorted(ready)), tuple(sorted(unready - ready)))


async def follow(
    api: client.ApiClient,
    namespace: str,
    service: str,
    seen: Callable[[Behind], None],
    failed: Callable[[str], None],
) -> NoReturn:
    """Tell what is behind a Service whenever it may have changed, or why that cannot be known; never returns.

    An outage is waited out; what was seen before it stands meanwhile.
    """
    pause = _PAUSE_SECONDS
    while True:
        try:
            listed = await _listed(api, namespace, service)
            known = {each.metadata.name: each for each in listed.items or ()}
            seen(behind(known.values()))
            pause = _PAUSE_SECONDS
            async for event in _events(api, namespace, service, listed.metadata.resource_version):
                if event.type == "ERROR":
                    break
                if event.type == "DELETED":
                    known.pop(event.object.metadata.name, None)
                elif event.type != "BOOKMARK":
                    known[event.object.metadata.name] = event.object
                seen(behind(known.values()))
        except TimeoutError:
            failed("the API server does not answer")
        except (ApiException, aiohttp.ClientError, OSError, ValueError) as error:
            failed(_said(error))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)


async def _listed(api: client.ApiClient, namespace: str, service: str) -> _List:
    async with await _asked(api, namespace, service, _request_timeout=_CALL_SECONDS) as response:
        return _List.model_validate_json(await response.read())


async def _events(api: client.ApiClient, namespace: str, service: str, version: str) -> AsyncIterator[_Event]:
    options: dict[str, Any] = {
        "watch": True,
        "resource_version": version,
        "timeout_seconds": _WATCH_SECONDS,
        "_request_timeout": _SILENCE_SECONDS,
    }
    async with await _asked(api, namespace, service, **options) as response:
        rest = b""
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _Event.model_validate_json(line)


async def _asked(api: client.ApiClient, namespace: str, service: str, **options: Any) -> Any:
    slices: Any = client.DiscoveryV1Api(api)
    response = await slices.list_namespaced_endpoint_slice_without_preload_content(
        namespace, label_selector=f"{SERVICE_LABEL}={service}", **options
    )
    if response.status != HTTPStatus.OK:
        text = await response.text()
        response.close()
        raise ApiException(status=response.status, reason=text[:300])
    return response


def _said(error: Exception) -> str:
    if isinstance(error, ApiException):
        return f"HTTP {error.status}: {error.reason}"
    return str(error) or type(error).__name__
