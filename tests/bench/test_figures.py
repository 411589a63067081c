"""Figures and the report that is made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.audit import WriteCounts
from bench.contenders import cpu_of, looks_of
from bench.figures import Spread, delays, percentile
from bench.job_process import JobEnd, duration
from bench.report import report
from bench.walk import Rest, Walk

NOTHING = WriteCounts(0, 0, 0, 0, 0, 0)


def walked(operator: str = "ours", *, cpu: float = 1.0, delay: float = 0.1) -> Walk:
    return Walk(
        operator=operator,
        specialists=2,
        transitions=10,
        jobs=6,
        generalist_jobs=1,
        wall_seconds=5.0,
        cpu_seconds=cpu,
        writes=WriteCounts(10, 10, 1, 2, 10, 0),
        delays=(delay,) * 6,
        unanswered=0,
        rest=Rest(seconds=20.0, cpu_seconds=0.1, looks=10, resyncs=10, writes=NOTHING),
    )


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_percentile_is_one_of_the_values_and_half_of_them_do_not_exceed_the_middle(
    values: list[float],
) -> None:
    middle = percentile(values, 0.5)
    assert middle in values
    assert sum(v <= middle for v in values) * 2 >= len(values)


def test_the_99th_of_a_hundred_values_leaves_out_the_greatest() -> None:
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0


def test_no_values_have_no_percentile_and_no_spread() -> None:
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="at least one"):
        Spread.of([])


def test_a_job_end_is_paired_with_the_first_action_after_it() -> None:
    ends = [JobEnd("train-1", "a", 10.0), JobEnd("evaluate-1", "a", 12.0)]
    found, unanswered = delays(ends, {"a": [9.0, 10.25, 12.5], "b": [10.01]})
    assert (found, unanswered) == ((0.25, 0.5), 0)


def test_an_end_without_an_action_is_counted_and_the_generalists_is_left_out() -> None:
    ends = [JobEnd("train-1", "a", 10.0), JobEnd("evaluate-1", "", 10.0)]
    assert delays(ends, {"a": [9.0]}) == ((), 1)


def test_a_file_time_one_tick_ahead_of_the_action_still_finds_it() -> None:
    found, _ = delays([JobEnd("train-1", "a", 10.004)], {"a": [10.0]})
    assert found == (0.0,)


def test_the_cpu_of_a_process_is_its_user_and_system_time() -> None:
    stat = "42 (a (strange) name) S 1 1 1 0 -1 4194304 100 0 0 0 150 50 7 7 20 0 1 0 100 1 1"
    assert cpu_of(stat) == pytest.approx(2.0)


def test_looks_are_read_from_the_metrics_by_kind() -> None:
    metrics = (
        'modelecology_reconcile_seconds_count{kind="Population"} 12.0\n'
        'modelecology_reconcile_seconds_sum{kind="Population"} 0.5\n'
        'modelecology_reconcile_seconds_count{kind="Specialist"} 30.0\n'
    )
    assert looks_of(metrics) == {"Population": 12, "Specialist": 30}


@given(st.text(), st.text(), st.floats(0, 100))
def test_a_job_runs_half_to_one_and_a_half_times_as_long_as_asked(
    phase: str, specialist: str, seconds: float
) -> None:
    assert 0.5 * seconds <= duration(phase, specialist, seconds) <= 1.5 * seconds


def test_a_bench_that_meets_every_goal_says_so() -> None:
    text = report([walked(cpu=0.1)], [walked("naive")]).text()
    assert "Every goal is met" in text
    assert "missed" not in text


def test_each_missed_goal_is_named_with_what_to_do_next() -> None:
    ours = replace(
        walked(cpu=2.0, delay=0.4),
        jobs=7,
        writes=WriteCounts(10, 12, 1, 2, 10, 0),
        rest=Rest(20.0, 0.1, 10, 10, WriteCounts(0, 1, 0, 0, 0, 0)),
    )
    missed = [line for line in report([ours], [walked("naive")]).text().splitlines() if "missed:" in line]
    assert len(missed) == 5
    assert all(line.count(". ") for line in missed)
