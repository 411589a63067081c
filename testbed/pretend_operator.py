"""The real operator with doubles for Ray and the engine: python -m testbed.pretend_operator STATE-DIR [options].

Jobs lie in files below the state directory, so that a killed operator and its successor see the same ones.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from modelecology.app import operate, parse, set_up_logs
from modelecology.engines.double import EngineDouble
from modelecology.engines.port import Engine
from modelecology.jobs.double import InMemoryRunner
from testbed.pretend_desk import PLAYBOOK


def main() -> None:
    """Run until told to stop."""
    state, *rest = sys.argv[1:]
    options = parse(rest)
    set_up_logs(options.json_logs)
    runner = InMemoryRunner(PLAYBOOK.effect, directory=Path(state), automatic=True)

    def open_engine(endpoint: str) -> Engine:
        return EngineDouble(endpoint)

    sys.exit(asyncio.run(operate(options, lambda _population: runner, open_engine)))


if __name__ == "__main__":
    main()
