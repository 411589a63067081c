"""Real engines on a tiny base, our CPU engine and vLLM, and the double."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from modelecology.engines.double import EngineDouble
from modelecology.engines.double_server import double_app
from modelecology.engines.port import Engine
from modelecology.engines.vllm import VllmEngine
from testbed.vllm import VllmServer
from tests.engines.tiny_base import make_adapter, make_base

CAPACITY = 3
MAX_RANK = 8
READY_SECONDS = 120.0
STOP_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class Tiny:
    """Where the tiny base and its adapters are."""

    base: str
    one: str
    two: str
    missing: str


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A random base and two random adapters, on disk."""
    root = tmp_path_factory.mktemp("tiny")
    base = make_base(root / "base", seed=0)
    one, two = (make_adapter(root / name, seed) for name, seed in (("one", 1), ("two", 2)))
    return Tiny(str(base), str(one), str(two), str(root / "missing"))


@pytest.fixture(scope="session")
def cpu_engine(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running CPU engine."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("engine") / "log"
    command = [
        *(sys.executable, "-m", "modelecology.serving.engine"),
        *("--model", tiny.base),
        *("--port", str(port)),
        *("--dtype", "float32"),
        *("--threads", "1"),
        *("--max-loras", str(CAPACITY)),
        *("--max-lora-rank", str(MAX_RANK)),
    ]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ)) as process,
    ):
        try:
            _wait_until_ready(process, url, log)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(STOP_SECONDS)
    assert status == 0, log.read_text()


@pytest.fixture(scope="session")
def vllm_server(tiny: Tiny) -> Iterator[VllmServer]:
    """A running vLLM, in the precision in which answers do not depend on their company.

    Where it can't be installed or started, that is a failure: a contract that nobody asked of it is none.
    """
    with VllmServer(Path(tiny.base), adapters=CAPACITY, rank=MAX_RANK, dtype="float32") as server:
        yield server


# The first test waits for 6 GB to be installed and for two minutes of start.
VLLM = (pytest.mark.long, pytest.mark.timeout(2700))
OURS = ("double", "double over HTTP", "cpu")


@pytest.fixture(params=[*OURS, pytest.param("vllm", marks=VLLM)])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """An engine that serves nothing but its base."""
    if request.param == "double":
        yield EngineDouble(capacity=CAPACITY)
        return
    if request.param == "double over HTTP":
        async with TestServer(double_app(EngineDouble(capacity=CAPACITY))) as server:
            client = VllmEngine(str(server.make_url("/")))
            yield client
            await client.close()
        return
    if request.param == "vllm":
        running: VllmServer = request.getfixturevalue("vllm_server")
        real = VllmEngine(running.endpoint, token=running.token)
    else:
        real = VllmEngine(request.getfixturevalue("cpu_engine"))
    yield real
    for card in await real.models():
        if card.parent is not None:
            await real.unload(card.id)
    await real.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1.0):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"not ready within {READY_SECONDS:g} s:\n{log.read_text()}")
