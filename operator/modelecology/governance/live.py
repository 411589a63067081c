"""Live evidence: what requests of users show of a candidate, beside who serves them today.

Answers are scored as feedback comes, so one may look after every single one: each question is put to an
e-process, whose error holds however often one looks (sequential.py).
"""

from __future__ import annotations

import math

import numpy as np

from modelecology.api.vocabulary import Outcome

from .evidence import EvidenceError
from .facts import Check, Interval, Live
from .lifecycle import CheckName
from .rules import Policy
from .sequential import Question, Units, answer, lower_bound

NOTHING = Live()


def check_live_gain(live: Live, margin: float, asked: int, confidence: float, step: int = 0) -> Check:
    """Check that the mean difference is above the margin, from so many differences at least.

    It fails once a mean above the margin is refuted, by all differences or by those of this step alone: what
    has passed before may go wrong later. `step` counts from 0.
    """
    limit = f"more than {margin:+.2f}, of at least {asked}"
    units = np.array(live.differences, dtype=np.float64)
    try:
        passed = _passes(units, margin, 1.0 - confidence)
        failed = _fails(units, margin, (1.0 - confidence) / 2) or _fails(
            # Over all steps, however many, these levels come to half of the level at most.
            units[len(units) - live.in_step :],
            margin,
            (1.0 - confidence) / 2 ** (step + 2),
        )
    except EvidenceError as error:
        return Check(CheckName.LIVE_GAIN, Outcome.ERROR, "broken", limit, message=str(error))
    n = len(units)
    if not n:
        message = "No answer to a live request was scored yet. Scores come by the gateway's /v1/feedback."
        return Check(CheckName.LIVE_GAIN, Outcome.INCONCLUSIVE, "nothing scored", limit, n=0, message=message)
    mean = math.fsum(live.differences) / n
    bounds = _bounds(units, confidence)
    told = (
        f"On live requests: {mean:+.2f} against who serves, between {bounds.low:+.2f} and {bounds.high:+.2f} "
        f"with {confidence * 100:g} % confidence, however often one looks; {n} scored."
    )
    if failed:
        outcome, end = Outcome.FAIL, f" That it is above {margin:+.2f} is refuted."
    elif n < asked:
        outcome, end = Outcome.INCONCLUSIVE, f" {asked} are asked."
    elif passed:
        outcome, end = Outcome.PASS, ""
    else:
        outcome, end = Outcome.INCONCLUSIVE, f" That it is above {margin:+.2f} is neither proven nor refuted."
    return Check(CheckName.LIVE_GAIN, outcome, f"{mean:+.2f}", limit, bounds, n, told + end)


def live_quality(scores: tuple[float, ...], confidence: float) -> Interval | None:
    """Bound the mean of scores in [0, 1] that users' answers got, however often one looks; None for none."""
    if not scores:
        return None
    bounds = _bounds(2 * np.array(scores, dtype=np.float64) - 1, confidence)
    return Interval((1 + bounds.low) / 2, (1 + bounds.high) / 2, confidence)


def _passes(units: Units, margin: float, level: float) -> bool:
    question = Question(CheckName.LIVE_GAIN, margin, level, margin, 0.0)
    # It must hold still: what was proven once may not be so any more.
    return answer(question, units).outcome is Outcome.PASS and lower_bound(units, level) >= margin


def _fails(units: Units, margin: float, level: float) -> bool:
    question = Question(CheckName.LIVE_GAIN, margin, 0.0, margin, level)
    return answer(question, units).outcome is Outcome.FAIL


def _bounds(units: Units, confidence: float) -> Interval:
    level = 1.0 - confidence
    return Interval(lower_bound(units, level), -lower_bound(-units, level), confidence)


def check_errors(live: Live, most: float, confidence: float) -> Check:
    """Check that no more of the requests are proven to have got no answer from it than are allowed."""
    return _check_share(CheckName.LIVE_ERRORS, "failed", live.failed, live.answered, most, confidence)


def check_live_latency(live: Live, policy: Policy) -> Check:
    """Check that no more answers are proven to be late than policy.limits.latency allows."""
    limits = policy.limits
    if limits.latency is None:
        message = "policy.limits sets no latency."
        return Check(CheckName.LIVE_LATENCY, Outcome.PASS, "no limit", "no limit", message=message)
    what, most = f"took longer than {limits.latency:g} s", (100 - limits.percentile) / 100
    answered = live.answered - live.failed
    return _check_share(CheckName.LIVE_LATENCY, what, live.late, answered, most, policy.confidence)


def _check_share(name: CheckName, what: str, count: int, of: int, most: float, confidence: float) -> Check:
    allowed = f"at most {most * 100:g} %"
    if not 0 <= count <= of:
        message = f"{count} of {of} answers {what}, as the records have it: they cannot be right."
        return Check(name, Outcome.ERROR, "broken", allowed, message=message)
    if not of:
        return Check(name, Outcome.INCONCLUSIVE, "no answer", allowed, n=0, message="It answered nobody yet.")
    # The wealth that the bound inverts does not depend on the order of the answers.
    low = lower_bound(np.concatenate([np.ones(count), np.zeros(of - count)]), 1.0 - confidence)
    outcome = Outcome.FAIL if low > most else Outcome.PASS
    message = f"{count} of {of} answers {what}; allowed: {allowed}."
    interval = Interval(max(0.0, low), 1.0, confidence)
    return Check(name, outcome, f"{count} of {of}", allowed, interval, of, message)
