"""Every value is explained, listed and checked; a value that does not exist is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.places import REPOSITORY

from .helm import OPERATOR, POPULATION, HelmFailed, Values, render
from .values_table import COMMAND, documented, leaves, with_table

CHARTS = pytest.mark.parametrize("chart", [OPERATOR, POPULATION], ids=lambda chart: chart.name)


def _schema(chart: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    return loaded


def _values(chart: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    return loaded


@CHARTS
def test_every_value_has_a_comment_of_its_own_or_its_parents(chart: Path) -> None:
    said = {value.path for value in documented(chart)}
    silent = [
        path
        for path in leaves(_values(chart))
        if not any(path == known or path.startswith(f"{known}.") for known in said)
    ]
    assert silent == []


@CHARTS
def test_the_readme_lists_the_values_as_they_are(chart: Path) -> None:
    assert (chart / "README.md").read_text(encoding="utf-8") == with_table(chart), f"run `{COMMAND}`"


@CHARTS
def test_every_value_is_in_the_schema_and_the_schema_knows_no_other(chart: Path) -> None:
    schema = _schema(chart)
    assert set(schema["properties"]) - {"global"} == set(_values(chart))
    for value in documented(chart):
        node = schema
        for key in value.path.split("."):
            if "$ref" in node:
                node = schema["definitions"][node["$ref"].removeprefix("#/definitions/")]
            assert node.get("additionalProperties") is False, value.path
            node = node["properties"][key]


@pytest.mark.parametrize(
    ("chart", "values", "said"),
    [
        (OPERATOR, {"replica": 1}, "additional properties 'replica' not allowed"),
        (OPERATOR, {"crds": {"instal": False}}, "at '/crds': additional properties 'instal' not allowed"),
        (OPERATOR, {"scope": "Global"}, "at '/scope'"),
        (OPERATOR, {"scope": "Cluster", "namespaces": ["a"]}, "at '/namespaces': maxItems"),
        (OPERATOR, {"networkPolicy": {"namespaces": ["a"]}}, "at '/networkPolicy/namespaces': maxItems"),
        (OPERATOR, {"namespaces": ["A"]}, "at '/namespaces/0'"),
        (OPERATOR, {"replicas": 2}, "at '/replicas': maximum"),
        (OPERATOR, {"image": {"digest": "latest"}}, "at '/image/digest'"),
        (OPERATOR, {"secrets": [{"name": "a"}]}, "at '/secrets/0': missing property 'keys'"),
        (OPERATOR, {"secrets": [{"name": "a", "keys": ["../b"]}]}, "at '/secrets/0/keys/0'"),
        (OPERATOR, {"logSigning": {"secret": "a"}}, "additional properties 'secret' not allowed"),
        (OPERATOR, {"logSigning": {"secretName": "a", "key": "../b"}}, "at '/logSigning/key'"),
        (OPERATOR, {"store": {"volumes": [{"name": "a", "mountPath": "/a"}]}}, "missing property"),
        (OPERATOR, {"networkPolicy": {"engineClients": [{}]}}, "at '/networkPolicy/engineClients/0'"),
        (POPULATION, {"engines": 1}, "additional properties 'engines' not allowed"),
        (POPULATION, {"engine": {"image": {"name": "a"}}}, "additional properties 'name' not allowed"),
        (POPULATION, {"engine": {"create": False}}, "at '/engine/endpoints': minItems"),
        (POPULATION, {"engine": {"replicas": 17}}, "at '/engine/replicas': maximum"),
        (POPULATION, {"jobs": {"runner": "RayJobs"}}, "at '/jobs/ray': missing property 'address'"),
        (POPULATION, {"jobs": {"ray": {"address": "http://ray:8265"}}}, "at '/jobs/ray': maxProperties"),
        (POPULATION, {"prepare": {"enabled": True}}, "at '/prepare/command': minItems"),
        (POPULATION, {"specialists": {"Dates": {}}}, "Dates"),
        (POPULATION, {"gateway": {"fallback": "Silent"}}, "at '/gateway/fallback'"),
        (POPULATION, {"gateway": {"records": {"keep": "all"}}}, "at '/gateway/records/keep'"),
        (POPULATION, {"gateway": {"records": {"folder": "../x"}}}, "at '/gateway/records/folder'"),
        (POPULATION, {"gateway": {"records": {"folder": "artifacts"}}}, "at '/gateway/records/folder'"),
        (POPULATION, {"gateway": {"records": {"every": "1h"}}}, "at '/gateway/records/every'"),
        (POPULATION, {"specialists": {"dates": {"populationRef": {"name": "a"}}}}, "populationRef"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_name(chart: Path, values: Values, said: str) -> None:
    with pytest.raises(HelmFailed) as failure:
        render(chart, values)
    assert said in str(failure.value)


@CHARTS
def test_a_chart_can_be_a_part_of_another(chart: Path) -> None:
    assert render(chart, {"global": {"anything": True}})


def test_the_sample_population_is_the_quickstarts() -> None:
    """So that nobody's values name data that this checkout does not make."""
    ours = _values(POPULATION)
    quickstart = {
        (each["kind"], each["metadata"]["name"]): each["spec"]
        for path in sorted((REPOSITORY / "manifests/quickstart").glob("*.yaml"))
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if each["kind"] != "Kustomization"
    }
    suite = {task["name"]: task for task in quickstart["EvaluationSuite", "desk"]["tasks"]}
    population = quickstart["Population", "desk"]
    assert ours["suite"]["tasks"] == [suite[task["name"]] for task in ours["suite"]["tasks"]]
    assert {ours["generalist"]["digest"]} == {population["generalist"]["digest"]}
    assert ours["policy"] == population["policy"]
    for name, specialist in ours["specialists"].items():
        theirs = dict(quickstart["Specialist", name])
        del theirs["populationRef"]
        assert specialist == theirs
