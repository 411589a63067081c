"""A suite's life: what is spent never adds up to more than alpha, also with several proofs under way."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Disclosure
from modelecology.governance.looks import BudgetSpent, Look, SuiteLife

ALPHA = Fraction(1, 20)
SILENT, PASSED = Look(False), Look(True)
UnderWay = tuple[tuple[bool, int], ...]  # of each look: whether its candidate is useless, rounds met


def life(disclosure: Disclosure = Disclosure.VERDICT, **fields: object) -> SuiteLife:
    return replace(SuiteLife(ALPHA, disclosure), **fields)  # type: ignore[arg-type]  # each test names its own


# What may be spent.


def told(now: SuiteLife) -> list[tuple[Look, int]]:
    """All that can be told of a look without a pass, and in how many ways."""
    leads = range(now.best + 1, now.grid + 1) if now.disclosure is Disclosure.ROUNDED else range(0)
    return [(SILENT, 1), *((Look(False, lead=lead), 1) for lead in leads)]


def told_at_a_pass(now: SuiteLife) -> list[tuple[Look, int]]:
    leads = range(now.best + 1, now.grid + 1) if now.disclosure is Disclosure.ROUNDED else range(0)
    return [(Look(True, lead=lead), now.stops) for lead in (None, *leads)]


def worst(now: SuiteLife) -> Fraction:
    """The greatest sum of levels over all transcripts, for the worst choice of useless and good candidates.

    At a useless candidate its level counts, and nothing after its pass does: that is the false pass itself.
    At a good one no level counts, and life goes on after a pass as well.
    """
    level = now.next_level()
    if level == 0:
        return worst(now.fresh_slice()) if now.slice < now.slices else Fraction(0)
    without = sum((times * worst(now.after(look)) for look, times in told(now)), Fraction(0))
    passing = sum((times * worst(now.after(look)) for look, times in told_at_a_pass(now)), Fraction(0))
    return without + max(level, passing)


@pytest.mark.parametrize("horizon", range(1, 8))
def test_a_life_of_verdicts_spends_alpha_exactly(horizon: int) -> None:
    assert worst(life(horizon=horizon, stops=3)) == ALPHA


@pytest.mark.parametrize(("horizon", "grid", "stops"), [(1, 2, 1), (3, 2, 2), (4, 3, 1)])
def test_a_life_of_rounded_leads_spends_no_more_than_alpha(horizon: int, grid: int, stops: int) -> None:
    spent = worst(life(Disclosure.ROUNDED, horizon=horizon, grid=grid, stops=stops))
    assert ALPHA / 2 <= spent <= ALPHA


@pytest.mark.parametrize("disclosure", [Disclosure.VERDICT, Disclosure.ROUNDED])
def test_slices_share_alpha(disclosure: Disclosure) -> None:
    now = life(disclosure, slices=3, horizon=2, grid=2, stops=1)
    assert now.next_level() * 3 == replace(now, slices=1).next_level()
    # Whatever one slice told, the next one is fresh: the chances add up, and transcripts do not multiply.
    assert 3 * worst(replace(now, slice=3)) <= ALPHA


@settings(max_examples=60)
@given(st.integers(1, 40), st.data())
def test_full_results_on_fresh_items_spend_alpha_exactly(horizon: int, data: st.DataObject) -> None:
    now, spent = life(Disclosure.FULL, horizon=horizon), Fraction(0)
    while now.next_level():
        spent += now.next_level()
        now = now.after(Look(data.draw(st.booleans()), met={"t": data.draw(st.integers(0, 9))}))
    assert spent == ALPHA
    assert now.looks == horizon


@settings(max_examples=60)
@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=4))
def test_a_transcript_with_its_silent_looks_spends_its_share_exactly(horizon: int, passes: set[int]) -> None:
    now, run, share = life(horizon=horizon), Fraction(0), ALPHA
    for look in range(horizon):
        level = now.next_level()
        run += level
        now = now.after(PASSED if look in passes else SILENT)
        if look in passes:
            assert run <= share
            run, share = Fraction(0), level / now.stops
    assert now.next_level() == 0
    assert run == (0 if horizon - 1 in passes else share)
    assert (now.looks, now.passes) == (horizon, len([p for p in passes if p < horizon]))


# Several looks under way.


def leads(now: SuiteLife) -> list[int | None]:
    """All leads that may be told, and that none is."""
    return [
        None,
        *(range(now.best + 1, now.grid + 1) if now.disclosure is Disclosure.ROUNDED else range(0)),
    ]


def worst_together(start: SuiteLife, most: int) -> Fraction:
    """The greatest sum of levels over all transcripts, with so many looks under way at once at the most.

    Looks are opened, and met round by round, in whatever order is worst. A candidate is fixed when its look
    is opened: what is told afterwards changes nothing about it, so its level counts once, at the opening.
    """
    known: dict[object, Fraction] = {}

    def closed(now: SuiteLife, at: UnderWay, place: int, look: Look) -> Fraction:
        return spent(now.closed(now.under_way[place].who, look), at[:place] + at[place + 1 :])

    def met(now: SuiteLife, at: UnderWay, place: int) -> Fraction:
        """One more round of one look: it passes after it, or goes on, or ends without a pass."""
        useless, rounds = at[place]
        if rounds + 1 < now.stops:
            found = spent(now, (*at[:place], (useless, rounds + 1), *at[place + 1 :]))
        else:
            found = sum((closed(now, at, place, Look(False, lead)) for lead in leads(now)), Fraction(0))
        # A useless one that passes is the false pass itself: nothing that follows counts.
        if useless:
            return found
        return found + sum((closed(now, at, place, Look(True, lead)) for lead in leads(now)), Fraction(0))

    def spent(now: SuiteLife, at: UnderWay) -> Fraction:
        parts = tuple(each.part for each in now.under_way)
        state = (now.best, now.share, now.begun, now.silent, parts, at)
        if state not in known:
            found, level = Fraction(0), now.next_level()
            if level and len(at) < most:
                opened = now.opened(f"candidate {now.looks}")
                found = max(level + spent(opened, (*at, (True, 0))), spent(opened, (*at, (False, 0))))
            known[state] = max([found, *(met(now, at, place) for place in range(len(at)))])
        return known[state]

    return spent(start, ())


@pytest.mark.parametrize(
    ("horizon", "stops", "most"),
    [(1, 3, 1), (3, 2, 1), (2, 2, 2), (3, 3, 2), (4, 2, 2), (3, 1, 3), (4, 1, 4), (3, 2, 3), (5, 1, 2)],
)
def test_verdicts_with_several_looks_under_way_spend_alpha_exactly(
    horizon: int, stops: int, most: int
) -> None:
    assert worst_together(life(horizon=horizon, stops=stops), most) == ALPHA


@pytest.mark.parametrize(("horizon", "grid", "stops", "most"), [(2, 2, 1, 2), (3, 2, 1, 3), (3, 2, 2, 2)])
def test_rounded_leads_with_several_looks_under_way_spend_no_more_than_alpha(
    horizon: int, grid: int, stops: int, most: int
) -> None:
    start = life(Disclosure.ROUNDED, horizon=horizon, grid=grid, stops=stops)
    assert ALPHA / 2 <= worst_together(start, most) <= ALPHA


def test_a_pass_makes_those_under_way_the_first_looks_of_the_run_that_it_begins() -> None:
    now = life(horizon=10, stops=4).opened("a").opened("b").opened("c")
    after = now.closed("b", PASSED)
    alone = life(horizon=10, stops=4).opened("x").opened("b").closed("b", PASSED)
    assert after.share == alone.share
    assert [each.who for each in after.under_way] == ["a", "c"]
    assert [each.part for each in now.under_way] > [each.part for each in after.under_way]
    assert (after.looks, after.begun, after.silent) == (3, 1, 2)
    # Whoever passes next shares what was set aside for it, whatever was opened meanwhile.
    part = after.under_way[1].part
    assert after.opened("d").closed("a", SILENT).closed("c", PASSED).share == part / 4


@settings(max_examples=100)
@given(st.integers(1, 12), st.sampled_from((Disclosure.VERDICT, Disclosure.ROUNDED)), st.data())
def test_the_parts_of_a_run_never_add_up_to_more_than_its_share(
    horizon: int, disclosure: Disclosure, data: st.DataObject
) -> None:
    now = life(disclosure, horizon=horizon)
    scale = 2 if disclosure is Disclosure.ROUNDED else 1
    for step in range(30):
        under_way = [each.who for each in now.under_way]
        moves = st.booleans()
        if len(under_way) > 0 and data.draw(moves):
            who = under_way[data.draw(st.integers(0, len(under_way) - 1))]
            passed = data.draw(moves)
            now = now.closed(who, Look(passed, lead=now.lead(data.draw(st.floats(-1, 1)))))
        elif now.next_level():
            now = now.opened(str(step))
        assert sum(each.part for each in now.under_way) * scale <= now.share
        assert now.begun + now.silent == now.looks <= horizon
    while now.next_level():
        now = now.opened("last")
    assert now.looks == horizon


def test_a_look_that_nobody_opened_tells_nothing_of_what_is_left() -> None:
    now = life().opened("a")
    assert now.closed("b", SILENT) == now
    assert now.closed("b", PASSED) == replace(now, passes=1)


def test_a_look_at_an_old_slice_says_nothing_of_the_new_one() -> None:
    fresh = life(slices=2, horizon=3).opened("a").fresh_slice().opened("b")
    for end in (SILENT, PASSED):
        after = fresh.closed("a", end)
        assert replace(after, passes=0) == fresh
    assert fresh.closed("b", PASSED).share < fresh.share


@settings(max_examples=60)
@given(st.integers(1, 6), st.lists(st.booleans(), max_size=6))
def test_levels_of_full_results_do_not_depend_on_how_looks_ended(horizon: int, ends: list[bool]) -> None:
    now, plain = life(Disclosure.FULL, horizon=horizon), life(Disclosure.FULL, horizon=horizon)
    for number, end in enumerate(ends[:horizon]):
        now = now.opened(str(number)).closed(str(number), Look(end, met={"t": 5}))
        plain = plain.opened("")
        assert now.next_level() == plain.next_level()
    assert now.spent.get("t", 0) == 5 * len(ends[:horizon])


# What a look costs.


def test_first_looks_are_cheap_and_late_ones_still_affordable() -> None:
    now, levels = life(), []
    for _ in range(200):
        levels.append(now.next_level())
        now = now.after(SILENT)
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > ALPHA / 4
    assert levels[-1] >= ALPHA / 400


def test_a_pass_costs_and_a_silent_look_does_not_lower_what_comes_after_it_by_much() -> None:
    now = life()
    passed, silent = now.after(PASSED), now.after(SILENT)
    assert passed.next_level() < now.next_level() / now.stops
    assert silent.next_level() > now.next_level() / 4


def test_a_spent_horizon_takes_no_more_looks() -> None:
    now = life(horizon=1).after(SILENT)
    assert now.next_level() == 0
    with pytest.raises(BudgetSpent, match="All 1 looks are spent"):
        now.after(SILENT)


def test_a_fresh_slice_begins_anew_until_there_is_none() -> None:
    now = life(Disclosure.ROUNDED, slices=2).after(Look(False, lead=3)).after(SILENT)
    fresh = now.fresh_slice()
    assert fresh.next_level() == life(Disclosure.ROUNDED, slices=2).next_level()
    assert (fresh.slice, fresh.looks, fresh.best, fresh.silent) == (2, 2, 0, 0)
    with pytest.raises(BudgetSpent, match="All 2 slices are used"):
        fresh.fresh_slice()


# What is told.


def test_only_a_new_best_lead_is_told_and_rounded_down() -> None:
    now = life(Disclosure.ROUNDED, grid=20)
    assert now.lead(0.049) is None
    assert now.lead(0.14) == 2
    now = now.after(Look(False, lead=now.lead(0.14)))
    assert now.best == 2
    assert now.lead(0.149) is None
    assert now.lead(0.15) == 3
    assert now.after(PASSED).best == 0  # another incumbent, other leads
    assert now.after(Look(True, lead=3)).best == 0
    assert now.after(SILENT).best == 2
    assert life(Disclosure.VERDICT).lead(0.9) is None


def test_what_is_told_costs_what_could_have_been_told_in_its_place() -> None:
    verdict, rounded = life(stops=4), life(Disclosure.ROUNDED, stops=4, grid=10)
    assert verdict.after(PASSED).share == verdict.next_level() / ALPHA / 4
    assert rounded.after(PASSED).share == rounded.next_level() / ALPHA / 44
    assert rounded.after(Look(False, lead=2)).share == rounded.next_level() / ALPHA / 10
    assert rounded.next_level() * 2 == verdict.next_level()


# Units.


@given(
    st.integers(0, 5000),
    st.integers(1, 7),
    st.fractions(0, Fraction(9, 10)),
    st.sampled_from(list(Disclosure)),
)
def test_screen_and_proofs_never_meet(
    units: int, slices: int, screen: Fraction, disclosure: Disclosure
) -> None:
    now = life(disclosure, slices=slices, screen=screen)
    parts = [list(now.screened(units))]
    for slice_ in range(1, slices + 1 if disclosure is not Disclosure.FULL else 2):
        parts.append(list(replace(now, slice=slice_).proof("t", units)))
    assert [n for part in parts for n in part] == list(range(units))


def test_full_results_use_up_the_items_that_were_met() -> None:
    now = life(Disclosure.FULL).after(Look(False, met={"a": 30, "b": 10})).after(Look(True, met={"a": 20}))
    assert now.proof("a", 200) == range(50, 200)
    assert now.proof("b", 200) == range(10, 200)
    assert now.proof("c", 200) == range(200)
    assert len(now.proof("a", 40)) == 0


def test_verdicts_leave_the_items_as_fresh_as_they_were() -> None:
    now = life().after(Look(False, met={"a": 30}))
    assert now.proof("a", 200) == range(50, 200)
    assert now.spent == {}


def test_a_part_of_a_unit_belongs_to_the_screen() -> None:
    assert life().screened(7) == range(2)
    assert life(screen=Fraction(0)).screened(7) == range(0)
