"""What was spent, and up to which decision a status tells it."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from .meta import Amount, Digest, StatusModel


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
