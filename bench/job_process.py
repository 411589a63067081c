"""Plays the jobs of either operator: python -m bench.job_process STATE-DIR MEMBERS SECONDS.

It is a process of its own, so that a job's work is in nobody's CPU figure and it ends at a moment which no
operator chooses. A job runs for SECONDS times 0.5 to 1.5, by its kind and specialist, so that both operators
wait equally long. Each end is one line of STATE-DIR/ends.jsonl with the moment of its last commit, taken from
the commit's own file.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.desk import playbook
from modelecology.jobs.double import InMemoryRunner
from modelecology.jobs.intents import EvaluateIntent, Intent, parse_intent
from modelecology.jobs.port import JobFailure, JobSpec
from modelecology.store import ArtifactStore
from modelecology.store.places import store_root
from testbed.playbook import Playbook

_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class JobEnd:
    """When a job's last commit was made, in seconds of the wall clock; no specialist means the generalist."""

    job: str
    specialist: str
    committed: float


def ends_of(state: Path) -> list[JobEnd]:
    """Read what has ended so far."""
    path = state / "ends.jsonl"
    if not path.exists():
        return []
    return [JobEnd(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def duration(phase: str, specialist: str, seconds: float) -> float:
    """Say how long a job runs, in seconds; the same in each run of the bench."""
    share = int(hashlib.sha256(f"{phase} {specialist}".encode()).hexdigest()[:8], 16) / 2**32
    return seconds * (0.5 + share)


def specialist_of(intent: Intent, store: ArtifactStore) -> str:
    """Name the specialist that a job works for; empty for the generalist."""
    if not isinstance(intent, EvaluateIntent):
        return intent.specialist
    if intent.served is not None:
        return intent.served.model.rpartition("-")[0]
    if intent.adapter is not None:
        return str(store.manifest(intent.adapter.key).meta["specialist"])
    return ""


class Player:
    """Starts what was submitted, and ends it when its time is over."""

    def __init__(self, state: Path, play: Playbook, seconds: float) -> None:
        self._ends = state / "ends.jsonl"
        self._play = play
        self._seconds = seconds
        self._runner = InMemoryRunner(self._effect, directory=state)
        self._due: dict[str, float] = {}
        self._over: set[str] = set()

    def look(self, now: float) -> None:
        """Advance what is due; `now` is in seconds of a clock that only goes forward."""
        for name in self._runner.names():
            if name not in self._due:
                self._due[name] = now + self._duration(name)
                self._runner.step(name)
            elif name not in self._over and now >= self._due[name]:
                self._over.add(name)
                self._runner.step(name)

    def _duration(self, name: str) -> float:
        spec = self._runner.spec(name)
        if spec is None:
            return 0.0
        intent = parse_intent(spec.intent_json)
        specialist = specialist_of(intent, ArtifactStore.create(intent.store))
        return duration(name.partition("-")[0], specialist, self._seconds)

    def _effect(self, spec: JobSpec) -> JobFailure | None:
        intent = parse_intent(spec.intent_json)
        specialist = specialist_of(intent, ArtifactStore.create(intent.store))
        keys = [intent.key]
        if isinstance(intent, EvaluateIntent):
            keys = [intent.key] if intent.course else [task.key for task in intent.tasks]
        failure = self._play.effect(spec)
        root = store_root(intent.store) / "artifacts"
        committed = max((root / key / "commit.json").stat().st_mtime for key in keys)
        with self._ends.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(JobEnd(spec.name, specialist, committed))) + "\n")
        return failure


def main() -> None:
    """Run until told to stop."""
    state, count, seconds = sys.argv[1:]
    player = Player(Path(state), playbook(int(count)), float(seconds))
    while True:
        player.look(time.monotonic())
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main()
