"""Counts of gateways, hour by hour: what they prove, and what they are charged for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.live_records import Usage, Used
from modelecology.governance.traffic import Traffic
from modelecology.reconcile.usage import LATE, MOST_HOURS, Counted, UsageLog

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def count(since: datetime, until: datetime, *used: Used) -> Usage:
    return Usage(since=since.timestamp(), time=until.timestamp(), population="desk", used=used)


def counted(log: UsageLog, now: datetime) -> Counted:
    return Counted(log, now)


def used(task: str, served: str, requests: int = 1, tokens: int = 10) -> Used:
    return Used(task=task, served=served, requests=requests, tokens=tokens)


def idle(log: UsageLog, hours: Iterable[int]) -> None:
    """Somebody counts nothing, a minute at a time."""
    for hour in hours:
        for minute in range(60):
            begun = START + hour * HOUR + minute * MINUTE
            log.add(count(begun, begun + MINUTE))


def test_traffic_is_told_once_all_of_its_time_was_counted() -> None:
    log = UsageLog()
    idle(log, range(3))
    begun = START + HOUR
    log.add(count(begun, begun + MINUTE, used("dates", "dates-1", 4), Used(requests=2, tokens=0)))
    now = START + 3 * HOUR + LATE
    assert counted(log, now).traffic(3 * HOUR) == Traffic({"dates": 4}, 6, 3 * HOUR)
    assert counted(log, now).traffic(HOUR) == Traffic({}, 0, HOUR)
    assert counted(log, now).begun(3 * HOUR) == START
    assert counted(log, now - timedelta(seconds=1)).traffic(3 * HOUR) is None  # the third hour is not over
    assert counted(log, now).traffic(4 * HOUR) is None
    assert counted(UsageLog(), now).traffic(HOUR) is None


def test_a_gap_in_which_nobody_counted_proves_nothing() -> None:
    log = UsageLog()
    idle(log, (0, 2))
    assert counted(log, START + 3 * HOUR + LATE).traffic(3 * HOUR) is None
    for gateway in range(3):
        log.add(count(START + HOUR, START + HOUR + (10 + gateway) * MINUTE))
    assert counted(log, START + 3 * HOUR + LATE).traffic(3 * HOUR) is None


def test_a_count_that_claims_days_is_not_believed() -> None:
    log = UsageLog()
    log.add(count(START, START + 48 * HOUR, used("dates", "dates-1")))
    assert counted(log, START + 49 * HOUR + LATE).traffic(48 * HOUR) is None


def test_a_time_shorter_than_an_hour_is_the_last_hour() -> None:
    log = UsageLog()
    idle(log, (0,))
    found = counted(log, START + HOUR + LATE).traffic(5 * MINUTE)
    assert found == Traffic({}, 0, HOUR)


@given(
    st.lists(st.integers(0, 20 * 3600), max_size=30),
    st.lists(st.integers(0, 24 * 3600), max_size=8).map(sorted),
)
def test_each_token_is_charged_once_whenever_decisions_are_made(asked: list[int], made: list[int]) -> None:
    log = UsageLog()
    for second in asked:
        moment = START + timedelta(seconds=second)
        log.add(count(moment, moment, used("dates", "dates-1", tokens=7), used("dates", "other", tokens=1)))
    moments = [START - HOUR, *(START + timedelta(seconds=m) for m in made), START + 26 * HOUR]
    charges = [counted(log, now).tokens("dates-1", since) for since, now in pairwise(moments)]
    assert sum(charges) == 7 * len(asked)


def test_the_oldest_hours_are_forgotten() -> None:
    log = UsageLog()
    idle(log, (0,))
    late = START + (MOST_HOURS + 5) * HOUR
    for hour in range(MOST_HOURS + 5):
        moment = START + hour * HOUR
        log.add(count(moment, moment, used("dates", "dates-1", tokens=1)))
    assert counted(log, late + LATE).tokens("dates-1", START - HOUR) == MOST_HOURS
