"""A Specialist whose population, suite or log is missing: it says so, waits, and can still be deleted."""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import Action, Outcome, State, Target
from modelecology.governance.facts import Verdict, Wait
from modelecology.governance.lifecycle import transition
from modelecology.governance.log import LogBroken, SpecialistRecord, pending
from modelecology.kube.cluster import POPULATION, SPECIALIST

from . import finalizer
from .deletion import grace_is_over, record_bare, record_deletion, tell_release
from .queue import WorkKey
from .record import subject_of
from .runtime import PopulationMissing, Runtime, SuiteMissing
from .status import specialist_status, write

WAIT_SECONDS = 30.0
DELETING_SECONDS = 2.0
_KEPT = ("live", "candidate", "previous", "pinned", "ledger", "last_decision", "state", "score")


async def wait_for_frame(
    runtime: Runtime,
    specialist: Specialist,
    key: WorkKey,
    error: PopulationMissing | SuiteMissing | LogBroken,
) -> None:
    """Say what is missing; what appears later wakes this Specialist again. Raises Conflict, KubeError."""
    if specialist.metadata.deletion_timestamp is not None:
        await _deleting(runtime, specialist, key, error)
        return
    meta = specialist.metadata
    now = runtime.now()
    unseen = pending("", meta.name, meta.creation_timestamp or now)
    log = SpecialistRecord(meta.name, meta.log_uid)
    wait = _wait(error)
    if isinstance(error, PopulationMissing) and _is_leaving(runtime, specialist):
        wait = Wait(wait.reason, f"spec.populationRef names {error}, which is being deleted.")
    after = specialist_status(specialist, None, log, unseen, wait, progress=None, now=now)
    if isinstance(error, PopulationMissing):
        # The log went with its population, and with it everything that a status could be a fold of.
        after = after.model_copy(update={"candidate": None})
    else:
        after = after.model_copy(update={name: getattr(specialist.status, name) for name in _KEPT})
    if isinstance(error, SuiteMissing) and not await _retire(runtime, specialist):
        retired = {"state": State.RETIRED} if after.state is State.LIVE else {}
        after = after.model_copy(update={"live": None, "pinned": (), **retired})
    await write(runtime, SPECIALIST, specialist, after)
    runtime.queue.forgive(key)
    runtime.queue.add(key, WAIT_SECONDS)


async def _deleting(
    runtime: Runtime,
    specialist: Specialist,
    key: WorkKey,
    error: PopulationMissing | SuiteMissing | LogBroken,
) -> None:
    if isinstance(error, SuiteMissing):
        left = await _delete(runtime, specialist)
        if left and not grace_is_over(runtime, specialist):
            runtime.queue.add(key, DELETING_SECONDS)
            return
        if left:
            tell_release(runtime, specialist, f"without proof that this is gone: {', '.join(left)}")
    elif isinstance(error, LogBroken):
        if not grace_is_over(runtime, specialist):
            runtime.queue.add(key, DELETING_SECONDS)
            return
        tell_release(runtime, specialist, f"although its adapters may be left: {_wait(error).message}")
    # A population that is gone took its engines and its log along: nothing is left to wait for.
    await finalizer.release(runtime, specialist)


def _is_leaving(runtime: Runtime, specialist: Specialist) -> bool:
    """Say whether the population is there still, though nothing of it is judged any more."""
    return (
        runtime.cache.population(specialist.metadata.namespace, specialist.spec.population_ref.name)
        is not None
    )


async def _retire(runtime: Runtime, specialist: Specialist) -> bool:
    """Retire what is live if its owner asks for that, which needs no suite; says whether anything is live.

    Raises LogMoved, KubeError.
    """
    meta = specialist.metadata
    population = runtime.cache.population(meta.namespace, specialist.spec.population_ref.name)
    if population is None:
        return False
    while True:
        log = await runtime.log_state(population)
        record = log.specialists.get(meta.log_uid)
        live = record.in_state(State.LIVE) if record else ()
        if not live or specialist.spec.lifecycle.target is not Target.RETIRED:
            return bool(live)
        # What is pinned goes first: a person who restores asks for what went last.
        gone = min(live, key=lambda r: record is not None and r.revision == record.live)
        reason = Reason.RETIREMENT_REQUESTED
        message = f"lifecycle.target is Retired. {gone.served_name} is unloaded; the suite is missing."
        edge = transition(Action.RETIRE, State.LIVE, State.RETIRED)
        subject = subject_of(meta.name, meta.log_uid, gone)
        await record_bare(runtime, population, log, subject, Verdict(edge, Outcome.PASS, reason, message))
        runtime.queue.add(WorkKey(POPULATION.kind, meta.namespace, population.metadata.name))


async def _delete(runtime: Runtime, specialist: Specialist) -> list[str]:
    """Record that all of it goes, and list what the engines may serve yet. Raises LogMoved, KubeError.

    Its bytes are deleted when the suite is back.
    """
    meta = specialist.metadata
    population = runtime.cache.population(meta.namespace, specialist.spec.population_ref.name)
    if population is None:
        return []
    where = (meta.namespace, population.metadata.name)
    log = await record_deletion(runtime, population, meta.log_uid, meta.name)
    runtime.queue.add(WorkKey(POPULATION.kind, *where))
    endpoints = population.spec.serving.endpoints
    names = sorted(r.served_name for r in log.revisions.values() if r.was_resident)
    absent = runtime.residency.absent
    return [f"{name} on the engines" for name in names if not absent(where, endpoints, name)]


def _wait(error: PopulationMissing | SuiteMissing | LogBroken) -> Wait:
    if isinstance(error, PopulationMissing):
        return Wait(Reason.POPULATION_NOT_FOUND, f"spec.populationRef names {error}, which does not exist.")
    if isinstance(error, SuiteMissing):
        return Wait(Reason.SUITE_NOT_FOUND, f"The population's suiteRef names {error}, which does not exist.")
    return Wait(error.reason, f"{error}.")
