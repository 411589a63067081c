"""Opens what a population names, with what mounted Secrets hold: runner, engines, store; and a log's key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modelecology.api.population import Population
from modelecology.api.quantities import SecretKeyRef
from modelecology.engines.port import Engine
from modelecology.engines.vllm import VllmEngine
from modelecology.governance.segments import Sign
from modelecology.jobs.kuberay import KubeRayRunner
from modelecology.jobs.port import JobRunner
from modelecology.jobs.ray_entry import store_variables
from modelecology.jobs.ray_jobs import RayJobsRunner, token_from_file
from modelecology.kube.ray_jobs import RayJobs
from modelecology.options import Options
from modelecology.reconcile.lines import Runners
from modelecology.reconcile.runtime import Engines, Stores
from modelecology.store import ArtifactStore, S3Access
from modelecology.store.signing import signer


def runners(options: Options) -> Runners:
    """Open runners on Ray; a token is read from the mounted Secret at each request, so it can be rotated."""

    def open_runner(population: Population) -> JobRunner:
        ray = population.spec.jobs.ray
        if ray is not None:
            token = _token(options, population, ray.token_secret_ref)
            return RayJobsRunner(
                ray.address, token, options.job_python, environment=store_variables(population)
            )
        client = RayJobs(population.metadata.namespace)
        return KubeRayRunner(client, population, options.job_image, options.job_python)

    return open_runner


def engines(options: Options) -> Engines:
    """Open engines that speak vLLM's API; their token is read like Ray's."""

    def open_engine(population: Population, endpoint: str) -> Engine:
        token = _token(options, population, population.spec.serving.token_secret_ref)
        return VllmEngine(endpoint, token=token)

    return open_engine


def stores(options: Options) -> Stores:
    """Open stores; the credentials of a bucket are read from the mounted Secret whenever they change."""

    def open_store(population: Population) -> ArtifactStore:
        store = population.spec.store
        if store.s3 is None:
            return ArtifactStore.open(store.uri)
        secret = store.s3.credentials_secret_ref
        credentials = _secret(options, population, secret.name) if secret is not None else None
        return ArtifactStore.open(store.uri, S3Access(store.s3.endpoint, store.s3.region, credentials))

    return open_store


def log_signer(options: Options) -> Sign | None:
    """Sign what is sealed of decision logs, where the options name a key's file. Raises KeyUnusable."""
    return signer(options.log_key_file) if options.log_key_file is not None else None


def _token(options: Options, population: Population, key: SecretKeyRef | None) -> Callable[[], str] | None:
    if key is None:
        return None
    return token_from_file(str(_secret(options, population, key.name) / key.key))


def _secret(options: Options, population: Population, name: str) -> Path:
    return options.secrets / population.metadata.namespace / name
