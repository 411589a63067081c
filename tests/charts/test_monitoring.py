"""Alerts and dashboard ask for metrics, labels and words that the operator really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, State
from modelecology.reconcile import metrics
from testbed.places import REPOSITORY

from .helm import OPERATOR, only, render

_METRIC = re.compile(r"(modelecology_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_WORDS: dict[str, set[str]] = {
    "state": set(State),
    "action": set(Action),
    "to": set(State),
    "reason": set(Reason),
}


def _series() -> dict[str, set[str]]:
    """Every series that the operator gives, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if not isinstance(metric, Counter | Gauge | Histogram):
            continue
        (family,) = metric.describe()
        labels = set(metric._labelnames)
        if isinstance(metric, Counter):
            found[f"{family.name}_total"] = labels
        elif isinstance(metric, Histogram):
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[family.name] = labels
    return found


def _alerts() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((OPERATOR / "files/alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((OPERATOR / "files/dashboard.json").read_text())["panels"]
    return panels


def _expressions() -> Iterator[tuple[str, str]]:
    for alert in _alerts():
        yield alert["alert"], alert["expr"]
    for panel in _panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("name", "expression"), list(_expressions()))
def test_it_asks_for_series_labels_and_words_that_exist(name: str, expression: str) -> None:
    series = _series()
    asked = _METRIC.findall(expression)
    assert asked
    for metric, matchers in asked:
        assert metric in series
        for label, _, value in _MATCHER.findall(matchers):
            assert label in series[metric]
            if "$" not in value and label in _WORDS:
                assert set(value.split("|")) <= _WORDS[label]


@pytest.mark.parametrize("alert", _alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_is_wrong_and_what_follows(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["description"].endswith(".")
    labels = set().union(*_series().values())
    assert set(re.findall(r"\$labels\.(\w+)", json.dumps(alert["annotations"]))) <= labels


def test_the_page_on_installing_lists_every_alert() -> None:
    page = (REPOSITORY / "docs/install.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(ModelEcology\w+)` \|", page, re.MULTILINE) == [a["alert"] for a in _alerts()]


def test_the_chart_ships_the_alerts_and_the_dashboard_as_they_lie_in_its_files() -> None:
    flags = {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard")}
    objects = render(OPERATOR, {"metrics": flags})
    assert [r for g in only(objects, "PrometheusRule")["spec"]["groups"] for r in g["rules"]] == _alerts()
    dashboard = json.loads(only(objects, "ConfigMap")["data"]["modelecology.json"])
    assert dashboard["panels"] == _panels()


def test_prometheus_keeps_the_populations_namespace() -> None:
    """Without honorLabels it would be renamed, and every alert would speak of the operator's."""
    monitor = only(render(OPERATOR, {"metrics": {"serviceMonitor": {"enabled": True}}}), "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    service = only(render(OPERATOR), "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
