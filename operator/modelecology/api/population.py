"""Population: one generalist, its suite, its policy, and where its jobs and adapters run."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from .meta import (
    ANYTHING,
    CONDITIONS,
    NAME_RULES,
    NO_WAY_UP,
    Amount,
    Condition,
    Digest,
    Duration,
    DurationOrZero,
    FileUri,
    Label,
    Model,
    Money,
    NameRef,
    ObjectMeta,
    StatusModel,
    cel,
    reserved,
    validated,
)

Cpu = Annotated[
    str,
    Field(
        pattern=r"^([0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m)$",
        max_length=20,
        json_schema_extra=validated(
            cel("self.matches('[1-9]')", "takes CPUs above 0, such as 2, 0.5 or 500m")
        ),
    ),
]
Memory = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti)?$",
        max_length=20,
        json_schema_extra=validated(
            cel("self.matches('[1-9]')", "takes bytes above 0, such as 4Gi, with Ki, Mi, Gi, Ti or none")
        ),
    ),
]
# No path, and no user or password: whoever may read a Population would read them.
Endpoint = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s/@?#]+$",
        max_length=256,
        json_schema_extra=validated(
            cel(
                "self.matches('^https?://[^/@?#]+$')",
                "takes http://host:port or https://host:port, with no path, user, query or slash at the end",
            )
        ),
    ),
]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=63)]
ImageName = Annotated[str, Field(pattern=r"^[^\s]+$", max_length=512)]
LabelValue = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$", max_length=63)]
AbsolutePath = Annotated[
    str, Field(pattern=r"^/[-._/a-zA-Z0-9]+$", max_length=512, json_schema_extra=validated(NO_WAY_UP))
]
ServedName = Annotated[str, Field(max_length=256)]


class Generalist(Model):
    """The base model that every specialist adapts."""

    model: FileUri = Field(
        description="Directory of the model in Hugging Face layout, with safetensors weights."
    )
    digest: Digest = Field(
        description="Digest of that directory, as prepare-base prints it. It pins weights and tokenizer."
    )


class SecretRef(Model):
    """A Secret that pods are given; the operator never reads it through the API."""

    name: SecretName = Field(description="Name of the Secret.")


class S3(Model):
    """How an s3:// store is reached."""

    endpoint: Endpoint | None = Field(
        default=None, description="Address of an S3-compatible service; that of AWS if it is left out."
    )
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=63)] = Field(
        default="us-east-1", description="Region of the bucket."
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="A Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which pods are "
        "given. Without it they use the identity of their service account.",
    )


class Store(Model):
    """The content-addressed store of adapters and results."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.s3) || self.uri.startsWith('s3://')",
                "store.s3 belongs to an s3:// uri; leave it out",
                ".s3",
            )
        )
    )

    uri: Annotated[
        str,
        Field(
            pattern=r"^(file:///[^\s?#%]+|s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-._a-zA-Z0-9]+)*)$",
            max_length=1024,
            json_schema_extra=validated(NO_WAY_UP),
        ),
    ] = Field(
        description="Root of the store: file:///absolute on a volume that the operator, the jobs and the "
        "engines all mount, or s3://bucket/prefix."
    )
    s3: S3 | None = Field(default=None, description="How an s3:// store is reached.")


class SecretKeyRef(Model):
    """One key of a Secret, which is mounted into the operator's pod and never read through the API."""

    name: SecretName = Field(description="Name of the Secret.")
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=63)] = Field(
        default="token", description="Key in the Secret."
    )


class Ray(Model):
    """Where Ray's Jobs API answers."""

    address: Endpoint = Field(description="Ray's dashboard address, such as http://ray-head:8265.")
    token_secret_ref: SecretKeyRef | None = Field(
        default=None, description="The token of Ray's token authentication."
    )


class KubeRay(Model):
    """How a job runs as a RayJob of KubeRay: in a Ray cluster of its own, or in one that is there."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "!has(self.clusterSelector) || "
                "!(has(self.image) || has(self.podTemplate) || has(self.queue))",
                "clusterSelector runs jobs in a Ray cluster that is there; leave out image, podTemplate "
                "and queue",
                ".clusterSelector",
            )
        )
    )

    image: ImageName | None = Field(
        default=None, description="The workload image; the operator's own default if it is left out."
    )
    pod_template: dict[str, Any] | None = Field(
        default=None,
        description="A core/v1 PodTemplateSpec which is laid over the one that jobs run in: lists of named "
        "items are merged by name, and the container is called ray-head. Here go volumes, tolerations, node "
        "selectors and service accounts.",
        json_schema_extra=ANYTHING,
    )
    queue: LabelValue | None = Field(
        default=None,
        description="Kueue's LocalQueue: jobs are created suspended, and Kueue starts them.",
    )
    cluster_selector: Annotated[dict[str, LabelValue], Field(min_length=1, max_length=8)] | None = Field(
        default=None, description="Labels of a RayCluster that is there, such as ray.io/cluster."
    )


class Resources(Model):
    """What one job asks for."""

    cpu: Cpu = Field(default="1", description="CPUs, such as 2 or 500m.")
    memory: Memory | None = Field(default=None, description="Memory, such as 4Gi.")
    gpu: int = Field(default=0, ge=0, le=64, description="GPUs.")

    @property
    def cpus(self) -> float:
        """CPUs as a number."""
        return int(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu)

    @property
    def memory_bytes(self) -> int | None:
        """Memory in bytes."""
        if self.memory is None:
            return None
        powers = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
        unit = powers.get(self.memory[-2:])
        return int(float(self.memory[:-2]) * 2**unit) if unit else int(float(self.memory))


class Jobs(Model):
    """How training and evaluation jobs run."""

    model_config = ConfigDict(
        json_schema_extra=validated(
            cel(
                "self.runner != 'RayJobs' || has(self.ray)",
                "runner RayJobs needs jobs.ray.address; give it, or set jobs.runner to KubeRay",
                ".ray",
            ),
            cel(
                "self.runner == 'RayJobs' || !has(self.ray)",
                "jobs.ray belongs to runner RayJobs; leave it out",
                ".ray",
            ),
            cel(
                "self.runner == 'KubeRay' || !has(self.kubeRay)",
                "jobs.kubeRay belongs to runner KubeRay; leave it out, or set jobs.runner to KubeRay",
                ".kubeRay",
            ),
        )
    )

    runner: Literal["RayJobs", "KubeRay"] = Field(
        default="RayJobs",
        description="RayJobs submits to a running Ray through its Jobs API. KubeRay creates RayJob objects.",
    )
    ray: Ray | None = Field(default=None, description="The running Ray, for runner RayJobs.")
    kube_ray: KubeRay | None = Field(default=None, description="The pods of jobs, for runner KubeRay.")
    resources: Resources = Field(default=Resources(), description="What one job asks for.")
    parallelism: int = Field(default=1, ge=1, le=64, description="Jobs of this population that run at once.")
    deadline: Duration = Field(default=timedelta(hours=2), description="A job that runs longer is ended.")
    retries: int = Field(default=3, ge=0, le=10, description="Further tries after a failure that may pass.")


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
    viability: Viability = Field(default=Viability(), description="When an action repays its cost.")
    prices: Prices = Field(default=Prices(), description="Prices of resources.")
    shadow: Shadow = Field(default=Shadow(), description="What a shadow must show.")
    promotion: Promotion = Field(default=Promotion(), description="How a shadow becomes live.")
    retirement: Retirement = Field(default=Retirement(), description="How a specialist goes.")
    budget: Budget | None = Field(default=None, description="What may be spent; no limit if absent.")


class PopulationSpec(Model):
    """What the user wants of a population."""

    generalist: Generalist = Field(description="The base model.")
    suite_ref: NameRef = Field(description="The EvaluationSuite on which everything is judged.")
    store: Store = Field(
        description="The store of adapters and results.",
        json_schema_extra=validated(
            cel("self.uri == oldSelf.uri", "store.uri is immutable; create another Population", ".uri")
        ),
    )
    jobs: Jobs = Field(description="How jobs run.")
    serving: Serving = Field(description="The engines.")
    policy: Policy = Field(default=Policy(), description="The rules.")


class Tip(StatusModel):
    """The newest decision that a status reflects."""

    sequence: int = Field(ge=0, description="Sequence number in the population's log.")
    digest: Digest = Field(description="Digest of the decision.")


class Baseline(StatusModel):
    """The generalist's score on one task."""

    task: Label = Field(description="Name of the task.")
    score: float = Field(description="Mean score, in [0, 1].")
    n: int = Field(ge=0, description="Items scored.")


class Ledger(StatusModel):
    """What was spent, failed tries included."""

    cpu_seconds: Amount = Field(default=Decimal(0), description="CPU-seconds.")
    gpu_seconds: Amount = Field(default=Decimal(0), description="GPU-seconds.")
    tokens: int = Field(default=0, ge=0, description="Tokens processed.")
    cost: Amount = Field(default=Decimal(0), description="Cost, in the policy's currency.")


class EndpointStatus(StatusModel):
    """One engine, as last seen."""

    endpoint: Endpoint = Field(description="Base address.")
    reachable: bool = Field(description="Whether it answered.")
    adapters: Annotated[tuple[ServedName, ...], Field(max_length=256)] = Field(
        default=(), description="Served names proved to be resident."
    )
    message: Annotated[str, Field(max_length=512)] = Field(default="", description="What is wrong.")


class PopulationStatus(StatusModel):
    """What the operator has seen of a population."""

    observed_generation: int = Field(default=0, ge=0, description="The generation this status is of.")
    conditions: tuple[Condition, ...] = CONDITIONS
    suite_digest: Digest | None = Field(default=None, description="Digest of the sealed suite.")
    policy_digest: Digest | None = Field(default=None, description="Digest of the policy.")
    specialists: int = Field(default=0, ge=0, description="Specialists that refer to this population.")
    live: int = Field(default=0, ge=0, description="Live specialists.")
    value: Money | None = Field(
        default=None, description="Value of the population over the horizon, above the generalist alone."
    )
    baseline: Annotated[tuple[Baseline, ...], Field(max_length=32)] = Field(
        default=(), description="The generalist's scores."
    )
    endpoints: Annotated[tuple[EndpointStatus, ...], Field(max_length=16)] = Field(
        default=(), description="The engines."
    )
    ledger: Ledger = Field(default=Ledger(), description="What was spent.")
    last_decision: Tip | None = Field(default=None, description="The newest decision.")


class Population(Model):
    """A Population governs the specialists of one generalist: suite, policy, engines, jobs and store."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=validated(
            *NAME_RULES,
            # Until the generalist is scored nothing rests on it, so that a mistyped digest can be mended.
            cel(
                "self.spec.generalist.digest == oldSelf.spec.generalist.digest || !has(oldSelf.status) || "
                "!has(oldSelf.status.baseline) || oldSelf.status.baseline.size() == 0",
                "generalist.digest is immutable once the generalist is scored; create another Population",
                ".spec.generalist.digest",
            ),
        ),
    )

    metadata: ObjectMeta
    spec: PopulationSpec
    status: PopulationStatus = PopulationStatus()
