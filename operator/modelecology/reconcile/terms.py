"""From the kinds of the API to the terms of governance, and the digests that pin them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from modelecology.api.policy import Budget as ApiBudget
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist, SpecialistSpec
from modelecology.api.suite import EvaluationSuite, SuiteSpec
from modelecology.api.vocabulary import Scope
from modelecology.governance.facts import Budget, Claim, Policy, Prices, SuiteTask
from modelecology.governance.log import served_name

from .frame import Rules


def digest_of_json(value: Any) -> str:
    """Digest a JSON value by its canonical bytes, as sha256:<64 hex>."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def suite_digest(spec: SuiteSpec) -> str:
    """Digest a suite: data is in it by digest, so where the files lie does not matter."""
    body = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    for task in body["tasks"]:
        del task["data"]["uri"]
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
    body["capacity"] = spec.serving.capacity.model_dump(mode="json", by_alias=True)
    body["replicas"] = len(spec.serving.endpoints)
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


def _budget(budget: ApiBudget | None) -> Budget | None:
    if budget is None:
        return None
    return Budget(budget.window, budget.gpu_hours, budget.cpu_hours)


def policy(population: Population) -> Policy:
    """Translate the population's rules."""
    spec = population.spec
    rules = spec.policy
    return Policy(
        confidence=rules.confidence,
        minimum_gap=rules.minimum_gap,
        threshold=rules.viability.threshold,
        horizon=rules.viability.horizon,
        requests_per_day=rules.viability.requests_per_day,
        prices=Prices(rules.prices.gpu_hour, rules.prices.cpu_hour, rules.prices.gib_hour),
        minimum_scored=rules.shadow.minimum_scored,
        shadow_maximum=rules.shadow.maximum_duration,
        undo_window=rules.retirement.undo_window,
        budget=_budget(rules.budget),
        adapters=spec.serving.capacity.adapters,
        max_rank=spec.serving.capacity.max_rank,
        replicas=len(spec.serving.endpoints),
        retries=spec.jobs.retries,
        manual=rules.promotion.mode == "Manual",
    )


def tasks(suite: SuiteSpec) -> tuple[SuiteTask, ...]:
    """Translate the suite's tasks."""
    return tuple(
        SuiteTask(t.name, t.role, t.scope or Scope.ADAPTER, t.share, t.price, t.max_regression or 0.0)
        for t in suite.tasks
    )


def rules(population: Population, suite: EvaluationSuite) -> Rules:
    """Translate all that a verdict is made by."""
    return Rules(policy(population), policy_digest(population), tasks(suite.spec), suite_digest(suite.spec))


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
    )
