"""The charts' own unit tests, which stand beside them in tests/, run with every other test."""

from __future__ import annotations

import subprocess

from testbed.binaries import tool
from testbed.places import REPOSITORY

from .helm import OPERATOR, POPULATION


def test_the_charts_own_tests_pass() -> None:
    command = [str(tool("helm-unittest")), "--strict", str(OPERATOR), str(POPULATION)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    suites = len(list(REPOSITORY.glob("charts/*/tests/*_test.yaml")))
    assert f"{suites} passed, {suites} total" in done.stdout
