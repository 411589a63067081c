"""Durations, decimals and times of the API: what is written is what was read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from modelecology.api.meta import Amount, Duration, Money, Timestamp, render_decimal, render_duration

DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
MONEY: TypeAdapter[Decimal] = TypeAdapter(Money)
AMOUNT: TypeAdapter[Decimal] = TypeAdapter(Amount)
TIMESTAMP: TypeAdapter[datetime] = TypeAdapter(Timestamp)


@given(st.integers(min_value=0, max_value=999_999 * 3600))
def test_a_duration_is_read_as_it_was_written(seconds: int) -> None:
    text = render_duration(timedelta(seconds=seconds))
    assert DURATION.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("720h", 2_592_000), ("1h30m", 5400)]
)
def test_a_duration_is_read_in_hours_minutes_and_seconds(text: str, seconds: int) -> None:
    assert DURATION.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2d", "1.5h", "h", "1h 30m", "-1h", "forever"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a duration such as 90s, 30m or 720h"):
        DURATION.validate_python(text)


@given(st.decimals(min_value=-(10**12) + 1, max_value=10**12 - 1, places=12))
def test_a_decimal_is_read_as_it_was_written(value: Decimal) -> None:
    assert MONEY.validate_python(render_decimal(value)) == value


@given(st.decimals(min_value=-(10**11), max_value=10**11, allow_nan=False, allow_infinity=False))
def test_a_decimal_is_always_written_in_the_form_that_the_kinds_take(value: Decimal) -> None:
    assert re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,12})?", render_decimal(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [("2.00", "2"), ("-0.0", "0"), ("1e3", "1000"), ("0.1", "0.1"), ("1e-20", "0"), ("12.5", "12.5")],
)
def test_a_decimal_is_written_without_exponent_and_trailing_zeros(value: str, text: str) -> None:
    assert render_decimal(Decimal(value)) == text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "much", ""])
def test_what_is_no_finite_decimal_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        MONEY.validate_python(value)


def test_a_decimal_is_not_read_from_a_float() -> None:
    with pytest.raises(ValidationError, match="write it as a string"):
        MONEY.validate_python(0.1)


def test_an_amount_is_not_below_zero() -> None:
    assert AMOUNT.validate_python("0") == 0
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        AMOUNT.validate_python("-1")


def test_a_time_is_written_in_utc_to_the_second() -> None:
    read = TIMESTAMP.validate_python("2026-11-24T23:00:00.5+01:00")
    assert TIMESTAMP.dump_python(read) == "2026-11-24T22:00:00Z"
    assert TIMESTAMP.validate_python("2026-11-24T22:00:00Z") == datetime(2026, 11, 24, 22, tzinfo=UTC)
