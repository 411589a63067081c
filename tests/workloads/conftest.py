"""Fixtures: one tiny desk for all tests here, and orders for a store of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.tiny import TinyDesk, make_tiny_desk
from tests.workloads.orders import Orders


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> TinyDesk:
    """A tiny base and its data, made once."""
    return make_tiny_desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def orders(desk: TinyDesk, tmp_path: Path) -> Orders:
    """Orders for an empty store."""
    return Orders(desk, tmp_path / "store")
