"""The rules by which a population is judged."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .live_records import JudgeName
from .meta import Amount, Duration, DurationOrZero, Model, Money, cel, validated
from .quantities import Memory
from .vocabulary import Disclosure, LiveUnit, Method, OnInconclusive


class Evidence(Model):
    """How evidence is weighed, and how a suite's budget of looks is spent; docs/evidence.md."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.screen) || self.screen > 0.0 || has(self.disclosure) && self.disclosure == 'Full'",
                "a screen of 0 is for disclosure Full, which tells everything anyway",
                ".screen",
            )
        )
    )

    method: Method = Field(
        default=Method.SEQUENTIAL,
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
    effect: float = Field(
        default=0.05,
        ge=0.001,
        le=1,
        description="The true gain that the suite should be able to prove; it says when items are too few.",
    )
    live_unit: LiveUnit = Field(
        default=LiveUnit.ASKER,
        description="What counts once in live evidence. Asker: the first scored answer to each user or "
        "session, since what one person asks is alike; for the drift of a live revision, the first on each "
        "of their days (UTC). Request: every answer.",
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
    measured_over: Duration | None = Field(
        default=None,
        description="Requests and the tasks' shares are those that the gateways have counted over this time, "
        "as soon as they have counted that long; those that are declared if absent. Needs "
        "serving.gateway.records.",
    )
    misrouting: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of a specialist's requests that go astray: the generalist answers them. What is "
        "measured of a classifier (serving.gateway.classifier) takes its place where it is more.",
    )
    reevaluate_every: Duration | None = Field(
        default=None,
        description="One evaluation of every specialist is charged to its upkeep this often; none if absent.",
    )


class Prices(Model):
    """Prices of resources, in the policy's currency."""

    gpu_hour: Amount = Field(default=Decimal("2.00"), description="One GPU for an hour.")
    cpu_hour: Amount = Field(default=Decimal("0.05"), description="One CPU for an hour.")
    gib_hour: Amount = Field(default=Decimal("0.01"), description="One resident GiB for an hour.")
    token_million: Amount = Field(
        default=Decimal(0),
        description="A million tokens of served requests. Those of jobs are in their hours.",
    )
    stored_gib_hour: Amount = Field(default=Decimal(0), description="One stored GiB for an hour.")
    wait_hour: Amount = Field(
        default=Decimal(0), description="An hour that somebody waits for answers of served requests."
    )


class Judge(Model):
    """A model whose word counts for copies that no label scores, as long as labels prove that it is right."""

    name: JudgeName = Field(
        description="The judge's --name: the model it asks, where that is not said. Records of others do not "
        "count. Another model is another judge; give it another name."
    )
    minimum_agreement: float = Field(
        default=0.7,
        gt=0.5,
        lt=1,
        description="Share of the copies that labels tell from what users got in which the judge must be "
        "proven to say the same. Below it, its word counts for nothing.",
    )
    minimum_labelled: int = Field(
        default=30, ge=10, le=100000, description="Copies of that kind that it must have judged, at least."
    )
    bias_margin: float = Field(
        default=0.05,
        ge=0,
        le=2,
        description="By how much the mean of its words may lie further off the labels than it does on the "
        "copies that have one, as you trust. That bias and this much, or as much as labels leave open if it "
        "is less, has to be won on top of shadow.live.minimumGain; 2 trusts nothing.",
    )


class LiveShadow(Model):
    """What a shadow must show on copies of live requests, beside the answers that users got."""

    minimum_scored: int = Field(
        default=50, ge=1, le=100000, description="Pairs of answers to score at least, each pair one unit."
    )
    minimum_gain: float = Field(
        default=0.0,
        ge=-0.5,
        le=0.5,
        description="Mean lead over the answers that users got which has to be proven.",
    )
    on_inconclusive: OnInconclusive = Field(
        default=OnInconclusive.HOLD,
        description="What becomes of a shadow that has proved nothing when shadow.maximumDuration is over: "
        "Hold lets it go on, Reject shelves it.",
    )
    judge: Judge | None = Field(
        default=None, description="Whose word counts where no label comes; labels alone count if absent."
    )


class Shadow(Model):
    """What a candidate must show through the served endpoint before it goes live."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.live) || has(self.sample) && self.sample > 0.0",
                "shadow.live needs live requests to be copied; give shadow.sample, such as 0.2",
                ".live",
            )
        )
    )

    minimum_scored: int = Field(default=30, ge=1, le=100000, description="Answers to score at least.")
    maximum_duration: Duration = Field(
        default=timedelta(hours=24), description="A shadow that has not finished by then is shelved."
    )
    sample: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the task's live requests that the gateway also sends to the shadow. No user "
        "gets its answers.",
    )
    live: LiveShadow | None = Field(
        default=None,
        description="What the copies must show; without it no verdict rests on them. Needs "
        "serving.gateway.records.",
    )


class Latency(Model):
    """How long answers through the endpoint may take."""

    most: Duration = Field(description="Time in which an answer has to come, such as 2s.")
    percentile: int = Field(
        default=90, ge=50, le=99, description="Share of the answers that have to come in it, in per cent."
    )


class Limits(Model):
    """Hard limits on a candidate itself, never traded. Skills are limited by the suite's invariants."""

    memory: Memory | None = Field(default=None, description="Largest adapter on an engine, such as 64Mi.")
    latency: Latency | None = Field(
        default=None, description="How long answers may take, as they are scored in shadow."
    )


class LiveLimits(Model):
    """What takes a live revision out of service at once, by what gateways write down of its answers."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "has(self.maximumErrors) || has(self.latency) || has(self.minimumScore)",
                "quarantine limits nothing; give maximumErrors, latency, minimumScore, or leave it out",
            )
        )
    )

    maximum_errors: float | None = Field(
        default=None,
        ge=0.001,
        le=0.9,
        description="Share of requests that may get no answer from it; no limit if absent.",
    )
    latency: Latency | None = Field(
        default=None, description="How long its answers may take; no limit if absent."
    )
    minimum_score: float | None = Field(
        default=None,
        ge=0.01,
        le=0.99,
        description="Mean score that users' answers must keep, by what is said of them; no limit if absent.",
    )


class Step(Model):
    """A part of the task's users that a canary answers, and what it must show before the next part."""

    percent: int = Field(ge=1, le=99, description="Percent of the task's users, by a hash of each.")
    minimum_scored: int = Field(
        default=50, ge=1, le=100000, description="Scored answers of the canary in this step, at least."
    )
    minimum_duration: DurationOrZero = Field(
        default=timedelta(0), description="How long the step takes at least."
    )
    approval: bool = Field(
        default=False, description="A person ends the step, too: kubectl ecology approve NAME."
    )


class Canary(Model):
    """What a canary must show on all steps together, and when it is aborted."""

    tolerance: float = Field(
        default=0.05,
        ge=0.001,
        le=0.5,
        description="Loss of mean score against who serves. It goes on once a loss as large is refuted, and "
        "is aborted once a larger one is proven.",
    )
    maximum_errors: float = Field(
        default=0.02, ge=0, le=0.5, description="Share of failed answers; aborted once more is proven."
    )
    maximum_duration: Duration = Field(
        default=timedelta(hours=168), description="How long all steps together may take."
    )
    on_inconclusive: OnInconclusive = Field(
        default=OnInconclusive.HOLD,
        description="What becomes of a canary that has proved nothing by then: Hold lets it go on, Reject "
        "shelves it.",
    )


class Promotion(Model):
    """How a shadow becomes live."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.steps) || self.steps.all(a, self.steps.exists_one(b, b.percent == a.percent)) && "
                "self.steps.map(s, s.percent).isSorted()",
                "promotion.steps must rise from one to the next",
                ".steps",
            ),
            cel(
                "!has(self.canary) || has(self.steps)",
                "promotion.canary is about promotion.steps; give steps, or leave canary out",
                ".canary",
            ),
        )
    )

    mode: Literal["Automatic", "Manual"] = Field(
        default="Automatic",
        description="Automatic promotes on evidence alone. Manual asks a person too: "
        "kubectl ecology approve.",
    )
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=8)] | None = Field(
        default=None,
        description="Parts of the users that it answers one after the other before it takes all; at once "
        "all if absent. Needs serving.gateway.records.",
    )
    canary: Canary | None = Field(default=None, description="What all steps are judged by.")


class Retirement(Model):
    """How a specialist goes."""

    undo_window: DurationOrZero = Field(
        default=timedelta(hours=168), description="How long a retired revision can be restored."
    )
    mode: Literal["Propose", "Automatic"] = Field(
        default="Propose",
        description="Propose says which live revision should go, and a person accepts it: kubectl ecology "
        "retire. Automatic retires it after the grace.",
    )
    grace: DurationOrZero = Field(
        default=timedelta(hours=24),
        description="How long a cause must hold without interruption before Automatic retires for it.",
    )
    basis: Literal["UpperBound", "Point"] = Field(
        default="UpperBound",
        description="What must be below 0 for a specialist to be worth less than nothing: the upper bound of "
        "its value, or its point.",
    )
    idle_after: Duration | None = Field(
        default=None,
        description="A live specialist is unused once nobody has asked for its task for this long; never if "
        "absent. Needs serving.gateway.records.",
    )


class SpecialistBudget(Model):
    """What one specialist may spend in the budget's window."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "has(self.gpuHours) || has(self.cpuHours)",
                "perSpecialist limits nothing; give gpuHours, cpuHours or both, or leave it out",
            )
        )
    )

    gpu_hours: Amount | None = Field(default=None, description="GPU-hours in the window; no limit if absent.")
    cpu_hours: Amount | None = Field(default=None, description="CPU-hours in the window; no limit if absent.")


class Budget(Model):
    """What the population may spend in a sliding window."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "has(self.gpuHours) || has(self.cpuHours) || has(self.perSpecialist)",
                "budget limits nothing; give gpuHours, cpuHours, perSpecialist, or leave it out",
            )
        )
    )

    window: Duration = Field(default=timedelta(hours=720), description="Length of the window.")
    gpu_hours: Amount | None = Field(default=None, description="GPU-hours in the window; no limit if absent.")
    cpu_hours: Amount | None = Field(default=None, description="CPU-hours in the window; no limit if absent.")
    per_specialist: SpecialistBudget | None = Field(
        default=None, description="What each single specialist may spend in the same window."
    )


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
    limits: Limits = Field(default=Limits(), description="Hard limits on a candidate itself.")
    quarantine: LiveLimits | None = Field(
        default=None,
        description="What takes a live revision out of service; people and wrong weights alone if absent. "
        "Needs serving.gateway.sample.",
    )
    shadow: Shadow = Field(default=Shadow(), description="What a shadow must show.")
    promotion: Promotion = Field(default=Promotion(), description="How a shadow becomes live.")
    retirement: Retirement = Field(default=Retirement(), description="How a specialist goes.")
    budget: Budget | None = Field(default=None, description="What may be spent; no limit if absent.")
