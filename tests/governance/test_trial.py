"""A trial: whole rounds only, an early end where all pass, an error for answers that are not the suite's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelecology.governance.judgement as operator
import modelecology.workloads.course as job
from modelecology.api.vocabulary import Method, Outcome
from modelecology.governance.evidence import EvidenceError, difference, paired
from modelecology.governance.facts import Interval, Item, Results
from modelecology.governance.sequential import Answer, Question, answer, in_order
from modelecology.governance.trial import (
    Course,
    Inquiry,
    Measure,
    Part,
    Sealed,
    Stage,
    Standing,
    among,
    enough,
    in_rounds,
    met_by,
    units_of,
    weigh,
)

from .scenes import scored

SEED = "sha256:suite"
N = 160
NEVER = 0.0


def question(margin: float = 0.0, level: float = 0.05, fails: float = NEVER) -> Question:
    return Question("asked", margin, level, margin, fails)


GAIN = Inquiry("gain", "dates", Measure.GAIN, question())
LOSS = Inquiry("everyday/Loss", "everyday", Measure.LOSS, question(-0.12))
FLOOR = Inquiry("everyday/Floor", "everyday", Measure.FLOOR, question(0.3))
EVERY = Inquiry("everyday/Every", "everyday", Measure.EVERY, question())


def course(
    *inquiries: Inquiry,
    stage: Stage = Stage.PROOF,
    method: Method = Method.SEQUENTIAL,
    rounds: int = 4,
    ends_on_failure: bool = False,
    n: int = N,
) -> Course:
    asked = inquiries or (GAIN, LOSS)
    ranges = dict.fromkeys((each.task for each in asked), range(n))
    return Course(stage, method, SEED, in_rounds(ranges, rounds), asked, ends_on_failure)


def answers(task: str, model: str, *scores: float, n: int = N) -> Results:
    """Answers in the suite's order: the scores, and the last of them for the rest."""
    names = units_of(scored(task, model, [1.0] * n), SEED)
    each = dict(zip(names, (*scores, *[scores[-1]] * (n - len(scores))), strict=True))
    return scored(task, model, [each[f"i{k}"] for k in range(n)])


AGAINST = Sealed(
    {task: answers(task, "generalist", 1.0 if task == "everyday" else 0.0) for task in ("dates", "everyday")},
    answers("dates", "generalist", 0.0),
)
GOOD = {"dates": answers("dates", "us", 1.0), "everyday": answers("everyday", "us", 1.0)}


def first(asked: Course, rounds: int, candidate: Mapping[str, Results] = GOOD) -> dict[str, Results]:
    """The answers of so many rounds."""
    parts = [part for each in asked.rounds[:rounds] for part in each]
    found = {}
    for task, results in candidate.items():
        met = met_by((p for p in parts if p.task == task), units_of(results, SEED))
        found[task] = replace(among(results, met), expected=None)
    return found


def run(asked: Course, candidate: Mapping[str, Results], against: Sealed = AGAINST) -> Standing:
    """What a job does: one round after the other, until the course has ended."""
    standing = None
    for rounds in range(1, len(asked.rounds) + 1):
        standing = weigh(asked, first(asked, rounds, candidate), against)
        assert standing.rounds == rounds
        if standing.ended:
            break
    assert standing is not None
    return standing


# What is enough.


def test_one_item_is_enough_for_what_must_pass_and_none_is_not() -> None:
    assert enough(course(EVERY), {"everyday": 1})
    assert not enough(course(EVERY), {"everyday": 0})
    assert not enough(course(EVERY), {"dates": 9})


def test_a_flawless_candidate_loses_nothing_and_gains_nothing_on_an_invariant() -> None:
    sizes = range(1, 200)
    said = [enough(course(LOSS), {"everyday": n}) for n in sizes]
    assert said == [answer(LOSS.question, np.zeros(n)).outcome is Outcome.PASS for n in sizes]
    assert said != [answer(LOSS.question, np.ones(n)).outcome is Outcome.PASS for n in sizes]


# Rounds.


def test_a_round_without_units_is_none() -> None:
    assert in_rounds({"dates": range(3, 4)}, 3) == ((Part("dates", 3, 4),),)


def test_a_course_counts_the_units_of_as_many_rounds_as_one_asks_about() -> None:
    asked = course()
    assert asked.units(1) == {"dates": 40, "everyday": 40}
    assert asked.units(3) == {"dates": 120, "everyday": 120}
    assert asked.units() == {"dates": N, "everyday": N}


def test_the_order_of_units_is_that_of_the_suite() -> None:
    results = GOOD["dates"]
    assert set(units_of(results, "one")) == set(units_of(results, "two"))
    assert units_of(results, "one") != units_of(results, "two")


def test_some_units_of_results_are_results_of_the_same_model() -> None:
    some = among(GOOD["dates"], frozenset({"i1", "i2"}))
    assert (some.task, some.model, some.expected) == ("dates", "us", 2)


# What is said to each question.


def test_what_must_pass_says_how_many_units_were_met_and_the_plain_score() -> None:
    asked = course(EVERY)
    candidate = {"everyday": answers("everyday", "us", 0.0, 1.0)}
    score = 79 / 80
    told = Answer(EVERY.question, Outcome.FAIL, 80, score, Interval(score, score, 1.0), 0.0, 0.0)
    assert weigh(asked, first(asked, 2, candidate), AGAINST) == Standing((told,), 2, False)


def test_a_fixed_test_says_how_many_units_were_met_and_the_difference() -> None:
    asked = course(GAIN, method=Method.FIXED_SIZE)
    ours = answers("dates", "us", *[1.0, 0.0] * (N // 2))
    found = difference(ours, AGAINST.incumbent, 0.95)
    told = Answer(GAIN.question, Outcome.PASS, N, found.mean, found.interval, 0.0, 0.0)
    assert weigh(asked, {"dates": ours}, AGAINST) == Standing((told,), 4, True)
    (early,) = weigh(asked, first(asked, 3, {"dates": ours}), AGAINST).answers
    assert (early.outcome, early.units) == (Outcome.INCONCLUSIVE, 120)


def test_a_fixed_test_passes_above_its_margin_and_fails_below_it_and_not_at_it() -> None:
    ours = answers("dates", "us", *[1.0, 0.0] * (N // 2))
    bounds = difference(ours, AGAINST.incumbent, 0.95).interval

    def said(margin: float, hopeless: float) -> Outcome:
        inquiry = replace(GAIN, question=Question("asked", margin, 0.05, hopeless, 0.05))
        return weigh(course(inquiry, method=Method.FIXED_SIZE), {"dates": ours}, AGAINST).outcome

    assert said(bounds.low, bounds.high) is Outcome.INCONCLUSIVE
    assert said(bounds.low - 1e-9, bounds.high) is Outcome.PASS
    assert said(bounds.low, bounds.high + 1e-9) is Outcome.FAIL


def test_differences_come_to_the_question_in_the_order_of_the_suite() -> None:
    ours = scored("dates", "us", [float(k % 3 == 0) for k in range(N)])
    (told,) = weigh(course(GAIN), {"dates": ours}, AGAINST).answers
    assert told == answer(GAIN.question, in_order(paired(ours, AGAINST.incumbent), SEED))


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 90), max_size=4), st.integers(1, 12))
def test_rounds_meet_each_unit_once_and_in_order(sizes: dict[str, int], count: int) -> None:
    rounds = in_rounds({task: range(7, 7 + size) for task, size in sizes.items()}, count)
    assert len(rounds) <= count
    assert all(rounds)
    for task, size in sizes.items():
        parts = [part for each in rounds for part in each if part.task == task]
        assert [k for p in parts for k in range(p.first, p.last)] == list(range(7, 7 + size))
        assert max((p.last - p.first for p in parts), default=0) <= -(-size // count)


def test_a_course_that_passes_ends_after_the_round_in_which_the_last_question_did() -> None:
    standing = run(course(), GOOD)
    assert (standing.outcome, standing.rounds, standing.ended) == (Outcome.PASS, 2, True)
    assert [a.outcome for a in standing.answers] == [Outcome.PASS, Outcome.PASS]
    gain = run(course(GAIN), GOOD)
    assert (gain.outcome, gain.rounds) == (Outcome.PASS, 1)


def test_no_answer_at_all_is_no_round() -> None:
    for nothing in ({}, {"dates": Results("dates", "us", ())}):
        standing = weigh(course(), nothing, AGAINST)
        assert (standing.rounds, standing.ended) == (0, False)
        assert standing.outcome is Outcome.INCONCLUSIVE


def test_a_round_counts_when_it_is_whole_in_every_task() -> None:
    asked = course()
    half = first(asked, 1) | {"everyday": first(asked, 0)["everyday"]}
    with pytest.raises(EvidenceError, match="no whole round of the proof asks"):
        weigh(asked, half, AGAINST)
    standing = weigh(asked, first(asked, 1), AGAINST)
    assert (standing.rounds, standing.ended) == (1, False)


def test_a_course_without_questions_or_without_units_passes_nothing() -> None:
    empty = course(GAIN, EVERY, n=0)
    standing = weigh(empty, {}, AGAINST)
    assert standing.ended
    assert standing.outcome is Outcome.INCONCLUSIVE
    nothing = Course(Stage.PROOF, Method.SEQUENTIAL, SEED, (), (), False)
    assert weigh(nothing, {}, AGAINST).outcome is Outcome.INCONCLUSIVE


# Failures.


def test_a_failure_ends_a_screen_and_never_a_sealed_proof() -> None:
    loser = GOOD | {"dates": answers("dates", "us", 0.0)}
    against = replace(AGAINST, incumbent=answers("dates", "generalist", 1.0))
    hopeless = replace(GAIN, question=question(fails=0.1))
    screen = run(course(hopeless, LOSS, stage=Stage.SCREEN, ends_on_failure=True), loser, against)
    assert (screen.outcome, screen.rounds, screen.ended) == (Outcome.FAIL, 1, True)
    proof = run(course(hopeless, LOSS), loser, against)
    assert (proof.outcome, proof.rounds, proof.ended) == (Outcome.FAIL, 4, True)
    sealed = run(course(GAIN, LOSS), loser, against)
    assert (sealed.outcome, sealed.rounds) == (Outcome.INCONCLUSIVE, 4)


def test_one_miss_breaks_what_must_pass_and_only_all_items_show_that_it_holds() -> None:
    asked = course(GAIN, EVERY, ends_on_failure=True)
    standing = run(asked, GOOD)
    assert (standing.outcome, standing.rounds) == (Outcome.PASS, 4)
    assert weigh(asked, first(asked, 3), AGAINST).answers[1].outcome is Outcome.INCONCLUSIVE
    for place, rounds in ((0, 1), (40, 2), (159, 4)):
        missed = GOOD | {"everyday": answers("everyday", "us", *[1.0] * place, 0.999, *[1.0] * (159 - place))}
        standing = run(asked, missed)
        assert (standing.outcome, standing.rounds) == (Outcome.FAIL, rounds)
        hidden = run(course(GAIN, EVERY), missed)
        assert (hidden.outcome, hidden.rounds) == (Outcome.FAIL, 4)


def test_a_floor_is_about_the_candidates_score_alone() -> None:
    asked = course(GAIN, FLOOR)
    assert run(asked, GOOD).outcome is Outcome.PASS
    low = GOOD | {"everyday": answers("everyday", "us", *[0.0, 0.0, 1.0, 0.0] * 40)}
    assert run(asked, low).outcome is Outcome.INCONCLUSIVE
    # Also where the generalist is worse: nothing is compared.
    weak = Sealed({**AGAINST.baseline, "everyday": answers("everyday", "generalist", 0.0)}, AGAINST.incumbent)
    assert run(asked, low, weak).outcome is Outcome.INCONCLUSIVE
    refused = replace(FLOOR, question=question(0.3, fails=0.05))
    assert run(course(GAIN, refused), GOOD | {"everyday": answers("everyday", "us", 0.0)}).outcome is (
        Outcome.FAIL
    )


# Tests of fixed size.


def test_a_fixed_test_is_looked_at_once() -> None:
    asked = course(GAIN, LOSS, FLOOR, method=Method.FIXED_SIZE)
    for rounds in range(1, 4):
        standing = weigh(asked, first(asked, rounds), AGAINST)
        assert (standing.outcome, standing.ended) == (Outcome.INCONCLUSIVE, False)
    assert run(asked, GOOD).outcome is Outcome.PASS
    assert run(asked, GOOD).rounds == 4


@pytest.mark.parametrize(("fails", "outcome"), [(NEVER, Outcome.INCONCLUSIVE), (0.05, Outcome.FAIL)])
def test_a_fixed_test_fails_only_where_that_may_be_told(fails: float, outcome: Outcome) -> None:
    asked = course(replace(GAIN, question=question(fails=fails)), method=Method.FIXED_SIZE)
    loser = {"dates": answers("dates", "us", *[0.0, 1.0] * 80)}
    against = replace(AGAINST, incumbent=answers("dates", "generalist", *[1.0, 1.0, 1.0, 0.0] * 40))
    assert run(asked, loser, against).outcome is outcome
    screen = replace(asked, stage=Stage.SCREEN)
    # A screen is met bit by bit, so it is always sequential.
    assert run(screen, GOOD).rounds == 1


@given(st.sampled_from(list(Method)), st.integers(0, 160), st.sampled_from((0.2, 0.05, 1e-4)))
@settings(max_examples=60)
def test_a_suite_is_enough_exactly_where_a_flawless_candidate_passes(
    method: Method, n: int, level: float
) -> None:
    asked = (
        replace(GAIN, question=question(0.01, level)),
        replace(LOSS, question=question(-0.1, level)),
        replace(FLOOR, question=question(0.8, level)),
        EVERY,
    )
    laid_out = course(*asked, method=method, n=n)
    passes = n > 0 and run(laid_out, first(laid_out, 4)).outcome is Outcome.PASS
    assert enough(laid_out, dict.fromkeys(("dates", "everyday"), n)) is passes


# A broken judge.


def faults(asked: Course) -> Iterator[tuple[str, dict[str, Results]]]:
    """Answers of three rounds, each with one thing that is wrong."""
    whole = first(asked, 3)
    for task in ("dates", "everyday"):
        for place in (0, 47, 119):
            items = list(whole[task].items)
            item = items[place]
            others = [i for i in items if i is not item]
            for name, broken in (
                ("missing", others),
                ("double", [*items, item]),
                ("of another cluster", [*others, replace(item, cluster=others[0].cluster)]),
                ("of a strange cluster", [*others, replace(item, cluster="strange")]),
                ("renamed", [*others, replace(item, id="strange")]),
                ("too good", [*others, replace(item, score=1.5)]),
                ("no number", [*others, replace(item, score=float("nan"))]),
                ("one too many", [*items, Item("more", item.cluster, 1.0)]),
                ("of nowhere", [*items, Item("more", "more", 1.0)]),
            ):
                yield name, whole | {task: replace(whole[task], items=tuple(broken))}
        yield "of another task", whole | {task: replace(whole[task], task="cron")}
        yield "of an unasked task", whole | {"cron": replace(whole[task], task="cron")}


@pytest.mark.parametrize("rounds", [1, 4])
@pytest.mark.parametrize("method", Method)
def test_answers_that_are_not_the_suites_are_an_error_and_never_a_pass(rounds: int, method: Method) -> None:
    asked = course(method=method)
    found = []
    for name, broken in faults(asked):
        with pytest.raises(EvidenceError):
            weigh(asked, broken, AGAINST)
        found.append(name)
    assert len(found) == 58
    assert run(course(rounds=rounds), GOOD).outcome is Outcome.PASS


def test_broken_answers_of_the_routes_are_an_error() -> None:
    asked = course()
    short = replace(AGAINST.incumbent, items=AGAINST.incumbent.items[1:], expected=None)
    double = replace(AGAINST.incumbent, items=(*AGAINST.incumbent.items, AGAINST.incumbent.items[0]))
    moved = replace(
        AGAINST.incumbent, items=tuple(replace(i, cluster="all") for i in AGAINST.incumbent.items)
    )
    for incumbent in (short, double, moved, replace(AGAINST.incumbent, task="cron")):
        with pytest.raises(EvidenceError):
            weigh(asked, first(asked, 4), replace(AGAINST, incumbent=incumbent))
    for baseline in (short, double):
        with pytest.raises(EvidenceError):
            weigh(asked, first(asked, 4), replace(AGAINST, baseline={**AGAINST.baseline, "dates": baseline}))


# The same in any order, for whoever asks.


@st.composite
def clustered(draw: st.DrawFn) -> tuple[dict[str, Results], Sealed, Course, list[int]]:
    """Any answers to a clustered suite, and another order of its items."""
    n = draw(st.integers(1, 24))
    names = [f"c{draw(st.integers(0, 9))}" for _ in range(n)]
    graded = st.sampled_from((0.0, 0.5, 1.0))
    ours, theirs = (draw(st.lists(graded, min_size=n, max_size=n)) for _ in range(2))
    against = scored("dates", "generalist", theirs, names)
    asked = course(
        replace(GAIN, question=question(level=0.5, fails=0.3)),
        rounds=draw(st.integers(1, 4)),
        n=len(set(names)),
        method=draw(st.sampled_from(list(Method))),
        ends_on_failure=draw(st.booleans()),
    )
    mixed = draw(st.permutations(range(n)))
    return {"dates": scored("dates", "us", ours, names)}, Sealed({"dates": against}, against), asked, mixed


@given(clustered())
def test_the_order_of_items_does_not_matter(
    found: tuple[dict[str, Results], Sealed, Course, list[int]],
) -> None:
    candidate, against, asked, order = found
    mixed = {t: replace(r, items=tuple(r.items[k] for k in order)) for t, r in candidate.items()}
    incumbent = replace(against.incumbent, items=tuple(against.incumbent.items[k] for k in order))
    other = Sealed({"dates": incumbent}, incumbent)
    assert weigh(asked, mixed, other) == weigh(asked, candidate, against)


@settings(max_examples=40)
@given(clustered())
def test_where_a_course_ends_does_not_depend_on_what_would_have_come_after(
    found: tuple[dict[str, Results], Sealed, Course, list[int]],
) -> None:
    candidate, against, asked, _ = found
    ended = run(asked, candidate, against)
    changed = {
        t: replace(r, items=tuple(replace(i, score=1.0 - i.score) for i in r.items))
        for t, r in candidate.items()
    }
    kept = first(asked, ended.rounds, candidate)
    names = {i.id for r in kept.values() for i in r.items}
    rest = {
        t: replace(r, items=tuple(i if i.id in names else c.items[k] for k, i in enumerate(r.items)))
        for (t, r), c in zip(candidate.items(), changed.values(), strict=True)
    }
    assert run(asked, rest, against) == ended


def test_the_job_that_asks_and_the_operator_that_judges_use_one_function() -> None:
    assert job.weigh is weigh  # type: ignore[attr-defined]  # what the job uses, not what it offers
    assert operator.weigh is weigh  # type: ignore[attr-defined]  # the same


@settings(max_examples=40)
@given(clustered())
def test_the_operator_comes_to_what_the_job_ended_with(
    found: tuple[dict[str, Results], Sealed, Course, list[int]],
) -> None:
    candidate, against, asked, _ = found
    ended = run(asked, candidate, against)
    assert ended.ended
    named = {t: replace(r, model="dates-aaaaaaaaaaaa") for t, r in candidate.items()}
    renamed = Sealed(against.baseline, replace(against.incumbent, model="dates-old"))
    assert weigh(asked, first(asked, ended.rounds, named), renamed) == ended


def test_a_question_says_whose_answers_it_compares_with() -> None:
    assert AGAINST.against(GAIN) is AGAINST.incumbent
    assert AGAINST.against(LOSS) is AGAINST.baseline["everyday"]
    assert met_by((Part("dates", 1, 3),), ("a", "b", "c")) == {"b", "c"}
