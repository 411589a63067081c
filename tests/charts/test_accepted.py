"""What the charts render, the API server takes, in every mode; and every pod is as restricted as can be."""

from __future__ import annotations

import copy

import pytest

from testbed.cluster import Cluster
from testbed.errors import KubectlFailed

from .accepted import try_objects, try_pods
from .helm import OPERATOR, POPULATION, helm, pod_templates, render
from .modes import OPERATOR_MODES, POPULATION_MODES

CHARTS = {"operator": (OPERATOR, OPERATOR_MODES), "population": (POPULATION, POPULATION_MODES)}
CASES = [(name, mode) for name, (_, modes) in CHARTS.items() for mode in modes]


@pytest.mark.parametrize("name", CHARTS)
def test_the_chart_passes_helms_own_lint(name: str) -> None:
    chart, _ = CHARTS[name]
    assert "0 chart(s) failed" in helm("lint", "--strict", str(chart))


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_object_of_every_mode_is_accepted(kinds: Cluster, namespace: str, name: str, mode: str) -> None:
    chart, modes = CHARTS[name]
    values = dict(modes[mode])
    if values.get("namespaces"):
        values["namespaces"] = [namespace, "default"]
    assert try_objects(kinds, render(chart, values, namespace=namespace))


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_pod_of_every_mode_meets_the_restricted_standard(
    control_plane: Cluster, namespace: str, name: str, mode: str
) -> None:
    chart, modes = CHARTS[name]
    templates = pod_templates(render(chart, modes[mode]))
    for template in templates.values():
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
    if templates:
        try_pods(control_plane, namespace, templates)


def test_a_pod_that_does_not_meet_it_is_refused_here(control_plane: Cluster, namespace: str) -> None:
    templates = copy.deepcopy(pod_templates(render(OPERATOR)))
    for template in templates.values():
        template["spec"]["securityContext"]["runAsNonRoot"] = False
    with pytest.raises(KubectlFailed, match='violates PodSecurity "restricted'):
        try_pods(control_plane, namespace, templates)
