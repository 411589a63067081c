"""`kubectl explain` has something to say of every field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.cluster import Cluster

KINDS = ["Population", "Specialist", "EvaluationSuite", "Decision"]
_PREFIX = "io.modelecology.v1alpha1."
_SAID = re.compile(r"\S.*[.)]|Refused: .*", re.DOTALL)
# The API server writes about these itself, at the root of every kind.
_KUBERNETES = {"apiVersion", "kind", "metadata"}


@pytest.fixture(scope="module")
def published(kinds: Cluster) -> dict[str, Any]:
    """The schemas as the API server publishes them, which kubectl reads."""
    text = kinds.kubectl("get", "--raw", "/openapi/v3/apis/modelecology.io/v1alpha1")
    schemas: dict[str, Any] = json.loads(text)["components"]["schemas"]
    return schemas


def _fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        if here in _KUBERNETES:
            continue
        yield here, str(child.get("description", ""))
        yield from _fields(child, here)
        yield from _fields(child.get("items", {}), f"{here}[]")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(published: dict[str, Any], kind: str) -> None:
    schema = published[f"{_PREFIX}{kind}"]
    assert schema["description"].endswith(".")
    fields = dict(_fields(schema, ""))
    assert len(fields) > 10
    assert {path: text for path, text in fields.items() if not _SAID.fullmatch(text)} == {}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("specialist.spec.contract.target", "The score the owner needs."),
        ("population.spec.jobs.kubeRay.podTemplate", "PodTemplateSpec"),
        ("suite.spec.tasks.role", "ENUM:\n    Task\n    Invariant"),
        ("sp.status.conditions.reason", "docs/reasons.md"),
        ("dec.spec.outcome", "ENUM:\n    Pass"),
    ],
)
def test_kubectl_explains_it(kinds: Cluster, path: str, said: str) -> None:
    text = kinds.kubectl("explain", path)
    assert "<empty>" not in text
    assert said in text
