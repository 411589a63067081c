"""All engines of a population: each is brought to what is wanted, and those that left to nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from modelecology.api.population import Population
from modelecology.api.reasons import Reason
from modelecology.governance.log import LogState
from modelecology.governance.succession import served_names
from modelecology.kube.cluster import POPULATION, EventText

from .deletion import GRACE
from .drains import drains
from .engines import MOST_GONE, Change, Resident, reconcile_engine
from .metrics import forget_engine
from .routes import as_it_is, routed_to
from .runtime import Runtime
from .tell import tell

_LOG = logging.getLogger(__name__)


async def reconcile_engines(
    runtime: Runtime,
    population: Population,
    log: LogState,
    wanted: Mapping[str, Resident],
    kept: AbstractSet[str] = frozenset(),
) -> list[Change]:
    """Bring all engines of a population to what is wanted; those that are not its own any more to nothing.

    `kept` are names of ours that are left as they are, as long as their engine is one of the population's.
    """
    where = (population.metadata.namespace, population.metadata.name)
    ours = served_names(log)
    # The old engines first: one of them may be a new one under its old address.
    await _leave(runtime, population, log, ours)
    views = runtime.residency.views(where, engines_of(runtime, population))
    return await asyncio.gather(
        *(look_at_engine(runtime, population, log, e, wanted, ours - kept) for e in views),
    )


async def look_at_engine(
    runtime: Runtime,
    population: Population,
    log: LogState,
    endpoint: str,
    wanted: Mapping[str, Resident],
    ours: frozenset[str],
) -> Change:
    """Bring one engine of a population closer to what is wanted, when nobody else is at it."""
    view = runtime.residency.view((population.metadata.namespace, population.metadata.name), endpoint)
    async with view.lock:
        routed = routed_to(runtime, population, endpoint)
        finishing = drains(population, log, runtime.now(), view.leaving)
        engine = runtime.engine(population, endpoint)
        # What is deleted, or lets go of an engine, has not the time for many looks.
        ends = view.leaving is not None or population.metadata.deletion_timestamp is not None
        most = None if ends else MOST_GONE
        return await reconcile_engine(engine, view, wanted, ours, runtime.now, routed, finishing, most)


async def _leave(runtime: Runtime, population: Population, log: LogState, ours: frozenset[str]) -> None:
    """Take what is ours off the engines that are the population's no more."""
    where = (population.metadata.namespace, population.metadata.name)
    left = left_behind(runtime, population)
    await asyncio.gather(*(_let_go(runtime, population, log, e, ours) for e in left))
    for view in runtime.residency.views(where, engines_of(runtime, population)).values():
        view.leaving = None


async def _let_go(
    runtime: Runtime, population: Population, log: LogState, endpoint: str, ours: frozenset[str]
) -> None:
    """Unload what is ours from an engine, and forget it with proof or in time."""
    meta = population.metadata
    where = (meta.namespace, meta.name)
    view = runtime.residency.view(where, endpoint)
    now = runtime.now()
    view.leaving = view.leaving or now
    await look_at_engine(runtime, population, log, endpoint, {}, ours)
    left = ours - view.absent
    # A pod that its Service does not name and that does not answer has ended, and its adapters with it.
    ended = population.spec.serving.selector is not None and not view.reachable and not view.refused
    if left and not ended and now - view.leaving < GRACE:
        return
    if left and not ended:
        message = (
            f"{endpoint} left {source_of(population)} and is let go after {GRACE.seconds} s without proof "
            f"that it serves none of {', '.join(sorted(left))}. {view.message}"
        )
        event = EventText(True, Reason.ENGINE_UNREACHABLE, "Unload", message.strip())
        tell(runtime, POPULATION, *where, uid=meta.uid, event=event)
    _LOG.info("%s/%s: engine %s left %s and is forgotten", *where, endpoint, source_of(population))
    runtime.residency.leave(where, endpoint)
    await runtime.drop_engine(population, endpoint)
    forget_engine(where, endpoint)


def left_behind(runtime: Runtime, population: Population) -> tuple[str, ...]:
    """Name the engines that are the population's no more, but were seen there and may serve yet."""
    where = (population.metadata.namespace, population.metadata.name)
    seen = (*(e.endpoint for e in population.status.endpoints), *runtime.residency.known(where))
    engines = engines_of(runtime, population)
    return tuple(dict.fromkeys(e for e in seen if e not in engines))


def engines_of(runtime: Runtime, population: Population) -> tuple[str, ...]:
    """Name the engines that hold what a population wants: those that users are sent to, and the unready."""
    current = as_it_is(runtime, population)
    return (*current.spec.serving.endpoints, *runtime.cache.unready(current))


def source_of(population: Population) -> str:
    """Name what says which engines a population has."""
    selector = population.spec.serving.selector
    return "serving.endpoints" if selector is None else f"Service {selector.service}"
