"""Today's schemas take everything that the schemas of each release took."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from modelecology import crds

from .releases import Release, releases, schema_of
from .schema_changes import Schema, breaking

KINDS = ["Decision", "EvaluationSuite", "Population", "Specialist"]


@pytest.fixture(scope="module")
def today() -> dict[str, Schema]:
    """Today's schemas by kind."""
    loaded = (yaml.safe_load(text) for text in crds.rendered().values())
    return {crd["spec"]["names"]["kind"]: schema_of(crd) for crd in loaded}


def test_there_is_a_frozen_release_and_it_has_every_kind() -> None:
    assert releases()[0].tag == "v0.1.0"
    for release in releases():
        assert sorted(release.schemas()) == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("release", releases(), ids=lambda release: release.tag)
def test_no_field_goes_or_gets_narrower(release: Release, kind: str, today: dict[str, Schema]) -> None:
    assert list(breaking(release.schemas()[kind], today[kind])) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("release", releases(), ids=lambda release: release.tag)
def test_names_group_and_version_stay(release: Release, kind: str) -> None:
    before = {c["spec"]["names"]["kind"]: c for c in map(_load, sorted(release.crds.glob("*.yaml")))}[kind]
    after = {c["spec"]["names"]["kind"]: c for c in map(yaml.safe_load, crds.rendered().values())}[kind]
    assert before["metadata"]["name"] == after["metadata"]["name"]
    assert before["spec"]["names"] == after["spec"]["names"]
    assert before["spec"]["scope"] == after["spec"]["scope"]
    fields = [
        {f["jsonPath"] for f in c["spec"]["versions"][0].get("selectableFields", ())} for c in (before, after)
    ]
    assert fields[0] <= fields[1]
    assert "status" not in before["spec"]["versions"][0].get("subresources", {}) or (
        "status" in after["spec"]["versions"][0]["subresources"]
    )


def _load(path: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


OLD: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
        "list": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 4},
    },
}


def _set(*path: str, value: object) -> Callable[[Schema], None]:
    def change(schema: Schema) -> None:
        here = schema
        for step in path[:-1]:
            here = here[step]
        here[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["properties"].pop("list"), ".list: removed"),
        (_set("required", value=["name", "mode"]), ".mode: required now"),
        (_set("properties", "name", "type", value="integer"), ".name: type string became integer"),
        (_set("properties", "mode", "enum", value=["A"]), ".mode: only ['A'] are taken now, without ['B']"),
        (
            _set("properties", "name", "enum", value=["x"]),
            ".name: only ['x'] are taken now, without all others",
        ),
        (_set("properties", "mode", "default", value="B"), ".mode: default 'A' became 'B'"),
        (_set("properties", "name", "maxLength", value=9), ".name: maxLength 10 became 9"),
        (_set("properties", "name", "minLength", value=1), ".name: minLength None became 1"),
        (_set("properties", "list", "items", "minimum", value=2), ".list[]: minimum 1 became 2"),
        (
            _set("properties", "list", "x-kubernetes-list-type", value="set"),
            ".list: x-kubernetes-list-type None became 'set'",
        ),
    ],
)
def test_a_change_that_breaks_is_named(change: Callable[[Schema], None], said: str) -> None:
    new = copy.deepcopy(OLD)
    change(new)
    assert list(breaking(OLD, new)) == [said]


def test_a_field_that_was_refused_whatever_stood_in_it_may_become_anything() -> None:
    old, new = copy.deepcopy(OLD), copy.deepcopy(OLD)
    old["properties"]["later"] = {"type": "array", "x-kubernetes-validations": [{"rule": "false"}]}
    new["properties"]["later"] = {"type": "object", "required": ["x"], "properties": {"x": {}}}
    assert list(breaking(old, new)) == []


@pytest.mark.parametrize(
    "change",
    [
        _set("properties", "more", value={"type": "string"}),
        _set("properties", "more", value={"type": "object", "required": ["x"], "properties": {"x": {}}}),
        _set("required", value=[]),
        _set("properties", "mode", "enum", value=["A", "B", "C"]),
        _set("properties", "name", "maxLength", value=20),
        _set("properties", "list", "items", "minimum", value=0),
    ],
)
def test_a_change_that_only_adds_or_widens_is_none(change: Callable[[Schema], None]) -> None:
    new = copy.deepcopy(OLD)
    change(new)
    assert list(breaking(OLD, new)) == []
