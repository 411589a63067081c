"""Hard limits on a candidate itself: what it takes in memory, and how long its answers take. Never traded."""

from __future__ import annotations

from modelecology.api.vocabulary import Outcome

from .facts import (
    Artifact,
    Check,
    Interval,
    Results,
)
from .intervals import clopper_pearson
from .invariants import check_name
from .rules import Limits

MIB = 2**20
MEMORY = "memory"
LATENCY = "latency"


def check_memory(limits: Limits, artifact: Artifact | None) -> Check | None:
    """Check that the adapter is not larger than policy.limits.memory; None where there is no limit."""
    most = limits.memory
    if most is None:
        return None
    size = artifact.resident_bytes if artifact is not None else 0
    fits = artifact is not None and size <= most
    return Check(
        check_name(MEMORY),
        Outcome.PASS if fits else Outcome.FAIL,
        observed=f"{size / MIB:.1f} MiB",
        limit=f"at most {most / MIB:.1f} MiB",
        message=f"The adapter takes {size / MIB:.1f} MiB; policy.limits.memory allows {most / MIB:.1f} MiB.",
    )


def check_latency(limits: Limits, shadow: Results | None, confidence: float) -> Check | None:
    """Check that enough of the answers through the endpoint came in time; None where there is no limit.

    It passes when the share of late answers is proven to be small enough, by an exact binomial bound.
    """
    if limits.latency is None:
        return None
    name, share = check_name(LATENCY), 1.0 - limits.percentile / 100.0
    limit = f"{limits.percentile} % within {limits.latency:g} s"
    timed = [item.seconds for item in shadow.items if item.seconds is not None] if shadow is not None else []
    if shadow is None or len(timed) < len(shadow.items) or not timed:
        message = "The answers through the endpoint were not timed. Score them again."
        return Check(name, Outcome.ERROR, "not timed", limit, message=message)
    late = sum(seconds > limits.latency for seconds in timed)
    bounds = clopper_pearson(late, len(timed), confidence)
    if bounds.high <= share:
        outcome, end = Outcome.PASS, ""
    elif bounds.low > share:
        outcome, end = Outcome.FAIL, ""
    else:
        outcome, end = Outcome.INCONCLUSIVE, " That is not proven. Give the suite more items."
    message = (
        f"{late} of {len(timed)} answers took longer than {limits.latency:g} s; asked: {limit}, with "
        f"{confidence * 100:g} % confidence.{end}"
    )
    interval = Interval(bounds.low, bounds.high, confidence)
    return Check(name, outcome, f"{late} of {len(timed)} late", limit, interval, len(timed), message)
