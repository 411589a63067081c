"""What a population is judged by, what a Specialist claims, and the digests that pin them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelecology.api.population import Population
from modelecology.api.specialist import Specialist, SpecialistSpec
from modelecology.api.suite import EvaluationSuite, SuiteSpec
from modelecology.governance.facts import Claim
from modelecology.governance.log import served_name
from modelecology.governance.misrouting import charged
from modelecology.governance.traffic import measured
from modelecology.translation import policy, tasks

from .classifier import Measured
from .frame import Rules
from .usage import Counted


def digest_of_json(value: Any) -> str:
    """Digest a JSON value by its canonical bytes, as sha256:<64 hex>."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def suite_digest(spec: SuiteSpec) -> str:
    """Digest a suite: data is in it by digest, so where the files lie does not matter."""
    body = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    for task in body["tasks"]:
        del task["data"]["uri"]
        if not task["mustPass"]:
            del task["mustPass"]  # it came later, and must not make another suite of an old one
    return digest_of_json(body)


# The policy of v0.1.0. A field that came later is part of the digest only where somebody has set it: an
# upgrade must not look like an edit of every policy.
_FIRST_POLICY: Mapping[str, Any] = {
    "confidence": {},
    "minimumGap": {},
    "viability": {"threshold": {}, "horizon": {}, "requestsPerDay": {}},
    "prices": {"gpuHour": {}, "cpuHour": {}, "gibHour": {}},
    "shadow": {"minimumScored": {}, "maximumDuration": {}},
    "promotion": {"mode": {}},
    "retirement": {"undoWindow": {}},
    "budget": {"window": {}, "gpuHours": {}, "cpuHours": {}},
}


def _drop_later_defaults(body: dict[str, Any], said: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    for name in list(body):
        if name not in said and name not in first:
            del body[name]
        elif isinstance(body[name], dict):
            _drop_later_defaults(body[name], said.get(name, {}), first.get(name, {}))


def policy_digest(population: Population) -> str:
    """Digest everything of a population that a verdict depends on, besides suite and base."""
    spec = population.spec
    body = spec.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    said = spec.policy.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    _drop_later_defaults(body, said, _FIRST_POLICY)
    body["shadow"].pop("sample", None)  # no verdict rests on it
    body["capacity"] = spec.serving.capacity.model_dump(mode="json", by_alias=True, exclude_none=True)
    body["replicas"] = spec.serving.replicas
    return digest_of_json(body)


def revision_of(spec: SpecialistSpec, base_digest: str) -> str:
    """Name a revision, 12 hex digits: another source, contract or base is another revision."""
    contract = spec.contract.model_dump(mode="json", by_alias=True, include={"task", "target"})
    source = spec.source.model_dump(mode="json", by_alias=True, exclude_none=True)
    for place in (
        source.get("train", {}).get("data"),
        source.get("train", {}).get("replay"),
        source.get("artifact"),
    ):
        if place:
            del place["uri"]
    return digest_of_json({"contract": contract, "source": source, "base": base_digest})[7:19]


def rules(population: Population, suite: EvaluationSuite) -> Rules:
    """Translate all that a verdict is made by."""
    return Rules(policy(population), policy_digest(population), tasks(suite.spec), suite_digest(suite.spec))


def weighed(
    found: Rules, population: Population, counted: Counted | None, classifier: Measured | None
) -> Rules:
    """Weigh by what gateways counted, where the policy says so and they counted long enough.

    What the classifier leads astray is charged in any case.
    """
    over = population.spec.policy.viability.measured_over
    traffic = counted.traffic(over) if counted is not None and over is not None else None
    if classifier is not None:
        found = replace(found, tasks=charged(found.tasks, classifier.tasks, traffic))
    if traffic is None:
        return found
    then, shares = measured(found.policy, found.tasks, traffic)
    return replace(found, policy=then, tasks=shares, measured=True)


def claim(specialist: Specialist, population: Population) -> Claim:
    """Translate what a Specialist asks for into its current revision."""
    spec = specialist.spec
    revision = revision_of(spec, population.spec.generalist.digest)
    resources = spec.resources or population.spec.jobs.resources
    train = spec.source.train
    return Claim(
        specialist=specialist.metadata.name,
        revision=revision,
        served_name=served_name(specialist.metadata.name, revision),
        task=spec.contract.task,
        target_score=spec.contract.target,
        wanted=spec.lifecycle.target,
        rank=train.lora.rank if train else 0,
        steps=train.recipe.steps if train else 0,
        cpus=resources.cpus,
        gpus=float(resources.gpu),
        pinned=tuple(served_name(specialist.metadata.name, each) for each in spec.lifecycle.pins),
    )
