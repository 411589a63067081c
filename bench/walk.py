"""One operator walks a population through its lifecycles; everything of it that is measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.audit import WriteCounts, count, writes
from bench.contenders import Contender, Ours
from bench.figures import delays
from bench.job_process import ends_of
from testbed.audit import AuditLog
from testbed.controlplane import ControlPlane
from testbed.places import REPOSITORY
from testbed.processes import Command, Process, start
from testbed.waiting import holds_within

TRANSITIONS_EACH = 5  # Pending > Training > Evaluating > Shadow > Live > Retired
JOBS_EACH = 3  # train, evaluate, and evaluate what is served
RESYNCS = 10
_LIFECYCLE_SECONDS = 300.0
_RESYNC_SECONDS = 20.0
_QUIET_SECONDS = 1.0
_POLL_SECONDS = 0.5
_REST_SECONDS = 21.0  # a population that serves is looked at every 2 s


class NotThere(Exception):
    """Raised when an operator did not bring its population where it should be."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A time in which nothing happens; `resyncs` counts how often everything was looked at again."""

    seconds: float
    cpu_seconds: float  # without the forced resyncs
    looks: int
    resyncs: int
    writes: WriteCounts


@dataclass(frozen=True, slots=True)
class Walk:
    """What one walk gave."""

    operator: str
    specialists: int
    transitions: int
    jobs: int  # of the specialists; more than JOBS_EACH each means that work was done twice
    generalist_jobs: int
    wall_seconds: float
    cpu_seconds: float
    writes: WriteCounts
    delays: tuple[float, ...]  # seconds from a job's commit to the next action
    unanswered: int  # job ends without a next action
    rest: Rest


@dataclass(frozen=True, slots=True)
class Span:
    """CPU and wall time between two moments, in seconds."""

    cpu: float
    wall: float


def walk(cluster: ControlPlane, contender: Contender, job_seconds: float) -> Walk:
    """Walk the whole way once. Raises NotThere, StartFailed."""
    jobs = _play_jobs(contender, job_seconds)
    try:
        contender.start()
        return _measure(cluster, contender)
    finally:
        contender.stop()
        jobs.stop(5.0)


def _play_jobs(contender: Contender, seconds: float) -> Process:
    desk = contender.desk
    arguments = ["-m", "bench.job_process", str(contender.state), str(desk.count), str(seconds)]
    command = Command("jobs", Path(sys.executable), arguments, {"PYTHONPATH": str(REPOSITORY)})
    return start(command, desk.directory / "jobs.log")


def _measure(cluster: ControlPlane, contender: Contender) -> Walk:
    log = AuditLog(cluster.audit_log)
    contender.set_up()
    _until_quiet(contender)
    log.skip()
    rise = _span(contender, contender.apply_members, "Live")
    risen = writes(log, contender.user, contender.namespace)
    rest = _rest(contender, log)
    fall = _span(contender, contender.retire_all, "Retired")
    fallen = writes(log, contender.user, contender.namespace)
    ends = ends_of(contender.state)
    found, unanswered = delays(ends, contender.action_times([*risen, *fallen]))
    jobs = sum(1 for end in ends if end.specialist)
    return Walk(
        operator=contender.title,
        specialists=contender.desk.count,
        jobs=jobs,
        generalist_jobs=len(ends) - jobs,
        transitions=TRANSITIONS_EACH * contender.desk.count,
        wall_seconds=rise.wall + fall.wall,
        cpu_seconds=rise.cpu + fall.cpu,
        writes=count([*risen, *fallen]),
        delays=found,
        unanswered=unanswered,
        rest=rest,
    )


def _span(contender: Contender, act: Callable[[], None], state: str) -> Span:
    """Act, wait until every specialist is in the state and the operator is quiet again; say what it took."""
    cpu, started = contender.cpu_seconds(), time.monotonic()
    act()
    wanted = [state] * contender.desk.count
    seen: list[str] = []

    def is_there() -> bool:
        seen[:] = contender.states()
        if seen != wanted:
            time.sleep(_POLL_SECONDS)
        return seen == wanted

    if not holds_within(is_there, _LIFECYCLE_SECONDS):
        counts = ", ".join(f"{seen.count(s)} {s or 'nowhere'}" for s in sorted(set(seen)))
        raise NotThere(
            f"{contender.title}: not all are {state} after {_LIFECYCLE_SECONDS:.0f} s: {counts}. "
            f"Read {contender.desk.directory / 'operator.log'}."
        )
    wall = time.monotonic() - started
    time.sleep(_QUIET_SECONDS)
    return Span(contender.cpu_seconds() - cpu, wall)


def _rest(contender: Contender, log: AuditLog) -> Rest:
    _until_quiet(contender)
    log.skip()
    before = contender.looks() if isinstance(contender, Ours) else {}
    cpu, started = contender.cpu_seconds(), time.monotonic()
    time.sleep(_REST_SECONDS)
    cpu, seconds = contender.cpu_seconds() - cpu, time.monotonic() - started
    looks = resyncs = 0
    if isinstance(contender, Ours):
        looks = contender.looks().get("Population", 0) - before.get("Population", 0)
        for number in range(RESYNCS):
            _resync(contender, number)
            resyncs += 1
        time.sleep(_QUIET_SECONDS)
    return Rest(seconds, cpu, looks, resyncs, count(writes(log, contender.user, contender.namespace)))


def _resync(contender: Ours, number: int) -> None:
    """Have everything looked at again, once."""
    before = contender.looks()
    wanted = before.get("Specialist", 0) + contender.desk.count
    contender.resync(number)
    if not holds_within(lambda: contender.looks().get("Specialist", 0) >= wanted, _RESYNC_SECONDS):
        raise NotThere(f"{contender.title}: a resync was not over after {_RESYNC_SECONDS:.0f} s")


def _until_quiet(contender: Contender) -> None:
    """Wait until a quarter of a second takes at most two ticks of CPU, or ten seconds have passed."""

    def is_quiet() -> bool:
        before = contender.cpu_seconds()
        time.sleep(0.25)
        return contender.cpu_seconds() - before <= 0.021

    time.sleep(_QUIET_SECONDS)
    holds_within(is_quiet, 10.0)
