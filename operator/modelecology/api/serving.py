"""The multi-LoRA engines that serve a population."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .meta import Model, reserved
from .quantities import AbsolutePath, Endpoint, Memory, SecretKeyRef, bytes_of
from .routing import BaseName, Fallback, Isolation


class Capacity(Model):
    """What every engine of the population can hold."""

    adapters: int = Field(default=4, ge=1, le=256, description="Adapters resident at once.")
    max_rank: int = Field(default=16, ge=1, le=512, description="Largest LoRA rank.")
    memory: Memory | None = Field(
        default=None, description="Memory for all adapters together, such as 2Gi; no limit if absent."
    )

    @property
    def memory_bytes(self) -> int | None:
        """Memory for adapters in bytes."""
        return None if self.memory is None else bytes_of(self.memory)


class Gateway(Model):
    """What the gateways of the population are told, beside the routes that the log gives."""

    generalist: BaseName = Field(
        default="generalist", description="Name under which the engines serve the base model."
    )
    fallback: Fallback = Field(
        default=Fallback.GENERALIST,
        description="What answers where no specialist may: Generalist, which is counted and told, or Error.",
    )
    isolate: Isolation = Field(
        default=Isolation.FINISH,
        description="What becomes of requests that run on a revision when it is quarantined: Finish lets "
        "them end, Cancel cuts them off.",
    )
    records: Annotated[str, Field(pattern=r"^file:///[^?#]+$", max_length=1024)] | None = Field(
        default=None,
        description="Where the gateways write their records and the operator reads them: their "
        "--records-dir, as the operator sees it, such as file:///var/lib/modelecology/live.",
    )


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
    gateway: Gateway | None = Field(
        default=None,
        description="Keeps the routing table of the gateways in the ConfigMap <population>-routes; without "
        "it there is none.",
    )
    selector: Any = reserved("serving.selector", "list the engines in serving.endpoints")
