"""Keeps the routing table of a population in one ConfigMap, and writes it when it says something else.

It is written in the same look as the Decision that changes it, before anything that could keep it waiting.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from modelecology.api.decision import POPULATION_LABEL
from modelecology.api.meta import API_VERSION
from modelecology.api.population import Population
from modelecology.api.routing import (
    TABLE_KEY,
    CanaryRoute,
    RoutingTable,
    ShadowRoute,
    TableUnreadable,
    TaskRoute,
    read_table,
    routes_name,
)
from modelecology.api.serving import Gateway
from modelecology.governance.canary import step_of
from modelecology.governance.facts import RevisionRecord
from modelecology.governance.log import LogBroken, LogState
from modelecology.governance.routing import MOST_RULES, Proofs, quarantined, routes
from modelecology.governance.routing import TaskRoute as Found
from modelecology.governance.succession import residents
from modelecology.kube.cluster import POPULATION, Body
from modelecology.kube.errors import KubeError, NotFound
from modelecology.translation import policy

from .boards import KeptRoutes, Standing
from .classifier import classifier_route
from .matching import contract_of, rule_of
from .metrics import WRITES
from .queue import WorkKey
from .runtime import Runtime

ROUTES = "Routes"  # kind of the key of a look at a population's table alone
_READ_AGAIN = timedelta(seconds=60)
_TAKEN_IN = timedelta(seconds=0.25)  # then a gateway has a new table: it is told within milliseconds
_CONFIG_MAP = "ConfigMap"
_LOG = logging.getLogger(__name__)


class ForeignRoutes(KubeError):
    """The ConfigMap's name is taken by an object of somebody else; a person has to move it."""


async def reconcile_routes(runtime: Runtime, key: WorkKey) -> None:
    """Try again to write a table that could not be written."""
    population = runtime.cache.population(key.namespace, key.name)
    if population is not None:
        await tend_routes(runtime, population)


async def tend_routes(runtime: Runtime, population: Population, *, whole: bool = True) -> None:
    """Write the table if it says something else now. What fails is tried again, and keeps nothing waiting.

    Without `whole` the table that is there loses what the log has quarantined, and else stays as it is.
    """
    meta, gateway = population.metadata, population.spec.serving.gateway
    if gateway is None or meta.deletion_timestamp is not None:
        return
    key = WorkKey(ROUTES, meta.namespace, meta.name)
    kept = runtime.routes.setdefault((meta.namespace, meta.name), KeptRoutes())
    async with kept.lock:
        try:
            await _tend(runtime, population, gateway, kept, whole)
        except (KubeError, LogBroken) as error:
            kept.read, kept.foreign = None, isinstance(error, ForeignRoutes)
            if str(error) != kept.told:
                kept.told = str(error)
                _LOG.warning("%s/%s: the routing table is not written: %s", *key[1:], error)
            runtime.queue.retry(key)
        else:
            if whole:
                kept.told, kept.foreign = "", False
                runtime.queue.forgive(key)


async def _tend(
    runtime: Runtime, population: Population, gateway: Gateway, kept: KeptRoutes, whole: bool
) -> None:
    population = as_it_is(runtime, population)
    now = runtime.now()
    if kept.read is None or now - kept.read >= _READ_AGAIN:
        await _read(runtime, population, kept)
        kept.read = now
    # The newest log: of two that write, the second must not take back what the first has said.
    log = await runtime.log(population).state()
    if whole and _engines_known(runtime, population):
        table = _table(runtime, population, gateway, log, kept.table)
    elif kept.table is not None:
        table = isolated(kept.table, log)
    else:
        return
    if kept.table is None or kept.table != table.model_copy(update={"version": kept.table.version}):
        await _write(runtime, population, table, kept)


def _engines_known(runtime: Runtime, population: Population) -> bool:
    """Say whether it is known which engines there are; until then what the last table says of them stands."""
    namespace, selector = population.metadata.namespace, population.spec.serving.selector
    return selector is None or runtime.cache.behind(namespace, selector.service) is not None


def isolated(table: RoutingTable, log: LogState) -> RoutingTable:
    """Take what is quarantined out of a table; all else is left as it was."""
    names = quarantined(log)
    found = tuple(_without(route, frozenset(names)) for route in table.routes)
    return table.model_copy(update={"version": log.sequence, "routes": found, "quarantined": names})


def _without(route: TaskRoute, names: frozenset[str]) -> TaskRoute:
    shadow, canary = route.shadow, route.canary
    return route.model_copy(
        update={
            "live": route.live if route.live not in names else None,
            "shadow": shadow if shadow is not None and shadow.revision not in names else None,
            "canary": canary if canary is not None and canary.revision not in names else None,
            "pinned": tuple(name for name in route.pinned if name not in names),
        }
    )


def as_it_is(runtime: Runtime, population: Population) -> Population:
    """Give a population with the engines that are ready now: pods may have gone since the look began."""
    meta = population.metadata
    current = runtime.cache.population(meta.namespace, meta.name)
    if population.spec.serving.selector is None or current is None or current.metadata.uid != meta.uid:
        return population
    return current


async def _read(runtime: Runtime, population: Population, kept: KeptRoutes) -> None:
    meta = population.metadata
    found = await runtime.cluster.config_map(meta.namespace, routes_name(meta.name))
    kept.there, kept.table = found is not None, None
    if found is None:
        return
    if meta.uid not in {owner.get("uid") for owner in found["metadata"].get("ownerReferences") or ()}:
        raise ForeignRoutes(
            f"ConfigMap {routes_name(meta.name)} is not of this Population; rename or delete it"
        )
    try:
        kept.table = read_table((found.get("data") or {}).get(TABLE_KEY, ""))
    except TableUnreadable:
        return  # it is written anew


async def _write(runtime: Runtime, population: Population, table: RoutingTable, kept: KeptRoutes) -> None:
    meta, cluster = population.metadata, runtime.cluster
    data = {"data": {TABLE_KEY: table.canonical().decode()}}
    verb = "patch" if kept.there else "create"
    try:
        if kept.there:
            await cluster.patch_config_map(meta.namespace, routes_name(meta.name), data)
        else:
            await cluster.create_config_map(meta.namespace, {"metadata": _metadata(population), **data})
    except NotFound:
        kept.there = False
        raise
    WRITES.labels(verb, _CONFIG_MAP).inc()
    now = runtime.now()
    recent = {pair: when for pair, when in kept.left.items() if now - when < _TAKEN_IN}
    kept.left = recent | dict.fromkeys(_pairs(kept.table) - _pairs(table), now)
    kept.there, kept.table = True, table
    _LOG.info("%s/%s: routing table of decision %d is written", meta.namespace, meta.name, table.version)


def routed_to(runtime: Runtime, population: Population, endpoint: str) -> frozenset[str] | None:
    """Name what the gateways may ask of an engine now: by the table, or by the one a moment before.

    None while the table is not known: the operator has just started, or the API server does not answer.
    The table of a population that is deleted is not written any more, so it keeps nothing on an engine.
    """
    if population.spec.serving.gateway is None or population.metadata.deletion_timestamp is not None:
        return frozenset()
    kept = runtime.routes.get((population.metadata.namespace, population.metadata.name))
    if kept is not None and kept.foreign:
        return frozenset()
    if kept is None or kept.read is None or kept.lock.locked():
        return None  # or a table is on its way, which may name more
    now = runtime.now()
    recent = {pair for pair, when in kept.left.items() if now - when < _TAKEN_IN}
    return frozenset(name for engine, name in _pairs(kept.table) | recent if engine == endpoint)


def _pairs(table: RoutingTable | None) -> set[tuple[str, str]]:
    return set() if table is None else {(e, n) for e in table.engines for n in _names(table)}


def _metadata(population: Population) -> Body:
    meta = population.metadata
    owner = {"apiVersion": API_VERSION, "kind": POPULATION.kind, "name": meta.name, "uid": meta.uid}
    labels = {POPULATION_LABEL: meta.name}
    return {"name": routes_name(meta.name), "labels": labels, "ownerReferences": [owner]}


def _table(
    runtime: Runtime, population: Population, gateway: Gateway, log: LogState, last: RoutingTable | None
) -> RoutingTable:
    meta, spec = population.metadata, population.spec
    contracts = [
        contract_of(s, examples=population.spec.serving.classifier is not None)
        for s in runtime.cache.specialists(meta.namespace, meta.name)
        if s.metadata.deletion_timestamp is None
    ]
    rules = policy(population).canary

    def percent(record: RevisionRecord) -> int:
        return step_of(rules, record.step).percent if rules is not None else 0

    proofs = _proofs(runtime, population, log, last)
    found = routes(log, contracts, proofs, spec.policy.shadow.sample, percent)
    if found.left_out and (last is None or len(last.rules) < MOST_RULES):
        said = "%s/%s: the table has room for %d rules of contract.match; the last %d are left out"
        _LOG.warning(said, meta.namespace, meta.name, MOST_RULES, found.left_out)
    matches = tuple(rule_of(each) for each in found.rules)
    return RoutingTable(
        version=found.version,
        namespace=meta.namespace,
        population=meta.name,
        uid=meta.uid,
        fallback=gateway.fallback,
        isolate=gateway.isolate,
        generalist=gateway.generalist,
        engines=found.engines or spec.serving.endpoints,
        routes=tuple(_route(each) for each in found.routes),
        rules=matches,
        quarantined=found.quarantined,
        classifier=classifier_route(population, matches, runtime.usage(population), last),
        recorded=gateway.sample,
    )


def _route(found: Found) -> TaskRoute:
    return TaskRoute(
        task=found.task,
        specialist=found.specialist,
        live=found.live,
        shadow=ShadowRoute(revision=found.shadow, share=found.share) if found.shadow is not None else None,
        canary=CanaryRoute(revision=found.canary, percent=found.percent)
        if found.canary is not None
        else None,
        pinned=found.pinned,
    )


def _proofs(runtime: Runtime, population: Population, log: LogState, last: RoutingTable | None) -> Proofs:
    """Say what each engine that answers has proved; what one of them is wrong about counts for none.

    Until all were looked at since the start, and while none answers, what the last table says stands: the
    operator's own start, or its own network, is no reason to send users elsewhere. Nor is it that nothing
    can be proved just now, since an answer of the generalist has to be made anew, or the store is away: what
    the last table says of such an adapter stands on each engine that has listed it all the while.
    """
    where = (population.metadata.namespace, population.metadata.name)
    endpoints = population.spec.serving.endpoints
    views = runtime.residency.views(where, endpoints)
    answering = {e: view for e, view in views.items() if view.looked and view.reachable}
    if last is not None and (not answering or not runtime.residency.looked(where, endpoints)):
        return {e: _names(last) for e in last.engines if e in endpoints}
    each = [item for view in answering.values() for item in view.standing.items()]
    wrong = {name for name, standing in each if standing is Standing.MISMATCHED}
    known, stands = runtime.residents.get(where, {}), dict[str, frozenset[str]]()
    if last is not None:
        told = _names(last) & {r.served_name for r in residents(log) if r.served_name not in known}
        views = {e: view for e, view in answering.items() if e in last.engines}
        stands = {e: (told & view.listed) - view.standing.keys() for e, view in views.items()}
    proved = {
        e: frozenset(name for name, standing in view.standing.items() if standing is Standing.PROVED)
        for e, view in answering.items()
    }
    return {e: (names | stands.get(e, frozenset())) - wrong for e, names in proved.items()}


def _names(table: RoutingTable) -> frozenset[str]:
    trials = ((r.shadow, r.canary) for r in table.routes)
    on_trial = [(each.revision for each in both if each is not None) for both in trials]
    named = [*((route.live, *route.pinned) for route in table.routes), *on_trial]
    return frozenset(name for names in named for name in names if name is not None)
