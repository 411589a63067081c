"""The engine's command line, checked before anything is loaded."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelecology.serving.arguments import Whole, refuse_open_door, token_file
from modelecology.serving.tokens import TokenFile

DTYPES: Final = ("bfloat16", "float32")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Everything that an engine is told at its start. `roots` are resolved."""

    model: str
    served_name: str
    host: str
    port: int
    max_loras: int
    max_rank: int
    max_length: int
    max_rows: int
    max_waiting: int
    roots: tuple[str, ...]
    dtype: str
    threads: int | None
    token: TokenFile | None
    drain_seconds: float


def parse(arguments: Sequence[str] | None = None) -> EngineOptions:
    """Read the command line. Prints what is wrong and raises SystemExit(2)."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not Path(given.model).is_dir():
        parser.error(f"--model {given.model} is not a directory; prepare the base there")
    for root in given.allow_root:
        if not Path(root).is_dir():
            parser.error(f"--allow-root {root} is not a directory")
    token = token_file(parser, "--token-file", given.token_file)
    refuse_open_door(parser, given.host, token=token is not None, insecure=given.insecure)
    return EngineOptions(
        model=os.path.abspath(given.model),
        served_name=given.served_model_name,
        host=given.host,
        port=given.port,
        max_loras=given.max_loras,
        max_rank=given.max_lora_rank,
        max_length=given.max_model_len,
        max_rows=given.max_num_seqs,
        max_waiting=given.max_waiting,
        roots=tuple(os.path.realpath(root) for root in given.allow_root),
        dtype=given.dtype,
        threads=given.threads,
        token=token,
        drain_seconds=given.drain_seconds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelecology.serving.engine",
        description="Serve one base model and many LoRA adapters on the CPU, with vLLM's API.",
    )
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="directory of the base model (safetensors)")
    add("--served-model-name", default="generalist", metavar="NAME", help="the base's name in the API")
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=Whole(0, 65535), default=8000, help="port to listen on (default 8000)")
    add("--max-loras", type=Whole(1, 1024), default=4, metavar="N", help="adapters at once (default 4)")
    add("--max-lora-rank", type=Whole(1, 512), default=16, metavar="R", help="largest rank (default 16)")
    add(
        "--max-model-len",
        type=Whole(8, 1 << 20),
        default=2048,
        metavar="T",
        help="prompt and answer, tokens",
    )
    add("--max-num-seqs", type=Whole(1, 1024), default=32, metavar="N", help="prompts in one batch")
    add("--max-waiting", type=Whole(1, 100_000), default=512, metavar="N", help="prompts that may wait")
    add(
        "--allow-root",
        action="append",
        default=[],
        metavar="DIR",
        help="load adapters from below this directory only (may be given again)",
    )
    add("--dtype", choices=DTYPES, default="bfloat16", help="of the base's weights (default bfloat16)")
    add(
        "--threads",
        type=Whole(1, 1024),
        default=None,
        help="threads of torch (default: OMP_NUM_THREADS)",
    )
    add("--token-file", type=Path, metavar="FILE", help="file with the bearer token that clients must send")
    add("--insecure", action="store_true", help="listen on other addresses without a token")
    add("--drain-seconds", type=float, default=60.0, metavar="S", help="time to end requests on unload")
    return parser
