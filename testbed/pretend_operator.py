"""The real operator with doubles for Ray and engine: python -m testbed.pretend_operator STATE-DIR [options].

Jobs and engines lie in files below the state directory, so that a killed operator and its successor see the
same ones. With --jobs-elsewhere some other process advances the jobs (testbed.operators); else each
question for a job's status does. With --mortal=before:FILE or after:FILE it dies of each of its writes, see
testbed.mortal. With --nursery it starts operators on request, see testbed.nursery.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from unittest import mock

from modelecology.api.population import Population
from modelecology.app import operate, set_up_logs
from modelecology.engines.port import Engine
from modelecology.jobs.double import InMemoryRunner
from modelecology.kube.cluster import ApiCluster
from modelecology.options import parse
from testbed.mortal import MortalCluster
from testbed.nursery import serve
from testbed.pretend_desk import PLAYBOOK
from testbed.pretend_engine import PretendEngine

# A fixed one: the sources may change while a test runs, and the keys must not.
CODE = "sha256:" + "c" * 64
_MORTAL = "--mortal="


def run(arguments: list[str]) -> int:
    """Run until told to stop; gives the exit code."""
    elsewhere = "--jobs-elsewhere" in arguments
    mortal = [each.removeprefix(_MORTAL) for each in arguments if each.startswith(_MORTAL)]
    ours = ("--jobs-elsewhere", _MORTAL)
    state, *rest = [each for each in arguments if not each.startswith(ours)]
    options = parse(rest)
    set_up_logs(options.json_logs)
    effect = None if elsewhere else PLAYBOOK.effect
    runner = InMemoryRunner(effect, directory=Path(state), automatic=not elsewhere)

    def open_engine(_population: Population, endpoint: str) -> Engine:
        return PretendEngine(engine_directory(Path(state), endpoint), endpoint)

    with _mortal(mortal[0]) if mortal else contextlib.nullcontext():
        return asyncio.run(operate(options, lambda _population: runner, open_engine, CODE))


def _mortal(told: str) -> contextlib.AbstractContextManager[object]:
    async def connect(_kubeconfig: Path | None = None) -> ApiCluster:
        return await MortalCluster.reach(told)

    return mock.patch.object(ApiCluster, "connect", connect)


def engine_directory(state: Path, endpoint: str) -> Path:
    """Say where the files of an engine lie."""
    return state / "engines" / "".join(c if c.isalnum() else "-" for c in endpoint)


if __name__ == "__main__":
    if sys.argv[1:] == ["--nursery"]:
        serve(run)
    sys.exit(run(sys.argv[1:]))
