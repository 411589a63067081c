"""A job runner without Ray, for tests and trials: deterministic, advanced by hand, and faulty on demand.

It ships with the package, so that whoever writes against the port can test against it. It keeps the port's
contract, which the same tests prove for it and for a real Ray.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from modelecology.jobs.double_records import (
    DirectoryRecords,
    Faults,
    MemoryRecords,
    PlannedFailure,
    Record,
    Records,
)
from modelecology.jobs.port import (
    JobFailure,
    JobPhase,
    JobSpec,
    JobStatus,
    RunnerRefused,
    RunnerUnavailable,
)

__all__ = ["Effect", "InMemoryRunner"]

ASK_SECONDS: Final = 1.0

Effect = Callable[[JobSpec], JobFailure | None]
"""What a job does when it runs, for example a commit to a store; what it returns is the job's failure."""


class InMemoryRunner:
    """A JobRunner whose jobs advance when `step` is called: Pending, Running, then the effect and the end.

    With `directory` the jobs lie in files: other processes that name the directory see the same jobs, and a
    killed process loses nothing. With `automatic` each question for a job's status is a step of that job, so
    that nobody else has to advance it. What happened to each name is counted: submissions, starts, effects.
    `now` gives unix seconds.
    """

    def __init__(
        self,
        effect: Effect | None = None,
        *,
        directory: str | os.PathLike[str] | None = None,
        automatic: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._effect = effect
        self._now = now
        self._records: Records = MemoryRecords() if directory is None else DirectoryRecords(directory)
        self._automatic = automatic

    # The port.

    @property
    def ask_seconds(self) -> float:
        """How often a status is worth asking for; see JobRunner."""
        return ASK_SECONDS

    async def changes(self, changed: Callable[[str], None]) -> None:
        """Tell nothing: the double can only be asked; see JobRunner."""
        await asyncio.Event().wait()

    async def submit(self, spec: JobSpec) -> None:
        """Start the job, or adopt the one of that name; see JobRunner."""
        self._answer("submit", spec.name)
        self._records.note("submission", spec.name)
        with self._records.locked():
            faults = self._records.faults()
            record = Record(spec, steps_left=faults.running_steps, submitted=self._now())
            if faults.races:
                # Somebody else's equal request lands a moment before ours.
                self._records.set_faults(replace(faults, races=faults.races - 1))
                self._records.create(record)
            self._records.create(record)
            faults = self._records.faults()
            if faults.lost_replies:
                self._records.set_faults(replace(faults, lost_replies=faults.lost_replies - 1))
                raise RunnerUnavailable(f"The reply to the submission of {spec.name} was lost.")

    async def status(self, name: str) -> JobStatus | None:
        """Say where the job is; see JobRunner."""
        self._answer("status", name)
        if self._automatic:
            self.step(name)
        record = self._records.read(name)
        if record is None:
            return None
        message = record.failure.message if record.failure is not None else ""
        return JobStatus(
            name, record.phase, message, record.failure, record.submitted, record.started, record.ended
        )

    async def cancel(self, name: str) -> None:
        """End the job at once, without its effect; see JobRunner."""
        self._answer("cancel", name)
        with self._records.locked():
            record = self._records.read(name)
            if record is not None and not record.phase.finished:
                self._records.note("cancel", name)
                self._records.write(replace(record, phase=JobPhase.Cancelled, ended=self._now()))

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    # What a test does with it.

    def step(self, name: str | None = None) -> list[str]:
        """Advance one job, or all of them in the order of their names, and give those that ended."""
        names = self._records.names() if name is None else [name]
        return [each for each in names if self._advance(each)]

    def finish(self, name: str | None = None) -> list[str]:
        """Advance one job, or all, until they have ended, and give those that ended."""
        ended: list[str] = []
        while names := [each for each in self.unfinished() if name in (None, each)]:
            for each in names:
                ended.extend(self.step(each))
        return ended

    def unfinished(self) -> list[str]:
        """Give the names of the jobs that wait or run, sorted."""
        records = [self._records.read(name) for name in self._records.names()]
        return [each.spec.name for each in records if each is not None and not each.phase.finished]

    def names(self) -> list[str]:
        """Give the names of all known jobs, sorted."""
        return self._records.names()

    def spec(self, name: str) -> JobSpec | None:
        """Give what was submitted under the name, or None."""
        record = self._records.read(name)
        return None if record is None else record.spec

    def submissions(self, name: str) -> int:
        """Give how often the job was submitted, adopted repeats included."""
        return self._records.count("submission", name)

    def starts(self, name: str) -> int:
        """Give how many submissions really made a job; more than one only after `lose`."""
        return self._records.made(name)

    def effects(self, name: str) -> int:
        """Give how often the job's effect was begun."""
        return self._records.count("effect", name)

    def cancels(self, name: str) -> int:
        """Give how often the job was ended by a cancel."""
        return self._records.count("cancel", name)

    def calls(self, method: str, name: str) -> int:
        """Give how often a method of the port was called for the job, refused and lost calls included."""
        return self._records.count(f"call-{method}", name)

    # Faults.

    def go_down(self) -> None:
        """Make every call raise RunnerUnavailable until `come_back`; jobs can still be stepped."""
        self._fault(lambda faults: replace(faults, down=True))

    def refuse(self) -> None:
        """Make every call raise RunnerRefused until `come_back`, as with a wrong token."""
        self._fault(lambda faults: replace(faults, refusing=True))

    def come_back(self) -> None:
        """Answer again."""
        self._fault(lambda faults: replace(faults, down=False, refusing=False))

    def fail(self, name: str, failure: JobFailure, *, times: int = 1, after_effect: bool = False) -> None:
        """Plan that the next `times` jobs whose name begins with `name` end with that failure."""
        planned = PlannedFailure(name, failure, times, after_effect)
        self._fault(lambda faults: replace(faults, failures=(*faults.failures, planned)))

    def slow_down(self, steps: int) -> None:
        """Make jobs that are submitted from now on run for `steps` steps."""
        self._fault(lambda faults: replace(faults, running_steps=steps))

    def lose_replies(self, times: int = 1) -> None:
        """Make the next submissions take effect and then raise RunnerUnavailable."""
        self._fault(lambda faults: replace(faults, lost_replies=times))

    def race(self, times: int = 1) -> None:
        """Let somebody else's equal submission win by a moment, `times` times."""
        self._fault(lambda faults: replace(faults, races=times))

    def lose(self, name: str) -> None:
        """Forget a job in any phase, as a runner does that was started anew."""
        with self._records.locked():
            self._records.remove(name)

    def _fault(self, change: Callable[[Faults], Faults]) -> None:
        with self._records.locked():
            self._records.set_faults(change(self._records.faults()))

    def _answer(self, method: str, name: str) -> None:
        self._records.note(f"call-{method}", name)
        faults = self._records.faults()
        if faults.down:
            raise RunnerUnavailable("The job double is down. Call come_back().")
        if faults.refusing:
            raise RunnerRefused("The job double refuses every call. Call come_back().")

    def _advance(self, name: str) -> bool:
        with self._records.locked():
            record = self._records.read(name)
            if record is None or record.phase.finished:
                return False
            if record.phase is JobPhase.Pending:
                self._records.write(replace(record, phase=JobPhase.Running, started=self._now()))
                return False
            if record.steps_left > 1:
                self._records.write(replace(record, steps_left=record.steps_left - 1))
                return False
            planned = self._strike(name)
        # Outside the lock, as with a real job: the effect may be slow, or be killed half-way and repeated.
        failure = self._run(record.spec, planned)
        with self._records.locked():
            now = self._records.read(name)
            if now is None or now.phase.finished:
                return False
            phase = JobPhase.Succeeded if failure is None else JobPhase.Failed
            self._records.write(replace(now, phase=phase, steps_left=0, failure=failure, ended=self._now()))
            return True

    def _run(self, spec: JobSpec, planned: PlannedFailure | None) -> JobFailure | None:
        if planned is not None and not planned.after_effect:
            return planned.failure
        self._records.note("effect", spec.name)
        failure = self._effect(spec) if self._effect is not None else None
        return planned.failure if planned is not None else failure

    def _strike(self, name: str) -> PlannedFailure | None:
        faults = self._records.faults()
        for index, planned in enumerate(faults.failures):
            if name.startswith(planned.name):
                rest = (replace(planned, times=planned.times - 1),) if planned.times > 1 else ()
                failures = (*faults.failures[:index], *rest, *faults.failures[index + 1 :])
                self._records.set_faults(replace(faults, failures=failures))
                return planned
        return None
