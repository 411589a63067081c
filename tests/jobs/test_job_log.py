"""A job's log: the stated failure is found in any noise, and the tail is plain and bounded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.jobs.job_log import FAILURE_KEY, cleaned, failure_of, tail_of
from modelecology.jobs.port import MAX_MESSAGE_LENGTH, JobFailure

_reasons = st.from_regex(r"[A-Z][A-Za-z0-9]{0,30}", fullmatch=True)
_noise = st.lists(st.text().filter(lambda line: FAILURE_KEY not in line))


def _line(reason: str, message: str, retry: bool) -> str:
    return json.dumps({FAILURE_KEY: {"reason": reason, "message": message, "retry": retry}})


@given(reason=_reasons, message=st.text(max_size=900), retry=st.booleans(), before=_noise, after=_noise)
def test_a_stated_failure_is_found_in_any_noise(
    reason: str, message: str, retry: bool, before: list[str], after: list[str]
) -> None:
    log = "\n".join([*before, _line(reason, message, retry), *after])
    assert failure_of(log) == JobFailure(reason, cleaned(message), retry)


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert failure_of(text) is None
    tail = tail_of(text)
    assert len(tail.splitlines()) <= 15
    assert cleaned(tail) == tail


def test_the_last_of_several_failures_counts() -> None:
    log = _line("DataEmpty", "first", retry=False) + "\n" + _line("StoreFull", "second", retry=True) + "\n"
    assert failure_of(log) == JobFailure("StoreFull", "second", retry=True)


def test_a_line_may_be_decorated_by_the_runner() -> None:
    log = f"(pid=12) \x1b[36m{_line('DataEmpty', 'No rows.', retry=False)}\x1b[0m"
    assert failure_of(log) == JobFailure("DataEmpty", "No rows.", retry=False)


@pytest.mark.parametrize(
    "line",
    [
        '{"modelecologyFailure":',
        '{"modelecologyFailure": "text"}',
        '{"modelecologyFailure": {"reason": "not camel", "message": "m"}}',
        '{"modelecologyFailure": {"reason": "DataEmpty"}}',
        '{"modelecologyFailure": {"reason": "DataEmpty", "message": "m", "retry": "yes"}}',
        '{"modelecologyFailure": {"reason": "DataEmpty", "message": 7}}',
        "modelecologyFailure",
        '{"modelecologyFailure":' + "[" * 100_000,
    ],
)
def test_a_line_of_another_shape_is_skipped(line: str) -> None:
    good = _line("DataEmpty", "No rows.", retry=False)
    assert failure_of(line) is None
    assert failure_of(f"{good}\n{line}") == JobFailure("DataEmpty", "No rows.", retry=False)


def test_a_long_message_is_bounded() -> None:
    failure = failure_of(_line("InternalError", "x" * 5000, retry=True))
    assert failure is not None
    assert len(failure.message) == MAX_MESSAGE_LENGTH


def test_the_tail_shows_what_a_terminal_would_show_last() -> None:
    log = "first\n\n\x1b[31mred\x1b[0m\n10%\r50%\r100%\r\n\n"
    assert tail_of(log) == "first\nred\n100%"


def test_the_tail_keeps_the_last_lines() -> None:
    assert tail_of("\n".join(str(n) for n in range(100)), lines=3) == "97\n98\n99"
