"""From the kinds of the API to the terms of governance, and the digests that pin them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from modelecology.api.policy import Budget as ApiBudget
from modelecology.api.policy import Limits as ApiLimits
from modelecology.api.population import Population
from modelecology.api.quantities import bytes_of
from modelecology.api.specialist import Specialist, SpecialistSpec
from modelecology.api.suite import EvaluationSuite, SuiteSpec
from modelecology.api.vocabulary import Scope
from modelecology.governance.facts import Budget, Claim, EvidenceRules, Limits, Policy, Prices, SuiteTask
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
    each = budget.per_specialist
    return Budget(
        budget.window,
        budget.gpu_hours,
        budget.cpu_hours,
        each.gpu_hours if each else None,
        each.cpu_hours if each else None,
    )


def _limits(limits: ApiLimits) -> Limits:
    latency = limits.latency
    return Limits(
        memory=bytes_of(limits.memory) if limits.memory is not None else None,
        latency=latency.most.total_seconds() if latency is not None else None,
        percentile=latency.percentile if latency is not None else 90,
    )


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
        prices=Prices(
            rules.prices.gpu_hour,
            rules.prices.cpu_hour,
            rules.prices.gib_hour,
            rules.prices.token_million,
            rules.prices.wait_hour,
            rules.prices.stored_gib_hour,
        ),
        minimum_scored=rules.shadow.minimum_scored,
        shadow_maximum=rules.shadow.maximum_duration,
        undo_window=rules.retirement.undo_window,
        budget=_budget(rules.budget),
        adapters=spec.serving.capacity.adapters,
        max_rank=spec.serving.capacity.max_rank,
        replicas=len(spec.serving.endpoints),
        retries=spec.jobs.retries,
        manual=rules.promotion.mode == "Manual",
        limits=_limits(rules.limits),
        evidence=EvidenceRules(
            method=rules.evidence.method,
            disclosure=rules.evidence.disclosure,
            looks=rules.evidence.looks,
            slices=rules.evidence.slices,
            rounds=rules.evidence.rounds,
            grid=rules.evidence.grid,
            screen=Fraction(str(rules.evidence.screen)),
            minimum_effect=rules.evidence.minimum_effect,
            effect=rules.evidence.effect,
        ),
        misrouting=rules.viability.misrouting,
        reevaluate_every=rules.viability.reevaluate_every,
        memory=spec.serving.capacity.memory_bytes,
        automatic_retirement=rules.retirement.mode == "Automatic",
        retirement_grace=rules.retirement.grace,
        retire_by_point=rules.retirement.basis == "Point",
    )


def tasks(suite: SuiteSpec) -> tuple[SuiteTask, ...]:
    """Translate the suite's tasks."""
    return tuple(
        SuiteTask(
            t.name,
            t.role,
            t.scope or Scope.ADAPTER,
            t.share,
            t.price,
            t.max_regression,
            t.floor,
            t.must_pass,
        )
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
