"""A judge's word beside labels: where no label comes it counts, and elsewhere it shows what it is worth."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from modelecology.api.live_records import LiveRecord, Preference
from modelecology.api.vocabulary import Outcome
from modelecology.governance.facts import Judged
from modelecology.governance.judge import check_shadow_gain
from modelecology.governance.live import check_live_gain
from modelecology.governance.rules import JudgeRules, LiveShadow
from modelecology.reconcile.live import of_shadow

from .gateway import begun
from .stage import Stage
from .test_live import LIVE, START, TRIED, asked, ledger, said, told, trial

JUDGE = "wise"
RULES = LiveShadow(120, 0.0, False, JudgeRules(JUDGE, 0.7, 30, 0.1))


def word(name: str, value: int | None, at: float = 3.0, judge: str = JUDGE, **more: bool) -> Preference:
    body = {"value": value} if value is not None else {"error": "no reply within 30 s"}
    return Preference.model_validate(
        {"time": START + at, "requestId": name, "judge": judge, "kind": "preference"} | body | more
    )


def copy(name: str, ours: str = "a", theirs: str = "b", asker: str | None = None) -> LiveRecord:
    return asked(name, said(LIVE, theirs), said(TRIED, ours), asker=asker)


def found(folder: Path, *records: LiveRecord, **changes: object) -> Judged:
    live = of_shadow(ledger(folder, *records), trial(**({"judge": JUDGE, "unit_is_request": True} | changes)))
    assert live.judged is not None
    return live.judged


def test_a_word_counts_where_no_label_comes_in_the_order_in_which_it_was_said(tmp_path: Path) -> None:
    records = [copy(f"r{number}") for number in range(1, 5)]
    words = [word("r1", -1, 5.0), word("r2", 1, 4.0), word("r3", 1, 3.0), word("r4", None, 3.0)]
    live = found(tmp_path, *records, *words, told("r3", label="b", at=110.0))
    assert live.differences == (1.0, -1.0, -1.0)
    assert (live.words, live.in_step, live.errors) == (2, 1, 1)


def test_without_a_rule_no_word_is_read(tmp_path: Path) -> None:
    live = of_shadow(ledger(tmp_path, copy("r1"), word("r1", 1)), trial())
    assert (live.differences, live.judged) == ((), None)


def test_a_score_of_what_the_user_got_leaves_the_pair_to_the_judge(tmp_path: Path) -> None:
    assert found(tmp_path, copy("r1"), word("r1", 1), told("r1", score=0.5)).differences == (1.0,)


def test_words_are_held_beside_what_labels_say(tmp_path: Path) -> None:
    records = [copy(f"r{number}") for number in range(5)]
    labels = [told("r0", label="a"), told("r1", label="b"), told("r2", label="c"), told("r3", label="a")]
    words = [word("r0", 1), word("r1", 0, inconsistent=True), word("r2", 1), word("r3", None), word("r4", 1)]
    live = found(tmp_path, *records, *labels, *words)
    assert (live.told_apart, live.agreed) == (3, 1)  # r2: neither answer is right; r3: an error says nothing
    assert live.leans == (0.0, 1.0, 1.0)
    assert (live.inconsistent, live.errors) == (1, 1)


def test_what_nobody_was_asked_shows_no_skill(tmp_path: Path) -> None:
    failed = asked("r1", said(LIVE, "a"), said(TRIED, None, "HTTP 500"))
    records = (failed, copy("r2", "a", "a "), word("r1", -1), word("r2", 0))
    live = found(tmp_path, *records, told("r1", label="a"), told("r2", label="a"))
    assert (live.told_apart, live.agreed, live.leans) == (0, 0, ())
    assert found(tmp_path, *records).differences == (-1.0, 0.0)


def test_the_first_word_of_the_judge_that_is_named_counts(tmp_path: Path) -> None:
    live = found(tmp_path, copy("r1"), word("r1", 1, judge="another"), word("r1", -1), word("r1", 1))
    assert live.differences == (-1.0,)


def test_who_asks_counts_once_and_a_label_goes_before_words(tmp_path: Path) -> None:
    records = [copy(f"a{number}", asker="a" * 16) for number in range(3)]
    records += [copy(f"b{number}", asker="b" * 16) for number in range(2)]
    words = [word(name, 1) for name in ("a0", "a1", "a2", "b0", "b1")]
    labels = [told("a1", label="b", at=9.0), told("a2", label="a", at=10.0)]
    live = found(tmp_path, *records, *words, *labels, unit_is_request=False)
    assert (live.differences, live.words) == ((1.0, -1.0), 1)
    assert (live.told_apart, live.agreed) == (1, 0)


def _always_better(_: int) -> int:
    return 1


def _by_chance(_: int) -> int:
    return random.choice((-1, 0, 1))


@pytest.mark.parametrize("judge", [_always_better, _by_chance, lambda _: 0, lambda truth: -truth])
@pytest.mark.parametrize("better", [0.0, 0.3, 0.6])
def test_a_broken_judge_is_never_a_pass(tmp_path: Path, judge: Callable[[int], int], better: float) -> None:
    random.seed(3)
    records: list[LiveRecord] = []
    for number in range(400):
        truth = 1 if random.random() < better else -1
        name = f"r{number}"
        records += [copy(name), word(name, judge(truth))]
        if number < 100:
            records.append(told(name, label="a" if truth > 0 else "b"))
    live = of_shadow(ledger(tmp_path, *records), trial(judge=JUDGE, unit_is_request=True))
    assert len(live.differences) == 100
    check = check_shadow_gain(live, RULES, 0.95)
    assert check.outcome is not Outcome.PASS
    assert (check.n, "counts for nothing" in check.message) == (100, True)


def test_a_judge_that_is_nearly_always_right_needs_few_labels(tmp_path: Path) -> None:
    random.seed(4)
    records: list[LiveRecord] = []
    for number in range(400):
        truth = 1 if random.random() < 0.75 else -1
        says = truth if random.random() < 0.95 else 0
        name = f"r{number}"
        records += [copy(name), word(name, says)]
        if number < 60:
            records.append(told(name, label="a" if truth > 0 else "b"))
    live = of_shadow(ledger(tmp_path, *records), trial(judge=JUDGE, unit_is_request=True))
    assert check_live_gain(live, 0.0, 120, 0.95).outcome is Outcome.INCONCLUSIVE
    check = check_shadow_gain(live, RULES, 0.95)
    assert check.outcome is Outcome.PASS
    assert "340 of them by the judge wise" in check.message


@pytest.mark.parametrize("right", [True, False])
async def test_a_shadow_goes_live_on_words_of_a_judge_only_while_labels_prove_that_it_is_right(
    stage: Stage, right: bool
) -> None:
    live = {"minimumScored": 80, "judge": {"name": JUDGE}}
    gateway = await begun(stage, shadow={"sample": 0.5, "live": live})
    says = [1 if right or number % 2 else -1 for number in range(40)] + [1] * 60
    for number, value in enumerate(says):
        gateway.copied([("wrong", "right")], "right" if number < 40 else None, says={JUDGE: value})
    await stage.pass_time(timedelta(minutes=1))
    if right:
        assert stage.state("dates") == "Live Serving"
        return
    assert stage.state("dates") == "Shadow LiveScoring"
    assert "counts for nothing: it agrees with labels in 20 of 40" in stage.condition("dates")["message"]
