"""When a judge is asked next."""

from __future__ import annotations

from modelecology.serving.judge.pace import Pace


def test_judgements_begin_evenly_and_none_is_saved_up() -> None:
    now = 0.0
    pace = Pace(60, lambda: now)
    assert [pace.wait() for _ in range(3)] == [0.0, 1.0, 2.0]
    now = 100.0
    assert [pace.wait() for _ in range(2)] == [0.0, 1.0]


def test_a_judge_that_is_away_is_left_alone_longer_and_longer() -> None:
    pace = Pace(60, lambda: 0.0)
    assert [pace.away() for _ in range(8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert pace.wait() == 60.0
    pace.answered()
    assert pace.away() == 1.0
