"""Which members to keep: the best set, compared with every set; and the heuristic above sixteen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Role, Scope
from modelecology.governance.facts import GENERALIST, Member, SuiteTask
from modelecology.governance.portfolio import Population, value
from modelecology.governance.residents import EXACT, Capacity, Residents, best_residents
from modelecology.governance.rules import Policy

from .scenes import POLICY

NAMES = ("dates", "cron", "french", "sql")
TASKS = tuple(
    SuiteTask(name, Role.TASK, Scope.ADAPTER, share, Decimal("0.01"), 0.0)
    for name, share in zip(NAMES, (0.1, 0.2, 0.3, 0.15), strict=True)
)
BASE = {name: Member(GENERALIST, name, 0.2, 0, tokens=5.0) for name in NAMES}
TOKENS = replace(POLICY, prices=replace(POLICY.prices, token_million=Decimal(20)), misrouting=0.05)
MIB = 2**20


def members(count: int) -> st.SearchStrategy[tuple[Member, ...]]:
    row = st.tuples(
        st.sampled_from((*NAMES, "gone")),
        st.sampled_from((0.1, 0.2, 0.5, 0.55, 0.9)),
        st.sampled_from((0, 4, 8, 9, 50)),
        st.sampled_from((5.0, 200.0)),
    )
    return st.lists(row, max_size=count).map(
        lambda rows: tuple(
            Member(f"m{k:02d}", task, quality, size * MIB, tokens=tokens)
            for k, (task, quality, size, tokens) in enumerate(rows)
        )
    )


def every_set(population: Population, capacity: Capacity) -> Iterator[tuple[Member, ...]]:
    most = len(population.members)
    for size in range(min(capacity.slots, most) + 1):
        for chosen in combinations(population.members, size):
            if capacity.memory is None or sum(m.resident_bytes for m in chosen) <= capacity.memory:
                yield chosen


def worth(population: Population, chosen: tuple[Member, ...], policy: Policy) -> Decimal:
    return value(replace(population, members=chosen), TASKS, policy)


CAPACITIES = st.builds(
    Capacity, st.integers(0, 5), st.sampled_from((None, 0, 8 * MIB, 13 * MIB, 17 * MIB, 60 * MIB))
)


@settings(max_examples=150)
@given(members(8), CAPACITIES, st.sampled_from((POLICY, TOKENS)))
def test_up_to_sixteen_members_the_set_is_the_best_of_all(
    known: tuple[Member, ...], capacity: Capacity, policy: Policy
) -> None:
    population = Population(BASE, known)
    found = best_residents(population, TASKS, policy, capacity)
    ranked = sorted(
        every_set(population, capacity),
        key=lambda chosen: (
            -worth(population, chosen, policy),
            len(chosen),
            tuple(m.served_name for m in chosen),
        ),
    )
    assert found.exact
    assert found.kept == tuple(m.served_name for m in ranked[0])
    assert found.gain == worth(population, ranked[0], policy) - worth(population, (), policy)
    assert sorted((*found.kept, *found.left_out)) == sorted(m.served_name for m in known)


@given(members(8), CAPACITIES)
def test_the_order_of_the_members_does_not_matter(known: tuple[Member, ...], capacity: Capacity) -> None:
    one = best_residents(Population(BASE, known), TASKS, POLICY, capacity)
    assert best_residents(Population(BASE, known[::-1]), TASKS, POLICY, capacity) == one


def crowd(seed: int, count: int) -> Population:
    """Members of as many tasks as it takes that many fit and many do not."""
    chance = random.Random(seed)
    return Population(
        BASE,
        tuple(
            Member(
                f"m{k:03d}",
                chance.choice(NAMES),
                round(chance.uniform(0.1, 1.0), 3),
                chance.randint(1, 40) * MIB,
            )
            for k in range(count)
        ),
    )


def many_tasks(seed: int, count: int) -> tuple[Population, tuple[SuiteTask, ...]]:
    """A task for every two members: the hard case, since all of them want a place."""
    chance = random.Random(seed)
    names = [f"t{k:02d}" for k in range(count // 2)]
    tasks = tuple(SuiteTask(n, Role.TASK, Scope.ADAPTER, 0.02, Decimal("0.01"), 0.0) for n in names)
    base = {n: Member(GENERALIST, n, 0.2, 0) for n in names}
    found = (
        Member(f"m{k:03d}", chance.choice(names), chance.uniform(0.2, 1), chance.randint(1, 40) * MIB)
        for k in range(count)
    )
    return Population(base, tuple(found)), tasks


def best_of_all(
    population: Population, tasks: tuple[SuiteTask, ...], capacity: Capacity, step: int = MIB
) -> Decimal:
    """The best gain by dynamic programming over slots and memory: another way than the one that is tested."""
    alone = value(Population(population.generalist), tasks, POLICY)
    assert capacity.memory is not None
    best: dict[tuple[int, int], Decimal] = {(0, 0): Decimal(0)}
    for task in tasks:
        more = dict(best)
        for member in (m for m in population.members if m.task == task.name):
            gain = value(Population(population.generalist, (member,)), tasks, POLICY) - alone
            for (slots, size), known in best.items():
                at = (slots + 1, size + member.resident_bytes // step)
                if at[0] <= capacity.slots and at[1] * step <= capacity.memory:
                    more[at] = max(more.get(at, Decimal(0)), known + gain)
        best = more
    return max(best.values())


@pytest.mark.parametrize("seed", range(6))
def test_above_sixteen_members_the_set_fits_and_is_hardly_worse_than_the_best(seed: int) -> None:
    population, tasks = many_tasks(seed, 40)
    capacity = Capacity(8, 90 * MIB)
    found = best_residents(population, tasks, POLICY, capacity)
    sizes = {m.served_name: m.resident_bytes for m in population.members}
    assert not found.exact
    assert len(found.kept) <= 8
    assert sum(sizes[name] for name in found.kept) <= 90 * MIB
    best = best_of_all(population, tasks, capacity)
    assert best * Decimal("0.95") <= found.gain <= best


@pytest.mark.parametrize("seed", range(6))
def test_where_memory_alone_binds_the_gain_is_above_the_proven_part_of_the_best(seed: int) -> None:
    population, tasks = many_tasks(seed, 40)
    capacity = Capacity(40, 60 * MIB)
    found = best_residents(population, tasks, POLICY, capacity)
    best = best_of_all(population, tasks, capacity)
    assert best * Decimal("0.31") <= found.gain <= best


def test_where_slots_alone_bind_any_number_of_members_is_chosen_from_exactly() -> None:
    population = crowd(1, 200)
    found = best_residents(population, TASKS, POLICY, Capacity(3))
    assert found.exact
    best = {t.name: max(m.quality for m in population.members if m.task == t.name) for t in TASKS}
    quality = {m.served_name: (m.task, m.quality) for m in population.members}
    assert {quality[name][0] for name in found.kept} == {"french", "cron", "sql"}
    assert all(quality[name][1] == best[quality[name][0]] for name in found.kept)


def test_a_small_first_choice_gives_way_to_a_large_one_that_is_worth_more() -> None:
    # By gain a byte the small ones come first, and then the large one has no place.
    small = [Member(f"a{k:02d}", NAMES[k % 3], 0.21, MIB) for k in range(EXACT)]
    large = Member("large", "sql", 1.0, 60 * MIB)
    found = best_residents(Population(BASE, (*small, large)), TASKS, POLICY, Capacity(4, 60 * MIB))
    assert found.kept == ("large",)


def test_an_empty_population_keeps_nobody() -> None:
    assert best_residents(Population(BASE), TASKS, POLICY, Capacity(4)) == Residents((), (), Decimal(0), True)
