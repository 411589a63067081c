"""The watches, by kopf: an event tells that an object is there or gone; no more of kopf is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kopf

from modelecology.api.meta import GROUP, VERSION

from .cluster import Body, Kind

EXITING_SECONDS = 3.0
Seen = Callable[[Kind, Body], None]
Gone = Callable[[Kind, str, str], None]


class EndlessBackoffs:
    """Pauses between tries of a watch, in seconds, without end: a short list would leave kopf deaf."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0, 3.0)
        while True:
            yield 5.0


def watch_settings() -> kopf.OperatorSettings:
    """Settings for watches that never give up and never write."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.networking.error_backoffs = EndlessBackoffs()
    # Scanning lists namespaces and CRDs of the whole cluster, which the Role does not allow.
    settings.scanning.disabled = True
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    # We end the process ourselves; kopf's way is SIGKILL.
    settings.process.ultimate_exiting_timeout = None
    return settings


def watch_registry(kinds: Sequence[Kind], seen: Seen, gone: Gone) -> kopf.OperatorRegistry:
    """Register one handler a kind."""
    registry = kopf.OperatorRegistry()

    def register(kind: Kind) -> None:
        @kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=f"watch-{kind.plural}")
        async def on_event(event: kopf.RawEvent, name: str, namespace: str | None, **_: Any) -> None:
            if event["type"] == "DELETED":
                gone(kind, namespace or "", name)
            else:
                seen(kind, dict(event["object"]))

    for kind in kinds:
        register(kind)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    return registry


async def run_watches(
    registry: kopf.OperatorRegistry,
    namespaces: Sequence[str],
    stop: asyncio.Event,
    ready: asyncio.Event,
    spawned: Callable[[], None],
) -> None:
    """Watch until told to stop; any other end means that the process is deaf.

    `spawned` is called once kopf has put its own signal handlers in place, so that ours can replace them.
    """
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=watch_settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
        ready_flag=ready,
    )
    spawned()
    await kopf.run_tasks(tasks, ignored=others)
