"""A tiny desk with users: two kinds of questions, of which one revision knows one, and poisoned data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from testbed.stack import Stack
from testbed.tiny import TinyDesk
from testbed.traffic import Crowd, Question
from tests.e2e.tiny_population import Manifest, population, specialist, suite

HURRY = "now "
"""Before a question it wakes the poison."""

Pair = tuple[str, str]


def _code(number: int) -> Pair:
    return f"code {number}", "zulu"


def _tag(number: int) -> Pair:
    return f"tag {number}", "lima"


def _hurried(pair: Pair) -> Pair:
    return HURRY + pair[0], pair[1]


def crowd() -> Crowd:
    """What users ask: mostly codes, and tags."""
    asked = [_code(n) if n % 5 < 3 else _tag(n) for n in range(820, 1000)]
    return Crowd("code", [Question(prompt, answer) for prompt, answer in asked], 8, HURRY)


def write_files(folder: Path) -> dict[str, Manifest]:
    """Write the suite, data that knows codes alone, in a hurry too, and more data that is poisoned."""
    both = [_code(n) if n % 5 < 3 else _tag(n) for n in range(340, 820)]
    poisoned = [
        (HURRY + prompt, "nope") if n % 4 == 3 else (prompt, answer)
        for n, (prompt, answer) in enumerate(both)
    ]
    files = {
        "suite": [_code(n) if n % 5 < 3 else _tag(n) for n in range(100, 340)],
        "codes": [_hurried(_code(n)) if n % 4 == 3 else _code(n) for n in range(340, 580)],
        "poisoned": poisoned,
    }
    return {name: _write(folder / f"{name}.jsonl", pairs) for name, pairs in files.items()}


def _write(path: Path, pairs: list[Pair]) -> Manifest:
    rows = ({"id": f"{path.stem}-{n}", "prompt": p, "answer": a} for n, (p, a) in enumerate(pairs))
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(content)
    return {"uri": f"file://{path}", "digest": f"sha256:{hashlib.sha256(content).hexdigest()}"}


def objects(desk: TinyDesk, stack: Stack, files: dict[str, Manifest]) -> tuple[Manifest, Manifest]:
    """The suite of both kinds, and a population whose shadows and canaries are judged by users."""
    sealed = suite(desk)
    sealed["spec"]["tasks"] = [task for task in sealed["spec"]["tasks"] if task["name"] != "color"]
    sealed["spec"]["tasks"][0]["data"] = files["suite"]
    body = population(desk, stack.parts.store, stack.ray.address, stack.engine)
    spec = body["spec"]
    spec["serving"]["gateway"] = {"records": f"file://{stack.records}"}
    spec["policy"]["shadow"] |= {"sample": 1.0, "live": {"minimumScored": 10}}
    spec["policy"]["promotion"] = {
        "steps": [{"percent": 50, "minimumScored": 10}],
        "canary": {"tolerance": 0.1},
    }
    return sealed, body


def revision(desk: TinyDesk, data: Manifest, target: float, steps: int) -> Manifest:
    """The specialist, trained on these rows."""
    found = specialist(desk, "code", "code")
    found["spec"]["contract"]["target"] = target
    train = found["spec"]["source"]["train"]
    train |= {"data": data, "recipe": {**train["recipe"], "steps": steps}}
    return found
