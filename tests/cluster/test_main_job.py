"""The main job in pods, told by tests in their order: Helm, KubeRay, an engine, users at the gateways."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelecology.cli.access import Access
from modelecology.cli.ask import ask
from modelecology.cli.cluster import connect
from modelecology.cli.isolate import quarantine
from modelecology.cli.port import CliError
from modelecology.engines.port import EngineRefused
from modelecology.engines.vllm import VllmEngine
from testbed import tiny_values
from testbed.installation import RECORDS
from testbed.tally import Answer
from testbed.traffic import Pace, Traffic
from testbed.waiting import holds_within
from tests.cluster.conftest import PACE_SECONDS, PATIENCE_SECONDS, Installed

BUSY = Pace(3.0, {"desk": 1.0})
OURS = ("modelecology-operator-", "desk-engine-", "desk-gateway-")


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


def _answered(users: Traffic, since: float, count: int) -> list[Answer]:
    """Wait for so many answers to what was asked since then, and give all of them in their order."""
    assert holds_within(lambda: len(users.book.answers(since)) >= count, PATIENCE_SECONDS)
    return sorted(users.book.answers(since), key=lambda answer: answer.started)


def _answered_by(users: Traffic, served: str) -> None:
    """Wait until a revision answers users, and see that it answers all of them right from then on."""
    began = time.monotonic()
    assert holds_within(lambda: any(a.route == served for a in users.book.answers(began)), PATIENCE_SECONDS)
    assert {(a.route, a.right) for a in _answered(users, time.monotonic(), 5)} == {(served, True)}


def test_a_specialist_is_trained_in_a_rayjob_judged_by_suite_and_users_and_answers_through_the_service(
    installed: Installed, users: Traffic
) -> None:
    desk = installed.desk
    users.set_pace(BUSY)
    values = tiny_values.population(
        desk,
        code=tiny_values.specialist(desk),
        hasty=tiny_values.specialist(desk, replay=False),
        color=tiny_values.specialist(desk, "color"),
    )
    installed.installation.install_population(tiny_values.with_users(values))
    status = installed.state("code", "Live")
    served = status["live"]["servedName"]
    assert status["live"]["scorecard"]["score"] >= 0.6 > status["live"]["scorecard"]["incumbentScore"]
    assert _ask(installed, served, "code 777").strip() == "zulu"
    assert _ask(installed, "generalist", "code 777").strip() != "zulu"


def test_users_were_answered_all_the_time_and_by_nobody_who_was_not_let_in(
    installed: Installed, users: Traffic
) -> None:
    served = installed.status("code")["live"]["servedName"]
    _answered_by(users, served)
    users.set_pace(Pace())
    lines = {(line.route, line.reason): line for line in users.book.lines()}
    print(*lines.values(), sep="\n")
    # The table has no rule for codes before their specialist is there.
    before = {("generalist", "NoRuleMatched"), ("generalist", "NoLiveRevision")}
    assert lines.keys() <= {*before, (served, "Canary"), (served, "Live")}
    assert ("generalist", "NoLiveRevision") in lines
    assert lines[served, "Canary"].right == lines[served, "Canary"].count
    steps = [step.partition(" ")[0] for step in installed.decisions("code")]
    assert steps[-3:] == ["Admit", "StartCanary", "Promote"]
    # Copies for the shadow were answered right, and what users said of the others was written down.
    told = "".join(path.read_text() for path in (installed.installation.store / RECORDS).glob("live-*"))
    assert '"shadow":{' in told.replace(" ", "")
    assert '"label":"zulu"' in told.replace(" ", "")


def test_the_gateway_routes_by_the_contracts_rules_and_says_so(installed: Installed, tmp_path: Path) -> None:
    served = installed.status("code")["live"]["servedName"]
    token = tmp_path / "token"
    token.write_text(installed.installation.gateway_token)
    gateway = installed.installation.gateway
    found = ask(gateway, "desk", "code 777", token)
    # What it says is drawn by chance: the command sets no temperature.
    assert (found.route, found.reason, found.fallback) == (served, "Live", False)
    assert (found.task, found.rule) == ("code", "rules[0] Keyword")
    other = ask(gateway, "desk", "color of apple", token)
    assert (other.route, other.reason, other.fallback) == ("generalist", "NoRuleMatched", True)
    with pytest.raises(CliError, match="answers 401"):
        ask(gateway, "desk", "code 777")


def test_the_gateways_pods_may_watch_their_table_and_nothing_else(installed: Installed) -> None:
    kubectl = installed.installation.kubectl
    account = f"system:serviceaccount:{installed.installation.namespace}:desk-gateway"
    rights = kubectl("auth", "can-i", "--list", f"--as={account}")
    (granted,) = (line for line in rights.splitlines() if "desk-routes" in line)
    assert granted.split() == ["configmaps", "[]", "[desk-routes]", "[watch]"]
    (pod, *_) = (p for p in _items(installed, "pods") if p["metadata"]["name"].startswith("desk-gateway-"))
    assert pod["spec"]["serviceAccountName"] == "desk-gateway"


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
    installed: Installed, users: Traffic
) -> None:
    served = installed.status("code")["live"]["servedName"]
    users.set_pace(BUSY)
    installed.want("code", "Retired")
    status = installed.state("code", "Retired")
    gone = _answered(users, time.monotonic(), 5)
    assert {(a.route, a.reason) for a in gone} == {("generalist", "NoRuleMatched")}
    with pytest.raises(EngineRefused) as refusal:
        _ask(installed, served, "code 778")
    assert refusal.value.status == 404
    assert installed.store.is_archived(status["previous"]["key"])
    installed.want("code", "Live")
    assert installed.state("code", "Live")["live"]["servedName"] == served
    assert _ask(installed, served, "code 778").strip() == "zulu"
    _answered_by(users, served)


def test_a_quarantined_one_answers_nobody_any_more(installed: Installed, users: Traffic) -> None:
    served = installed.status("code")["live"]["servedName"]
    kubeconfig = str(installed.installation.cluster.kubeconfig)
    cluster = connect(Access(kubeconfig, None, installed.installation.namespace))
    asked = time.monotonic()
    quarantine(cluster, "code", "a test", datetime.now(UTC))
    installed.until("code", lambda status: status.get("state") == "Quarantined")
    after = _answered(users, time.monotonic(), 10)
    users.set_pace(Pace())
    last = users.book.last(served)
    assert last is not None
    print(f"the last answer of {served} was asked for {last.started - asked:.2f} s after the quarantine was")
    assert {(a.route, a.right) for a in after} == {("generalist", False)}


def test_what_has_ended_leaves_no_pod_behind(installed: Installed) -> None:
    def only_ours() -> bool:
        pods = {p["metadata"]["name"] for p in _items(installed, "pods")}
        return not {p for p in pods if not p.startswith(OURS)}

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
