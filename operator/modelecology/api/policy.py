"""The rules by which a population is judged."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import ConfigDict, Field

from .meta import Amount, Duration, DurationOrZero, Model, Money, cel, reserved, validated
from .vocabulary import Disclosure


class Evidence(Model):
    """How evidence is weighed, and how a suite's budget of looks is spent; docs/evidence.md."""

    method: Literal["Sequential", "FixedSize"] = Field(
        default="Sequential",
        description="Sequential ends an evaluation as soon as its questions are answered. FixedSize meets "
        "all items of the proof and uses exact tests.",
    )
    disclosure: Disclosure = Field(
        default=Disclosure.VERDICT,
        description="What is told of a proof: Verdict tells whether it passed, Rounded also a new best lead, "
        "Full everything. The more is told, the sooner a suite is exhausted.",
    )
    looks: int = Field(default=200, ge=1, le=10000, description="Candidates that a suite is planned for.")
    slices: int = Field(
        default=1, ge=1, le=16, description="Parts of the proof's items that are used one after the other."
    )
    rounds: int = Field(default=4, ge=1, le=64, description="Rounds of a proof; it may pass after each.")
    grid: int = Field(default=20, ge=1, le=1000, description="Rounded: steps of a lead between 0 and 1.")
    screen: float = Field(
        default=0.25,
        ge=0,
        le=0.9,
        description="Share of the items on which everything may be told, and nothing is promoted.",
    )
    minimum_effect: float = Field(
        default=0.03,
        ge=0,
        lt=1,
        description="A candidate that is proven to gain less than this on the screen is sent away.",
    )


class Viability(Model):
    """When an action repays its cost."""

    threshold: Money = Field(
        default=Decimal(0), description="Least change in value over the horizon, in the policy's currency."
    )
    horizon: Duration = Field(default=timedelta(hours=720), description="How far gains are counted.")
    requests_per_day: int = Field(
        default=1000, ge=0, le=10**12, description="Requests of the whole population in a day."
    )


class Prices(Model):
    """Prices of resources, in the policy's currency."""

    gpu_hour: Amount = Field(default=Decimal("2.00"), description="One GPU for an hour.")
    cpu_hour: Amount = Field(default=Decimal("0.05"), description="One CPU for an hour.")
    gib_hour: Amount = Field(default=Decimal("0.01"), description="One resident GiB for an hour.")


class Shadow(Model):
    """What a candidate must show through the served endpoint before it goes live."""

    minimum_scored: int = Field(default=30, ge=1, le=100000, description="Answers to score at least.")
    maximum_duration: Duration = Field(
        default=timedelta(hours=24), description="A shadow that has not finished by then is rejected."
    )


class Promotion(Model):
    """How a shadow becomes live."""

    mode: Literal["Automatic", "Manual"] = Field(
        default="Automatic",
        description="Automatic promotes on evidence alone. Manual asks a person too: "
        "kubectl ecology approve.",
    )
    steps: Any = reserved(
        "promotion.steps",
        "leave it out: a promoted revision takes all requests",
        {"type": "array", "items": {"type": "integer"}},
    )


class Retirement(Model):
    """How a specialist goes."""

    undo_window: DurationOrZero = Field(
        default=timedelta(hours=168), description="How long a retired revision can be restored."
    )
    idle_after: Any = reserved(
        "retirement.idleAfter", "set the Specialist's lifecycle.target to Retired", {"type": "string"}
    )


class Budget(Model):
    """What the population may spend in a sliding window."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "has(self.gpuHours) || has(self.cpuHours)",
                "budget limits nothing; give gpuHours, cpuHours or both, or leave it out",
            )
        )
    )

    window: Duration = Field(default=timedelta(hours=720), description="Length of the window.")
    gpu_hours: Amount | None = Field(default=None, description="GPU-hours in the window; no limit if absent.")
    cpu_hours: Amount | None = Field(default=None, description="CPU-hours in the window; no limit if absent.")


class Policy(Model):
    """The rules by which the population is judged."""

    confidence: float = Field(
        default=0.95, ge=0.5, le=0.9999, description="Confidence of every bound that a verdict uses."
    )
    minimum_gap: float = Field(
        default=0.05, ge=0, lt=1, description="A task gap below this is not worth a specialist."
    )
    evidence: Evidence = Field(default=Evidence(), description="How evidence is weighed.")
    viability: Viability = Field(default=Viability(), description="When an action repays its cost.")
    prices: Prices = Field(default=Prices(), description="Prices of resources.")
    shadow: Shadow = Field(default=Shadow(), description="What a shadow must show.")
    promotion: Promotion = Field(default=Promotion(), description="How a shadow becomes live.")
    retirement: Retirement = Field(default=Retirement(), description="How a specialist goes.")
    budget: Budget | None = Field(default=None, description="What may be spent; no limit if absent.")
