"""The command line, and the process that it starts, with a real engine as its judge."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from modelecology.api.live_records import Preference, read_line
from modelecology.serving.judge.options import parse
from tests.serving.conftest import StartEngine
from tests.serving.gateway.stage import until

from .stage import copied, unfinished, write

GIVEN = ("--records-dir", "records", "--endpoint", "http://judge:8000", "--model", "m")

# peft's own use of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def test_defaults_ask_slowly_and_are_named_as_the_model() -> None:
    options = parse(GIVEN)
    assert (options.name, options.token, options.per_minute, options.concurrency) == ("m", None, 60, 2)
    assert (options.host, options.port, options.most_waiting) == ("127.0.0.1", 8081, 1000)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (GIVEN[2:], "--records-dir"),
        (GIVEN[:2] + GIVEN[4:], "--endpoint"),
        (GIVEN[:4], "--model"),
        ((*GIVEN[:3], "judge:8000", *GIVEN[4:]), "is no http(s):// address"),
        ((*GIVEN[:3], "http://u:p@judge", *GIVEN[4:]), "an address holds no password"),
        ((*GIVEN, "--name", "a judge"), "without spaces"),
        ((*GIVEN, "--token-file", "/nowhere"), "--token-file: /nowhere cannot be read"),
        ((*GIVEN, "--per-minute", "0"), "whole number"),
        ((*GIVEN, "--read-from", "s3://bucket"), "is no folder of a bucket, such as s3://bucket/prefix/live"),
        ((*GIVEN, "--read-from", "file:///live"), "is no folder of a bucket"),
    ],
)
def test_what_is_wrong_is_named(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


async def test_a_small_model_of_ours_talks_nonsense_which_is_an_error_and_no_judgement(
    start_engine: StartEngine, tiny_root: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_root / "base", base)
    config = json.loads((base / "config.json").read_text())
    # Its tokens are bytes, so the question is longer than it usually reads.
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    client = await start_engine(model=str(base), max_length=4096)
    write(tmp_path, *(copied(f"r{number}") for number in range(3)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modelecology.serving.judge", "--records-dir", str(tmp_path)),
        *("--endpoint", str(client._base_url), "--model", "generalist", "--name", "tiny"),
        *("--per-minute", "6000", "--port", str(port)),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=asyncio.subprocess.PIPE,
    )

    def words() -> list[Preference]:
        lines = [line for path in tmp_path.glob("live-*judge*") for line in path.read_bytes().splitlines()]
        return [record for line in lines if isinstance(record := read_line(line), Preference)]

    try:
        await until(lambda: len(words()) == 3)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as judge:
            async with judge.get("/healthz") as answer:
                assert answer.status == 200
            async with judge.get("/metrics") as answer:
                assert 'modelecology_judge_judged_total{outcome="error"} 3.0' in await answer.text()
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert (process.returncode, said.decode()) == (0, "")
    assert {(word.judge, word.value) for word in words()} == {("tiny", None)}
    assert {word.error for word in words()} == {"the reply is not FIRST, SECOND or SAME"}
    assert unfinished(tmp_path, "judge") == []
