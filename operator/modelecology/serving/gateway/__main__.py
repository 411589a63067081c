"""Start the gateway: python -m modelecology.serving.gateway --population desk --routes-file routes.json."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import socket
import sys
import time
from typing import Final

from aiohttp import web

from modelecology.api.routing import routes_name
from modelecology.serving.tracing import open_tracing

from .app import Parts, build_app
from .embeddings import Embeddings
from .journal import Journal
from .metrics import GatewayMetrics
from .options import GatewayOptions, parse
from .segments import SegmentRecorder
from .service import Clocks
from .table_config_map import ConfigMapTable
from .table_file import FileTable
from .tables import Tables, TableSource

SWITCH_SECONDS: Final = 0.0005
"""How long the thread that writes records may keep the interpreter while users wait; Python's own is 5 ms."""


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    options = parse()
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    web.run_app(
        _app(options),
        host=options.host,
        port=options.port,
        shutdown_timeout=options.drain_seconds,
        access_log=None,
        print=None,
        # Who hangs up is no longer answered: the engine is told so too.
        handler_cancellation=True,
    )
    return 0


async def _app(options: GatewayOptions) -> web.Application:
    metrics = GatewayMetrics()
    recorder = None
    if options.records is not None:
        gateway = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        recorder = kept = SegmentRecorder(
            options.records, gateway, options.retention, time.time, metrics.segment_deleted
        )
        metrics.watch("records_bytes", "Records kept here, as of the last segment.", lambda: kept.held_bytes)
    parts = Parts(
        tables=Tables(options.population, options.namespace, metrics),
        source=_source(options),
        journal=Journal(recorder, metrics, time.time, keep=options.keep, redact=options.redact),
        metrics=metrics,
        clocks=Clocks(steady=asyncio.get_running_loop().time, wall=time.time),
        token=options.token,
        engine_token=options.engine_token,
        embedder=Embeddings(options.classifier_token),
        limits=options.limits,
        tracing=open_tracing("modelecology-gateway", os.environ),
    )
    # What was imported stays; a collection need not look at it again in the middle of a request.
    gc.collect()
    gc.freeze()
    return build_app(parts, on_failure=_end)


def _source(options: GatewayOptions) -> TableSource:
    if options.routes_file is not None:
        return FileTable(options.routes_file)
    return ConfigMapTable(options.namespace or "", routes_name(options.population), options.kubeconfig)


def _end() -> None:
    # Ends run_app as a signal would: what is left is closed in order.
    raise web.GracefulExit


if __name__ == "__main__":
    raise SystemExit(main())
