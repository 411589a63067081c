"""Notices deaf watches: what a list shows and the cache does not know for too long was never told to us.

A watch can die without a word while its process looks healthy. Only the API server knows the truth, so it is
asked, seldom, with a list; a cache that stays behind means that the process must end and start anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from .cache import InvalidObject, ObjectCache, Where
from .cluster import POPULATION, SPECIALIST, SUITE, Cluster, Kind
from .errors import KubeError

_LOG = logging.getLogger(__name__)
EVERY_SECONDS = 30.0
GRACE_SECONDS = 10.0
KINDS = (POPULATION, SPECIALIST, SUITE)
Sleep = Callable[[float], Awaitable[None]]


class DeafWatch(Exception):
    """Raised when the watches have missed something; the process must end."""


class Behind(NamedTuple):
    """What the cache does not know: versions it has not seen, and objects that are gone."""

    unseen: frozenset[tuple[Kind, str, str, str]]
    gone: frozenset[Where]


class Watchdog:
    """Compares lists with the cache. `namespaces` None means all; `on_gone` is told of missed deletions."""

    def __init__(
        self,
        cluster: Cluster,
        cache: ObjectCache,
        namespaces: tuple[str, ...] | None,
        on_gone: Callable[[Kind, str, str], None],
        *,
        every: float = EVERY_SECONDS,
        grace: float = GRACE_SECONDS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._on_gone = on_gone
        self._every = every
        self._grace = grace
        self._sleep = sleep

    async def fill(self) -> None:
        """Take everything into the cache, so that the first look at one object finds the others there.

        Raises KubeError.
        """
        for kind in KINDS:
            for namespace in self._namespaces:
                for body in await self._cluster.list(kind, namespace):
                    try:
                        self._cache.put(kind, body)
                    except InvalidObject as error:
                        meta = body["metadata"]
                        _LOG.error("%s %s/%s: %s", kind.kind, meta["namespace"], meta["name"], error)

    async def behind(self) -> Behind:
        """List what the cache does not know. Raises KubeError."""
        unseen: set[tuple[Kind, str, str, str]] = set()
        # What is known is noted first: what appears meanwhile is not taken for gone.
        known = self._cache.known()
        listed: set[Where] = set()
        for kind in KINDS:
            for namespace in self._namespaces:
                for body in await self._cluster.list(kind, namespace):
                    meta = body["metadata"]
                    where = (kind, str(meta["namespace"]), str(meta["name"]))
                    listed.add(where)
                    if self._cache.version(*where) != meta["resourceVersion"]:
                        unseen.add((*where, str(meta["resourceVersion"])))
        return Behind(frozenset(unseen), known - listed)

    async def check(self) -> None:
        """Look twice, some seconds apart: what is behind both times was missed. Raises DeafWatch, KubeError.

        A deletion that was missed is made up for: a watch that was cut off does not tell it.
        """
        first = await self.behind()
        if not any(first):
            return
        await self._sleep(self._grace)
        second = await self.behind()
        missed = first.unseen & second.unseen
        if missed:
            kind, namespace, name, version = sorted(missed)[0]
            raise DeafWatch(
                f"{len(missed)} changes were never seen, such as {kind.kind} {namespace}/{name} at {version}"
            )
        for where in sorted(first.gone & second.gone):
            self._cache.drop(*where)
            self._on_gone(*where)

    async def run(self) -> None:
        """Check for ever. Raises DeafWatch."""
        while True:
            await self._sleep(self._every)
            try:
                await self.check()
            except KubeError as error:
                _LOG.warning("the watches cannot be checked: %s", error)
