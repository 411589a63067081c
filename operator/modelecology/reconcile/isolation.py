"""Takes out of service what a person names, and lets serve again what served before it: at once.

Neither suite, store, Ray nor engines are needed for it, and it does not wait for the look that may be under
way at the Specialist: that one may hang on any of them. Two writers are no danger, as everywhere: the log
takes one decision at a time, and whoever comes second looks again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.governance.facts import Cost, RevisionRecord, Verdict
from modelecology.governance.isolation import quarantine, rollback
from modelecology.governance.log import LogBroken, LogState, Premises, SpecialistRecord
from modelecology.governance.situations import Inputs, Made, Rollback, kept
from modelecology.governance.succession import placed
from modelecology.kube.errors import KubeError
from modelecology.store import StoreError
from modelecology.translation import policy

from .accounts import held, posted_bare
from .people import quarantine_asked
from .queue import WorkKey
from .record import bare_entry, put_down, subject_of
from .routes import tend_routes
from .runtime import Runtime
from .sealing import keep_copy

ISOLATION = "Isolation"  # kind of the key of such a look, which is of a Specialist
_MOST_STEPS = 8
_KEEP_SECONDS = 0.25
_LOG = logging.getLogger(__name__)


async def reconcile_isolation(runtime: Runtime, key: WorkKey) -> None:
    """Do for one Specialist what cannot wait. Raises LogMoved, KubeError; the caller tries again."""
    population = None
    for _ in range(_MOST_STEPS):
        specialist = runtime.cache.specialist(key.namespace, key.name)
        if specialist is None or specialist.metadata.deletion_timestamp is not None:
            break
        population = runtime.cache.population(key.namespace, specialist.spec.population_ref.name)
        if population is None or population.metadata.deletion_timestamp is not None:
            break
        try:
            if not await isolate(runtime, population, specialist):
                break
        except LogBroken:
            break  # the Specialist's own look says so
    if population is not None:
        # Also where nothing was due: the operator may have ended between a quarantine and the table.
        await tend_routes(runtime, population, whole=False)
    runtime.queue.forgive(key)


async def isolate(runtime: Runtime, population: Population, specialist: Specialist) -> bool:
    """Record a quarantine that a person asks for, or a rollback; says whether one was due.

    Raises LogMoved, LogBroken, KubeError.
    """
    log = await runtime.log_state(population)
    known = log.specialists.get(specialist.metadata.log_uid)
    due = _due(runtime, population, specialist, log, known) if known is not None else None
    if known is None or due is None:
        return False
    made, revision, verdict = due
    now = runtime.now()
    counted = runtime.usage(population)
    inputs = await _kept(runtime, population, made, held(log, known.uid, revision.revision, now, counted))
    subject = subject_of(known.name, known.uid, revision)
    entry = bare_entry(population.metadata.name, log, subject, verdict, now=now)
    entry = replace(entry, premises=Premises(code=runtime.code, inputs=inputs))
    await put_down(runtime, population, posted_bare(population, log, entry, counted))
    runtime.wake(population.metadata.namespace, population.metadata.name)
    # The store may hang, and what is due next must not.
    runtime.in_background(_copy(runtime, population))
    return True


async def _copy(runtime: Runtime, population: Population) -> None:
    try:
        await keep_copy(runtime, population)
    except KubeError as error:
        meta = population.metadata
        _LOG.warning("%s/%s: the log is copied to the store later: %s", meta.namespace, meta.name, error)


def _due(
    runtime: Runtime, population: Population, specialist: Specialist, log: LogState, known: SpecialistRecord
) -> tuple[Made, RevisionRecord, Verdict] | None:
    asked = quarantine_asked(specialist, known)
    if asked is not None:
        return asked, asked.record, quarantine(asked)
    rules = policy(population)
    wanted, taken = specialist.spec.lifecycle.target, len(placed(log))
    seen = Rollback(
        replace(known, last=None), runtime.now(), rules.undo_window, wanted, taken, rules.adapters
    )
    found = rollback(seen)
    return (seen, *found) if found is not None else None


async def _kept(runtime: Runtime, population: Population, made: Made, extra: Cost) -> str | None:
    """Keep what the entry is made from, if the store takes it at once; gives its digest."""
    inputs = kept(Inputs(made, policy(population).prices, extra))
    try:
        async with asyncio.timeout(_KEEP_SECONDS):
            await asyncio.to_thread(lambda: runtime.store(population).inputs.keep(inputs.files))
    except (StoreError, TimeoutError) as error:
        meta = population.metadata
        _LOG.warning("%s/%s: an entry is recorded without its inputs: %s", meta.namespace, meta.name, error)
        return None
    return inputs.digest
