"""The gateway's command line, checked before anything is opened."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelecology.api.meta import LABEL
from modelecology.serving.arguments import Whole, refuse_open_door, token_file
from modelecology.serving.tokens import TokenFile

from .app import Limits
from .journal import Keep, Redact, as_is
from .segments import Retention

_LABEL: Final = re.compile(LABEL)
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Everything that a gateway is told at its start. Exactly one of `routes_file` and `namespace` is set."""

    population: str
    namespace: str | None
    kubeconfig: Path | None
    routes_file: Path | None
    host: str
    port: int
    token: TokenFile | None
    engine_token: TokenFile | None
    classifier_token: TokenFile | None
    limits: Limits
    drain_seconds: float
    records: Path | None
    keep: Keep
    retention: Retention
    redact: Redact


def parse(arguments: Sequence[str] | None = None) -> GatewayOptions:
    """Read the command line. Prints what is wrong and raises SystemExit(2)."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.kubeconfig is not None and given.namespace is None:
        parser.error("--kubeconfig belongs to --namespace; leave it out")
    token = token_file(parser, "--token-file", given.token_file)
    refuse_open_door(parser, given.host, token=token is not None, insecure=given.insecure)
    return GatewayOptions(
        population=given.population,
        namespace=given.namespace,
        kubeconfig=given.kubeconfig,
        routes_file=given.routes_file,
        host=given.host,
        port=given.port,
        token=token,
        engine_token=token_file(parser, "--engine-token-file", given.engine_token_file),
        classifier_token=token_file(parser, "--classifier-token-file", given.classifier_token_file),
        limits=Limits(
            body_bytes=given.max_body_kib * 1024,
            running=given.max_running,
            running_bytes=given.max_running_mib * _MIB,
            connect_seconds=given.connect_seconds,
            answer_seconds=given.answer_seconds,
            mirror_waiting=given.mirror_queue,
            mirror_workers=given.mirror_concurrency,
            classifier_seconds=given.classifier_seconds,
        ),
        drain_seconds=given.drain_seconds,
        records=given.records_dir,
        keep=Keep(given.keep),
        retention=Retention(
            keep_bytes=given.keep_mib * _MIB,
            keep_seconds=given.keep_hours * 3600.0,
        ),
        redact=_hook(parser, given.redact),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelecology.serving.gateway",
        description="Serve one population behind OpenAI's API, by its routing table.",
    )
    add = parser.add_argument
    add("--population", type=_label, required=True, metavar="NAME", help="the population")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--routes-file", type=Path, metavar="FILE", help="read the table from this file")
    source.add_argument(
        "--namespace", type=_label, metavar="NAME", help="watch the table in this namespace's ConfigMap"
    )
    add("--kubeconfig", type=Path, metavar="FILE", help="reach the API server by it (default: as a pod)")
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=Whole(0, 65535), default=8080, help="port to listen on (default 8080)")
    add("--token-file", type=Path, metavar="FILE", help="bearer token that clients must send")
    add("--insecure", action="store_true", help="listen on other addresses without a token")
    add("--engine-token-file", type=Path, metavar="FILE", help="bearer token that is sent to the engines")
    add(
        "--classifier-token-file",
        type=Path,
        metavar="FILE",
        help="bearer token that is sent to the classifier",
    )
    add(
        "--classifier-seconds",
        type=_seconds,
        default=0.2,
        metavar="S",
        help="time for the classifier, where a user waits for it (default 0.2)",
    )
    add("--max-body-kib", type=Whole(1, 1 << 18), default=2048, metavar="N", help="largest request")
    add(
        "--max-running-mib",
        type=Whole(1, 1 << 20),
        default=192,
        metavar="N",
        help="memory that requests take at once, about",
    )
    add("--max-running", type=Whole(1, 1 << 20), default=1024, metavar="N", help="requests at once")
    add("--connect-seconds", type=_seconds, default=2.0, metavar="S", help="time for an engine to accept")
    add("--answer-seconds", type=_seconds, default=300.0, metavar="S", help="longest silence of an engine")
    add("--drain-seconds", type=_seconds, default=30.0, metavar="S", help="time to end requests at the end")
    add("--records-dir", type=Path, metavar="DIR", help="keep records there; without it nothing is mirrored")
    add("--keep", choices=[each.value for each in Keep], default=Keep.ANSWERS.value, help="of texts")
    add("--keep-hours", type=Whole(1, 1 << 20), default=720, metavar="N", help="age at which records go")
    add(
        "--keep-mib",
        type=Whole(1, 1 << 24),
        default=1024,
        metavar="N",
        help="size of all records at most",
    )
    add("--redact", metavar="MODULE:FUNCTION", help="cleans every text before it is kept or hashed")
    add("--mirror-queue", type=Whole(1, 1 << 16), default=256, metavar="N", help="copies that may wait")
    add("--mirror-concurrency", type=Whole(1, 256), default=4, metavar="N", help="copies at once")
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 86_400.0:
        raise argparse.ArgumentTypeError(f"{text} is no time above 0 in seconds, and a day at most")
    return value


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text) or len(text) > 63:
        raise argparse.ArgumentTypeError(f"{text} is no name: small letters, digits and -, 63 at most")
    return text


def _hook(parser: argparse.ArgumentParser, name: str | None) -> Redact:
    if name is None:
        return as_is
    module, _, function = name.partition(":")
    try:
        hook = getattr(importlib.import_module(module), function)
        cleaned = hook("an example")
    except Exception as error:  # whatever the module or the hook raises
        parser.error(f"--redact {name} cannot be used: {type(error).__name__}: {error}")
    if not isinstance(cleaned, str):
        parser.error(f"--redact {name} must take a text and give a text")
    found: Redact = hook
    return found
