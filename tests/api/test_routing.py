"""The routing table: what is written is what was read, and what is wrong is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.api.routing import (
    MAX_TABLE_BYTES,
    MatchRule,
    RoutingTable,
    TableUnreadable,
    TaskRoute,
    read_table,
    routes_name,
)
from modelecology.api.vocabulary import MatchBy
from testbed.places import REPOSITORY

GOOD: dict[str, Any] = {
    "apiVersion": "modelecology.io/v1alpha1",
    "kind": "RoutingTable",
    "version": 7,
    "namespace": "team-a",
    "population": "desk",
    "uid": "3f0c",
    "fallback": "Generalist",
    "isolate": "Finish",
    "generalist": "generalist",
    "engines": ["http://engine-0:8000"],
    "routes": [
        {
            "task": "dates",
            "specialist": "dater",
            "live": "dater-111111111111",
            "shadow": {"revision": "dater-222222222222", "share": 0.25},
            "canary": {"revision": "dater-333333333333", "percent": 5},
            "pinned": ["dater-444444444444"],
        }
    ],
    "rules": [{"task": "dates", "by": "Keyword", "value": "date"}],
    "quarantined": ["dater-555555555555"],
}


def test_a_table_is_read_as_it_was_written() -> None:
    table = read_table(json.dumps(GOOD))
    assert json.loads(table.canonical()) == GOOD
    assert read_table(table.canonical()) == table


def test_equal_tables_have_equal_digests_however_they_are_written() -> None:
    turned = dict(reversed(GOOD.items()))
    assert read_table(json.dumps(GOOD, indent=4)).digest() == read_table(json.dumps(turned)).digest()
    other = read_table(json.dumps({**GOOD, "version": 8}))
    assert other.digest() != read_table(json.dumps(GOOD)).digest()
    assert other.digest().startswith("sha256:")
    assert len(other.digest()) == 71


def test_what_is_left_out_has_the_digest_of_what_it_stands_for() -> None:
    short = {key: GOOD[key] for key in ("version", "namespace", "population", "generalist", "engines")}
    long = {**short, "fallback": "Generalist", "rules": [], "apiVersion": "modelecology.io/v1alpha1"}
    assert read_table(json.dumps(short)).digest() == read_table(json.dumps(long)).digest()


def _without(key: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != key}


def _routes(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "routes": [{**GOOD["routes"][0], **changes}]}


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (_without("version"), "version"),
        (_without("engines"), "engines"),
        ({**GOOD, "version": -1}, "version"),
        ({**GOOD, "version": 10**12}, "version"),
        ({**GOOD, "engines": ["http://engine"] * 65}, "engines"),
        ({**GOOD, "engines": ["http://user:word@engine"]}, "engines.0"),
        ({**GOOD, "fallback": "Silent"}, "fallback"),
        ({**GOOD, "generalist": "a\r\nb: c"}, "generalist"),
        ({**GOOD, "kind": "Table"}, "kind"),
        ({**GOOD, "newField": 1}, "newField"),
        ({**GOOD, "quarantined": ["x\n"]}, "quarantined.0"),
        ({**GOOD, "routes": GOOD["routes"] * 2}, "names a task twice"),
        (
            {**GOOD, "routes": [*GOOD["routes"], {"task": "cron", "specialist": "dater"}]},
            "names a specialist twice",
        ),
        ({**GOOD, "routes": [{"task": f"t-{n}"} for n in range(257)]}, "routes"),
        (_routes(shadow={"revision": "a", "share": 0}), "routes.0.shadow.share"),
        (_routes(canary={"revision": "a", "percent": 101}), "routes.0.canary.percent"),
        (_routes(live="UPPER"), "routes.0.live"),
        ({**GOOD, "rules": [{"task": "dates", "by": "Regex", "value": "(a"}]}, "no pattern"),
        ({**GOOD, "rules": [{"task": "dates", "by": "Regex", "value": "(?=a)"}]}, "no pattern"),
        ({**GOOD, "rules": [{"task": "dates", "by": "Header", "value": "a"}]}, "name belongs to"),
        ({**GOOD, "rules": [{"task": "dates", "by": "Keyword", "name": "a", "value": "a"}]}, "name belongs"),
        ([], "the table"),
    ],
)
def test_a_wrong_table_is_refused_and_its_field_is_named(table: object, named: str) -> None:
    with pytest.raises(TableUnreadable, match=named):
        read_table(json.dumps(table))


@pytest.mark.parametrize("text", ["", "{", '{"version": 1}', b"\xff\xfe"])
def test_what_is_no_table_is_unreadable(text: str | bytes) -> None:
    with pytest.raises(TableUnreadable):
        read_table(text)


def test_a_table_that_no_config_map_could_hold_is_refused_before_it_is_read() -> None:
    with pytest.raises(TableUnreadable, match=str(MAX_TABLE_BYTES)):
        read_table(json.dumps(GOOD) + " " * MAX_TABLE_BYTES)


def test_the_largest_population_fits() -> None:
    routes = tuple(
        TaskRoute(
            task=f"task-{n:03}-" + "t" * 40,
            specialist=f"name-{n:03}-" + "s" * 40,
            live=f"live-{n:03}-" + "l" * 54,
            pinned=tuple(f"pin-{n:03}-{p:02}-" + "p" * 52 for p in range(4)),
        )
        for n in range(256)
    )
    rules = tuple(
        MatchRule(task=f"task-{n:03}-" + "t" * 40, by=MatchBy.KEYWORD, value="k" * 256) for n in range(256)
    )
    table = RoutingTable(
        version=10**12 - 1,
        namespace="n" * 50,
        population="p" * 50,
        generalist="generalist",
        engines=tuple(f"http://engine-{n}.engines.svc:8000" for n in range(64)),
        routes=routes,
        rules=rules,
        quarantined=tuple(f"q-{n:04}-" + "q" * 56 for n in range(1024)),
    )
    assert read_table(table.canonical()) == table


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_text_makes_reading_fail_in_another_way(text: str | bytes) -> None:
    with pytest.raises(TableUnreadable):
        read_table(text)


def test_the_table_of_the_docs_is_one() -> None:
    page = (REPOSITORY / "docs" / "gateway.md").read_text(encoding="utf-8")
    text = page.partition("## The table")[2].partition("It lies in")[0]
    assert [route.task for route in read_table(text).routes] == ["dates"]


def test_the_config_map_is_named_after_the_population() -> None:
    assert routes_name("desk") == "desk-routes"
