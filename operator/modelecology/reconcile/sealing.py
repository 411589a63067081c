"""Keeps the copy of a log: every entry as it is recorded, then sealed segments, after which objects may go.

The order is always: the Decision, its copy, the segment, the segment read back, and only then a deletion. A
crash between any two is repaired by the next look.
"""

from __future__ import annotations

import asyncio
import logging

from modelecology.api.population import Population
from modelecology.governance.log import LogBroken
from modelecology.kube.cluster import DECISION
from modelecology.kube.decisions import Recorded
from modelecology.kube.errors import KubeError
from modelecology.store import StoreError

from .log_copy import LogCopy
from .metrics import WRITES
from .runtime import Runtime

MOST_DELETIONS = 200  # a look; the next one goes on
_LOG = logging.getLogger(__name__)


async def keep_copy(runtime: Runtime, population: Population) -> None:
    """Copy what the store does not have yet; without the store the next look does. Raises KubeError."""
    copy = runtime.log_copy(population)
    async with copy.lock:
        try:
            await _copy(runtime, population, copy)
        except (StoreError, LogBroken) as error:
            _tell(population, copy, f"the log is not copied to the store: {error}")


async def tend_log(runtime: Runtime, population: Population) -> None:
    """Copy what is not in the store yet, seal what is old enough, and prune what is sealed.

    Nothing waits for it: what cannot be done now is done at a later look. Raises LogBroken, KubeError.
    """
    copy = runtime.log_copy(population)
    async with copy.lock:
        try:
            await _copy(runtime, population, copy)
            await _seal(runtime, population, copy)
        except (StoreError, LogBroken) as error:
            _tell(population, copy, f"the log is not copied, or not sealed: {error}")
        else:
            copy.told = ""


async def _copy(runtime: Runtime, population: Population, copy: LogCopy) -> None:
    log = runtime.log(population)
    state = await log.state()
    kept = await asyncio.to_thread(copy.whole)
    if kept < state.sequence:
        await asyncio.to_thread(copy.keep, await log.after(kept))


async def _seal(runtime: Runtime, population: Population, copy: LogCopy) -> None:
    log, policy = runtime.log(population), population.spec.log
    state = await log.state()
    sealed = await asyncio.to_thread(copy.sealed)
    due = state.sequence - sealed >= policy.retain + policy.segment
    if not due and log.oldest > sealed:
        return
    objects = await log.objects()
    entries = [each.entry for each in objects]
    while state.sequence - sealed >= policy.retain + policy.segment:
        segment = await asyncio.to_thread(copy.seal, entries, policy.segment)
        sealed = segment.last
        meta = population.metadata
        _LOG.info("%s/%s: decisions %d-%d sealed", meta.namespace, meta.name, segment.first, sealed)
    await _prune(runtime, population, copy, [each for each in objects if each.entry.sequence <= sealed])


async def _prune(runtime: Runtime, population: Population, copy: LogCopy, objects: list[Recorded]) -> None:
    """Delete the oldest objects that a segment holds, as it was read back. Raises StoreError, LogBroken."""
    log = runtime.log(population)
    now = objects[:MOST_DELETIONS]
    if now:
        bounds = (now[0].entry.sequence, now[-1].entry.sequence)
        digests = await asyncio.to_thread(copy.digests, *bounds)
        for entry, uid in now:
            if digests.get(entry.sequence) != entry.digest:
                raise LogBroken(
                    f"decision {entry.sequence} is another one in the cluster than in its segment"
                )
            name = f"{entry.population}-{entry.sequence:012d}"
            try:
                await runtime.cluster.remove(DECISION, population.metadata.namespace, name, uid)
            except KubeError as error:
                _tell(
                    population, copy, f"decision {entry.sequence} is sealed, but cannot be deleted: {error}"
                )
                return
            WRITES.labels("delete", DECISION.kind).inc()
            log.oldest = entry.sequence + 1
    if len(now) == len(objects):
        log.oldest = max(log.oldest, await asyncio.to_thread(copy.sealed) + 1)
        await asyncio.to_thread(copy.release)


def _tell(population: Population, copy: LogCopy, trouble: str) -> None:
    if copy.told != trouble:
        copy.told = trouble
        meta = population.metadata
        _LOG.warning("%s/%s: %s; it is tried again", meta.namespace, meta.name, trouble)
