"""Fixtures for all tests: the real parts of the testbed."""

pytest_plugins = ["testbed.fixtures"]
