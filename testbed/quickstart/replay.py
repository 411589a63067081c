"""Makes replay.jsonl: what the generalist itself says to everyday questions, its first sentence.

The file is part of the repository, because a model's words depend on the machine and a digest must not.
Make it anew with `python -m testbed.quickstart.replay --base DIR`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from modelecology.workloads.answerers import LocalAnswerer
from modelecology.workloads.base import Base
from modelecology.workloads.model import load_base, make_deterministic
from testbed.quickstart.replay_file import PLACE
from testbed.quickstart.replayed import QUESTIONS
from testbed.quickstart.rows import Row, to_jsonl

TOKENS = 40
_SENTENCE = re.compile(r"^(.{2,200}?[.!?])(?:\s|$)", re.DOTALL)


def first_sentence(text: str) -> str | None:
    """Give the first whole sentence of a text, or None where it has none."""
    found = _SENTENCE.match(text)
    return found.group(1) if found and "\n" not in found.group(1) else None


def replay_rows(base: Path) -> list[Row]:
    """Ask the base every question and keep the answers that have a first sentence."""
    make_deterministic(0, 2)
    loaded = load_base(Base(base, ""))
    answers = LocalAnswerer(loaded, loaded.model).answers(QUESTIONS, TOKENS, lambda _done: None)
    said = [(question, first_sentence(answer)) for question, answer in zip(QUESTIONS, answers, strict=True)]
    return [
        Row(f"replay-{number:04d}", question, sentence)
        for number, (question, sentence) in enumerate(said)
        if sentence is not None
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the file and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m testbed.quickstart.replay")
    parser.add_argument("--base", type=Path, required=True)
    PLACE.write_bytes(to_jsonl(replay_rows(parser.parse_args(arguments).base)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
