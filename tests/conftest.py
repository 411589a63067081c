"""Fixtures for all tests: the real parts of the testbed."""

import signal

import pytest

# It is no test module itself, so its assertions would be told without their values.
pytest.register_assert_rewrite("tests.jobs.runner_contract")

pytest_plugins = ["testbed.fixtures", "testbed.node.fixtures"]


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start: in a shell's background it is ignored, also by children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
