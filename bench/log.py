"""How fast is a long log verified? Segments of a log in a directory, beside the fold of the same entries.

    python -m bench.log [--entries N] [--runs N] [--place DIRECTORY]

It needs no cluster. A million entries take about 2 GB below the place while it runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import Spread
from bench.goals import Goals
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.chain import entry_of_line
from modelecology.governance.facts import Check, Interval, Scorecard
from modelecology.governance.log import GENESIS, Entry, Premises, Subject, body_of, fold
from modelecology.governance.plain import canonical_json, digest_of_bytes
from modelecology.governance.segments import sealed_segment
from modelecology.governance.verify import Copy, verify
from modelecology.store import ArtifactStore
from modelecology.store.logs import StoredLog

ENTRIES, SEGMENT, RUNS = 1_000_000, 1_000, 3
SPECIALISTS = 100
FOLDED = 3_000  # entries of the peer
MOST_SECONDS = 60.0  # for a million
MILLION = 1_000_000
UID = "bench"
DIGEST = "sha256:" + "d" * 64
LIFE = (
    (Action.PROPOSE, State.PENDING, State.TRAINING, "GapProven", 4),
    (Action.EVALUATE, State.TRAINING, State.EVALUATING, "ArtifactCommitted", 1),
    (Action.RETIRE, State.EVALUATING, State.RETIRED, "RetirementRequested", 5),
    (Action.DELETE, State.RETIRED, State.DELETED, "UndoWindowClosed", 0),
)


def bodies() -> list[dict[str, Any]]:
    """Give the bodies of one specialist's life, as large as real ones: 1 to 3 KB."""
    interval = Interval(0.412, 0.638, 0.95)
    message = (
        "dates: +0.52 against the generalist, at least +0.41; the portfolio gains 12.31 over 720 h. " * 2
    )
    check = Check("PortfolioGain", Outcome.PASS, "12.31", "more than 0.00", interval, 360, message)
    found = []
    for action, source, target, reason, checks in LIFE:
        entry = Entry(
            population="desk",
            sequence=1,
            time=datetime(2026, 3, 1, tzinfo=UTC),
            subject=Subject("dates", "", "a" * 12, "k" * 64),
            action=action,
            from_state=source,
            to=target,
            outcome=Outcome.PASS,
            reason=reason,
            actor="operator",
            previous=GENESIS,
            message=message,
            checks=(check,) * checks,
            scorecard=Scorecard("dates", 0.57, "generalist", 0.05, interval, 360) if checks > 1 else None,
            premises=Premises(DIGEST, DIGEST, DIGEST, DIGEST, DIGEST),
        )
        found.append(body_of(entry))
    return found


def lines(count: int) -> Iterator[bytes]:
    """Write a log of so many entries."""
    life, previous = bodies(), GENESIS
    for index in range(count):
        body = dict(life[index % len(life)])
        lives = index // len(life)
        subject = {**body["subject"], "uid": f"uid-{lives % SPECIALISTS}", "revision": f"{lives:012x}"}
        body |= {"sequence": index + 1, "previous": previous, "subject": subject}
        content = canonical_json(body)
        previous = digest_of_bytes(content)
        yield b'{"body":' + content + b',"digest":"' + previous.encode() + b'"}'


def fill(stored: StoredLog, count: int) -> int:
    """Lay a log into a store, sealed; gives its bytes."""
    stored.describe("bench", "desk")
    run: list[bytes] = []
    root, first, size = GENESIS, 1, 0
    for line in lines(count):
        run.append(line)
        size += len(line) + 1
        if len(run) == SEGMENT or first + len(run) > count:
            root = stored.seal(sealed_segment("desk", first, run, root)).root
            first, run = first + len(run), []
    return size


def verified(stored: StoredLog, count: int) -> tuple[float, float]:
    """Verify the whole log, as kubectl ecology log verify does; gives its seconds, and those of the CPU."""
    start, began = time.perf_counter(), time.process_time()
    contents = stored.contents()
    copy = Copy(stored.sealed(contents), contents.entries, stored.line, UID)
    whole = verify(None, copy, (), frozenset((DIGEST,)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - began
    if whole.decisions != count:
        raise AssertionError(f"{whole.decisions} decisions were verified, not {count}")
    return seconds, cpu


def folded(stored: StoredLog, count: int) -> float:
    """Read entries and fold them into the state, as the operator does; gives the seconds that it took."""
    start = time.perf_counter()
    wanted = (line for line, _ in zip(stored.lines(), range(count), strict=False))
    fold(entry_of_line(line, "an entry") for line in wanted)
    return time.perf_counter() - start


def main() -> int:
    """Run the bench; the exit code says whether the goal was met."""
    parser = argparse.ArgumentParser(prog="python -m bench.log", description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--place", type=Path, help="where the log lies while it runs")
    options = parser.parse_args()
    goals, count = Goals(), options.entries
    with tempfile.TemporaryDirectory(dir=options.place, prefix="modelecology-bench-") as directory:
        store = ArtifactStore.create(f"file://{directory}/store")
        stored = StoredLog(store.files, UID)
        size = fill(stored, count)
        goals.title(f"{count} entries, {size / 1e6:.0f} MB in segments of {SEGMENT}; min / median / max")
        runs = [verified(stored, count) for _ in range(options.runs)]
        seconds = [wall for wall, _ in runs]
        part = min(count, FOLDED)
        peer = [folded(stored, part) for _ in range(options.runs)]
    goals.row("log verify, seconds", Spread.of(seconds).text(1))
    goals.row("log verify, CPU-seconds", Spread.of(cpu for _, cpu in runs).text(1))
    goals.row("log verify, entries a second", Spread.of(count / s for s in seconds).text(0))
    goals.row(f"fold of {part} entries, entries a second", Spread.of(part / s for s in peer).text(0))
    million = max(seconds) * MILLION / count
    goals.goal("a million entries in 60 s", f"{million:.1f} s at the slowest", million < MOST_SECONDS)
    goals.end()
    return 1 if goals.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
