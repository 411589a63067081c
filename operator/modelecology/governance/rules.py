"""The population's rules, as verdicts use them: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from modelecology.api.vocabulary import Disclosure, Method


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in the policy's currency."""

    gpu_hour: Decimal
    cpu_hour: Decimal
    gib_hour: Decimal
    token_million: Decimal = Decimal(0)  # tokens that are served; those of jobs are in their hours
    wait_hour: Decimal = Decimal(0)  # of requests that wait for their answer
    stored_gib_hour: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits within a sliding window, in hours; None is no limit."""

    window: timedelta
    gpu_hours: Decimal | None
    cpu_hours: Decimal | None
    specialist_gpu_hours: Decimal | None = None  # what one specialist may spend of it
    specialist_cpu_hours: Decimal | None = None


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """How evidence is weighed, and how a suite's budget of looks is spent; docs/evidence.md."""

    method: Method = Method.SEQUENTIAL
    disclosure: Disclosure = Disclosure.VERDICT
    looks: int = 200
    slices: int = 1
    rounds: int = 4
    grid: int = 20
    screen: Fraction = Fraction(1, 4)
    minimum_effect: float = 0.03
    effect: float = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits on a candidate itself; None is no limit."""

    memory: int | None = None  # bytes of an adapter on an engine
    latency: float | None = None  # seconds in which an answer comes
    percentile: int = 90  # share of the answers that must come in time, in per cent


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """When a judge's word counts for copies that no label scores."""

    name: str
    minimum_agreement: float
    minimum_labelled: int
    bias_margin: float  # by how much its bias may lie off what its labelled copies show


@dataclass(frozen=True, slots=True)
class LiveShadow:
    """What copies of live requests must show of a shadow."""

    minimum_scored: int
    minimum_gain: float
    reject_late: bool  # one that has proved nothing in time is shelved; else it goes on
    judge: JudgeRules | None = None  # None hears labels alone


@dataclass(frozen=True, slots=True)
class CanaryStep:
    """A part of the users that a canary answers, and what ends the step."""

    percent: int
    minimum_scored: int
    minimum_duration: timedelta
    approval: bool


@dataclass(frozen=True, slots=True)
class Canary:
    """The steps of a canary, and what all of them are judged by."""

    steps: tuple[CanaryStep, ...]
    tolerance: float
    maximum_errors: float
    maximum: timedelta
    reject_late: bool


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """What a live revision is quarantined for; None is no limit."""

    errors: float | None = None  # share of requests that may fail
    latency: float | None = None  # seconds in which an answer comes
    percentile: int = 90  # share of the answers that must come in time, in per cent
    score: float | None = None  # mean of what its answers must score


@dataclass(frozen=True, slots=True)
class Policy:
    """The population's rules."""

    confidence: float
    minimum_gap: float
    threshold: Decimal
    horizon: timedelta
    requests_per_day: int
    prices: Prices
    minimum_scored: int
    shadow_maximum: timedelta
    undo_window: timedelta
    budget: Budget | None
    adapters: int
    max_rank: int
    replicas: int
    retries: int
    manual: bool = False  # a person has the last word on every promotion
    evidence: EvidenceRules = EvidenceRules()
    misrouting: float = 0.0  # share of a specialist's requests that the generalist answers in its place
    reevaluate_every: timedelta | None = None  # how often an evaluation is charged to a member's upkeep
    memory: int | None = None  # bytes for all adapters on every engine; None is no limit
    automatic_retirement: bool = False  # else a person accepts what is proposed
    retirement_grace: timedelta = timedelta(hours=24)  # how long the cause of a retirement must hold
    limits: Limits = Limits()
    retire_by_point: bool = False  # a value below 0 retires by its point, else by its upper bound
    idle_after: timedelta | None = None  # unused is what nobody has asked for this long; None: nothing is
    live_shadow: LiveShadow | None = None  # None asks nothing of live requests
    canary: Canary | None = None  # None promotes at once
    unit_is_request: bool = False  # of live evidence; else who asks counts once
    quarantine: LiveLimits | None = None  # None: people and wrong weights alone take what is live away
