"""An alarm for what may go bad at any moment: from now on, are more answers bad than a limit allows?

A bound on all answers since a revision went live is slow where it was good for a month: what went well weighs
against what goes wrong. So one bets anew before each answer, and the best of all beginnings counts. An answer
is bad to a degree x in [0, 1]; while its mean is at most m, a wealth that is multiplied by 1 - c + c x / m
grows by nothing on average. Its largest value over all beginnings (CUSUM), averaged over stakes c, is below
the sum over beginnings, so it takes at least 1 / level answers on average until it reaches 1 / level without
cause, however often one looks (e-detectors: Shin, Ramdas and Rinaldo 2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from modelecology.api.vocabulary import Outcome

from .facts import Alarm, Check, Served
from .lifecycle import CheckName
from .rules import LiveLimits
from .sequential import STAKES

ANSWERS_BETWEEN = 1_000_000
"""Answers between two false alarms, on average at least, of a revision that is just at its limit."""
RAISED = math.log(ANSWERS_BETWEEN)


def alarm(bad: Sequence[float], allowed: float) -> Alarm:
    """Say what answers, each bad to a degree in [0, 1], show of a limit in (0, 1) on their mean.

    The answers are in their order, and the newest count: what has recovered is not told of any more.
    """
    if not bad:
        return Alarm()
    degrees = np.array(bad, dtype=np.float64)
    grown = np.log1p(STAKES[:, None] * (degrees / allowed - 1.0)[None, :])
    wealth = np.concatenate([np.zeros((len(STAKES), 1)), np.cumsum(grown, axis=1)], axis=1)
    start = wealth[:, :-1].argmin(axis=1)
    best = wealth[:, -1] - wealth[np.arange(len(STAKES)), start]
    # What is loudest says since when.
    since = int(start[best.argmax()])
    top = float(best.max())
    loudness = top + math.log(float(np.exp(best - top).mean()))
    return Alarm(len(bad) - since, round(float(degrees[since:].sum()), 9), round(loudness, 9))


def check_served(served: Served, limits: LiveLimits) -> tuple[Check, ...]:
    """Check what users got of a live revision against each limit that the policy sets."""
    return tuple(_checks(served, limits))


def _checks(served: Served, limits: LiveLimits) -> Iterator[Check]:
    if served.errors is not None and limits.errors is not None:
        yield _check(CheckName.LIVE_ERRORS, served.errors, "failed", limits.errors)
    if served.late is not None and limits.latency is not None:
        what = f"took longer than {limits.latency:g} s"
        yield _check(CheckName.LIVE_LATENCY, served.late, what, allowed_late(limits))
    if served.wrong is not None and limits.score is not None:
        yield _check(CheckName.LIVE_SCORE, served.wrong, "were wrong", 1.0 - limits.score)


def allowed_late(limits: LiveLimits) -> float:
    """Share of the answers that may come late."""
    return (100 - limits.percentile) / 100


def _check(name: CheckName, found: Alarm, what: str, most: float) -> Check:
    allowed = f"at most {most * 100:g} %"
    broken = found.loudness >= RAISED
    observed = f"{found.bad:g} of {found.answers}"
    message = f"{found.bad:g} of the last {found.answers} answers {what}; allowed: {allowed}."
    return Check(
        name, Outcome.FAIL if broken else Outcome.PASS, observed, allowed, None, found.answers, message
    )
