"""The table of a bench, its goals, and what to look at next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Spread, percentile
from bench.walk import JOBS_EACH, Walk

GOAL_DECISIONS = 1.0
GOAL_STATUS = 1.0
GOAL_REST = 0.0
GOAL_CPU_RATIO = 0.5
GOAL_P99_SECONDS = 0.25
_TOLERANCE = 0.005
_WIDTH = 55


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both operators."""

    name: str
    digits: int
    ours: Spread | None
    naive: Spread | None
    goal: str = ""
    missed: str = ""  # what to do next, if the goal is missed

    def text(self) -> str:
        """Write it as a line of the table."""
        cells = [spread.text(self.digits) if spread else "-" for spread in (self.ours, self.naive)]
        mark = "" if not self.goal else "missed" if self.missed else "met"
        return f"{self.name:<{_WIDTH}} {cells[0]:>26} {cells[1]:>26}  {self.goal:<8} {mark}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a bench."""

    rows: tuple[Row, ...]
    together: tuple[str, ...]  # delays of all runs as one
    unanswered: int

    def text(self) -> str:
        """Write the table and what to do next."""
        head = f"{'min / median / max of the runs':<{_WIDTH}} {'Model Ecology':>26} {'naive kopf':>26}  goal"
        lines = [head, "-" * len(head), *(row.text() for row in self.rows)]
        lines += self.together
        if self.unanswered:
            lines.append(f"{self.unanswered} job ends had no next action: read the operator's log.")
        missed = [f"missed: {row.name}. {row.missed}" for row in self.rows if row.missed]
        return "\n".join([*lines, "", *(missed or ["Every goal is met. Next: docs/benchmarks.md"])])


def report(ours: Sequence[Walk], naive: Sequence[Walk]) -> Report:
    """Put the runs side by side; the n-th of ours ran right before the n-th naive one."""
    return Report(
        rows=(
            *_writes(ours, naive),
            *_jobs(ours, naive),
            *_rest(ours, naive),
            *_cpu(ours, naive),
            *_delays(ours, naive),
        ),
        together=(_together(ours), _together(naive)),
        unanswered=sum(w.unanswered for w in (*ours, *naive)),
    )


def _each(walks: Sequence[Walk], figure: Callable[[Walk], float]) -> Spread:
    return Spread.of(figure(walk) for walk in walks)


def _writes(ours: Sequence[Walk], naive: Sequence[Walk]) -> list[Row]:
    def row(name: str, figure: Callable[[Walk], int], goal: float | None = None, next_step: str = "") -> Row:
        def per(walk: Walk) -> float:
            return figure(walk) / walk.transitions

        mine = _each(ours, per)
        missed = goal is not None and abs(mine.high - goal) > _TOLERANCE
        return Row(
            f"{name} per transition",
            2,
            mine,
            _each(naive, per),
            "" if goal is None else f"{goal:g}",
            next_step if missed else "",
        )

    return [
        row(
            "Decisions", lambda w: w.writes.decisions, GOAL_DECISIONS, "Read the log: what was decided twice?"
        ),
        row(
            "status patches of specialists",
            lambda w: w.writes.status,
            GOAL_STATUS,
            "Above 1, a status says what no transition changed: look for waits that are written between two "
            "Decisions. Below 1, one patch told of several transitions.",
        ),
        row("status patches of the population", lambda w: w.writes.population_status),
        row("other patches (finalizers, annotations)", lambda w: w.writes.other_patches),
        row("Events", lambda w: w.writes.events),
        row("refused writes", lambda w: w.writes.refused),
        row("all writes", lambda w: w.writes.total),
    ]


def _jobs(ours: Sequence[Walk], naive: Sequence[Walk]) -> list[Row]:
    each = _each(ours, lambda w: w.jobs / w.specialists)
    generalist = _each(ours, lambda w: w.generalist_jobs)
    twice = "Work was ordered twice: compare the intents of the jobs in the job double's folder."
    return [
        Row(
            "jobs per specialist",
            2,
            each,
            _each(naive, lambda w: w.jobs / w.specialists),
            f"{JOBS_EACH}",
            twice if each.high > JOBS_EACH else "",
        ),
        Row("jobs of the generalist", 0, generalist, None, "1", twice if generalist.high > 1 else ""),
    ]


def _rest(ours: Sequence[Walk], naive: Sequence[Walk]) -> list[Row]:
    resyncs = min(w.rest.resyncs for w in ours)
    looks = min(w.rest.looks for w in ours)
    mine = _each(ours, lambda w: w.rest.writes.total)
    return [
        Row(
            f"writes at rest, {resyncs} resyncs, {looks} own looks",
            0,
            mine,
            _each(naive, lambda w: w.rest.writes.total),
            f"{GOAL_REST:g}",
            "Read the audit log: whose status changes while nothing does?" if mine.high > GOAL_REST else "",
        ),
        Row(
            "CPU at rest, ms per second",
            1,
            _each(ours, lambda w: 1000 * w.rest.cpu_seconds / w.rest.seconds),
            _each(naive, lambda w: 1000 * w.rest.cpu_seconds / w.rest.seconds),
        ),
    ]


def _cpu(ours: Sequence[Walk], naive: Sequence[Walk]) -> list[Row]:
    def per(walk: Walk) -> float:
        return 1000 * walk.cpu_seconds / walk.transitions

    ratio = Spread.of(per(a) / per(b) for a, b in zip(ours, naive, strict=True))
    missed = "Profile the operator: py-spy, or cProfile around bench.operator_process."
    return [
        Row("operator CPU per transition, ms", 1, _each(ours, per), _each(naive, per)),
        Row(
            "the same, ours / naive",
            2,
            ratio,
            None,
            f"<= {GOAL_CPU_RATIO:g}",
            missed if ratio.middle > GOAL_CPU_RATIO else "",
        ),
        Row(
            "seconds for the whole way",
            1,
            _each(ours, lambda w: w.wall_seconds),
            _each(naive, lambda w: w.wall_seconds),
        ),
    ]


def _delays(ours: Sequence[Walk], naive: Sequence[Walk]) -> list[Row]:
    def at(share: float) -> Callable[[Walk], float]:
        return lambda walk: 1000 * percentile(walk.delays, share)

    # The goal is judged by the samples of all runs together: one run has too few for a 99th percentile.
    missed = percentile(_pooled(ours), 0.99) > GOAL_P99_SECONDS
    return [
        Row("job end to next action, p50, ms", 0, _each(ours, at(0.5)), _each(naive, at(0.5))),
        Row(
            "job end to next action, p99, ms",
            0,
            _each(ours, at(0.99)),
            _each(naive, at(0.99)),
            f"<= {1000 * GOAL_P99_SECONDS:.0f}",
            "See what the queue waits for when many jobs end at once." if missed else "",
        ),
    ]


def _pooled(walks: Sequence[Walk]) -> list[float]:
    return [delay for walk in walks for delay in walk.delays]


def _together(walks: Sequence[Walk]) -> str:
    found = _pooled(walks)
    middle, slowest = (1000 * percentile(found, share) for share in (0.5, 0.99))
    return (
        f"{walks[0].operator}, all runs together: {len(found)} job ends, "
        f"p50 {middle:.0f} ms, p99 {slowest:.0f} ms."
    )
