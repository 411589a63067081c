"""How long decisions stay objects: older ones are sealed into segments in the store, and then pruned."""

from __future__ import annotations

from pydantic import Field

from .meta import Model


class LogPolicy(Model):
    """How much of the log is kept as objects."""

    retain: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Newest decisions that stay objects; older ones lie in the store, sealed.",
    )
    segment: int = Field(
        default=1_000, ge=10, le=10_000, description="Decisions that are sealed together, under one root."
    )
