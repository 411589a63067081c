"""`python -m testbed.quickstart --out DIR`: write the quickstart's data and print the digests as JSON."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.quickstart.files import quickstart_files


def main(arguments: Sequence[str]) -> int:
    """Write the files and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m testbed.quickstart")
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    for name, content in sorted(quickstart_files().items()):
        (out / name).write_bytes(content)
        digests[name] = f"sha256:{hashlib.sha256(content).hexdigest()}"
    print(json.dumps(digests, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
