"""The multi-LoRA engines that serve a population."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .meta import LABEL, DurationOrZero, Model, cel, validated
from .quantities import AbsolutePath, Endpoint, Memory, SecretKeyRef, bytes_of
from .routing import BaseName, Fallback, Isolation

MOST_ENGINES = 16


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


class Classifier(Model):
    """A model of embeddings: what no other rule matches goes to the task of the example it is most like.

    It is checked on requests whose task is known, and routes to a task once it is proven to be right there.
    """

    endpoint: Endpoint = Field(
        description="Where it answers, by OpenAI's API for embeddings. Its token is a file of the gateways, "
        "--classifier-token-file."
    )
    model: BaseName = Field(
        description="The model that is asked. Another model under the same name is measured as the old one; "
        "give it another name."
    )
    minimum_similarity: float = Field(
        ge=-1,
        le=1,
        description="Cosine of request and example below which a request is like none of them: it falls "
        "back. Models differ; the gateways' metric check_similarity shows what is usual.",
    )
    minimum_accuracy: float = Field(
        default=0.9,
        gt=0.5,
        lt=1,
        description="Share of right answers that must be proven, of all that are about a task: its own "
        "requests and those of others that are taken for it. Below it, nothing is sent there.",
    )
    minimum_checked: int = Field(
        default=100, ge=10, le=1_000_000, description="Answers about a task that must be checked, at least."
    )
    sample: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of the requests whose task is known by which it is checked, off the users' way.",
    )


class Gateway(Model):
    """What the gateways of the population are told, beside the routes that the log gives."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.sample) || has(self.records)",
                "gateway.sample is of what gateways write down; give records, or leave sample out",
                ".sample",
            ),
            cel(
                "!has(self.classifier) || has(self.records)",
                "gateway.classifier routes by what gateways write down of it; give records, or leave "
                "classifier out",
                ".classifier",
            ),
        )
    )

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
    records: (
        Annotated[
            str,
            Field(
                pattern=r"^(file:///[^?#]+|store:///[a-zA-Z0-9][-._a-zA-Z0-9]*(/[a-zA-Z0-9][-._a-zA-Z0-9]*)*)$",
                max_length=1024,
                json_schema_extra=validated(
                    cel(
                        "!self.matches('^store:///(artifacts|inputs|log|progress|store[.]json)(/|$)')",
                        "is a place of the store's own; take another, such as store:///live",
                    )
                ),
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Where the operator reads what the gateways write down: their --records-dir as it sees "
        "it, such as file:///var/lib/modelecology/live, or a folder of the store, such as store:///live, "
        "which `modelecology.store ship` brings it to where the store is a bucket.",
    )
    sample: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of live specialists' answers that the gateways write down, so that what is said "
        "of them later tells whether they still are as good as they were evaluated; none if absent. Needs "
        "records.",
    )
    classifier: Classifier | None = Field(
        default=None,
        description="Says which contract's match.example a request is most like, where no other rule "
        "matches; no example counts if absent. Needs records.",
    )


class EngineSelector(Model):
    """A Service of the population's namespace whose pods are the engines."""

    service: Annotated[str, Field(pattern=LABEL, max_length=63)] = Field(
        description="Name of the Service; its EndpointSlices say which pods there are."
    )
    port: int = Field(
        ge=1, le=65535, description="The port on which the pods listen, whatever the Service calls it."
    )
    replicas: int = Field(
        default=1,
        ge=1,
        le=MOST_ENGINES,
        description="How many engines a specialist is charged for. Pods come and go, and no verdict should "
        "change with them.",
    )

    def addresses(self, hosts: Sequence[str]) -> tuple[str, ...]:
        """Write the base addresses of the pods on some hosts, as many as a population takes."""
        return tuple(f"http://{host}:{self.port}" for host in hosts[:MOST_ENGINES])


class Serving(Model):
    """The multi-LoRA engines which serve the population."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "has(self.endpoints) != has(self.selector)",
                "serving takes exactly one of endpoints and selector; list the engines or name a Service",
            )
        )
    )

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=MOST_ENGINES)] = Field(
        default=(),
        description="Base addresses of the engines, one per replica.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    selector: EngineSelector | None = Field(
        default=None,
        description="The engines are the pods of a Service, in place of endpoints. A pod that is not ready "
        "is loaded and proved, and gets no requests. The operator needs list and watch on EndpointSlices.",
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
    drain: DurationOrZero = Field(
        default=timedelta(seconds=30),
        description="How long requests may still run on a revision that leaves the engines, before it is "
        "unloaded: less where an engine says that none runs, not at all with 0s.",
    )
    fallback: Literal["Generalist"] = Field(
        default="Generalist", description="What serves a task that has no live specialist."
    )
    gateway: Gateway | None = Field(
        default=None,
        description="Keeps the routing table of the gateways in the ConfigMap <population>-routes; without "
        "it there is none.",
    )

    @property
    def classifier(self) -> Classifier | None:
        """What embeds examples and requests; without it no example of a contract counts."""
        return None if self.gateway is None else self.gateway.classifier

    @property
    def replicas(self) -> int:
        """How many engines a resident adapter is charged for."""
        return len(self.endpoints) if self.selector is None else self.selector.replicas
