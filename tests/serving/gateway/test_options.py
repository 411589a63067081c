"""The command line, and the process that it starts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from modelecology.serving.gateway.journal import Keep
from modelecology.serving.gateway.options import parse
from tests.serving.gateway.stage import LIVE, SHADOW, Engine, engine_listening, table, until

FILE = ("--population", "desk", "--routes-file", "routes.json")


def test_defaults_listen_on_this_machine_and_keep_nothing() -> None:
    options = parse(FILE)
    assert (options.host, options.port, options.token, options.records) == ("127.0.0.1", 8080, None, None)
    assert (options.keep, options.namespace) == (Keep.ANSWERS, None)
    assert options.redact("a text") == "a text"


def test_a_hook_is_found_by_module_and_function() -> None:
    assert parse([*FILE, "--redact", "textwrap:dedent"]).redact("  a") == "a"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--population", "desk"], "one of the arguments --routes-file --namespace is required"),
        ([*FILE, "--namespace", "team-a"], "not allowed with argument"),
        (["--population", "De sk", "--routes-file", "f"], "is no name"),
        ([*FILE, "--kubeconfig", "f"], "belongs to --namespace"),
        ([*FILE, "--host", "0.0.0.0"], "give --token-file, or --insecure"),
        ([*FILE, "--token-file", "/nowhere"], "--token-file: /nowhere cannot be read"),
        ([*FILE, "--engine-token-file", "/nowhere"], "--engine-token-file"),
        ([*FILE, "--classifier-token-file", "/nowhere"], "--classifier-token-file"),
        ([*FILE, "--classifier-seconds", "0"], "no time above 0"),
        ([*FILE, "--port", "65536"], "whole number from 0 to 65535"),
        ([*FILE, "--answer-seconds", "0"], "no time above 0"),
        ([*FILE, "--answer-seconds", "nan"], "no time above 0"),
        ([*FILE, "--keep", "all"], "invalid choice"),
        ([*FILE, "--redact", "nowhere:f"], "cannot be used"),
        ([*FILE, "--redact", "textwrap"], "cannot be used"),
        ([*FILE, "--redact", "builtins:len"], "must take a text and give a text"),
    ],
)
def test_what_is_wrong_is_told_at_once(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


async def test_the_process_serves_by_a_file_keeps_records_and_ends_in_order(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    routes = tmp_path / "routes.json"
    command = [
        *(sys.executable, "-W", "error", "-m", "modelecology.serving.gateway"),
        *("--population", "desk", "--routes-file", str(routes), "--port", str(port)),
        *("--records-dir", str(tmp_path / "records")),
    ]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "PYTHONPATH": "operator"})
    try:
        async with (
            engine_listening(Engine()) as engine,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
        ):

            async def answers(path: str, status: int) -> bool:
                try:
                    async with client.get(path) as answer:
                        return answer.status == status
                except aiohttp.ClientConnectionError:
                    return False

            await until(lambda: answers("/readyz", 503))
            shadow = {"revision": SHADOW, "share": 1.0}
            routes.write_text(json.dumps(table(1, engines=(engine.endpoint,), shadow=shadow)))
            await until(lambda: answers("/readyz", 200))
            body = {"model": "dates", "messages": [{"role": "user", "content": "x"}]}
            async with client.post("/v1/chat/completions", json=body) as answer:
                assert (await answer.json())["model"] == LIVE
            await until(lambda: engine.asked[SHADOW] == 1)
            await until(lambda: any((tmp_path / "records").glob("*")))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        (segment,) = (tmp_path / "records").iterdir()
        assert segment.suffix == ".jsonl"
        exchange, usage = map(json.loads, segment.read_text().splitlines())
        assert exchange["shadow"]["served"] == SHADOW
        assert [(used["served"], used["requests"]) for used in usage["used"]] == [(LIVE, 1)]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
