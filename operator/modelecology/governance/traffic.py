"""Measured traffic: what gateways have counted, in place of what the policy and the suite declare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from modelecology.api.vocabulary import Role

from .facts import SuiteTask
from .rules import Policy

_DAY = timedelta(days=1)
_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests that were counted over a time: of each task, and in all."""

    requests: Mapping[str, int]
    total: int
    over: timedelta
    classified: Mapping[str, int] = field(default_factory=dict)  # of each task, those a classifier sent


def measured(
    policy: Policy, tasks: tuple[SuiteTask, ...], traffic: Traffic
) -> tuple[Policy, tuple[SuiteTask, ...]]:
    """Weigh by counted requests; a task that nobody asked for has no traffic.

    Figures are rounded to two digits: noise would have everything judged again that waits for other figures.
    """
    per_day = round(rounded(traffic.total * (_DAY / traffic.over)))
    shares = tuple(_shared(task, traffic) if task.role is Role.TASK else task for task in tasks)
    return replace(policy, requests_per_day=per_day), shares


def _shared(task: SuiteTask, traffic: Traffic) -> SuiteTask:
    share = traffic.requests.get(task.name, 0) / traffic.total if traffic.total else 0.0
    return replace(task, traffic=min(1.0, rounded(share)))


def rounded(value: float) -> float:
    """Round to two digits, and nothing below 0."""
    if value <= 0:
        return 0.0
    return round(value, _DIGITS - 1 - math.floor(math.log10(value)))
