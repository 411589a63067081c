"""The real operator, whose jobs are played elsewhere: python -m bench.operator_process STATE-DIR [options].

It differs from the pretend operator of the tests in one thing: no job does its work inside this process, so
that the CPU measured here is the operator's alone. With --engines-listen the engines are processes too, which
it asks over HTTP as in production.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.desk import MOST_MEMBERS
from modelecology import opening
from modelecology.api.population import Population
from modelecology.app import operate, set_up_logs
from modelecology.engines.double import EngineDouble
from modelecology.engines.port import Engine
from modelecology.jobs.double import InMemoryRunner
from modelecology.options import parse

_LISTENING = "--engines-listen"


def main() -> None:
    """Run until told to stop."""
    state, *rest = sys.argv[1:]
    listening = _LISTENING in rest
    options = parse([each for each in rest if each != _LISTENING])
    set_up_logs(options.json_logs)
    runner = InMemoryRunner(directory=Path(state))

    def open_engine(_population: Population, endpoint: str) -> Engine:
        return EngineDouble(endpoint, capacity=MOST_MEMBERS + 1)

    engines = opening.engines(options) if listening else open_engine
    sys.exit(asyncio.run(operate(options, lambda _population: runner, engines)))


if __name__ == "__main__":
    main()
