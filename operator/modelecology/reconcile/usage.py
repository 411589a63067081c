"""What gateways counted, hour by hour: requests by task, tokens by who answered, checks of the classifier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from modelecology.api.live_records import Usage
from modelecology.governance.misrouting import Checks
from modelecology.governance.traffic import Traffic

MOST_HOURS = 62 * 24
"""Hours that are remembered; of more, the oldest go."""
LATE = timedelta(minutes=2)
"""How late a count may come: an hour is over that much later."""
_ENOUGH = 0.95  # of the minutes of a time, that somebody must have counted in
_HOUR, _MINUTE = 3600, 60
_MOST_MINUTES = 120  # of one count; whoever claims more is not believed


_Check = tuple[str, str | None, str | None]  # classifier, task, said


@dataclass(slots=True)
class _Hour:
    requests: dict[str, int]
    tokens: dict[str, int]
    minutes: set[int]
    total: int = 0
    classified: dict[str, int] = field(default_factory=dict)
    checks: dict[_Check, int] = field(default_factory=dict)


class UsageLog:
    """The counts of one population, as far as they were read."""

    def __init__(self) -> None:
        self._hours: defaultdict[int, _Hour] = defaultdict(lambda: _Hour({}, {}, set()))
        self._checks = 0  # counts of them that were taken
        self._summed: tuple[tuple[str, int, int], Checks] | None = None

    def add(self, usage: Usage) -> None:
        """Take a count; it is of the hour in which it ended."""
        hour = self._hours[_hour(usage.time)]
        for used in usage.used:
            hour.total += used.requests
            if used.task is not None:
                hour.requests[used.task] = hour.requests.get(used.task, 0) + used.requests
            if used.task is not None and used.classified:
                hour.classified[used.task] = hour.classified.get(used.task, 0) + used.classified
            if used.served is not None:
                hour.tokens[used.served] = hour.tokens.get(used.served, 0) + used.tokens
        for checked in usage.checked:
            key = (checked.classifier, checked.task, checked.said)
            hour.checks[key] = hour.checks.get(key, 0) + checked.requests
        self._checks += len(usage.checked)
        last = int(usage.time // _MINUTE)
        for minute in range(max(int(usage.since // _MINUTE), last - _MOST_MINUTES), last + 1):
            self._hours[minute * _MINUTE // _HOUR].minutes.add(minute)
        if len(self._hours) > MOST_HOURS:
            for old in sorted(self._hours)[:-MOST_HOURS]:
                del self._hours[old]

    def covers(self, since: int, until: int) -> bool:
        """Whether somebody counted nearly all the time from one hour to another."""
        minutes = sum(len(hour.minutes) for hour in self._between(since, until))
        return since < until and minutes >= _ENOUGH * (until - since) * (_HOUR // _MINUTE)

    def requests(self, since: int, until: int) -> tuple[dict[str, int], int]:
        """Count the requests of each task from one hour to another, and all of them."""
        found: dict[str, int] = {}
        total = 0
        for hour in self._between(since, until):
            total += hour.total
            for task, count in tuple(hour.requests.items()):
                found[task] = found.get(task, 0) + count
        return found, total

    def classified(self, since: int, until: int) -> dict[str, int]:
        """Count the requests of each task that a classifier sent, from one hour to another."""
        found: dict[str, int] = {}
        for hour in self._between(since, until):
            for task, count in tuple(hour.classified.items()):
                found[task] = found.get(task, 0) + count
        return found

    def checks(self, classifier: str, until: int) -> Checks:
        """Count what a classifier said of known tasks in all that is remembered, up to an hour."""
        key = (classifier, until, self._checks)
        known = self._summed
        if known is not None and known[0] == key:
            return known[1]
        found: dict[tuple[str | None, str | None], int] = {}
        for hour in self._between(0, until):
            for (mark, task, said), count in tuple(hour.checks.items()):
                if mark == classifier:
                    found[task, said] = found.get((task, said), 0) + count
        self._summed = key, found
        return found

    def tokens(self, served: str, since: int, until: int) -> int:
        """Count the tokens that a served name took from one hour to another."""
        return sum(hour.tokens.get(served, 0) for hour in self._between(since, until))

    def _between(self, since: int, until: int) -> Iterator[_Hour]:
        # A copy: the gateways' files are read in another thread meanwhile.
        return (hour for number, hour in tuple(self._hours.items()) if since <= number < until)


@dataclass(frozen=True, slots=True)
class Counted:
    """A population's counts as of one moment: of the hours that are over."""

    log: UsageLog
    now: datetime

    def traffic(self, over: timedelta) -> Traffic | None:
        """Say what was asked over a time; None while not all of it was counted."""
        until = _last(self.now)
        since = until - max(1, round(over.total_seconds() / _HOUR))
        if not self.log.covers(since, until):
            return None
        requests, total = self.log.requests(since, until)
        classified = self.log.classified(since, until)
        return Traffic(requests, total, timedelta(hours=until - since), classified)

    def checks(self, classifier: str) -> Checks:
        """Count what a classifier said of known tasks, in the hours that have ended."""
        return self.log.checks(classifier, _last(self.now))

    def begun(self, over: timedelta) -> datetime:
        """Say when that time began."""
        hours = _last(self.now) - max(1, round(over.total_seconds() / _HOUR))
        return datetime.fromtimestamp(hours * _HOUR, UTC)

    def tokens(self, served: str, since: datetime) -> int:
        """Count the tokens of a served name in the hours that have ended since a moment.

        Of moments that follow each other each hour is in one and in no second.
        """
        return self.log.tokens(served, _last(since), _last(self.now))


def _hour(seconds: float) -> int:
    return int(seconds // _HOUR)


def _last(moment: datetime) -> int:
    """Number the hour that is not over at a moment: all before it are."""
    return _hour((moment - LATE).timestamp())
