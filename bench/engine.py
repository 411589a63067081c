"""Measures the CPU engine: many adapters in a batch, how soon a new one serves, parity of vLLM and peft.

    python -m bench.engine [--own-cores] [--rounds N] [--adapters N] [--rows N] [--tokens N]
                           [--only batch|ready|parity] [--store DIR]

Batch: 32 requests at once (--rows), for the base alone and for 32 adapters (--adapters), by turns with a
peer that switches by peft's set_adapter for each request. Ready: an adapter is loaded and asked for its
first token, while nothing runs and while requests run, whose gaps between tokens are watched. Parity: what
vLLM and our engine answer beside peft, on the adapters that a demo left in a store. docs/engines.md has
figures and what they say.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final

from bench.engine_parity import NoAdapters, parity
from bench.engine_peer import Peer
from bench.engine_stage import Engine, write_adapters
from bench.figures import Spread
from bench.goals import Goals
from testbed.demo.prepare import generalist
from testbed.errors import ControlPlaneError
from testbed.places import REPOSITORY, say

GOAL_BASE: Final = 0.8
GOAL_SWITCHING: Final = 5.0
GOAL_READY_MS: Final = 50.0
GOAL_GAP: Final = 1.5
"""Of the longest gap with a load, by that with a newcomer to an adapter that is there already."""

PARTS: Final = ("batch", "ready", "parity")
_BESIDE_OTHERS: Final = ("OMP_WAIT_POLICY", "PASSIVE")  # the engine's default
_OWN_CORES: Final = ("GOMP_SPINCOUNT", "50000")
_SWITCHED: Final = 3  # requests of the peer in a round
_RUNNING: Final = 8  # requests that run while an adapter is loaded
_CALM_SECONDS: Final = 1.0
_MOST_ADAPTERS: Final = 32  # unless more are asked for
_MOST_TOKENS: Final = 400  # of a request that runs meanwhile


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    rounds: int
    adapters: int
    rows: int
    tokens: int
    loads: int
    dtype: str
    threads: int
    own_cores: bool
    parts: frozenset[str]
    base: Path | None
    store: Path
    items: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Tokens a second, prompts included and without the first of each; CPU milliseconds a token."""

    rate: float
    steps: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of each."""

    base: Turn
    mixed: Turn
    peer: Turn


@dataclass(frozen=True, slots=True)
class Ready:
    """One load, in seconds: until it is answered, until its first token; and the longest gaps between tokens.

    Gaps are those of the requests that run: before, with a newcomer to an adapter that is there, and with
    one whose adapter is loaded. 0 where nothing runs.
    """

    loaded: float
    first: float
    calm: float = 0.0
    newcomer: float = 0.0
    loading: float = 0.0


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--adapters", type=int, help="that a batch goes through; as many as --rows, and 32 at most"
    )
    parser.add_argument("--rows", type=int, default=32, help="requests in a batch: the adapters by turns")
    parser.add_argument("--tokens", type=int, default=48, help="tokens that each request writes")
    parser.add_argument("--loads", type=int, default=5, help="of an adapter, in each round")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--own-cores", action="store_true", help="threads may spin while they wait: nothing else runs here"
    )
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part (may be given again)"
    )
    parser.add_argument("--base", type=Path, help="another base than the quickstart's generalist")
    parser.add_argument(
        "--store", type=Path, default=REPOSITORY / ".demo/store", help="what a demo left, for parity"
    )
    parser.add_argument("--items", type=int, default=64, help="questions of each task, for parity")
    found = parser.parse_args(arguments)
    adapters = min(found.rows, _MOST_ADAPTERS) if found.adapters is None else found.adapters
    counts = (found.rounds, adapters, found.loads, found.threads, found.items)
    if min(counts) < 1 or found.rows < adapters or found.tokens < 2:
        parser.error(
            "--rounds, --adapters, --loads, --threads and --items are above 0, --tokens above 1, and there "
            "are as many --rows as --adapters, or more"
        )
    return Options(
        found.rounds,
        adapters,
        found.rows,
        found.tokens,
        found.loads,
        found.dtype,
        found.threads,
        found.own_cores,
        frozenset(found.only or PARTS),
        found.base,
        found.store,
        found.items,
    )


async def batch(base: Path, adapters: Sequence[Path], options: Options) -> list[Round]:
    """Answer the base's requests, the adapters' and the peer's, by turns."""
    count, dtype, threads = len(adapters), options.dtype, options.threads
    engine = Engine(base, dtype=dtype, threads=threads, adapters=count, rows=options.rows)
    peer = Peer(base, dtype=dtype, threads=threads, adapters=adapters, question=engine.question)
    names = [f"adapter-{number:02d}" for number in range(count)]
    try:
        for name, path in zip(names, adapters, strict=True):
            await engine.load(name, path)
        # The first pass of each kind prepares what later ones find.
        await _at_once(engine, [None, *names][: options.rows], 2)
        peer.answer(1, 2)
        rounds: list[Round] = []
        for number in range(options.rounds):
            turns: dict[str, list[str | None]] = {
                "base": [None] * options.rows,
                "mixed": [names[row % len(names)] for row in range(options.rows)],
            }
            order = list(turns) if number % 2 == 0 else list(reversed(turns))
            seen = {turn: await _at_once(engine, turns[turn], options.tokens) for turn in order}
            rounds.append(Round(seen["base"], seen["mixed"], _switched(peer, options.tokens)))
            _progress("batch", number, options.rounds)
        return rounds
    finally:
        engine.close()
        peer.close()


async def _at_once(engine: Engine, models: Sequence[str | None], tokens: int) -> Turn:
    """Have requests that come together answered."""
    engine.mind.steps.clear()
    began, cpu = time.monotonic(), time.process_time()
    answers = await asyncio.gather(*(engine.ask(model, tokens) for model in models))
    count = sum(answer.completion_tokens for answer in answers)
    whole, cpu = count / (time.monotonic() - began), 1000 * (time.process_time() - cpu) / count
    # All are read in one pass, or in two if the first of them did not wait long enough.
    first = next(index for index, step in enumerate(engine.mind.steps) if step.rows == len(models))
    steps = engine.mind.steps[first:]
    written = [step for step in steps[1:] if step.tokens == 1]
    if not written:
        return Turn(whole, whole, cpu)
    return Turn(whole, sum(step.rows for step in written) / (written[-1].ended - steps[0].ended), cpu)


def _switched(peer: Peer, tokens: int) -> Turn:
    """Have the peer answer some requests, each by another adapter."""
    seen = peer.answer(_SWITCHED, tokens)
    rate = seen.tokens / seen.seconds
    return Turn(rate, rate, 1000 * seen.cpu / seen.tokens)


async def ready(base: Path, adapters: Sequence[Path], options: Options, running: int) -> list[Ready]:
    """Load an adapter again and again, while so many requests run."""
    engine = Engine(base, dtype=options.dtype, threads=options.threads, adapters=4, rows=options.rows)
    resident, *others = adapters[:4]
    try:
        await engine.load("resident", resident)
        await engine.ask("resident", 2)
        found: list[Ready] = []
        for number in range(options.rounds):
            for turn in range(options.loads):
                path = others[(number + turn) % len(others)]
                found.append(await _load(engine, path, running))
            _progress(f"ready, {running} running", number, options.rounds)
        return found
    finally:
        engine.close()


async def _load(engine: Engine, path: Path, running: int) -> Ready:
    """Load an adapter and ask it, beside requests for the base and for an adapter that is there."""
    models = [None if row % 2 else "resident" for row in range(running)]
    crowd = [asyncio.create_task(_keep_asking(engine, model)) for model in models]
    try:
        calm = newcomer = loading = 0.0
        if crowd:
            await engine.writes(running)
            calm = await _longest_gap(engine, running, asyncio.sleep(_CALM_SECONDS))
            newcomer = await _longest_gap(engine, running, engine.ask("resident", 1))
        loaded = first = 0.0

        async def load() -> None:
            nonlocal loaded, first
            began = time.monotonic()
            await engine.load("new", path)
            loaded = time.monotonic() - began
            await engine.ask("new", 1)
            first = time.monotonic() - began

        loading = await _longest_gap(engine, running, load())
    finally:
        for each in crowd:
            each.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    await engine.unload("new")
    return Ready(loaded, first, calm, newcomer, loading)


async def _keep_asking(engine: Engine, model: str | None) -> None:
    while True:
        await engine.ask(model, _MOST_TOKENS)


async def _longest_gap(engine: Engine, running: int, work: Awaitable[object]) -> float:
    """Seconds of the longest gap between tokens while some work is done; 0 where nothing runs."""
    if running:
        # A gap has two ends: one token before the work, and one after it.
        await engine.writes(running)
        del engine.mind.steps[:-1]
    await work
    if not running:
        return 0.0
    await engine.writes(running)
    return engine.longest_gap(running)


def tell_batch(goals: Goals, rounds: Sequence[Round], options: Options) -> None:
    """Print throughput, and whether the goals are met."""
    goals.title(
        f"{options.rows} requests at once, {options.tokens} tokens each: min / median / max of rounds"
    )
    goals.row("", "tokens/s", "without prompts", "CPU ms/token")
    goals.row("base", *_cells([each.base for each in rounds]))
    goals.row(f"{options.adapters} adapters by turns", *_cells([each.mixed for each in rounds]))
    goals.row("peft, set_adapter for each request", *_cells([each.peer for each in rounds]))
    whole = [each.mixed.rate / each.base.rate for each in rounds]
    steps = [each.mixed.steps / each.base.steps for each in rounds]
    cpu = [each.base.cpu / each.mixed.cpu for each in rounds]
    switching = [each.mixed.rate / each.peer.rate for each in rounds]
    text = f"{Spread.of(whole).text(2)} of the base's (goal {GOAL_BASE:g})"
    text += f"; without prompts {Spread.of(steps).text(2)}, by CPU {Spread.of(cpu).text(2)}"
    goals.goal("throughput of mixed adapters", text, median(whole) >= GOAL_BASE)
    text = f"{Spread.of(switching).text(1)} times the peer's (goal {GOAL_SWITCHING:g})"
    goals.goal("throughput beside set_adapter", text, median(switching) >= GOAL_SWITCHING)


def _cells(turns: Sequence[Turn]) -> list[str]:
    return [
        Spread.of(turn.rate for turn in turns).text(0),
        Spread.of(turn.steps for turn in turns).text(0),
        Spread.of(turn.cpu for turn in turns).text(1),
    ]


def tell_ready(goals: Goals, idle: Sequence[Ready], busy: Sequence[Ready], size: int) -> None:
    """Print how soon an adapter serves, what running requests noticed, and whether the goals are met."""
    goals.title(f"An adapter of {size / 1e6:.1f} MB, {len(idle)} loads each: min / median / max, ms")
    goals.row("", "load answered", "first token")
    for name, found in (("nothing runs", idle), (f"{_RUNNING} requests run", busy)):
        goals.row(name, _ms(each.loaded for each in found), _ms(each.first for each in found))
    goals.title("Longest gap between two tokens of the running requests, ms")
    goals.row("nothing happens (1 s)", _ms(each.calm for each in busy))
    goals.row("a newcomer to an adapter that is there", _ms(each.newcomer for each in busy))
    goals.row("an adapter is loaded, and its newcomer", _ms(each.loading for each in busy))
    for name, found in (("nothing runs", idle), (f"{_RUNNING} requests run", busy)):
        text = f"{_ms(each.first for each in found)} ms (goal {GOAL_READY_MS:g})"
        goals.goal(
            f"ready to serve, {name}", text, median(each.first for each in found) * 1000 <= GOAL_READY_MS
        )
    stall = median(each.loading for each in busy) / median(each.newcomer for each in busy)
    text = f"{stall:.2f} times that of a newcomer without a load, medians (goal {GOAL_GAP:g})"
    goals.goal("no request stalled by a load", text, stall <= GOAL_GAP)


def _ms(values: Iterable[float]) -> str:
    return Spread.of(1000 * value for value in values).text(1)


def _progress(part: str, number: int, of: int) -> None:
    print(f"bench: {part}, round {number + 1} of {of}", file=sys.stderr, flush=True)


def measure(goals: Goals, options: Options, directory: Path) -> None:
    """Measure what is asked for. Raises ControlPlaneError and NoAdapters."""
    base = options.base or generalist(say)
    if options.parts & {"batch", "ready"}:
        # Elsewhere: a thread that has computed on several cores keeps helpers, to which the engine's yield.
        with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:
            count = max(options.adapters, 4)
            adapters = elsewhere.submit(write_adapters, base, directory, count).result()
        if "batch" in options.parts:
            tell_batch(goals, asyncio.run(batch(base, adapters[: options.adapters], options)), options)
        if "ready" in options.parts:
            idle, busy = (asyncio.run(ready(base, adapters, options, running)) for running in (0, _RUNNING))
            size = sum(file.stat().st_size for file in adapters[0].iterdir())
            tell_ready(goals, idle, busy, size)
    if "parity" in options.parts:
        parity(goals, base, options.store, options.items, options.dtype)


def _as_the_engine_runs(options: Options) -> None:
    """Start anew with the engine's own setting, which OpenMP reads once: whether waiting threads spin."""
    name, value = _OWN_CORES if options.own_cores else _BESIDE_OTHERS
    if os.environ.get(name) is None:
        os.environ[name] = value
        os.execv(sys.executable, [sys.executable, "-m", "bench.engine", *sys.argv[1:]])


def main() -> None:
    """Measure and print."""
    options = parse()
    _as_the_engine_runs(options)
    before = os.getloadavg()[0]
    cores = "its own" if options.own_cores else "shared"
    print(
        f"{os.cpu_count()} cores ({cores}), {options.threads} threads, {options.dtype}, "
        f"load {before:.1f} before",
        flush=True,
    )
    goals = Goals()
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as directory:
        try:
            measure(goals, options, Path(directory))
        except (ControlPlaneError, NoAdapters) as error:
            sys.exit(f"bench: {error}")
    print(f"\nLoad {os.getloadavg()[0]:.1f} after.")
    goals.end()


if __name__ == "__main__":
    main()
