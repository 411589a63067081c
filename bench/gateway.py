"""Measures the gateway beside LiteLLM's proxy and the engine alone.

    python -m bench.gateway [--rounds N] [--seconds S] [--requests N] [--only peers|mirror|memory]

An engine double that takes 20 ms for an answer is asked directly, through our gateway and through LiteLLM's
proxy, by turns, by closed loops of users, plain and streaming. Then our gateway is asked with half of the
requests mirrored and with none, by turns. Last its memory is read over 100,000 requests. docs/gateway.md has
figures and what they say.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.figures import Spread, percentile
from bench.gateway_contenders import Contender, Stage
from bench.gateway_load import TOKENS, Load, offer
from bench.goals import Goals
from testbed.errors import StartFailed

USERS: Final = (1, 8, 64)
QUIET: Final = (1, 8)
"""Users whose latency is the gateway's own; with more it is the queue's."""

GOAL_ADDED_MS: Final = 2.0
GOAL_THROUGHPUT: Final = 3.0
GOAL_MIRROR: Final = 1.05
GOAL_GROWTH: Final = 1.05
PARTS: Final = ("peers", "mirror", "memory")
_MIRROR_USERS: Final = 4
_MIRROR_TURNS: Final = 8
_MEMORY_USERS: Final = 32
_WARM_REQUESTS: Final = 200


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `seconds` is the length of a turn."""

    rounds: int
    seconds: float
    requests: int
    parts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Case:
    """One way of asking."""

    stream: bool
    users: int

    def __str__(self) -> str:
        return f"{'streaming' if self.stream else 'plain'}, {self.users} users"


@dataclass(frozen=True, slots=True)
class Turn:
    """One contender in one case: what its users saw, and the CPU milliseconds that it took an answer."""

    load: Load
    cpu: float


CASES: Final = tuple(Case(stream, users) for stream in (False, True) for users in USERS)
Seen = dict[Case, dict[str, list[Turn]]]


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender in each case")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of a turn")
    parser.add_argument("--requests", type=int, default=100_000, help="requests over which memory is read")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part (may be given again)"
    )
    found = parser.parse_args(arguments)
    if found.rounds < 1 or found.seconds <= 0 or found.requests < 10 * _MEMORY_USERS:
        parser.error(f"--rounds and --seconds are above 0, --requests is {10 * _MEMORY_USERS} at least")
    return Options(found.rounds, found.seconds, found.requests, frozenset(found.only or PARTS))


async def rounds(contenders: Sequence[Contender], options: Options) -> Seen:
    """Ask all contenders in all cases, by turns."""
    seen: Seen = {case: {each.title: [] for each in contenders} for case in CASES}
    for each in contenders:
        await offer(each.port, each.model, users=4, seconds=10.0, most=_WARM_REQUESTS // 4)
    for number in range(options.rounds):
        for case in CASES:
            # Whoever comes first in one round comes later in the next.
            turn = number % len(contenders)
            for each in (*contenders[turn:], *contenders[:turn]):
                before = each.cpu()
                load = await offer(
                    each.port, each.model, users=case.users, seconds=options.seconds, stream=case.stream
                )
                answered = max(1, len(load.latencies))
                seen[case][each.title].append(Turn(load, 1000 * (each.cpu() - before) / answered))
        print(f"bench: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return seen


def tell_rounds(goals: Goals, seen: Seen) -> None:
    """Print latencies, throughput, and whether the goals are met."""
    for case, turns in seen.items():
        goals.title(f"{case}: min / median / max of the rounds")
        goals.row("", "p50 ms", "p99 ms", "answers/s", "CPU ms/answer", "failed")
        for title, found in turns.items():
            goals.row(
                title,
                _milliseconds(turn.load.at(0.5) for turn in found),
                _milliseconds(turn.load.at(0.99) for turn in found),
                Spread.of(turn.load.rate for turn in found).text(0),
                Spread.of(turn.cpu for turn in found).text(2),
                str(sum(turn.load.failed for turn in found)),
            )
    goals.title("Goals")
    for case in seen:
        added = [
            ours.load.at(0.5) - alone.load.at(0.5)
            for ours, alone in zip(seen[case]["Model Ecology"], seen[case]["engine alone"], strict=True)
        ]
        if case.users in QUIET:
            text = f"{Spread.of(added).text(2)} ms (goal {GOAL_ADDED_MS:g})"
            goals.goal(f"added p50, {case}", text, median(added) <= GOAL_ADDED_MS)
    if "LiteLLM" not in next(iter(seen.values())):
        return
    for case in seen:
        if case.users == max(USERS):
            ratios = [
                ours.load.rate / theirs.load.rate
                for ours, theirs in zip(seen[case]["Model Ecology"], seen[case]["LiteLLM"], strict=True)
            ]
            text = f"{Spread.of(ratios).text(1)} times LiteLLM's (goal {GOAL_THROUGHPUT:g})"
            goals.goal(f"throughput, {case}", text, median(ratios) >= GOAL_THROUGHPUT)


def _milliseconds(values: Iterable[float]) -> str:
    spread = Spread.of(values)
    return spread.text(1 if spread.high < 1000 else 0)


async def mirror(goals: Goals, stage: Stage, gateway: Contender, options: Options) -> None:
    """Ask with half of the requests mirrored, and with none, by turns."""
    seen: dict[float, list[Load]] = {0.0: [], 0.5: []}
    for turn in range(_MIRROR_TURNS):
        for share in ((0.0, 0.5), (0.5, 0.0))[turn % 2]:
            stage.publish(share)
            # The table is taken within a look at its file; what is asked before it is not measured.
            await offer(gateway.port, gateway.model, users=_MIRROR_USERS, seconds=0.4)
            seen[share].append(
                await offer(gateway.port, gateway.model, users=_MIRROR_USERS, seconds=2 * options.seconds)
            )
    goals.title(f"Mirroring, {_MIRROR_USERS} users, {_MIRROR_TURNS} turns of {2 * options.seconds:g} s")
    goals.row("", "p50 ms", "p99 ms", "answers/s", "p99 ms, all turns")
    pooled: dict[float, float] = {}
    for share, loads in seen.items():
        pooled[share] = 1000 * percentile([latency for load in loads for latency in load.latencies], 0.99)
        goals.row(
            f"{share:.0%} mirrored",
            Spread.of(load.at(0.5) for load in loads).text(1),
            Spread.of(load.at(0.99) for load in loads).text(1),
            Spread.of(load.rate for load in loads).text(0),
            f"{pooled[share]:.2f}",
        )
    await _tell_counts(gateway.port, "mirrored_total", "mirror_dropped_total", "records_total")
    ratio = pooled[0.5] / pooled[0.0]
    goals.goal(
        "p99 with mirroring, by that without", f"{ratio:.3f} (goal {GOAL_MIRROR:g})", ratio <= GOAL_MIRROR
    )


async def memory(goals: Goals, stage: Stage, gateway: Contender, options: Options) -> None:
    """Read resident memory while requests are answered and half of them mirrored."""
    stage.publish(0.5)
    part, users = options.requests // 10, _MEMORY_USERS
    readings = []
    failed = 0
    for _ in range(11):
        load = await offer(gateway.port, gateway.model, users=users, seconds=600.0, most=part // users)
        failed += load.failed
        readings.append(gateway.resident())
        print(f"bench: {readings[-1]:.1f} MiB", file=sys.stderr, flush=True)
    goals.title(f"Memory over {options.requests} requests, half of them mirrored")
    print("MiB after each tenth, from the first: " + " ".join(f"{each:.1f}" for each in readings))
    growth = readings[-1] / readings[0]
    text = f"{growth:.3f} (goal {GOAL_GROWTH:g}), {failed} failed"
    goals.goal("memory at the end, by that after the first tenth", text, growth <= GOAL_GROWTH)
    await _tell_counts(gateway.port, "requests_total", "engine_failures_total", "mirror_dropped_total")


async def _tell_counts(port: int, *names: str) -> None:
    """Print what the gateway has counted since its start."""
    wanted = tuple(f"modelecology_gateway_{name}{{" for name in names)
    for line in (await asyncio.to_thread(_scraped, port)).splitlines():
        if line.startswith(wanted):
            print(f"  {line}")


def _scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as answer:
        text: bytes = answer.read()
    return text.decode()


async def measure(stage: Stage, goals: Goals, options: Options) -> None:
    """Measure everything that is asked for. Raises StartFailed."""
    engine = stage.engine()
    gateway = stage.gateway()
    if "peers" in options.parts:
        peers = _peers(stage)
        tell_rounds(goals, await rounds([engine, gateway, *peers], options))
        # From here on our gateway is measured against itself.
        for each in peers:
            each.process.stop(10.0)
    if "mirror" in options.parts:
        await mirror(goals, stage, gateway, options)
    if "memory" in options.parts:
        await memory(goals, stage, gateway, options)


def _peers(stage: Stage) -> list[Contender]:
    try:
        return [stage.litellm()]
    except StartFailed as error:
        print(f"bench: without LiteLLM: {error}", file=sys.stderr)
        return []


def main() -> None:
    """Measure and print."""
    options = parse()
    before = os.getloadavg()[0]
    print(f"An answer takes {TOKENS} ms; {os.cpu_count()} cores, load {before:.1f} before", flush=True)
    goals = Goals()
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as directory:
        stage = Stage(Path(directory))
        try:
            asyncio.run(measure(stage, goals, options))
        except StartFailed as error:
            sys.exit(f"bench: {error}")
        finally:
            stage.close()
    print(f"\nLoad {os.getloadavg()[0]:.1f} after.")
    goals.end()


if __name__ == "__main__":
    main()
