"""What was spent, what is held, and up to which decision a status tells it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from .meta import Amount, Digest, StatusModel, Timestamp


class Tip(StatusModel):
    """The newest decision that a status reflects."""

    sequence: int = Field(ge=0, description="Sequence number in the population's log.")
    digest: Digest = Field(description="Digest of the decision.")


class Ledger(StatusModel):
    """What was spent, failed tries included."""

    cpu_seconds: Amount = Field(default=Decimal(0), description="CPU-seconds.")
    gpu_seconds: Amount = Field(default=Decimal(0), description="GPU-seconds.")
    tokens: int = Field(default=0, ge=0, description="Tokens processed.")
    cost: Amount = Field(default=Decimal(0), description="Cost, in the policy's currency.")
    resident_gib_hours: Amount | None = Field(
        default=None, description="GiB-hours of adapters on engines, all replicas together."
    )
    stored_gib_hours: Amount | None = Field(
        default=None, description="GiB-hours of adapters in the store, archived ones included."
    )
    served_tokens: int | None = Field(
        default=None, ge=0, description="Tokens of users' requests and their answers, as gateways counted."
    )


class Totals(Ledger):
    """What was spent up to a moment, with what is held and not charged by a decision yet."""

    until: Timestamp | None = Field(
        default=None, description="Up to when what is held now is counted; absent while nothing is."
    )


class Holding(StatusModel):
    """What a revision holds from a decision on; it is charged by time."""

    stored_bytes: int = Field(ge=0, description="Bytes in the store.")
    resident_bytes: int = Field(ge=0, description="Bytes on one replica.")
    replicas: int = Field(ge=0, description="Replicas that hold it; 0 where it is not resident.")


_Keys = Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=256)]


class Account(StatusModel):
    """What a decision says for the ledger beside its cost; docs/ledger.md."""

    holds: Holding | None = Field(default=None, description="What the revision holds from now on.")
    results: _Keys = Field(default=(), description="Keys of the evaluations that the cost includes.")
    population: Ledger | None = Field(
        default=None,
        description="Evaluations of the generalist and of live specialists, which the population pays for.",
    )
    population_results: _Keys = Field(
        default=(), description="Their keys, and the names of such jobs that failed."
    )
