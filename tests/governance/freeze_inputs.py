"""Freezes a record of inputs in today's format, for the readers of every later version.

python -m tests.governance.freeze_inputs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from modelecology.api.vocabulary import State
from modelecology.governance.situations import FORMAT, Inputs, Judgement, kept

from .scenes import POLICY, situation

FROZEN = Path(__file__).parent / "frozen"


def main() -> int:
    """Write the record; refuses to change one that is frozen."""
    path = FROZEN / f"inputs-{FORMAT}.json"
    if path.exists():
        print(f"{path} is frozen; a record that is there must be read for ever.", file=sys.stderr)
        return 1
    found = kept(Inputs(Judgement(situation(State.EVALUATING)), POLICY.prices))
    record = {"digest": found.digest, "files": {d: c.decode() for d, c in found.files.items()}}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
