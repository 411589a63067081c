"""What a judge is asked, and what two replies come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.serving.judge.comparison import (
    Comparison,
    Finding,
    Word,
    finding,
    read_word,
    shadow_is_first,
)


@pytest.mark.parametrize("shadow_first", [True, False])
@pytest.mark.parametrize(("better", "value"), [("shadow", 1), ("served", -1)])
def test_who_is_better_in_both_orders_is_better(shadow_first: bool, better: str, value: int) -> None:
    first = Word.FIRST if shadow_first == (better == "shadow") else Word.SECOND
    turned = Word.SECOND if first is Word.FIRST else Word.FIRST
    assert finding(first, turned, shadow_first=shadow_first) == Finding(value)


@given(st.sampled_from(list(Word)), st.sampled_from(list(Word)), st.booleans())
def test_replies_that_differ_are_a_tie_that_is_counted(first: Word, turned: Word, shadow_first: bool) -> None:
    found = finding(first, turned, shadow_first=shadow_first)
    mirrored = {Word.FIRST: Word.SECOND, Word.SECOND: Word.FIRST, Word.SAME: Word.SAME}
    assert found.inconsistent == (mirrored[first] is not turned)
    assert (found.value == 0) == (found.inconsistent or first is Word.SAME)


@pytest.mark.parametrize("word", [Word.FIRST, Word.SECOND])
def test_a_judge_that_looks_at_the_place_alone_says_nothing(word: Word) -> None:
    assert finding(word, word, shadow_first=True) == Finding(0, inconsistent=True)


def test_each_of_the_two_comes_first_half_of_the_time() -> None:
    first = sum(shadow_is_first(f"r{number}") for number in range(1000))
    assert 450 <= first <= 550


@pytest.mark.parametrize("text", ["FIRST", " SECOND\n", "SAME"])
def test_a_reply_is_one_of_three_words(text: str) -> None:
    assert read_word(text) is Word(text.strip())


@pytest.mark.parametrize(
    "text", ["", "first", "FIRST.", "FIRST SECOND", "The FIRST is better", "FIRST\nSAME"]
)
def test_what_is_not_exactly_a_word_is_no_reply(text: str) -> None:
    assert read_word(text) is None


@given(st.text(), st.text(), st.text())
def test_no_answer_can_pass_for_the_end_of_another(prompt: str, first: str, second: str) -> None:
    asked = Comparison(prompt, first, second)
    mark = asked.rules().split("begin with ")[1].split()[0]
    assert mark not in prompt + first + second
    assert asked.material().count(mark) == 4
    assert asked.turned.turned == asked
