"""Engines in this process: a tiny base, and an application that really listens."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from modelecology.serving.engine.app import build_app
from modelecology.serving.engine.generalist import Generalist
from modelecology.serving.engine.options import EngineOptions
from modelecology.serving.engine.service import EngineService
from modelecology.serving.tracing import NO_TRACING, Tracing
from testbed.waiting import until
from tests.engines.tiny_base import make_adapter, make_base

StartEngine = Callable[..., Awaitable[aiohttp.ClientSession]]
MAX_LENGTH = 256
MAX_LORAS = 8


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with base/, one/ and two/."""
    root = tmp_path_factory.mktemp("tiny")
    make_base(root / "base", seed=0)
    make_adapter(root / "one", seed=1)
    make_adapter(root / "two", seed=2)
    return root


@pytest.fixture
def generalist(tiny_root: Path) -> Generalist:
    """The tiny base, loaded, without adapters."""
    return Generalist(str(tiny_root / "base"), "float32", MAX_LENGTH, max_loras=MAX_LORAS, max_rank=8)


@pytest.fixture
def options(tiny_root: Path) -> EngineOptions:
    """What the tests' engines are told, unless a test says otherwise."""
    return EngineOptions(
        model=str(tiny_root / "base"),
        served_name="generalist",
        host="127.0.0.1",
        port=0,
        max_loras=2,
        max_rank=8,
        max_length=MAX_LENGTH,
        max_rows=8,
        max_waiting=64,
        roots=(),
        dtype="float32",
        threads=1,
        token=None,
        drain_seconds=30.0,
    )


async def healthy(client: aiohttp.ClientSession) -> None:
    """Return once the engine's base is loaded."""

    async def loaded() -> bool:
        async with client.get("/health") as answer:
            return answer.status == HTTPStatus.OK

    await until(loaded)


@pytest.fixture
async def start_engine(options: EngineOptions) -> AsyncIterator[StartEngine]:
    """Start an engine with changed options; gives a client that knows its address."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    running: list[tuple[uvicorn.Server, asyncio.Task[None], aiohttp.ClientSession]] = []

    async def start(
        *, wait: bool = True, tracing: Tracing = NO_TRACING, **changes: object
    ) -> aiohttp.ClientSession:
        chosen = replace(options, **changes)  # type: ignore[arg-type]  # each test names fields as they are
        service = EngineService(chosen)
        app = build_app(service, token=chosen.token, tracing=tracing)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([listener]))
        client = aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}")
        running.append((server, task, client))
        if wait:
            await healthy(client)
        return client

    yield start
    for server, task, client in running:
        await client.close()
        server.should_exit = True
        await task
