"""The routing table that gateways watch: written with the Decision that changes it, and only then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelecology.api.routing import RouteReason
from modelecology.api.vocabulary import QUARANTINE_ANNOTATION
from modelecology.engines.port import EngineUnreachable
from modelecology.kube.cluster import POPULATION, SPECIALIST
from modelecology.kube.double import CONFIG_MAP, Write
from modelecology.kube.errors import ApiUnavailable
from modelecology.reconcile.isolation import ISOLATION, reconcile_isolation
from modelecology.reconcile.queue import WorkKey
from modelecology.reconcile.routes import tend_routes
from modelecology.serving.gateway.plan import Facts, plan
from modelecology.serving.gateway.route import Route, route

from .gateway import TABLE, desk, matching, table
from .stage import NAMESPACE, Object, Stage

ISOLATING = WorkKey(ISOLATION, NAMESPACE, "dates")


def written(stage: Stage) -> list[str]:
    """List how the ConfigMap was written."""
    return [w.verb for w in stage.cluster.writes if w.kind == "ConfigMap"]


async def served(stage: Stage, gateway: Object | None = None, **policy: Any) -> str:
    """Bring `dates` live behind a gateway; gives its served name."""
    dates = stage.manifests.specialist("dates", "dates", 0.6)
    await stage.apply(stage.manifests.suite(), desk(stage, gateway, **policy), dates)
    await stage.settle()
    assert stage.state("dates") == "Live Serving"
    name: str = stage.status("dates")["live"]["servedName"]
    return name


async def quarantine(stage: Stage) -> None:
    """Ask for the quarantine of what is live, and look at nothing yet."""
    word = f"{stage.status('dates')['live']['revision']}/ada@2026-03-01T12:30:00Z"
    patch = {"metadata": {"annotations": {QUARANTINE_ANNOTATION: word}}}
    await stage.cluster.patch(SPECIALIST, NAMESPACE, "dates", patch)


async def test_without_a_gateway_no_config_map_is_read_or_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> Any:
        raise AssertionError("a ConfigMap was asked for")

    for name in ("config_map", "create_config_map", "patch_config_map"):
        monkeypatch.setattr(type(stage.cluster), name, never)
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    assert stage.state("dates") == "Live Serving"
    assert written(stage) == []


async def test_what_a_decision_made_live_and_engines_proved_is_in_the_table(stage: Stage) -> None:
    name = await served(stage, {"generalist": "smol", "fallback": "Error", "isolate": "Cancel"})
    found = table(stage)
    (route,) = found.routes
    assert (route.task, route.specialist, route.live, route.shadow) == ("dates", "dates", name, None)
    assert found.engines == ("http://127.0.0.1:2",)
    assert (found.generalist, found.fallback, found.isolate) == ("smol", "Error", "Cancel")
    population = stage.get("desk", POPULATION)
    assert (found.namespace, found.population, found.uid) == (
        NAMESPACE,
        "desk",
        population["metadata"]["uid"],
    )
    body = stage.get(TABLE, CONFIG_MAP)
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Population", "desk", found.uid)
    assert body["metadata"]["labels"] == {"modelecology.io/population": "desk"}


async def test_it_is_written_when_it_says_something_else_and_only_then(stage: Stage) -> None:
    await served(stage)
    # Empty, and once more when the revision went live.
    assert written(stage) == ["create", "patch"]
    await stage.pass_time(timedelta(hours=5))
    await stage.restart()
    await stage.settle(60.0)
    assert written(stage) == ["create", "patch"]


async def test_a_quarantine_is_in_the_table_before_any_engine_is_asked(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await served(stage)

    async def never(*_: object) -> Any:
        raise AssertionError("an engine was asked")

    monkeypatch.setattr(type(stage.engine), "models", never)
    await quarantine(stage)
    await reconcile_isolation(stage.runtime, ISOLATING)
    found = table(stage)
    assert (found.routes[0].live, found.quarantined) == (None, (name,))
    assert stage.adapters() == [name]
    decided = [w.kind for w in stage.cluster.writes[-2:]]
    assert decided == ["Decision", "ConfigMap"]
    assert found.version == (await stage.log()).sequence


async def test_a_new_operator_changes_nothing_before_it_has_looked_at_the_engines(stage: Stage) -> None:
    name = await served(stage)
    await stage.restart()
    population = stage.runtime.cache.population(NAMESPACE, "desk")
    assert population is not None
    await tend_routes(stage.runtime, population)
    assert table(stage).routes[0].live == name
    assert written(stage) == ["create", "patch"]
    # What is decided meanwhile counts all the same.
    await quarantine(stage)
    await reconcile_isolation(stage.runtime, ISOLATING)
    assert (table(stage).routes[0].live, table(stage).quarantined) == (None, (name,))


async def test_a_new_version_of_the_workloads_sends_nobody_elsewhere_while_nothing_can_be_proved(
    stage: Stage,
) -> None:
    name = await served(stage)
    await stage.restart(code="sha256:" + "d" * 64)
    await stage.settle(1.0, work=False)
    assert stage.runtime.residents[NAMESPACE, "desk"] == {}
    assert (table(stage).routes[0].live, table(stage).engines) == (name, ("http://127.0.0.1:2",))
    # One that restarts meanwhile has lost it, and nothing could prove what it loads.
    stage.engine.restart()
    await stage.settle(20.0, work=False)
    assert table(stage).routes[0].live is None
    await stage.settle(30.0)
    assert table(stage).routes[0].live == name


async def test_an_engine_that_was_just_added_holds_up_nothing_at_the_others(stage: Stage) -> None:
    await served(stage)
    body = desk(stage)
    body["spec"]["serving"]["endpoints"].append("http://127.0.0.1:3")
    await stage.apply(body)
    population = stage.runtime.cache.population(NAMESPACE, "desk")
    assert population is not None
    stage.runtime.residency.view((NAMESPACE, "desk"), "http://127.0.0.1:2").standing.clear()
    await tend_routes(stage.runtime, population)
    assert table(stage).routes[0].live is None


async def test_engines_that_are_away_keep_the_last_table_and_one_of_two_leaves_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = stage.add_engine("http://127.0.0.1:3")
    body = desk(stage)
    body["spec"]["serving"]["endpoints"].append("http://127.0.0.1:3")
    dates = stage.manifests.specialist("dates", "dates", 0.6)
    await stage.apply(stage.manifests.suite(), body, dates)
    await stage.settle()
    name = table(stage).routes[0].live
    assert name is not None
    assert table(stage).engines == ("http://127.0.0.1:2", "http://127.0.0.1:3")

    real, away = type(second).models, {second}

    async def answers(self: Any) -> Any:
        if self in away:
            raise EngineUnreachable("The engine is away.")
        return await real(self)

    monkeypatch.setattr(type(second), "models", answers)
    await stage.settle()
    assert (table(stage).engines, table(stage).routes[0].live) == (("http://127.0.0.1:2",), name)
    away.add(stage.engine)
    await stage.settle()
    assert (table(stage).engines, table(stage).routes[0].live) == (("http://127.0.0.1:2",), name)
    away.clear()
    await stage.settle()
    assert table(stage).engines == ("http://127.0.0.1:2", "http://127.0.0.1:3")


async def test_a_shadow_gets_the_share_that_the_policy_says(stage: Stage) -> None:
    dates = stage.manifests.specialist("dates", "dates", 0.6)
    dates["spec"]["lifecycle"] = {"target": "Shadow"}
    policy = desk(stage)["spec"]["policy"].get("shadow", {}) | {"sample": 0.25}
    await stage.apply(stage.manifests.suite(), desk(stage, shadow=policy), dates)
    await stage.settle()
    assert stage.state("dates") == "Shadow ShadowHeld"
    (route,) = table(stage).routes
    assert route.live is None
    assert route.shadow is not None
    assert (route.shadow.revision, route.shadow.share) == (
        stage.status("dates")["candidate"]["servedName"],
        0.25,
    )


async def test_one_that_was_deleted_is_written_again_in_a_minute(stage: Stage) -> None:
    name = await served(stage)
    stage.cluster.delete(CONFIG_MAP, NAMESPACE, TABLE)
    await stage.pass_time(timedelta(seconds=61))
    assert table(stage).routes[0].live == name


async def test_a_config_map_of_somebody_else_is_left_alone(stage: Stage) -> None:
    theirs = {"metadata": {"name": TABLE}, "data": {"table.json": "{}"}}
    await stage.cluster.create_config_map(NAMESPACE, theirs)
    await served(stage)
    assert written(stage) == ["create"]
    assert stage.get(TABLE, CONFIG_MAP)["data"] == {"table.json": "{}"}
    stage.cluster.delete(CONFIG_MAP, NAMESPACE, TABLE)
    await stage.pass_time(timedelta(minutes=2))
    assert table(stage).routes[0].live is not None


async def test_an_api_server_that_refuses_holds_up_no_decision_and_is_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await served(stage)
    real, down = type(stage.cluster).patch_config_map, [True]

    async def fails(self: Any, *given: Any) -> Any:
        if down:
            raise ApiUnavailable("The API server is away.")
        return await real(self, *given)

    monkeypatch.setattr(type(stage.cluster), "patch_config_map", fails)
    await quarantine(stage)
    await stage.settle()
    assert (await stage.actions("dates"))[-1] == "Quarantine QuarantineRequested"
    assert table(stage).quarantined == ()
    down.clear()
    await stage.settle(60.0)
    assert table(stage).quarantined == (name,)


async def test_it_goes_with_its_population(stage: Stage) -> None:
    await served(stage)
    stage.cluster.delete(SPECIALIST, NAMESPACE, "dates")
    await stage.settle(60.0)
    stage.cluster.delete(POPULATION, NAMESPACE, "desk")
    await stage.settle(60.0)
    assert stage.cluster.get(CONFIG_MAP, NAMESPACE, TABLE) is None
    assert Write("delete", "ConfigMap", TABLE) not in stage.cluster.writes


MATCH: list[Object] = [
    {"keyword": "due date"},
    {"regex": r"\b\d{1,2}\. (May|June)\b"},
    {"metadata": {"key": "kind", "value": "calendar"}},
    {"header": {"name": "X-Kind", "value": "calendar"}},
]


def asked(stage: Stage, text: str = "", **headers: str) -> Route:
    """Route a request for the population as a gateway with this table does."""
    return route(plan(table(stage)), Facts("desk", text, headers), "u")


async def test_what_contracts_say_of_requests_routes_those_for_the_population(stage: Stage) -> None:
    dates, cron = matching(stage, "dates", "dates", *MATCH), matching(stage, "late", "cron", *MATCH[:1])
    await stage.apply(stage.manifests.suite(), desk(stage), dates, cron)
    await stage.settle()
    name = stage.status("dates")["live"]["servedName"]
    assert [(rule.task, rule.by, rule.name) for rule in table(stage).rules] == [
        ("dates", "Header", "X-Kind"),
        ("dates", "Metadata", "kind"),
        ("dates", "Regex", None),
        ("dates", "Keyword", None),
    ]
    live = Route(name, RouteReason.LIVE, task="dates")
    assert asked(stage, **{"x-kind": "calendar"}) == replace(live, rule="rules[0] Header")
    assert asked(stage, "on 3. May") == replace(live, rule="rules[2] Regex")
    assert asked(stage, "the DUE DATE?") == replace(live, rule="rules[3] Keyword")
    assert asked(stage, "a date").reason is RouteReason.NO_RULE_MATCHED


async def test_a_change_of_rules_alone_is_in_the_table_at_once_and_makes_no_new_revision(
    stage: Stage,
) -> None:
    name = await served(stage)
    decided, writes = await stage.actions("dates"), len(written(stage))
    await stage.apply(matching(stage, "dates", "dates", *MATCH))
    await stage.settle(1.0)
    assert len(table(stage).rules) == len(MATCH)
    await stage.settle(60.0)
    assert stage.status("dates")["live"]["servedName"] == name
    assert await stage.actions("dates") == decided
    assert len(written(stage)) == writes + 1
    await stage.apply(matching(stage, "dates", "dates"))
    await stage.settle(1.0)
    assert table(stage).rules == ()


async def test_a_pattern_that_no_gateway_could_use_is_told_and_left_out_alone(stage: Stage) -> None:
    await served(stage)
    # The API server's RE2 takes it.
    await stage.apply(matching(stage, "dates", "dates", {"keyword": "due"}, {"regex": r"\Qa.b\E"}))
    await stage.settle()
    assert [rule.value for rule in table(stage).rules] == ["due"]
    (said,) = (c for c in stage.status("dates")["conditions"] if c["type"] == "MatchRefused")
    assert (said["status"], said["reason"]) == ("True", "MatchPatternUnusable")
    assert said["message"].startswith("spec.contract.match[1].regex: unrecognized escape sequence. ")
    assert "Mend" in said["message"]
    assert stage.state("dates") == "Live Serving"
    await stage.apply(matching(stage, "dates", "dates", {"keyword": "due"}, {"regex": r"a\.b"}))
    await stage.settle()
    assert [rule.value for rule in table(stage).rules] == [r"a\.b", "due"]
    assert "MatchRefused" not in [c["type"] for c in stage.status("dates")["conditions"]]


async def test_one_that_its_owner_retires_claims_no_requests_any_more(stage: Stage) -> None:
    await stage.apply(stage.manifests.suite(), desk(stage), matching(stage, "dates", "dates", *MATCH))
    await stage.settle()
    assert asked(stage, "due date").reason is RouteReason.LIVE
    await stage.want("dates", "Retired")
    assert table(stage).rules == ()
    assert asked(stage, "due date").reason is RouteReason.NO_RULE_MATCHED


async def test_a_table_that_has_no_room_for_all_rules_says_so_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.apply(stage.manifests.suite(), desk(stage))
    for n in range(17):
        words = [{"keyword": f"k{n}-{each}"} for each in range(16)]
        await stage.apply(matching(stage, f"s{n:02}", "capitals", *words))
    await stage.settle(60.0)
    assert len(table(stage).rules) == 256
    assert caplog.text.count("the last 16 are left out") == 1
