"""Prometheus metrics of the operator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from modelecology.api.population import MemberStatus

REGISTRY = CollectorRegistry()

SPECIALISTS = Gauge(
    "modelecology_specialists",
    "Specialists by state of their newest revision.",
    ("namespace", "population", "state"),
    registry=REGISTRY,
)
TRANSITIONS = Counter(
    "modelecology_transitions",
    "Decisions recorded.",
    ("namespace", "population", "action", "to", "reason"),
    registry=REGISTRY,
)
RECONCILES = Histogram(
    "modelecology_reconcile_seconds",
    "Time of one look at one object.",
    ("kind",),
    registry=REGISTRY,
)
ERRORS = Counter(
    "modelecology_errors", "Looks that ended in an error.", ("kind", "reason"), registry=REGISTRY
)
QUEUE = Gauge("modelecology_queue_depth", "Objects that are due and wait for a worker.", registry=REGISTRY)
WRITES = Counter(
    "modelecology_api_writes", "Writes to the Kubernetes API.", ("verb", "kind"), registry=REGISTRY
)
JOBS = Gauge(
    "modelecology_jobs_running", "Jobs that hold a slot.", ("namespace", "population"), registry=REGISTRY
)
JOB_END_TO_ACTION = Histogram(
    "modelecology_job_end_to_action_seconds",
    "From a job's commit or end being there to the operator's next write.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
ADAPTERS = Gauge(
    "modelecology_adapters_proved",
    "Adapters proved to be resident, by engine.",
    ("namespace", "population", "endpoint"),
    registry=REGISTRY,
)
RESIDENT_BYTES = Gauge(
    "modelecology_resident_bytes",
    "Size of a live specialist's adapter on each engine.",
    ("namespace", "population", "revision"),
    registry=REGISTRY,
)
LIVE_QUALITY = Gauge(
    "modelecology_live_quality",
    "Mean score of a live specialist's answers to users, by what was said of them: its bounds.",
    ("namespace", "population", "revision", "bound"),
    registry=REGISTRY,
)
_BOUNDS = ("low", "high")
_members: dict[tuple[str, str], dict[str, bool]] = {}  # revisions that are told, and whether of their quality


def tell_members(population: tuple[str, str], members: Iterable[MemberStatus]) -> None:
    """Tell size and live quality of what is live; what has gone, and what nobody measures, has no series."""
    before, now = _members.get(population, {}), {}
    for member in members:
        RESIDENT_BYTES.labels(*population, member.served_name).set(member.resident_bytes)
        now[member.served_name] = member.live is not None
        if member.live is not None:
            for bound, value in zip(_BOUNDS, (member.live.low, member.live.high), strict=True):
                LIVE_QUALITY.labels(*population, member.served_name, bound).set(value)
    for gone, measured in before.items():
        if gone not in now:
            RESIDENT_BYTES.remove(*population, gone)
        if measured and not now.get(gone):
            for bound in _BOUNDS:
                LIVE_QUALITY.remove(*population, gone, bound)
    _members[population] = now


def forget_engine(population: tuple[str, str], endpoint: str) -> None:
    """Take away the series of an engine that is not there any more: addresses of pods come and go."""
    with contextlib.suppress(KeyError):
        ADAPTERS.remove(*population, endpoint)
