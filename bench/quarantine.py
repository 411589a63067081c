"""Measures how long a quarantined revision still answers: python -m bench.quarantine [--trials N].

Gateways under load watch the ConfigMap of a real API server, which a real operator writes. In each trial the
annotation of `kubectl ecology quarantine` is written for a live revision that all gateways are answering
with. One clock starts when the request that creates the Decision reaches the API server (its audit log), the
other when the annotation is sent; both end when the last answer of the revision has reached a user.
docs/gateway.md has figures and what they say.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.desk import MOST_MEMBERS, task_of
from bench.figures import percentile
from bench.goals import Goals
from bench.served import NotServed, Served, Wish
from bench.served_users import Heard, Users
from modelecology.api.routing import Isolation
from modelecology.api.vocabulary import QUARANTINE_ANNOTATION
from testbed.audit import Request, request_of
from testbed.controlplane import ControlPlane
from testbed.errors import ControlPlaneError
from testbed.places import REPOSITORY

GOAL_SECONDS: Final = 1.0
_ENOUGH: Final = 5  # answers of the revision through each gateway before it is quarantined
_STEADY_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 1.5  # without an answer of the revision, and it is over
_MOST_SECONDS: Final = 20.0
_PHASE_SECONDS: Final = 2.0  # the operator looks at a population as often


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `members` are the revisions of one population, one a trial."""

    trials: int
    members: int
    gateways: int
    users: int
    answer_seconds: float
    isolate: str
    directory: Path | None


@dataclass(frozen=True, slots=True)
class Trial:
    """One quarantine. Moments are in seconds since 1970; `heard` is all that users heard around it."""

    revision: str
    asked: float
    decided: float
    heard: tuple[Heard, ...]

    @property
    def answers(self) -> list[float]:
        """When the revision's answers came."""
        return [each.at for each in self.heard if each.model == self.revision]

    @property
    def from_decision(self) -> float:
        """Seconds from the Decision to the revision's last answer; 0 if there was none after it."""
        return max(0.0, max(self.answers, default=0.0) - self.decided)

    @property
    def from_word(self) -> float:
        """Seconds from the annotation to the revision's last answer; 0 if there was none after it."""
        return max(0.0, max(self.answers, default=0.0) - self.asked)

    @property
    def late(self) -> int:
        """Answers of the revision that came more than a second after the Decision."""
        return sum(at > self.decided + GOAL_SECONDS for at in self.answers)

    @property
    def unmarked(self) -> int:
        """Answers of somebody else that did not say that they are the fallback's."""
        return sum(
            each.status == 200 and each.model != self.revision and not each.fallback for each in self.heard
        )

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return sum(each.status != 200 for each in self.heard)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.quarantine", description=__doc__)
    add = parser.add_argument
    add("--trials", type=int, default=50, help="quarantines")
    add("--members", type=int, default=25, help="revisions of a population; the next trials get a new one")
    add("--gateways", type=int, default=3, help="gateway processes")
    add("--users", type=int, default=4, help="users of each gateway, who ask again 20 ms after each answer")
    add("--answer-seconds", type=float, default=0.05, help="time that an engine takes for an answer")
    add("--isolate", choices=tuple(Isolation), default=Isolation.FINISH, help="of requests that run")
    add("--directory", type=Path, help="keep logs and data in this folder")
    found = parser.parse_args(arguments)
    if found.trials < 1 or not 1 <= found.members <= MOST_MEMBERS:
        parser.error(f"--trials is above 0, --members from 1 to {MOST_MEMBERS}")
    return Options(
        found.trials,
        found.members,
        found.gateways,
        found.users,
        found.answer_seconds,
        str(found.isolate),
        found.directory,
    )


async def measure(options: Options) -> list[Trial]:
    """Quarantine so many revisions, one after another. Raises NotServed, ControlPlaneError."""
    found: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="modelecology-quarantine-") as scratch:
        directory = options.directory or Path(scratch)
        with ControlPlane(directory / "cluster", audit=True) as cluster:
            cluster.install_crds(REPOSITORY / "crds")
            while len(found) < options.trials:
                most = options.trials - len(found)
                found += await _one_population(cluster, options, directory / f"part-{len(found)}", most)
    return found


async def _one_population(cluster: ControlPlane, options: Options, directory: Path, most: int) -> list[Trial]:
    count = min(options.members, most)
    wish = Wish(
        members=count,
        gateways=options.gateways,
        answer_seconds=options.answer_seconds,
        isolate=options.isolate,
    )
    served = Served(cluster, directory, wish)
    await asyncio.to_thread(served.__enter__)
    try:
        live = await asyncio.to_thread(served.wait_live)
        print(f"bench: {len(live)} of {count} revisions are live", file=sys.stderr, flush=True)
        seen = [await _quarantine(served, name, member, options) for member, name in sorted(live.items())]
        decisions = await asyncio.to_thread(served.decisions)
        decided = quarantined_at(decisions, decisions_in(cluster.audit_log, served.namespace))
        found = [Trial(name, asked, decided[name], heard) for name, asked, heard in seen]
        for each in found:
            delays = f"{each.from_decision:.3f} {each.from_word:.3f}"
            print(f"bench: {each.revision} {delays} {each.late}", file=sys.stderr, flush=True)
        return found
    finally:
        await asyncio.to_thread(served.__exit__, None, None, None)


async def _quarantine(
    served: Served, revision: str, member: str, options: Options
) -> tuple[str, float, tuple[Heard, ...]]:
    """Quarantine one revision under load; gives its name, when it was asked for, and what users heard."""
    users = Users(served.ports, lambda _: task_of(member), each=options.users)
    async with users.asking():
        await _until(lambda: _answer_all(users, revision, len(served.ports)), _STEADY_SECONDS, served)
        # Not in step with the operator's own looks.
        await asyncio.sleep(random.Random(revision).uniform(0.0, _PHASE_SECONDS))
        users.heard.clear()
        text = f"{revision.rpartition('-')[2]}/bench@{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} A trial."
        asked = await asyncio.to_thread(served.annotate, member, QUARANTINE_ANNOTATION, text)

        def is_over() -> bool:
            last = max((each.at for each in users.heard if each.model == revision), default=asked)
            return time.time() - last > _QUIET_SECONDS

        await _until(is_over, _MOST_SECONDS, served)
    return revision, asked, tuple(users.heard)


def _answer_all(users: Users, revision: str, gateways: int) -> bool:
    by = [each.gateway for each in users.heard if each.model == revision]
    return all(by.count(gateway) >= _ENOUGH for gateway in range(gateways))


async def _until(holds: Callable[[], bool], seconds: float, served: Served) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise NotServed(f"a trial did not come to its end in {seconds:g} s. Read {served.directory}.")
        await asyncio.sleep(0.01)


def decisions_in(audit_log: Path, namespace: str) -> list[Request]:
    """The requests that created Decisions in a namespace, by the audit log, in the order of their arrival."""
    found = []
    with audit_log.open("rb") as file:
        for line in file:
            if b'"decisions"' in line and line.endswith(b"\n"):
                request = _created(line)
                if request is not None and request.namespace == namespace:
                    found.append(request)
    return sorted(found, key=lambda each: each.received)


def _created(line: bytes) -> Request | None:
    request = request_of(json.loads(line))
    if request is None or (request.resource, request.verb) != ("decisions", "create") or request.refused:
        return None
    return request


def quarantined_at(decisions: Sequence[Mapping[str, Any]], creates: Sequence[Request]) -> dict[str, float]:
    """When each quarantined revision's Decision reached the API server, by served name.

    One Decision is written at a time, so both are in the same order. Raises RuntimeError if they are not as
    many.
    """
    if len(decisions) != len(creates):
        raise RuntimeError(f"the audit log has {len(creates)} Decisions, the API {len(decisions)}")
    found = {}
    for decision, request in zip(decisions, creates, strict=True):
        spec = decision["spec"]
        if spec["action"] == "Quarantine":
            subject = spec["subject"]
            found[f"{subject['specialist']}-{subject['revision']}"] = request.received
    return found


def tell(trials: Sequence[Trial], goals: Goals) -> None:
    """Print the delays, and whether the goals are met."""
    goals.row("seconds to the last answer of the revision", "p50", "p99", "max")
    for name, values in (
        ("from the Decision", [each.from_decision for each in trials]),
        ("from the annotation", [each.from_word for each in trials]),
    ):
        cells = (percentile(values, 0.5), percentile(values, 0.99), max(values))
        goals.row(name, *(f"{cell:.3f}" for cell in cells))
    answers = sum(len(each.heard) for each in trials)
    failed, unmarked = sum(each.failed for each in trials), sum(each.unmarked for each in trials)
    print(f"{answers} answers; {failed} failed, {unmarked} of the base without a mark", flush=True)
    late = sum(each.late for each in trials)
    p99 = percentile([each.from_decision for each in trials], 0.99)
    goals.goal("p99 from the Decision", f"{p99:.3f} s (goal {GOAL_SECONDS:g})", p99 <= GOAL_SECONDS)
    goals.goal("answers of the revision after 1 s", f"{late} (goal 0)", late == 0)
    goals.goal("answers of the base without a mark", f"{unmarked} (goal 0)", unmarked == 0)


def main() -> None:
    """Measure and print."""
    options = parse()
    before = os.getloadavg()[0]
    try:
        trials = asyncio.run(measure(options))
    except (NotServed, ControlPlaneError) as error:
        sys.exit(f"bench: {error}")
    load = f"{os.cpu_count()} cores, load {before:.1f} before and {os.getloadavg()[0]:.1f} after"
    way = f"{options.gateways} gateways with {options.users} users each, isolate {options.isolate}"
    print(f"{len(trials)} quarantines; {way}; an answer takes {options.answer_seconds:g} s; {load}\n")
    goals = Goals()
    tell(trials, goals)
    goals.end()


if __name__ == "__main__":
    main()
