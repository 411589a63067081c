"""Routing as a rule over its whole domain: never a quarantined name, never the base in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.api.routing import (
    CanaryRoute,
    Fallback,
    MatchRule,
    RouteReason,
    RoutingTable,
    ShadowRoute,
    TaskRoute,
)
from modelecology.api.vocabulary import MatchBy
from modelecology.serving.gateway.plan import Facts, plan
from modelecology.serving.gateway.route import Route, route, shadow_of

BASE = "generalist"
TASKS = ("dates", "cron")
SPECIALISTS = ("dater", "dates", "crons")
REVISIONS = ("dates-1", "dates-2", "dates-3", "cron-1", BASE)
POPULATION = "desk"
ASKED = (POPULATION, BASE, "nobody", *TASKS, *SPECIALISTS, *REVISIONS)

revisions = st.sampled_from(REVISIONS)
facts = st.builds(
    Facts,
    model=st.sampled_from(ASKED),
    text=st.sampled_from(["", "a date", "every 5 minutes"]) | st.text(max_size=8),
    headers=st.dictionaries(st.sampled_from(["x-task", "x-other"]), st.sampled_from(["dates", "cron"])),
)
sticky = st.text(max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> RoutingTable:
    tasks = draw(st.lists(st.sampled_from(TASKS), unique=True))
    names = draw(st.permutations(SPECIALISTS))
    lanes = [
        TaskRoute(
            task=task,
            specialist=draw(st.sampled_from([None, names[place]])),
            live=draw(st.none() | revisions),
            shadow=draw(st.none() | st.builds(ShadowRoute, revision=revisions, share=st.floats(0.01, 1.0))),
            canary=draw(st.none() | st.builds(CanaryRoute, revision=revisions, percent=st.integers(0, 100))),
            pinned=tuple(draw(st.lists(revisions, max_size=2))),
        )
        for place, task in enumerate(tasks)
    ]
    rules = [
        MatchRule(task="dates", by=MatchBy.KEYWORD, value="date"),
        MatchRule(task="cron", by=MatchBy.REGEX, value=r"every \d+"),
        MatchRule(task="cron", by=MatchBy.HEADER, name="X-Task", value="cron"),
    ]
    return RoutingTable(
        version=1,
        namespace="desk",
        population=POPULATION,
        generalist=BASE,
        engines=("http://a:1",),
        fallback=draw(st.sampled_from(Fallback)),
        routes=tuple(lanes),
        rules=tuple(draw(st.lists(st.sampled_from(rules)))),
        quarantined=tuple(draw(st.lists(revisions, max_size=4))),
    )


@given(tables(), facts, sticky)
def test_nobody_is_ever_sent_to_a_quarantined_name(table: RoutingTable, asked: Facts, key: str) -> None:
    found = route(plan(table), asked, key)
    assert found.target not in table.quarantined
    assert shadow_of(plan(table), found, key) not in table.quarantined


@given(tables(), facts, sticky)
def test_the_base_is_marked_as_fallback_unless_it_was_asked_for(
    table: RoutingTable, asked: Facts, key: str
) -> None:
    found = route(plan(table), asked, key)
    if found.target == BASE:
        assert found.fallback or (asked.model == BASE and found.reason is RouteReason.GENERALIST_ASKED)
    else:
        assert not found.fallback


@given(tables(), facts, sticky)
def test_the_fallback_is_the_one_that_was_declared(table: RoutingTable, asked: Facts, key: str) -> None:
    found = route(plan(table), asked, key)
    if table.fallback is Fallback.ERROR:
        assert not found.fallback
    elif found.target is None:
        assert BASE in table.quarantined


@given(tables(), facts, sticky)
def test_a_target_is_one_that_the_table_offers_for_its_task(
    table: RoutingTable, asked: Facts, key: str
) -> None:
    found = route(plan(table), asked, key)
    if found.target in (None, BASE):
        return
    (lane,) = (lane for lane in table.routes if lane.task == found.task)
    offered = {
        RouteReason.LIVE: {lane.live},
        RouteReason.CANARY: {lane.canary.revision if lane.canary else None},
        RouteReason.PINNED: {*lane.pinned, lane.live},
    }
    assert found.target in offered[found.reason]


@given(tables(), st.text(max_size=20).filter(lambda name: name not in ASKED), sticky)
def test_a_name_that_the_table_does_not_know_falls_back_or_is_an_error(
    table: RoutingTable, name: str, key: str
) -> None:
    found = route(plan(table), Facts(name), key)
    assert found.reason is RouteReason.UNKNOWN_MODEL
    assert found.target in (None, BASE)
    assert found.fallback == (found.target == BASE)


@given(tables(), facts, sticky)
def test_the_same_request_goes_the_same_way(table: RoutingTable, asked: Facts, key: str) -> None:
    again = RoutingTable.model_validate_json(table.canonical())
    assert route(plan(table), asked, key) == route(plan(again), asked, key)


@given(tables(), facts, sticky)
def test_a_copy_goes_to_the_tasks_shadow_and_only_of_what_the_incumbent_answers(
    table: RoutingTable, asked: Facts, key: str
) -> None:
    ready = plan(table)
    found = route(ready, asked, key)
    shadow = shadow_of(ready, found, key)
    if shadow is not None:
        lane = ready.lanes[found.task or ""]
        assert lane.shadow is not None
        assert shadow == lane.shadow.revision
        assert shadow not in (found.target, BASE)
        assert found.reason in (RouteReason.LIVE, RouteReason.NO_LIVE_REVISION)


def desk(canary: int = 0, share: float = 1.0, rules: Sequence[MatchRule] = ()) -> RoutingTable:
    lane = TaskRoute(
        task="dates",
        live="dates-1",
        canary=CanaryRoute(revision="dates-2", percent=canary),
        shadow=ShadowRoute(revision="dates-3", share=share),
    )
    return RoutingTable(
        version=1,
        namespace="desk",
        population=POPULATION,
        generalist=BASE,
        engines=("http://a:1",),
        routes=(lane,),
        rules=tuple(rules),
    )


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 99, 100])
def test_a_canary_gets_its_share_of_the_users(percent: int) -> None:
    ready = plan(desk(percent))
    users = 20_000
    met = sum(route(ready, Facts("dates"), f"user {n}").reason is RouteReason.CANARY for n in range(users))
    # Four standard deviations; the users are fixed, so this does not change from run to run.
    assert abs(met - users * percent / 100) <= 4 * (users * percent / 100 * (1 - percent / 100)) ** 0.5


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_shadow_gets_its_share_of_the_requests(share: float) -> None:
    ready = plan(desk(share=share))
    chosen = route(ready, Facts("dates"), "")
    copied = sum(shadow_of(ready, chosen, f"request {n}") is not None for n in range(20_000))
    assert abs(copied - 20_000 * share) <= 4 * (20_000 * share * (1 - share)) ** 0.5


@given(st.text(max_size=300), st.integers(0, 99))
def test_a_user_of_the_canary_stays_there_when_its_share_grows(user: str, percent: int) -> None:
    if route(plan(desk(percent)), Facts("dates"), user).reason is RouteReason.CANARY:
        assert route(plan(desk(percent + 1)), Facts("dates"), user).reason is RouteReason.CANARY


def task_of(table: RoutingTable, text: str) -> str | None:
    """Tell by which task's rule a request for the population is taken."""
    rule = plan(table).rule_of(Facts(POPULATION, text))
    return None if rule is None else rule.task


def to_dates(by: MatchBy, value: str, name: str | None = None) -> RoutingTable:
    return desk(rules=[MatchRule(task="dates", by=by, name=name, value=value)])


@pytest.mark.parametrize(
    ("value", "text", "matches"),
    [
        ("date", "what DATE is it?", True),
        ("date", "update it", False),
        ("date", "dates", False),
        ("due date", "the due date", True),
        ("c++", "is C++ hard?", True),
        ("é", "É", True),
        ("a.c", "abc", False),
    ],
)
def test_a_keyword_is_a_whole_word_or_phrase_in_any_case(value: str, text: str, matches: bool) -> None:
    found = route(plan(to_dates(MatchBy.KEYWORD, value)), Facts(POPULATION, text), "u")
    assert (found.target == "dates-1") is matches


@given(
    st.text(min_size=1, max_size=40).filter(lambda text: not any(0xD800 <= ord(c) <= 0xDFFF for c in text))
)
def test_any_keyword_finds_itself(value: str) -> None:
    assert task_of(to_dates(MatchBy.KEYWORD, value), f"so {value} it is") == "dates"


def test_a_pattern_that_would_hold_up_other_engines_is_looked_for_in_linear_time() -> None:
    assert task_of(to_dates(MatchBy.REGEX, r"(a+)+$"), "a" * 8000 + "b") is None


def test_the_first_rule_that_matches_wins() -> None:
    rules = [
        MatchRule(task="cron", by=MatchBy.KEYWORD, value="every"),
        MatchRule(task="dates", by=MatchBy.REGEX, value="day"),
    ]
    assert task_of(desk(rules=rules), "every day") == "cron"
    assert task_of(desk(rules=rules[::-1]), "every day") == "dates"


def test_rules_that_were_tried_are_not_tried_again_but_for_another_table() -> None:
    ready = plan(desk(rules=[MatchRule(task="dates", by=MatchBy.KEYWORD, value="day")]))
    asked = Facts(POPULATION, "every day")
    assert route(ready, asked, "u", tried=(ready, ready.rules[0])) == route(ready, asked, "u")
    assert route(ready, asked, "u", tried=(ready, None)).reason is RouteReason.NO_RULE_MATCHED
    assert route(ready, asked, "u", tried=(replace(ready), None)) == route(ready, asked, "u")


def test_a_rule_for_a_task_without_a_route_falls_back() -> None:
    ready = plan(desk(rules=[MatchRule(task="cron", by=MatchBy.KEYWORD, value="every")]))
    assert route(ready, Facts(POPULATION, "every day"), "u") == Route(
        BASE, RouteReason.NO_LIVE_REVISION, fallback=True, task="cron", rule="rules[0] Keyword"
    )


def test_the_rule_that_chose_the_task_is_told_and_only_where_the_population_was_asked() -> None:
    rules = [
        MatchRule(task="dates", by=MatchBy.HEADER, name="X-Kind", value="calendar"),
        MatchRule(task="dates", by=MatchBy.KEYWORD, value="date"),
    ]
    ready = plan(desk(rules=rules))
    by_header = Facts(POPULATION, "a date", headers={"x-kind": "calendar"})
    assert route(ready, by_header, "u").rule == "rules[0] Header"
    assert route(ready, Facts(POPULATION, "a date"), "u").rule == "rules[1] Keyword"
    assert route(ready, Facts("dates", "a date"), "u").rule is None
    assert route(ready, Facts(POPULATION, "nothing"), "u").rule is None
