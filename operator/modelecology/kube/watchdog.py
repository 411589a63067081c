"""Notices deaf watches: what a list shows and the cache does not know for too long was never told to us.

A watch can die without a word while its process looks healthy. Only the API server knows the truth, so it is
asked, seldom, with a list; a cache that stays behind means that the process must end and start anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .cache import ObjectCache
from .cluster import POPULATION, SPECIALIST, SUITE, Cluster, Kind
from .errors import KubeError

_LOG = logging.getLogger(__name__)
EVERY_SECONDS = 30.0
GRACE_SECONDS = 10.0
KINDS = (POPULATION, SPECIALIST, SUITE)


class DeafWatch(Exception):
    """Raised when the watches have missed something; the process must end."""


class Watchdog:
    """Compares lists with the cache. `namespaces` None means all."""

    def __init__(self, cluster: Cluster, cache: ObjectCache, namespaces: tuple[str, ...] | None) -> None:
        self._cluster = cluster
        self._cache = cache
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self.last_check: float | None = None

    async def behind(self) -> frozenset[tuple[Kind, str, str, str]]:
        """List the objects whose newest version the cache does not know. Raises KubeError."""
        found: set[tuple[Kind, str, str, str]] = set()
        listed: set[tuple[Kind, str, str]] = set()
        for kind in KINDS:
            for namespace in self._namespaces:
                for body in await self._cluster.list(kind, namespace):
                    meta = body["metadata"]
                    where = (kind, meta["namespace"], meta["name"])
                    listed.add(where)
                    if self._cache.version(*where) != meta["resourceVersion"]:
                        found.add((*where, meta["resourceVersion"]))
        gone = self._cache.known() - listed
        return frozenset(found | {(*where, "gone") for where in gone})

    async def check(self) -> None:
        """Look twice, some seconds apart: what is behind both times was missed. Raises DeafWatch, KubeError."""
        first = await self.behind()
        if not first:
            return
        await asyncio.sleep(GRACE_SECONDS)
        missed = first & await self.behind()
        if missed:
            kind, namespace, name, version = sorted(missed)[0]
            raise DeafWatch(
                f"{len(missed)} changes were never seen, such as {kind.kind} {namespace}/{name} at {version}"
            )

    async def run(self, monotonic: Callable[[], float]) -> None:
        """Check for ever. Raises DeafWatch."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.check()
            except KubeError as error:
                _LOG.warning("the watches cannot be checked: %s", error)
                continue
            self.last_check = monotonic()
