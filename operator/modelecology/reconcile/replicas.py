"""Looks at the engines of a population more often than at the rest of it, each at its own pace.

A replica that comes back empty must hold within a second what it should, and users must meet nothing on it
before that is proved. Store, suite and Ray are not asked: what is wanted is known from the last whole look.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from modelecology.api.population import Population
from modelecology.governance.log import LogBroken, LogState
from modelecology.governance.routing import quarantined
from modelecology.governance.succession import residents
from modelecology.kube.cluster import POPULATION

from .boards import EngineView, Standing
from .drains import drains
from .engines import Resident
from .fleet import engines_of, look_at_engine
from .queue import WorkKey
from .routes import tend_routes
from .runtime import Runtime
from .service import wake_concerned

REPLICAS = "Replicas"  # kind of the key of a look at a population's engines alone
CALM_SECONDS = 0.5
SOON_SECONDS = 0.25  # while one of them is away, or owes a proof
_LOG = logging.getLogger(__name__)


async def reconcile_replicas(runtime: Runtime, key: WorkKey) -> None:
    """Begin a look at each engine at which nobody looks now. Raises KubeError; the caller tries again."""
    where = (key.namespace, key.name)
    population = runtime.cache.population(*where)
    known = runtime.residents.get(where, {})
    if population is None or population.metadata.deletion_timestamp is not None:
        return
    try:
        log = await runtime.log(population).state()
    except LogBroken:
        return  # the population's own look says so, and asks for this one again
    resident = {r.served_name for r in residents(log)}
    # What came or went since the last whole look is left to the next one, which every Decision calls for; but
    # what is done with its last requests is unloaded here.
    wanted = {name: each for name, each in known.items() if name in resident}
    engines = engines_of(runtime, population)
    # Nor does what is quarantined wait for a whole look, which one slow engine may hold up for minutes.
    cut = {n for n in quarantined(log) if not runtime.residency.absent(where, engines, n)}
    leaving = drains(population, log, runtime.now()).keys() | cut
    if not wanted and not leaving:
        if resident:
            runtime.queue.add(key, CALM_SECONDS)  # the first whole look may take long
        return
    for endpoint, view in runtime.residency.views(where, engines).items():
        if not view.lock.locked():
            # None waits for another: one that is away may take seconds to say so.
            runtime.in_background(_look(runtime, population, log, endpoint, wanted, leaving))
    runtime.queue.forgive(key)
    views = runtime.residency.views(where, population.spec.serving.endpoints)
    calm = all(_is_calm(view, wanted) for view in views.values())
    runtime.queue.add(key, CALM_SECONDS if calm else SOON_SECONDS)


def _is_calm(view: EngineView, wanted: Mapping[str, Resident]) -> bool:
    """Say whether an engine owes nothing that would come soon."""
    return view.reachable and all(
        view.standing.get(name) in (Standing.PROVED, Standing.MISMATCHED, Standing.REFUSED) for name in wanted
    )


async def _look(
    runtime: Runtime,
    population: Population,
    log: LogState,
    endpoint: str,
    wanted: Mapping[str, Resident],
    leaving: AbstractSet[str],
) -> None:
    meta = population.metadata
    try:
        ours = frozenset(wanted) | leaving
        change = await look_at_engine(runtime, population, log, endpoint, wanted, ours)
        if not change:
            return
        # The look may have taken long: the table is written by the Population of now.
        current = runtime.cache.population(meta.namespace, meta.name)
        if current is None or current.metadata.uid != meta.uid:
            return
        await tend_routes(runtime, current)
        wake_concerned(runtime, population, log, (change,))
        runtime.queue.add(WorkKey(POPULATION.kind, meta.namespace, meta.name))
        if change.adapters:
            # Perhaps the first of two steps: what users were just sent elsewhere for is loaded next.
            runtime.queue.add(WorkKey(REPLICAS, meta.namespace, meta.name), SOON_SECONDS)
    except Exception:
        # Nobody waits for this task, so nobody else would hear of it; the next look tries again.
        _LOG.exception("%s/%s: a fault of this software at %s", meta.namespace, meta.name, endpoint)
