"""The ledger's arithmetic: what resources cost, what a trial will cost, and when the budget holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from modelecology.api.vocabulary import State

from .book import Book, Holding, Spent, revisions_held
from .facts import Charge, Claim, Cost
from .lifecycle import RESIDENT
from .rules import Budget, Prices

HOUR = Decimal(3600)
MILLION = Decimal(10**6)
_CENT = Decimal("0.000001")  # as fine as a cost is written

# Priors until a training of this population was measured: one optimiser step of a small model, and one greedy
# answer of it. They are CPU-seconds, on the careful side, since a proposal is charged before it runs.
SECONDS_PER_STEP = Decimal(5)
SECONDS_PER_ANSWER = Decimal("0.5")
IMPORT_SECONDS = Decimal(30)

NOTHING = Cost()


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """Whether the window holds the next cost, in which words, and when it will."""

    fits: bool
    observed: str
    limit: str
    message: str
    moment: datetime | None = None  # the first at which enough has left the window; None: time alone won't do


def price(cost: Cost, prices: Prices) -> Decimal:
    """Say what resources cost, in the policy's currency; the tokens of jobs are in their hours."""
    return (
        cost.gpu_seconds / HOUR * prices.gpu_hour
        + cost.cpu_seconds / HOUR * prices.cpu_hour
        + cost.resident_gib_hours * prices.gib_hour
        + cost.stored_gib_hours * prices.stored_gib_hour
        + cost.served_tokens * prices.token_million / MILLION
    )


def spent(cost: Cost, prices: Prices) -> Spent:
    """Give resources with their price, as a decision states them; what was held is left out where it is 0."""
    return Spent(
        cost.cpu_seconds,
        cost.gpu_seconds,
        cost.tokens,
        price(cost, prices).quantize(_CENT),
        cost.resident_gib_hours or None,
        cost.stored_gib_hours or None,
        cost.served_tokens or None,
    )


def holding(known: Holding | None, target: State, replicas: int) -> Holding | None:
    """Say what a revision holds in a state; `known` are its sizes."""
    if known is None or target is State.DELETED:
        return None
    return Holding(known.stored_bytes, known.resident_bytes, replicas if target in RESIDENT else 0)


def full_hour(now: datetime) -> datetime:
    """Give the last full hour: up to it a status tells what is held, so that time alone writes it seldom."""
    return now.replace(minute=0, second=0, microsecond=0)


def uncharged(book: Book, uid: str, until: datetime, prices: Prices, since: datetime | None = None) -> Spent:
    """Sum what the revisions of a Specialist hold since their last decisions, priced as of today."""
    held = (book.accrued(uid, revision, until, since) for revision in revisions_held(book, uid))
    return sum((spent(cost, prices) for cost in held), Spent())


def expected_cost(claim: Claim, seconds_per_step: Decimal | None, answers: int) -> Cost:
    """Estimate a training (or import) and its evaluation on so many answers, before anything runs.

    seconds_per_step is in CPU-seconds, learned from earlier trainings; without it the prior counts.
    """
    work = claim.steps * (SECONDS_PER_STEP if seconds_per_step is None else seconds_per_step)
    if claim.steps == 0:
        work = IMPORT_SECONDS
    cpu = work + answers * SECONDS_PER_ANSWER
    if claim.gpus <= 0:
        return Cost(cpu_seconds=cpu)
    # A job holds its GPUs while it runs; its wall time is its CPU time over its CPUs.
    wall = cpu / max(Decimal(str(claim.cpus)), Decimal(1))
    return Cost(cpu_seconds=cpu, gpu_seconds=wall * Decimal(str(claim.gpus)))


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit of a budget, in hours, beside what counts against it."""

    field: str  # of the policy's budget
    unit: str
    most: Decimal
    next: Decimal
    under_way: Decimal
    charged: tuple[tuple[datetime, Decimal], ...]
    whose: str = ""

    @property
    def spent(self) -> Decimal:
        return self.under_way + sum((hours for _, hours in self.charged), Decimal(0))

    @property
    def holds(self) -> bool:
        return self.spent + self.next <= self.most


def within_budget(
    budget: Budget | None,
    charges: Iterable[Charge],
    next_cost: Cost,
    *,
    now: datetime,
    specialist: str = "",
    under_way: Cost = NOTHING,
) -> BudgetCheck:
    """Check that what the window holds, what is under way and the next cost stay within the budget.

    A charge counts for exactly the window's length: at its time plus the window it no longer does.
    """
    if budget is None:
        return BudgetCheck(True, hours(next_cost), "no budget", "The policy sets no budget.")
    inside = tuple(c for c in charges if c.time > now - budget.window)
    limits = tuple(_limits(budget, inside, next_cost, specialist, under_way))
    total = sum((c.cost for c in inside), under_way)
    observed = f"{hours(total)} spent, {hours(next_cost)} next"
    limit = ", ".join(f"{_number(x.most)} {x.unit}-hours{x.whose}" for x in limits) or "no limit"
    window = f"{_number(Decimal(budget.window.total_seconds()) / HOUR)} h"
    short = next((x for x in limits if not x.holds), None)
    if short is None:
        return BudgetCheck(True, observed, limit, f"{observed}; at most {limit} in {window}.")
    moments = [first_moment(x.charged, x.most - x.under_way - x.next, budget.window, now) for x in limits]
    moment = None if None in moments else max(m for m in moments if m is not None)
    message = (
        f"The next step needs {_number(short.next)} {short.unit}-hours and {_number(short.spent)} of "
        f"{_number(short.most)}{short.whose} are spent in {window}. {_remedy(limits, moment)}"
    )
    return BudgetCheck(False, observed, limit, message, moment)


def _limits(
    budget: Budget, charges: tuple[Charge, ...], next_cost: Cost, specialist: str, under_way: Cost
) -> Iterator[_Limit]:
    own = tuple(c for c in charges if c.specialist == specialist)
    of = f" of {specialist or 'the specialist'}"
    # Of one specialist no two trials are under way: a newer revision takes the place of the older one.
    scopes = (
        ("", "", charges, under_way, budget.cpu_hours, budget.gpu_hours),
        ("perSpecialist.", of, own, Cost(), budget.specialist_cpu_hours, budget.specialist_gpu_hours),
    )
    for prefix, whose, counted, busy, cpu, gpu in scopes:
        if cpu is not None:
            charged = tuple((c.time, c.cost.cpu_seconds / HOUR) for c in counted)
            needs, takes = next_cost.cpu_seconds / HOUR, busy.cpu_seconds / HOUR
            yield _Limit(f"budget.{prefix}cpuHours", "CPU", cpu, needs, takes, charged, whose)
        if gpu is not None:
            charged = tuple((c.time, c.cost.gpu_seconds / HOUR) for c in counted)
            needs, takes = next_cost.gpu_seconds / HOUR, busy.gpu_seconds / HOUR
            yield _Limit(f"budget.{prefix}gpuHours", "GPU", gpu, needs, takes, charged, whose)


def first_moment(
    charged: Iterable[tuple[datetime, Decimal]], room: Decimal, window: timedelta, now: datetime
) -> datetime | None:
    """Find the first moment from now on at which the window's charges are within `room`; None for never."""
    if room < 0:
        return None
    # From the newest back: the first one that is too much is the last one that has to leave.
    total = Decimal(0)
    for time, amount in sorted(charged, key=lambda each: each[0], reverse=True):
        total += amount
        if total > room:
            return max(time + window, now)
    return now


def _remedy(limits: tuple[_Limit, ...], moment: datetime | None) -> str:
    for limit in limits:
        if limit.next > limit.most:
            return f"It alone is more than the whole budget. Raise {limit.field}."
    if moment is None:
        return "It goes on when a trial that is under way has ended."
    return f"It goes on at {moment:%Y-%m-%d %H:%M:%S} UTC, when enough has left the window."


def hours(cost: Cost) -> str:
    """Write resources as hours; GPUs only where there are any."""
    cpu = f"{_number(cost.cpu_seconds / HOUR)} CPU-hours"
    return f"{cpu}, {_number(cost.gpu_seconds / HOUR)} GPU-hours" if cost.gpu_seconds else cpu


def _number(value: Decimal) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
