"""A Specialist whose population, suite or log is missing: it says so, waits, and can still be deleted."""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.specialist import Specialist
from modelecology.governance.facts import Wait
from modelecology.governance.log import LogBroken, SpecialistRecord, pending
from modelecology.kube.cluster import SPECIALIST

from . import finalizer
from .deletion import grace_is_over, tell_release
from .queue import WorkKey
from .runtime import PopulationMissing, Runtime, SuiteMissing
from .status import specialist_status, write

WAIT_SECONDS = 30.0
DELETING_SECONDS = 2.0
_KEPT = ("live", "candidate", "previous", "ledger", "last_decision", "state", "score")


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
    log = SpecialistRecord(meta.name, meta.uid)
    after = specialist_status(specialist, None, log, unseen, _wait(error), progress=None, now=now)
    if isinstance(error, PopulationMissing):
        # The log went with its population, and with it everything that a status could be a fold of.
        after = after.model_copy(update={"candidate": None})
    else:
        after = after.model_copy(update={name: getattr(specialist.status, name) for name in _KEPT})
    await write(runtime, SPECIALIST, specialist, after)
    runtime.queue.forgive(key)
    runtime.queue.add(key, WAIT_SECONDS)


async def _deleting(
    runtime: Runtime,
    specialist: Specialist,
    key: WorkKey,
    error: PopulationMissing | SuiteMissing | LogBroken,
) -> None:
    if not isinstance(error, PopulationMissing):
        if not grace_is_over(runtime, specialist):
            runtime.queue.add(key, DELETING_SECONDS)
            return
        tell_release(runtime, specialist, f"although its adapters may be left: {_wait(error).message}")
    # A population that is gone took its engines and its log along: nothing is left to wait for.
    await finalizer.release(runtime, specialist)


def _wait(error: PopulationMissing | SuiteMissing | LogBroken) -> Wait:
    if isinstance(error, PopulationMissing):
        return Wait(Reason.POPULATION_NOT_FOUND, f"spec.populationRef names {error}, which does not exist.")
    if isinstance(error, SuiteMissing):
        return Wait(Reason.SUITE_NOT_FOUND, f"The population's suiteRef names {error}, which does not exist.")
    return Wait(Reason.LOG_BROKEN, f"{error}.")
