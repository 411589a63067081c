"""How many small faults in the core's rules do its tests find? Each mutant is one: make mutants.

    python -m bench.mutants [--keep DIRECTORY] [MODULE...]

The score of a module is the share of its mutants for which a test of its own fails; a mutant that runs out of
time counts as found. mutmut makes and runs them, on a copy of the tree, so that nobody meets one. What
survives is shown as a diff, to be killed by a better test or to be named an equal of the original. Needs
mutmut, which is not in the lock.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.9
CHILDREN = 6
# The tests that have to find the mutants of a module: those that are about it, without the long simulations.
MODULES = {
    "decide": ("resting", "isolation", "work"),
    "invariants": ("invariants", "findings"),
    "portfolio": ("portfolio", "unviable"),
    "lifecycle": ("lifecycle", "diagram"),
    "judgement": ("judgement", "evaluating", "exhaustion", "broken_judges"),
    "trial": ("trial", "courses"),
    "looks": ("looks", "lives", "judgement"),
    "promotion": ("promotion", "shadow", "approval", "canary", "limits"),
    "canary": ("canary",),
}
# A mutant that only the hundredth example of a property meets would be found by luck.
FEW_EXAMPLES = ("deadline=None", "deadline=None, max_examples=20")
# The table is made on import: only a process that begins with the mutant meets it, and all tests rest on it.
ON_IMPORT = {"lifecycle": "_table"}
_CORE = "modelecology.governance"
_KILLED = (1, 3, 255)  # a test failed, its collection, or the import of what it tests
_TIMEOUTS = (24, 36, 152, -24)

_PROJECT = """
[tool.pytest.ini_options]
pythonpath = ["."]

[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/modelecology/governance/{module}.py"]
also_copy = ["docs"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:asyncio"]
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 30.0
process_isolation = "{isolation}"
forkserver_warmup = "none"
"""
_EACH_TEST_MEETS = """

@pytest.fixture(autouse=True)
def _met() -> None:
    if os.environ.get("MUTANT_UNDER_TEST") == "stats":
        {module}.{function}()
"""


@dataclass(frozen=True, slots=True)
class Score:
    """What became of the mutants of one module."""

    module: str
    found: int
    survivors: tuple[str, ...]

    @property
    def mutants(self) -> int:
        """How many there are."""
        return self.found + len(self.survivors)

    @property
    def share(self) -> float:
        """The share that was found."""
        return self.found / self.mutants if self.mutants else 1.0


def prepare(module: str, place: Path) -> None:
    """Copy what the tests of the core need, and say what is to be mutated."""
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "operator" / "modelecology", place / "src" / "modelecology", ignore=unwanted)
    shutil.copytree(ROOT / "tests" / "governance", place / "tests" / "governance", ignore=unwanted)
    (place / "tests" / "__init__.py").touch()
    (place / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "lifecycle.md", place / "docs")
    conftest = place / "tests" / "governance" / "conftest.py"
    text = conftest.read_text().replace(*FEW_EXAMPLES)
    tests = [f"tests/governance/test_{name}.py" for name in MODULES[module]]
    function = ON_IMPORT.get(module)
    if function is not None:
        imports = f"import os\n\nimport pytest\n\nfrom {_CORE} import {module}\n"
        text = text.replace("from hypothesis", f"{imports}from hypothesis", 1)
        text += _EACH_TEST_MEETS.format(module=module, function=function)
    conftest.write_text(text)
    isolation = "forkserver" if function is not None else "fork"
    settings = _PROJECT.format(module=module, tests=json.dumps(tests), isolation=isolation)
    (place / "pyproject.toml").write_text(settings)


def mutmut(place: Path, *arguments: str) -> str:
    """Run mutmut there; gives what it printed."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"mutmut {' '.join(arguments)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done.stdout


def score(module: str, place: Path) -> Score:
    """Make and run the mutants of one module."""
    prepare(module, place)
    mutmut(place, "run", "--max-children", str(CHILDREN))
    return read(module, place)


def read(module: str, place: Path) -> Score:
    """Read what became of them."""
    told = place / "mutants" / "src" / "modelecology" / "governance" / f"{module}.py.meta"
    codes: dict[str, int | None] = json.loads(told.read_text())["exit_code_by_key"]
    found = sum(code in (*_KILLED, *_TIMEOUTS) for code in codes.values())
    survivors = tuple(name for name, code in codes.items() if code not in (*_KILLED, *_TIMEOUTS))
    return Score(module, found, survivors)


def tell(told: Score, place: Path) -> None:
    """Print the score, and every survivor as a diff."""
    print(f"\n{told.module}: {told.found} of {told.mutants} mutants found, {told.share:.1%}")
    for function, count in Counter(name.partition("__mutmut")[0] for name in told.survivors).items():
        print(f"  {count} survive in {function.rpartition('.')[2]}")
    for name in told.survivors:
        lines = mutmut(place, "show", name).splitlines()
        print(f"\n{name}")
        print("\n".join(each for each in lines if each[:1] in "+-" and each[:3] not in ("+++", "---")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all; 0 is fine, 1 is a module below the goal."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", default=tuple(MODULES), help=", ".join(MODULES))
    parser.add_argument("--keep", type=Path, help="a new folder for the copies, which stay there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        place: Path = options.keep or Path(temporary)
        scores = []
        for module in options.modules:
            there = place / module
            scores.append(score(module, there))
            tell(scores[-1], there)
    print()
    for each in scores:
        print(f"{each.module:12} {each.mutants:5} mutants {each.share:7.1%}")
    return int(any(each.share < GOAL for each in scores))


if __name__ == "__main__":
    raise SystemExit(main())
