"""Which members to keep resident, when slots and memory do not hold all of them.

Of one task's members only the route earns, so a best set has one member of a task at most, and only members
that are worth more than the generalist and their upkeep. What is left is a choice of at most one offer of
each task under two limits, in three steps:

1. Only slots bind: the greatest gains, one of each task. That is the best set, whatever the number of
   members.
2. Up to EXACT members: every choice, with those branches cut that cannot become the best. The best set too.
3. Above: greedy by gain, by gain a byte, and by gain for its share of both limits, and the best single
   member; each improved by exchanges of one against one until none helps, and the best of these. Where
   memory alone binds the gain is at least (1 - 1/e) / 2, about 0.31, of the best, since the gain of a set
   is monotone and submodular (Leskovec et al. 2007); where both limits bind nothing is proven.
   tests/governance/test_residents.py compares with the best set; of 180 random populations of 40 the worst
   choice reached 96 %.

Equal gains: fewer members, then the names that come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from .facts import SuiteTask
from .portfolio import Population, value
from .rules import Policy

EXACT = 16  # members up to which every choice is looked at


@dataclass(frozen=True, slots=True)
class Capacity:
    """What every engine holds: adapters, and bytes of all of them; None is no limit."""

    slots: int
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Residents:
    """Which members to keep, by served name, and what they earn above the generalist alone."""

    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    gain: Decimal
    exact: bool  # no other set is worth more


@dataclass(frozen=True, slots=True)
class _Offer:
    name: str
    task: str
    gain: Decimal
    size: int


_Choice = tuple[_Offer, ...]


def best_residents(
    population: Population, tasks: Iterable[SuiteTask], policy: Policy, capacity: Capacity
) -> Residents:
    """Choose the members to keep resident."""
    offers = _offers(population, tuple(tasks), policy)
    choice = _greedy(offers, Capacity(capacity.slots), _by_gain)
    exact = _fits(choice, capacity)
    if not exact and len(population.members) <= EXACT:
        choice, exact = _best(offers, capacity), True
    elif not exact:
        starts = [_greedy(offers, capacity, cost) for cost in (_by_gain, _by_byte, _by_share)]
        starts += [(offer,) for offer in offers if _fits((offer,), capacity)][:1]
        choice = min((_exchanged(start, offers, capacity) for start in starts), key=_rank)
    kept = _names(choice)
    left = sorted(m.served_name for m in population.members if m.served_name not in kept)
    return Residents(kept, tuple(left), _gain(choice), exact)


def _offers(population: Population, tasks: tuple[SuiteTask, ...], policy: Policy) -> _Choice:
    alone = value(Population(population.generalist), tasks, policy)
    found = [
        _Offer(
            member.served_name,
            member.task,
            value(Population(population.generalist, (member,)), tasks, policy) - alone,
            member.resident_bytes,
        )
        for member in population.members
    ]
    return tuple(sorted((o for o in found if o.gain > 0), key=lambda o: (-o.gain, o.name)))


def _gain(choice: _Choice) -> Decimal:
    return sum((offer.gain for offer in choice), Decimal(0))


def _names(choice: _Choice) -> tuple[str, ...]:
    return tuple(sorted(offer.name for offer in choice))


def _rank(choice: _Choice) -> tuple[Decimal, int, tuple[str, ...]]:
    """Order choices from the best one."""
    return -_gain(choice), len(choice), _names(choice)


def _fits(choice: _Choice, capacity: Capacity) -> bool:
    if len(choice) > capacity.slots:
        return False
    return capacity.memory is None or sum(offer.size for offer in choice) <= capacity.memory


def _best(offers: _Choice, capacity: Capacity) -> _Choice:
    by_task = sorted(offers, key=lambda o: o.task)
    groups = [tuple(group) for _, group in groupby(by_task, key=lambda o: o.task)]
    # What all tasks from here on can bring at most; it ends a branch that cannot become the best any more.
    rest = [Decimal(0)]
    for group in reversed(groups):
        rest.append(rest[-1] + max(offer.gain for offer in group))
    rest.reverse()
    best: _Choice = ()

    def look(at: int, chosen: _Choice) -> None:
        nonlocal best
        if _rank(chosen) < _rank(best):
            best = chosen
        if at == len(groups) or _gain(chosen) + rest[at] < _gain(best):
            return
        for offer in groups[at]:
            more = (*chosen, offer)
            if _fits(more, capacity):
                look(at + 1, more)
        look(at + 1, chosen)

    look(0, ())
    return best


def _by_gain(_: _Offer, __: Capacity) -> Decimal:
    return Decimal(1)


def _by_byte(offer: _Offer, _: Capacity) -> Decimal:
    return Decimal(max(offer.size, 1))


def _by_share(offer: _Offer, capacity: Capacity) -> Decimal:
    """What part an offer takes of the slots and of the memory, together."""
    return 1 / Decimal(max(capacity.slots, 1)) + offer.size / Decimal(max(capacity.memory or 1, 1))


def _greedy(offers: _Choice, capacity: Capacity, cost: Callable[[_Offer, Capacity], Decimal]) -> _Choice:
    chosen: dict[str, _Offer] = {}
    while True:
        steps = [
            (_more(offer, chosen) / cost(offer, capacity), offer)
            for offer in offers
            if _more(offer, chosen) > 0 and _fits(_with(chosen, offer), capacity)
        ]
        if not steps:
            return tuple(chosen.values())
        _, offer = min(steps, key=lambda step: (-step[0], step[1].name))
        chosen[offer.task] = offer


def _more(offer: _Offer, chosen: Mapping[str, _Offer]) -> Decimal:
    known = chosen.get(offer.task)
    return offer.gain - (known.gain if known is not None else 0)


def _with(chosen: Mapping[str, _Offer], offer: _Offer) -> _Choice:
    return tuple({**chosen, offer.task: offer}.values())


def _exchanged(start: _Choice, offers: _Choice, capacity: Capacity) -> _Choice:
    """Take one in, and one out or none, as long as that is better; each step gains, so it ends."""
    chosen = {offer.task: offer for offer in start}
    while True:
        best: tuple[Decimal, str, str] | None = None
        step: dict[str, _Offer] = {}
        taken = sum(offer.size for offer in chosen.values())
        for offer in offers:
            # It takes the place of its own task's; one more may have to go for it.
            own = chosen.get(offer.task)
            if own is offer:
                continue
            for out in (None, *(o for o in chosen.values() if o is not own)):
                gone = [o for o in (own, out) if o is not None]
                gain = offer.gain - _gain(tuple(gone))
                known = (-gain, offer.name, out.name if out is not None else "")
                if gain <= 0 or (best is not None and known >= best):
                    continue
                size = taken + offer.size - sum(o.size for o in gone)
                count = len(chosen) + 1 - len(gone)
                if count <= capacity.slots and (capacity.memory is None or size <= capacity.memory):
                    best, step = known, {t: o for t, o in chosen.items() if o not in gone}
                    step[offer.task] = offer
        if best is None:
            return tuple(chosen.values())
        chosen = step
