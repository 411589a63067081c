"""What gateways write down of live traffic: requests that are judged, what is said of the answers, counts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from .meta import Label, Model

SEGMENTS = "live-*.jsonl*"
"""How segments of records are called in their directory."""
OPEN_SUFFIX = ".part"
"""What a segment's name ends with while its gateway writes it."""

RequestId = Annotated[str, Field(pattern=r"^[-_a-zA-Z0-9]{1,64}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
JudgeName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
Mark = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", max_length=16)]
"""What a classifier's answers rest on, by its digest: endpoint, model, minimum similarity and examples."""


class Arm(StrEnum):
    """Who answered the user."""

    LIVE = "Live"
    CANARY = "Canary"
    GENERALIST = "Generalist"


class _Record(Model):
    model_config = ConfigDict(extra="ignore")  # of a newer gateway

    time: float = Field(ge=0, description="When it was written down, in seconds since 1970.")
    request_id: RequestId = Field(description="The answer's x-request-id: what records are joined by.")


class Answered(Model):
    """One answer. `text` is absent in hash-only mode; `error` is set where there is no answer."""

    model_config = ConfigDict(extra="ignore")

    served: str = Field(description="Served name of who answered.")
    text: str | None = Field(default=None, description="The answer, redacted.")
    sha256: Sha256 | None = Field(default=None, description="Hash of the redacted answer.")
    error: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="Why there is none."
    )
    seconds: float = Field(ge=0, description="From the request to the end of the answer.")
    tokens: int | None = Field(
        default=None, ge=0, description="Tokens of the answer, where the engine counts."
    )


class Exchange(_Record):
    """A request that was mirrored, or whose task had a canary."""

    kind: Literal["exchange"] = "exchange"
    population: Label = Field(description="The population.")
    task: Label = Field(description="The task.")
    table: str = Field(description="Digest of the routing table it was routed by.")
    arm: Arm = Field(description="Who answered the user.")
    sampled: bool = Field(
        default=True,
        description="Whether it would be written down without a copy, too: its task has a canary, or chance "
        "took it. Only of these failed answers are written down as well.",
    )
    asker: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        default=None, description="Hash of the session or the user; absent where neither was said."
    )
    prompt: str | None = Field(default=None, description="What was asked, redacted; only where it is kept.")
    prompt_sha256: Sha256 = Field(description="Hash of the redacted prompt.")
    answer: Answered = Field(description="What the user got.")
    shadow: Answered | None = Field(default=None, description="What the shadow made of the same request.")


def alike(exchange: Exchange) -> bool:
    """Whether the shadow said the same as who served, so that there is nothing to judge."""
    ours, theirs = exchange.shadow, exchange.answer
    if ours is None or ours.text is None or theirs.text is None:
        return False
    return same_words(ours.text, theirs.text)


def same_words(ours: str, theirs: str) -> bool:
    """Whether two answers say the same; space around them says nothing."""
    return ours.strip() == theirs.strip()


class Feedback(_Record):
    """What is said later of an answer: a score, or what would have been right."""

    kind: Literal["feedback"] = "feedback"
    score: float | None = Field(default=None, ge=0, le=1, description="How good the answer was.")
    label: str | None = Field(default=None, description="The right answer, redacted.")
    label_sha256: Sha256 | None = Field(default=None, description="Hash of the redacted label.")


class Used(Model):
    """Requests of one task that one model answered."""

    model_config = ConfigDict(extra="ignore")

    task: Label | None = Field(default=None, description="The task; absent where the request has none.")
    served: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="Served name of who answered; absent where nobody did."
    )
    requests: int = Field(ge=1, description="How many.")
    tokens: int = Field(ge=0, description="Tokens of requests and answers, where the engine counts.")
    classified: int = Field(default=0, ge=0, description="How many of them the classifier sent there.")


class Checked(Model):
    """Requests whose task is known, and what the classifier says of them: it did not route them."""

    model_config = ConfigDict(extra="ignore")

    classifier: Mark = Field(description="The classifier.")
    task: Label | None = Field(
        default=None, description="The task that it is; absent where it is for no specialist."
    )
    said: Label | None = Field(
        default=None, description="The task that the classifier says; absent where it says none."
    )
    requests: int = Field(ge=1, description="How many.")


class Usage(Model):
    """All that one gateway was asked in a time, also if that is nothing: it proves that somebody counted."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["usage"] = "usage"
    since: float = Field(ge=0, description="From when, in seconds since 1970.")
    time: float = Field(ge=0, description="Until when.")
    population: Label = Field(description="The population.")
    used: tuple[Used, ...] = Field(default=(), description="By task and by who answered.")
    checked: tuple[Checked, ...] = Field(default=(), description="What the classifier said of known tasks.")


class Preference(_Record):
    """What a judge says of an exchange: which of the two answers is better. Error or value, never both."""

    kind: Literal["preference"] = "preference"
    judge: JudgeName = Field(description="The judge.")
    value: Literal[-1, 0, 1] | None = Field(
        default=None,
        description="The shadow's answer is worse, as good, better; absent where it is an error.",
    )
    inconsistent: bool = Field(
        default=False, description="The judge said otherwise with the answers in the other order: a tie."
    )
    error: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="Why there is no judgement."
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.value is None) == (self.error is None):
            raise ValueError("a preference has a value or an error, one of the two")
        return self


LiveRecord: TypeAlias = Exchange | Feedback | Usage | Preference
_LINE: TypeAdapter[LiveRecord] = TypeAdapter(Annotated[LiveRecord, Field(discriminator="kind")])


def write_line(record: LiveRecord) -> bytes:
    """Write a record as one line of JSON."""
    return record.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"


def read_line(line: bytes) -> LiveRecord:
    """Read a line. Raises pydantic.ValidationError (a ValueError), also for one that was cut short."""
    return _LINE.validate_json(line)
