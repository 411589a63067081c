"""A gateway before one engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from tests.serving.gateway.stage import Engine, Stage, engine_listening, staged

# A machine with other work makes one of hundreds of examples late; that says nothing about a rule.
settings.register_profile("gateway", deadline=None, derandomize=True)
settings.load_profile("gateway")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A gateway without a table, and an engine that serves everything."""
    async with engine_listening(Engine()) as engine, staged([engine]) as found:
        yield found
