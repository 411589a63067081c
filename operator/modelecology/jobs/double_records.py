"""Where the job double keeps its jobs: in memory, or in a directory that outlives a killed process.

A job is created exclusively, once per name, whoever asks: that is what makes a repeated submit harmless. In
the directory each job is one JSON file. It appears whole or not at all: a complete file is linked into place.
"""

import fcntl
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from pydantic import TypeAdapter

from modelecology.jobs.port import JobFailure, JobPhase, JobSpec


@dataclass(frozen=True, slots=True)
class PlannedFailure:
    """A failure that waits for a job: `name` is a job's name or its beginning, `times` how often it strikes.

    With `after_effect` the job fails although its effect took place, as one that dies right after its commit.
    """

    name: str
    failure: JobFailure
    times: int = 1
    after_effect: bool = False


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong with the double now; counts go down by one when they strike."""

    down: bool = False
    refusing: bool = False
    lost_replies: int = 0
    races: int = 0
    running_steps: int = 1
    failures: tuple[PlannedFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One job of the double; `steps_left` counts the steps until it ends once it runs."""

    spec: JobSpec
    phase: JobPhase = JobPhase.Pending
    steps_left: int = 1
    failure: JobFailure | None = None
    submitted: float | None = None  # unix seconds, as the two below
    started: float | None = None
    ended: float | None = None


class Records(Protocol):
    """Keeps jobs, faults, and how often each thing happened to each name."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes out while the block runs."""
        ...

    def create(self, record: Record) -> bool:
        """Add a job unless its name is taken; say whether it was added."""
        ...

    def read(self, name: str) -> Record | None:
        """Give the job of that name, or None."""
        ...

    def write(self, record: Record) -> None:
        """Replace the job of that name."""
        ...

    def remove(self, name: str) -> None:
        """Drop the job of that name, if there is one."""
        ...

    def names(self) -> list[str]:
        """Give all names, sorted."""
        ...

    def made(self, name: str) -> int:
        """Give how many jobs of that name were ever added, removed ones included."""
        ...

    def note(self, event: str, name: str) -> None:
        """Count an event of a job; counts survive the job."""
        ...

    def count(self, event: str, name: str) -> int:
        """Give how often the event was noted for the job."""
        ...

    def faults(self) -> Faults:
        """Give what goes wrong now."""
        ...

    def set_faults(self, faults: Faults) -> None:
        """Replace what goes wrong."""
        ...


@dataclass(slots=True)
class MemoryRecords:
    """Records that end with the process."""

    jobs: dict[str, Record] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    planned: Faults = field(default_factory=Faults)

    def locked(self) -> AbstractContextManager[None]:
        """Do nothing: there is one process and one event loop."""
        return nullcontext()

    def create(self, record: Record) -> bool:
        """Add a job unless its name is taken."""
        if record.spec.name in self.jobs:
            return False
        self.jobs[record.spec.name] = record
        self.counts["made", record.spec.name] += 1
        return True

    def read(self, name: str) -> Record | None:
        """Give the job of that name, or None."""
        return self.jobs.get(name)

    def write(self, record: Record) -> None:
        """Replace the job of that name."""
        self.jobs[record.spec.name] = record

    def remove(self, name: str) -> None:
        """Drop the job of that name, if there is one."""
        self.jobs.pop(name, None)

    def names(self) -> list[str]:
        """Give all names, sorted."""
        return sorted(self.jobs)

    def made(self, name: str) -> int:
        """Give how many jobs of that name were ever added."""
        return self.counts["made", name]

    def note(self, event: str, name: str) -> None:
        """Count an event of a job."""
        self.counts[event, name] += 1

    def count(self, event: str, name: str) -> int:
        """Give how often the event was noted for the job."""
        return self.counts[event, name]

    def faults(self) -> Faults:
        """Give what goes wrong now."""
        return self.planned

    def set_faults(self, faults: Faults) -> None:
        """Replace what goes wrong."""
        self.planned = faults


_RECORD: Final = TypeAdapter(Record)
_FAULTS: Final = TypeAdapter(Faults)


class DirectoryRecords:
    """Records in a directory, shared by all processes that name it; safe against SIGKILL at any moment."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._root = Path(directory)
        self._jobs = self._root / "jobs"
        self._jobs.mkdir(parents=True, exist_ok=True)
        self._gone = self._root / "gone"
        self._gone.mkdir(exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; the kernel lets go of the lock when its holder is killed."""
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def create(self, record: Record) -> bool:
        """Add a job unless its name is taken: a link into place fails where a file stands."""
        draft = self._draft(_RECORD.dump_json(record))
        try:
            os.link(draft, self._path(record.spec.name))
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def read(self, name: str) -> Record | None:
        """Give the job of that name, or None."""
        try:
            return _RECORD.validate_json(self._path(name).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, record: Record) -> None:
        """Replace the job of that name, whole."""
        self._draft(_RECORD.dump_json(record)).replace(self._path(record.spec.name))

    def remove(self, name: str) -> None:
        """Move the job of that name aside, if there is one."""
        with suppress(FileNotFoundError):
            self._path(name).rename(self._gone / f"{name}.{uuid.uuid4().hex}")

    def names(self) -> list[str]:
        """Give all names, sorted."""
        return sorted(path.stem for path in self._jobs.glob("*.json"))

    def made(self, name: str) -> int:
        """Give how many jobs of that name were ever added: the files are counted, so none is missed."""
        return len(list(self._gone.glob(f"{name}.*"))) + self._path(name).exists()

    def note(self, event: str, name: str) -> None:
        """Count an event of a job: one short line appended, which other writers cannot tear."""
        descriptor = os.open(self._root / "events.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{event} {name}\n".encode())
        finally:
            os.close(descriptor)

    def count(self, event: str, name: str) -> int:
        """Give how often the event was noted for the job."""
        try:
            lines = (self._root / "events.log").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return 0
        return lines.count(f"{event} {name}")

    def faults(self) -> Faults:
        """Give what goes wrong now."""
        try:
            return _FAULTS.validate_json((self._root / "faults.json").read_bytes())
        except FileNotFoundError:
            return Faults()

    def set_faults(self, faults: Faults) -> None:
        """Replace what goes wrong, for all processes."""
        self._draft(_FAULTS.dump_json(faults)).replace(self._root / "faults.json")

    def _path(self, name: str) -> Path:
        return self._jobs / f"{name}.json"

    def _draft(self, content: bytes) -> Path:
        draft = self._root / f"draft-{uuid.uuid4().hex}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return draft
