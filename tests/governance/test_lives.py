"""The log's lives of suites: each proof is a look, from its opening to what it told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.vocabulary import Action, Disclosure, Outcome, State
from modelecology.governance.facts import (
    LookPlan,
    Met,
    RevisionRecord,
    TakenLook,
)
from modelecology.governance.lives import closed, life_under, opened, plan_under
from modelecology.governance.log import (
    Entry,
    LogBroken,
    LogState,
    Subject,
    apply,
    canonical,
    fold,
    sealed,
)
from modelecology.governance.looks import BudgetSpent, Look, OpenLook, SuiteLife
from modelecology.governance.rules import EvidenceRules

from .scenes import NOW, POLICY, SUITE, look

OTHER = "sha256:other"
Move = tuple[Action, State, State]
PROPOSE = (Action.PROPOSE, State.PENDING, State.TRAINING)
EVALUATE = (Action.EVALUATE, State.TRAINING, State.EVALUATING)
PROVE = (Action.PROVE, State.EVALUATING, State.EVALUATING)
RETRY = (Action.RETRY, State.EVALUATING, State.EVALUATING)
ADMIT = (Action.ADMIT, State.EVALUATING, State.SHADOW)
SHELVE = (Action.SHELVE, State.EVALUATING, State.SHELVED)
FAIL = (Action.FAIL, State.EVALUATING, State.FAILED)
RETIRE = (Action.RETIRE, State.EVALUATING, State.RETIRED)
DELETE = (Action.DELETE, State.EVALUATING, State.DELETED)
RECONSIDER = (Action.RECONSIDER, State.SHELVED, State.EVALUATING)
SMALL = replace(POLICY, evidence=EvidenceRules(looks=3))
LOOK = look(SMALL)
PASSED = replace(LOOK, passed=True, round=2)
TO_EVALUATING = (PROPOSE, EVALUATE)


def after(state: LogState, move: Move, who: str = "a", taken: TakenLook | None = None) -> LogState:
    """One more entry about the first revision of an object."""
    action, source, target = move
    return apply(
        state,
        sealed(
            Entry(
                population="desk",
                sequence=state.sequence + 1,
                time=NOW + timedelta(seconds=state.sequence),
                subject=Subject(who, who, "r" * 12, "k" * 64),
                action=action,
                from_state=source,
                to=target,
                outcome=Outcome.PASS,
                reason="GapProven",
                actor="operator",
                previous=state.digest,
                look=taken,
            )
        ),
    )


def through(*moves: tuple[Move, TakenLook | None], who: str = "a", state: LogState | None = None) -> LogState:
    found = state or LogState()
    for move in TO_EVALUATING:
        found = after(found, move, who)
    for move, taken in moves:
        found = after(found, move, who, taken)
    return found


def record(state: LogState, who: str = "a") -> RevisionRecord:
    return state.specialists[who].revisions["r" * 12]


def test_a_proof_is_a_look_from_its_opening_to_what_it_told() -> None:
    open_ = through((PROVE, LOOK))
    life = open_.lives[SUITE]
    assert (life.looks, life.passes) == (1, 0)
    assert life.under_way == (OpenLook(f"a/{'r' * 12}", life_under(LOOK.plan).next_level() * 20),)
    assert (record(open_).look, record(open_).proven) == (LOOK, None)
    passed = after(open_, ADMIT, taken=PASSED)
    assert passed.lives[SUITE] == life_under(LOOK.plan).after(Look(True))
    assert (record(passed).look, record(passed).proven) == (None, PASSED)
    missed = after(open_, SHELVE, taken=LOOK)
    assert missed.lives[SUITE] == life_under(LOOK.plan).after(Look(False))
    assert (record(missed).look, record(missed).proven) == (None, None)


@pytest.mark.parametrize("end", [FAIL, RETIRE, DELETE, SHELVE])
def test_a_proof_that_breaks_off_does_not_pass_and_stays_spent(end: Move) -> None:
    broken = through((PROVE, LOOK), (end, None))
    assert broken.lives[SUITE] == life_under(LOOK.plan).after(Look(False))
    assert (record(broken).look, record(broken).proven) == (None, None)


def test_a_retry_goes_on_with_the_same_look() -> None:
    open_ = through((PROVE, LOOK))
    again = after(open_, RETRY)
    assert again.lives == open_.lives
    assert record(again).look == LOOK


def test_another_suite_ends_the_proof_on_the_old_one_and_has_a_life_of_its_own() -> None:
    other = replace(LOOK, suite=OTHER)
    moved = through((PROVE, LOOK), (PROVE, other))
    assert moved.lives[SUITE] == life_under(LOOK.plan).after(Look(False))
    assert moved.lives[OTHER].looks == 1
    assert record(moved).look == other


def test_a_verdict_that_is_taken_again_forgets_the_proof_that_passed() -> None:
    shadow = through((PROVE, LOOK), (ADMIT, PASSED))
    again = after(shadow, (Action.RECONSIDER, State.SHADOW, State.EVALUATING))
    assert (record(again).look, record(again).proven) == (None, None)
    assert again.lives == shadow.lives
    live = after(shadow, (Action.PROMOTE, State.SHADOW, State.LIVE))
    assert record(live).proven == PASSED


def test_several_proofs_may_be_under_way_and_end_in_any_order() -> None:
    both = through((PROVE, LOOK), who="b", state=through((PROVE, LOOK)))
    one, two = (f"{who}/{'r' * 12}" for who in "ab")
    start = life_under(LOOK.plan).opened(one).opened(two)
    assert both.lives[SUITE] == start
    late = after(after(both, ADMIT, "b", PASSED), SHELVE, "a", LOOK)
    assert late.lives[SUITE] == start.closed(two, Look(True)).closed(one, Look(False))


def test_a_look_beyond_the_budget_breaks_the_log() -> None:
    state = LogState()
    for who in "abc":
        state = through((PROVE, LOOK), (SHELVE, LOOK), who=who, state=state)
    with pytest.raises(LogBroken, match="decision 15 takes a look that is not there: All 3 looks are spent"):
        through((PROVE, LOOK), who="d", state=state)
    with pytest.raises(LogBroken, match="All 1 slices are used"):
        through((PROVE, replace(LOOK, slice=2)), who="d", state=state)


def test_the_first_look_at_a_suite_fixes_the_plan_for_its_life() -> None:
    generous = replace(LOOK, plan=replace(LOOK.plan, looks=200, alpha="1/2"))
    state = through((PROVE, generous), who="b", state=through((PROVE, LOOK), (SHELVE, LOOK)))
    assert plan_under(state.lives[SUITE]) == LOOK.plan


def test_a_fresh_slice_begins_with_the_look_that_names_it() -> None:
    plan = replace(LOOK.plan, slices=2)
    first = replace(LOOK, plan=plan)
    state = through((PROVE, first), (SHELVE, first))
    state = through((PROVE, replace(first, slice=2)), who="b", state=state)
    assert (state.lives[SUITE].slice, state.lives[SUITE].silent) == (2, 1)


def test_full_results_count_the_units_that_were_met() -> None:
    full = replace(LOOK, plan=replace(LOOK.plan, disclosure=Disclosure.FULL))
    told = replace(full, met=(Met("dates", 30), Met("everyday", 20)))
    state = through((PROVE, full), (SHELVE, told))
    assert state.lives[SUITE].spent == {"dates": 30, "everyday": 20}


def test_an_end_without_an_opening_changes_no_life() -> None:
    assert closed({}, "a", LOOK, PASSED) == {}
    assert through((SHELVE, None)).lives == {}


def test_what_is_opened_beyond_the_budget_is_refused() -> None:
    lives: Mapping[str, SuiteLife] = {}
    for who in "abc":
        lives = opened(lives, who, LOOK)
    with pytest.raises(BudgetSpent):
        opened(lives, "d", LOOK)


@given(
    st.builds(
        LookPlan,
        alpha=st.fractions(Fraction(1, 1000), Fraction(1, 2)).map(str),
        disclosure=st.sampled_from(Disclosure),
        looks=st.integers(1, 500),
        slices=st.integers(1, 16),
        rounds=st.integers(1, 64),
        grid=st.integers(1, 1000),
        screen=st.fractions(0, Fraction(9, 10)).map(str),
    )
)
def test_a_plan_is_kept_by_the_life_that_begins_under_it(plan: LookPlan) -> None:
    assert plan_under(life_under(plan)) == plan
    assert plan_under(life_under(plan).opened("a").closed("a", Look(True))) == plan


@settings(max_examples=60)
@given(st.lists(st.sampled_from(("open", "pass", "miss", "fail", "delete", "retry")), max_size=25), st.data())
def test_the_fold_keeps_lives_and_records_in_step(steps: list[str], data: st.DataObject) -> None:
    plan = replace(LOOK.plan, looks=6, disclosure=data.draw(st.sampled_from(Disclosure)))
    first = replace(LOOK, plan=plan)
    state, opened_, passes, names = LogState(), 0, 0, iter(range(100))
    at_work: list[str] = []
    for step in steps:
        if step == "open":
            who = f"s{next(names)}"
            state = through(who=who, state=state)
            if opened_ == plan.looks:
                with pytest.raises(LogBroken):
                    after(state, PROVE, who, first)
                continue
            state, opened_ = after(state, PROVE, who, first), opened_ + 1
            at_work.append(who)
        elif at_work:
            who = data.draw(st.sampled_from(at_work))
            if step == "retry":
                state = after(state, RETRY, who)
                continue
            at_work.remove(who)
            move, told = {
                "pass": (ADMIT, replace(first, passed=True, round=1)),
                "miss": (SHELVE, first),
                "fail": (FAIL, None),
                "delete": (DELETE, None),
            }[step]
            passes += step == "pass"
            state = after(state, move, who, told)
    life = state.lives.get(SUITE, life_under(plan))
    assert (life.looks, life.passes) == (opened_, passes)
    assert sorted(each.who for each in life.under_way) == sorted(f"{who}/{'r' * 12}" for who in at_work)
    for name in state.specialists:
        assert (record(state, name).look is not None) == (name in at_work)
    assert (life.next_level() == 0) == (opened_ == plan.looks)


def test_an_entry_without_a_look_has_the_bytes_that_it_had_before_there_were_looks() -> None:
    plain = sealed(
        Entry(
            population="desk",
            sequence=1,
            time=NOW,
            subject=Subject("a", "a", "r" * 12),
            action=Action.PROPOSE,
            from_state=State.PENDING,
            to=State.TRAINING,
            outcome=Outcome.PASS,
            reason="GapProven",
            actor="operator",
            previous=LogState().digest,
        )
    )
    assert b"look" not in canonical(plain)
    assert b'"look":{' in canonical(replace(plain, look=LOOK))
    assert canonical(replace(plain, look=LOOK)) != canonical(replace(plain, look=PASSED))
    assert fold([plain]).lives == {}
