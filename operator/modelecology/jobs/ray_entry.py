"""What Ray is told of a job, whoever tells it: the command, and the environment with the intent."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from modelecology.api.population import Population
from modelecology.jobs.intents import INTENT_VARIABLE
from modelecology.jobs.port import JobSpec

WORKLOADS: Final = ("-m", "modelecology.workloads")


def command(python: str, arguments: Sequence[str] = WORKLOADS) -> str:
    """Write the command that Ray's shell runs."""
    return shlex.join((python, *arguments))


def variables(spec: JobSpec, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """List the environment of a job; threads follow the CPUs, and the intent is never overridden."""
    return {
        "OMP_NUM_THREADS": str(max(1, int(spec.cpus))),
        **(extra or {}),
        INTENT_VARIABLE: unexpanded(spec.intent_json),
    }


def store_variables(population: Population) -> dict[str, str]:
    """Say where a population's bucket is; no secret."""
    s3 = population.spec.store.s3
    if s3 is None:
        return {}
    return {"AWS_REGION": s3.region} | ({"MODELECOLOGY_S3_ENDPOINT": s3.endpoint} if s3.endpoint else {})


def unexpanded(intent_json: str) -> str:
    """Keep Ray from expanding `$NAME`: in JSON a dollar sign stands in strings only and can be an escape."""
    return intent_json.replace("$", "\\u0024")
