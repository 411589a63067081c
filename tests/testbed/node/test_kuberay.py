"""How KubeRay's own installation is changed for the testbed."""

from __future__ import annotations

from pathlib import Path

import yaml

from testbed.node import kuberay
from testbed.node.images import ProgramImage


def test_the_operator_runs_our_image_under_the_restricted_standard() -> None:
    image = ProgramImage("localhost/modelecology/kuberay-operator:abc", Path("/tar"))
    written = yaml.safe_load(kuberay.kustomization(image))
    assert written["namespace"] == kuberay.NAMESPACE
    assert written["images"][0]["newName"] == "localhost/modelecology/kuberay-operator"
    assert written["images"][0]["newTag"] == "abc"
    patch = yaml.safe_load(written["patches"][0]["patch"])
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert container["imagePullPolicy"] == "Never"
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["cpu"] is None
