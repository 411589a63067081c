"""What the live ones have to do with those that want their place."""

from __future__ import annotations

from typing import Any

from modelecology.jobs.port import JobFailure, JobSpec
from modelecology.kube.cluster import POPULATION
from modelecology.reconcile.frame import Asked
from testbed.pretend_desk import PLAYBOOK

from .stage import NAMESPACE, Stage


async def test_one_that_cannot_be_evaluated_again_keeps_no_other_from_it(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("plain", "dates", 0.6))
    await stage.apply(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.settle(30.0)
    assert (stage.state("plain"), stage.state("dates")) == ("Live Serving", "Live Serving")
    first, second = (stage.status(name)["live"]["key"] for name in ("plain", "dates"))

    def effect(spec: JobSpec) -> JobFailure | None:
        broken = JobFailure("InternalError", "The judge breaks on this one.", True)
        return broken if first in spec.intent_json else PLAYBOOK.effect(spec)

    stage.runner._effect = effect
    suite = stage.manifests.suite()
    suite["metadata"]["name"] = "next"
    suite["spec"]["shadowShare"] = 0.3
    await stage.apply(suite)
    patch = {"spec": {"suiteRef": {"name": "next"}}}
    await stage.cluster.patch(POPULATION, NAMESPACE, "desk", patch)
    await stage.settle(900.0)
    frame = await stage.runtime.frame(NAMESPACE, "desk")
    assert frame.unfinished((Asked("dates", "Main", first),))
    assert not frame.unfinished((Asked("dates", "Main", second),))
    assert stage.condition("desk", POPULATION)["reason"] == "InternalError"


async def test_what_was_shelved_beside_another_is_judged_again_when_that_one_leaves(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    lesser = stage.manifests.specialist("plain", "dates", 0.95)
    await stage.apply(lesser)
    await stage.settle(30.0)
    assert stage.state("plain") == "Shelved PortfolioGainDoesNotRepayCost"
    served: dict[str, Any] = stage.status("dates")["live"]
    assert stage.status("plain")["candidate"]["scorecard"]["incumbent"] == served["servedName"]
    trained = [n for n in stage.runner.names() if n.startswith("train-")]

    await stage.want("dates", "Retired")
    await stage.settle(30.0)
    assert stage.state("plain") == "Live Serving"
    assert (await stage.actions("plain"))[-4:] == [
        "Reconsider PremisesChanged",
        "Prove ScreenSurvived",
        "Admit PortfolioGainProven",
        "Promote ServedScoreConfirmed",
    ]
    assert [n for n in stage.runner.names() if n.startswith("train-")] == trained


async def test_a_shelved_one_is_judged_once_for_each_incumbent(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    await stage.apply(stage.manifests.specialist("plain", "dates", 0.95))
    await stage.settle(30.0)
    written = len(stage.cluster.writes)
    await stage.settle(600.0)
    assert stage.cluster.writes[written:] == []
    assert (await stage.actions("plain")).count("Shelve PortfolioGainDoesNotRepayCost") == 1
