"""Start the CPU engine: python -m modelecology.serving.engine --model DIR."""

import logging
import os
import signal
import sys
from types import FrameType

from modelecology.serving.tracing import open_tracing

from .options import EngineOptions, parse


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 if the base cannot be served."""
    options = parse()
    # Everything is local; a library that thinks otherwise should fail, not call out.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that spin while they wait would take the CPU from the jobs beside them, and wait for their own
    # helpers when these are not scheduled. Who gives the engine cores of its own sets GOMP_SPINCOUNT, which
    # goes before this: docs/engines.md.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return _serve(options)


def _serve(options: EngineOptions) -> int:
    # Imported late: torch takes seconds, and a wrong option should be told at once.
    import uvicorn

    from .app import build_app
    from .service import EngineService

    service = EngineService(options)

    def stop() -> None:
        server.should_exit = True

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # uvicorn raises the signal again once it has ended; this makes that harmless: the status is 0.
        stop()

    tracing = open_tracing("modelecology-engine", os.environ)
    app = build_app(service, token=options.token, on_failure=stop, tracing=tracing)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=options.host,
            port=options.port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=30,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server.run()
    if service.failure is not None:
        print(service.failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
