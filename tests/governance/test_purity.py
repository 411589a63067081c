"""The core needs the standard library, numpy, scipy and the API's words, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "operator"
ALLOWED = ("numpy", "scipy")
WORDS = ("modelecology", "modelecology.api", "modelecology.api.reasons", "modelecology.api.vocabulary")
# Told what may be imported, and then what is; whatever else is asked for is not there.
SCRIPT = """
import importlib, sys

allowed, words, modules = (each.split(",") for each in sys.argv[1:])

class Bare:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        core = f"{name}.".startswith("modelecology.governance.")
        # The platform's own settings are a module of the standard library that is not listed as one.
        standard = top in sys.stdlib_module_names or top.startswith("_sysconfigdata")
        if standard or top in allowed or name in words or core:
            return None
        raise ModuleNotFoundError(f"{name} is not there", name=name)

sys.meta_path.insert(0, Bare())
for name in modules:
    importlib.import_module(name)
print(len(modules))
"""


def imported(*modules: str) -> subprocess.CompletedProcess[str]:
    """Import modules in a new interpreter that finds nothing but what the core may know."""
    told = (",".join(each) for each in (ALLOWED, WORDS, modules))
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", SCRIPT, *told]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def core() -> list[str]:
    """Name all modules of the core."""
    files = sorted((SOURCE / "modelecology" / "governance").rglob("*.py"))
    return [".".join(f.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for f in files]


def test_every_module_of_the_core_is_imported_where_there_is_nothing_else() -> None:
    modules = core()
    assert "modelecology.governance.decide" in modules
    done = imported(*modules)
    assert (done.returncode, done.stdout) == (0, f"{len(modules)}\n"), done.stderr


def test_what_the_core_may_not_know_is_not_found_there() -> None:
    for module in ("pydantic", "modelecology.api.population", "modelecology.reconcile.act", "kopf"):
        done = imported(module)
        assert done.returncode == 1, module
        assert f"ModuleNotFoundError: {module.removesuffix('.act')} is not there" in done.stderr
