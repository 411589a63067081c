"""The multi-LoRA engines that serve a population."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .meta import Model, reserved
from .quantities import AbsolutePath, Endpoint, SecretKeyRef


class Capacity(Model):
    """What every engine of the population can hold."""

    adapters: int = Field(default=4, ge=1, le=256, description="Adapters resident at once.")
    max_rank: int = Field(default=16, ge=1, le=512, description="Largest LoRA rank.")


class Serving(Model):
    """The multi-LoRA engines which serve the population."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=16)] = Field(
        description="Base addresses of the engines, one per replica.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="The bearer token which the engines ask for. The operator's pod mounts it; jobs get it "
        "in their environment.",
    )
    adapter_root: AbsolutePath = Field(
        default="/var/lib/modelecology/adapters",
        description="Where the engines see the adapters of an s3:// store, as `modelecology.store mirror` "
        "lays them there. An engine sees those of a file:// store at their own place.",
    )
    capacity: Capacity = Field(default=Capacity(), description="What every engine can hold.")
    fallback: Literal["Generalist"] = Field(
        default="Generalist", description="What serves a task that has no live specialist."
    )
    selector: Any = reserved("serving.selector", "list the engines in serving.endpoints")
