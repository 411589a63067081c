"""The judge's command line, checked before anything is opened."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from modelecology.serving.arguments import Whole, token_file
from modelecology.serving.tokens import TokenFile

_NAME: Final = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Everything that a judge is told at its start. `answer_seconds` is for one reply."""

    records: Path
    read_from: str | None
    s3_endpoint: str | None
    s3_region: str | None
    s3_credentials: Path | None
    endpoint: str
    model: str
    name: str
    token: TokenFile | None
    per_minute: int
    concurrency: int
    answer_seconds: int
    most_tokens: int
    most_waiting: int
    host: str
    port: int


def parse(arguments: Sequence[str] | None = None) -> JudgeOptions:
    """Read the command line. Prints what is wrong and raises SystemExit(2)."""
    parser = _parser()
    given = parser.parse_args(arguments)
    return JudgeOptions(
        records=given.records_dir,
        read_from=given.read_from,
        s3_endpoint=given.s3_endpoint,
        s3_region=given.s3_region,
        s3_credentials=given.s3_credentials,
        endpoint=given.endpoint,
        model=given.model,
        name=_name(parser, given.name or given.model),
        token=token_file(parser, "--token-file", given.token_file),
        per_minute=given.per_minute,
        concurrency=given.concurrency,
        answer_seconds=given.answer_seconds,
        most_tokens=given.max_tokens,
        most_waiting=given.max_waiting,
        host=given.host,
        port=given.port,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelecology.serving.judge",
        description="Have a model judge which of two answers to a mirrored request is better.",
    )
    add = parser.add_argument
    add(
        "--records-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="the gateways' --records-dir; with --read-from one of its own, for what it writes down",
    )
    add("--read-from", type=_bucket, metavar="S3_URI", help="the bucket's folder with the gateways' records")
    add("--s3-endpoint", metavar="URL", help="address of the S3 service (MODELECOLOGY_S3_ENDPOINT)")
    add("--s3-region", metavar="NAME", help="region of the bucket (AWS_REGION)")
    add("--s3-credentials", type=Path, metavar="DIR", help="files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
    add(
        "--endpoint", type=_url, required=True, metavar="URL", help="where the judge answers, by OpenAI's API"
    )
    add("--model", required=True, metavar="NAME", help="the model that judges")
    add("--name", metavar="NAME", help="the judge's name in records and policy (default: --model)")
    add("--token-file", type=Path, metavar="FILE", help="bearer token that is sent to the judge")
    add("--per-minute", type=Whole(1, 100_000), default=60, metavar="N", help="judgements a minute (60)")
    add("--concurrency", type=Whole(1, 256), default=2, metavar="N", help="judgements at once (2)")
    add("--answer-seconds", type=Whole(1, 3600), default=30, metavar="S", help="time for a reply (30)")
    add("--max-tokens", type=Whole(1, 4096), default=8, metavar="N", help="tokens of a reply at most (8)")
    add(
        "--max-waiting", type=Whole(1, 100_000), default=1000, metavar="N", help="copies that may wait (1000)"
    )
    add("--host", default="127.0.0.1", help="address for /healthz and /metrics (default: this machine only)")
    add("--port", type=Whole(0, 65535), default=8081, help="port for them (default 8081)")
    return parser


def _bucket(text: str) -> str:
    if not re.fullmatch(r"s3://[^/\s]+(/[^/\s]+)+/?", text):
        raise argparse.ArgumentTypeError(f"{text} is no folder of a bucket, such as s3://bucket/prefix/live")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text} is no http(s):// address")
    if parts.username is not None or parts.password is not None:
        raise argparse.ArgumentTypeError("an address holds no password; give --token-file")
    return text


def _name(parser: argparse.ArgumentParser, name: str) -> str:
    if not _NAME.fullmatch(name):
        parser.error(f"--name {name}: 128 characters at most, without spaces; give another --name")
    return name
