"""Which copy is judged next, and which never."""

from __future__ import annotations

import pytest

from modelecology.api.live_records import Preference
from modelecology.serving.judge.docket import Docket
from modelecology.serving.judge.metrics import JudgeMetrics

from .stage import JUDGE, copied, labelled, names


@pytest.fixture
def docket() -> Docket:
    return Docket(JUDGE, JudgeMetrics(), most_waiting=3)


def test_the_oldest_comes_first_and_what_has_a_label_before_all(docket: Docket) -> None:
    for each in (copied("r1"), copied("r2"), copied("r3"), labelled("r2"), labelled("unknown")):
        docket.see(each)
    assert names(docket.take() for _ in range(4)) == ["r2", "r1", "r3", None]


def test_a_label_counts_also_where_it_came_before_its_copy(docket: Docket) -> None:
    for each in (labelled("r2"), labelled("r9"), copied("r1"), copied("r2"), copied("r3")):
        docket.see(each)
    assert names(docket.take() for _ in range(4)) == ["r2", "r1", "r3", None]


def test_labels_that_wait_for_their_copies_are_bounded_and_the_oldest_go(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelecology.serving.judge.docket._MOST_REMEMBERED", 2)
    for each in (labelled("r2"), labelled("r3"), labelled("r4"), copied("r1"), copied("r2"), copied("r3")):
        docket.see(each)
    assert names(docket.take() for _ in range(3)) == ["r3", "r1", "r2"]


def test_of_too_many_the_oldest_go(docket: Docket) -> None:
    for number in range(5):
        docket.see(copied(f"r{number}"))
    docket.see(labelled("r0"))
    assert names(docket.take() for _ in range(4)) == ["r2", "r3", "r4", None]


def test_what_was_judged_does_not_come_again_wherever_its_word_stands(docket: Docket) -> None:
    word = Preference(time=1.0, request_id="r1", judge=JUDGE, error="HTTP 400")
    docket.see(copied("r1"))
    docket.see(word)
    docket.see(word.model_copy(update={"request_id": "r2"}))
    docket.see(copied("r2"))
    docket.see(word.model_copy(update={"request_id": "r3", "judge": "another"}))
    docket.see(copied("r3"))
    assert names(docket.take() for _ in range(2)) == ["r3", None]
    docket.see(copied("r3"))
    assert docket.take() is None


def test_what_could_not_be_judged_now_is_judged_later(docket: Docket) -> None:
    docket.see(copied("r1"))
    docket.see(copied("r2"))
    first = docket.take()
    assert first is not None
    docket.put_back(first)
    assert names(docket.take() for _ in range(3)) == ["r2", "r1", None]


def test_what_has_a_label_comes_first_again_when_it_could_not_be_judged_now(docket: Docket) -> None:
    for each in (copied("r1"), copied("r2"), copied("r3"), labelled("r2")):
        docket.see(each)
    second, first = docket.take(), docket.take()
    assert second is not None
    assert first is not None
    docket.see(labelled("r1"))  # while it is being judged
    docket.put_back(second)
    docket.put_back(first)
    assert names(docket.take() for _ in range(4)) == ["r2", "r1", "r3", None]


def test_copies_without_their_texts_are_counted_and_not_judged_also_where_they_failed(docket: Docket) -> None:
    docket.see(copied("r1", prompt=None))
    docket.see(copied("r2", texts=False))
    docket.see(copied("r3", ours=None, prompt=None))
    assert (docket.take(), docket.unreadable) == (None, 3)


def test_a_request_without_a_copy_or_an_answer_is_nothing_to_judge(docket: Docket) -> None:
    docket.see(copied("r1").model_copy(update={"shadow": None}))
    docket.see(copied("r2", error="HTTP 500"))
    assert (docket.take(), docket.unreadable) == (None, 0)
