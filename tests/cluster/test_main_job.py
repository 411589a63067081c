"""The main job in pods, told by tests in their order: Helm, KubeRay, an engine behind its Service."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from modelecology.engines.port import EngineRefused
from modelecology.engines.vllm import VllmEngine
from testbed import tiny_values
from testbed.waiting import holds_within
from tests.cluster.conftest import PACE_SECONDS, Installed


def _ask(installed: Installed, model: str, question: str) -> str:
    async def ask() -> str:
        engine = VllmEngine(installed.installation.service, token=installed.installation.token)
        try:
            return await engine.chat(model, question, 8)
        finally:
            await engine.close()

    return asyncio.run(ask())


def _items(installed: Installed, kind: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(installed.installation.kubectl("get", kind, "--output=json"))[
        "items"
    ]
    return items


def test_a_specialist_is_trained_in_a_rayjob_judged_shadowed_and_answers_through_the_service(
    installed: Installed,
) -> None:
    desk = installed.desk
    installed.installation.install_population(
        tiny_values.population(
            desk,
            code=tiny_values.specialist(desk),
            hasty=tiny_values.specialist(desk, replay=False),
            color=tiny_values.specialist(desk, "color"),
        )
    )
    status = installed.state("code", "Live")
    served = status["live"]["servedName"]
    assert status["live"]["scorecard"]["score"] >= 0.6 > status["live"]["scorecard"]["incumbentScore"]
    assert _ask(installed, served, "code 777").strip() == "zulu"
    assert _ask(installed, "generalist", "code 777").strip() != "zulu"


def test_each_job_ran_once_as_a_rayjob_with_a_token_and_no_kubernetes_credentials(
    installed: Installed,
) -> None:
    installed.state("hasty", "Rejected")
    jobs = _items(installed, "rayjobs")
    assert jobs, "no RayJob is left to look at"
    for job in jobs:
        cluster = job["spec"]["rayClusterSpec"]
        assert cluster["authOptions"] == {"mode": "token"}
        assert cluster["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"] is False
        assert job["spec"]["backoffLimit"] == 0
        assert {o["kind"] for o in job["metadata"]["ownerReferences"]} == {"Population"}


def test_one_that_forgets_is_rejected_and_nothing_is_trained_where_the_generalist_is_good(
    installed: Installed,
) -> None:
    assert "Reject HardInvariantFailure" in installed.decisions("hasty")
    color = installed.until("color", lambda s: bool(s.get("lastDecision")))
    assert (color["state"], color["ledger"]["cpuSeconds"]) == ("Pending", "0")


def test_the_engine_answers_nobody_without_its_token(installed: Installed) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{installed.installation.service}/v1/models", timeout=10)
    with refusal.value as answer:
        assert answer.code == 401


def test_a_retired_one_is_gone_from_the_engine_and_comes_back_when_it_is_wanted(
    installed: Installed,
) -> None:
    served = installed.status("code")["live"]["servedName"]
    installed.want("code", "Retired")
    status = installed.state("code", "Retired")
    with pytest.raises(EngineRefused) as refusal:
        _ask(installed, served, "code 778")
    assert refusal.value.status == 404
    assert installed.store.is_archived(status["previous"]["key"])
    installed.want("code", "Live")
    assert installed.state("code", "Live")["live"]["servedName"] == served
    assert _ask(installed, served, "code 778").strip() == "zulu"


def test_what_has_ended_leaves_no_pod_behind(installed: Installed) -> None:
    def only_ours() -> bool:
        pods = {p["metadata"]["name"] for p in _items(installed, "pods")}
        return not {p for p in pods if not p.startswith(("modelecology-operator-", "desk-engine-"))}

    assert holds_within(only_ours, 120.0, PACE_SECONDS), installed.story()


def test_an_uninstalled_operator_leaves_what_is_the_users_and_holds_nothing_back(
    installed: Installed,
) -> None:
    installation = installed.installation
    installation.uninstall("modelecology")
    assert {s["metadata"]["name"] for s in _items(installed, "specialists")} == {"code", "hasty", "color"}
    assert all(not s["metadata"].get("finalizers") for s in _items(installed, "specialists"))
    assert _items(installed, "decisions")
    installation.uninstall("desk")
    installation.kubectl("delete", "populations,specialists,evaluationsuites,decisions", "--all")
    ours = "pods,rayjobs,rayclusters,jobs,roles,rolebindings,networkpolicies,statefulsets,deployments"
    assert holds_within(lambda: not _items(installed, ours), 60.0, PACE_SECONDS), installed.story()
