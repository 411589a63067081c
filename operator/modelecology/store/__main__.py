"""`python -m modelecology.store`: put data and bases into a store, and bring bases and adapters to engines.

put     copy a file or a directory into the store and print its digest
fetch   lay a base of the store at a path, checked by its digest (an init container)
mirror  keep copies of the adapters in use, for the engine beside it (a small container)
ship    carry records of live traffic to a bucket, for the gateway or judge beside it (a small container)
alive   say by the exit code whether a mirror or a ship still moves (its liveness probe)
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from modelecology.store.artifacts import ArtifactStore
from modelecology.store.errors import PlaceNotFound, StoreError
from modelecology.store.live_shipper import Keeping, Shipper
from modelecology.store.mirror import Mirror, Pass
from modelecology.store.places import relative_place
from modelecology.store.s3 import ENDPOINT, REGION, S3Access
from modelecology.store.transfer import RESERVED, fetch, put

_LOG = logging.getLogger("modelecology.store")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
HEARTBEAT = ".heartbeat"

Wait = Callable[[float], bool]
"""Waits so many seconds; says whether the end was asked for meanwhile."""


def seconds(text: str) -> float:
    """Read a duration such as 500ms, 2s or 1m; raises ArgumentTypeError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write it like 500ms, 2s or 1m")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelecology.store", description="The store's tools.")
    commands = parser.add_subparsers(dest="command", required=True)
    store = argparse.ArgumentParser(add_help=False)
    store.add_argument("--store", required=True, help="s3://bucket/prefix or file:///path")
    access = S3Access.from_environment(os.environ)
    store.add_argument("--endpoint", default=access.endpoint, help=f"address of the S3 service ({ENDPOINT})")
    store.add_argument("--region", default=access.region, help=f"region of the bucket ({REGION})")
    store.add_argument(
        "--credentials",
        type=Path,
        help="directory with the files AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, read again when they "
        "change; without it the variables of these names, else the pod's identity",
    )
    add = commands.add_parser("put", parents=[store], help="copy data or a base into the store")
    add.add_argument("--from", dest="source", type=Path, required=True, help="a file or a directory")
    add.add_argument("--uri", required=True, help="where to put it, as store:///path")
    get = commands.add_parser("fetch", parents=[store], help="lay a directory of the store at a path")
    get.add_argument("--uri", required=True, help="where it lies, as store:///path")
    get.add_argument("--digest", required=True, help="its digest, sha256:...")
    get.add_argument("--to", type=Path, required=True, help="where to lay it; its parent must be writable")
    keep = commands.add_parser("mirror", parents=[store], help="keep copies of the adapters in use")
    keep.add_argument("--to", type=Path, required=True, help="the population's serving.adapterRoot")
    keep.add_argument("--every", type=seconds, default=2.0, help="pause between two passes (2s)")
    keep.add_argument("--once", action="store_true", help="make one pass and end")
    keep.add_argument("--heartbeat", type=Path, help=f"file touched as it moves (TO/{HEARTBEAT})")
    _offer_ship(commands.add_parser("ship", parents=[store], help="carry records of live traffic"))
    probe = commands.add_parser("alive", help="end with 0 if a heartbeat is young enough")
    probe.add_argument("--heartbeat", type=Path, required=True)
    probe.add_argument("--within", type=seconds, default=60.0)
    return parser


def _offer_ship(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--from", dest="source", type=Path, required=True, help="--records-dir of the gateway or the judge")
    add("--folder", default="live", help="where in the store to put them, as in store:///FOLDER (live)")
    add("--every", type=seconds, default=30.0, help="how often what is new is put there (30s)")
    add("--keep-hours", type=_number, default=0, help="delete older records there, whoever put them")
    add("--keep-mib", type=_number, default=0, help="delete the oldest there when all are larger")
    add("--once", action="store_true", help="make one pass and end")
    add("--heartbeat", type=Path, help=f"file touched as it moves (FROM/{HEARTBEAT})")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "alive":
        return _alive(options.heartbeat, options.within, time.time())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        access = S3Access(options.endpoint or None, options.region, options.credentials)
        store = ArtifactStore.open(options.store, access)
        if options.command == "put":
            print(put(store.files, options.source, _within(options.uri)))
        elif options.command == "fetch":
            done = fetch(store.files, _within(options.uri), options.digest, options.to)
            _LOG.info("%s %s at %s", options.uri, done, options.to)
        elif options.command == "ship":
            return _ship(store, options, _until_told())
        else:
            return _mirror(store, options, _until_told())
    except StoreError as error:
        _LOG.error("%s", error)
        return 1
    return 0


def _within(uri: str) -> str:
    relative = relative_place(uri)
    if not relative:
        raise PlaceNotFound(f"{uri} must have the form store:///path.")
    return relative


def _alive(heartbeat: Path, within: float, now: float) -> int:
    try:
        age = now - heartbeat.stat().st_mtime
    except OSError as error:
        print(f"{heartbeat}: {error.strerror}", file=sys.stderr)
        return 1
    if age > within:
        print(f"{heartbeat} is {age:.0f} s old", file=sys.stderr)
        return 1
    return 0


def _until_told() -> Wait:
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda _number, _frame: ended.set())
    return ended.wait


def _mirror(store: ArtifactStore, options: argparse.Namespace, wait: Wait) -> int:
    if store.files.local("") is not None:
        raise PlaceNotFound("A file:// store needs no mirror: let the engine mount its volume.")
    heartbeat: Path = options.heartbeat or options.to / HEARTBEAT
    mirror = Mirror(store, options.to)
    _LOG.info("mirroring %s to %s every %g s", options.store, options.to, options.every)
    said: tuple[str, ...] = ()
    while True:
        done = _pass(mirror, lambda: _touch(heartbeat))
        _touch(heartbeat)
        said = _tell(done, said)
        if options.once:
            return 1 if done.faults else 0
        if wait(options.every):
            return 0


def _pass(mirror: Mirror, beat: Callable[[], None]) -> Pass:
    try:
        return mirror.step(beat)
    except StoreError as error:
        return Pass((), (), -1, (str(error),))


def _tell(done: Pass, said: tuple[str, ...]) -> tuple[str, ...]:
    """Tell what is new: the same fault is told once, and its end too."""
    for fault in done.faults:
        if fault not in said:
            _LOG.warning("%s", fault)
    if said and not done.faults:
        _LOG.info("the store is mirrored again")
    if done.fetched or done.removed:
        _LOG.info("%d adapters are there", done.held)
    return done.faults


def _ship(store: ArtifactStore, options: argparse.Namespace, wait: Wait) -> int:
    folder = PurePosixPath(options.folder)
    if folder.is_absolute() or ".." in folder.parts or not folder.name or folder.parts[0] in RESERVED:
        raise PlaceNotFound(f"--folder {options.folder} is no place for records; give another, such as live.")
    heartbeat: Path = options.heartbeat or options.source / HEARTBEAT
    shipper = Shipper(store.files, str(folder), options.source, time.time, _keeping(options))
    where = store.files.where(str(folder))
    _LOG.info("carrying records from %s to %s every %g s", options.source, where, options.every)
    said, ended = "", options.once
    while True:
        said = _carry(shipper, lambda: _touch(heartbeat), said)
        if ended:
            return 1 if said else 0
        # Once more when the end is asked for: the gateway has closed its last segment by then.
        ended = wait(options.every)


def _keeping(options: argparse.Namespace) -> Keeping | None:
    if not options.keep_hours and not options.keep_mib:
        return None
    return Keeping(options.keep_hours * 3600.0 or math.inf, (options.keep_mib << 20) or sys.maxsize)


def _carry(shipper: Shipper, beat: Callable[[], None], said: str) -> str:
    """Make a pass and tell what is new about it; gives what is in the way, or nothing."""
    beat()
    try:
        done = shipper.step(beat)
    except StoreError as error:
        if str(error) != said:
            _LOG.warning("records wait: %s", error)
        return str(error)
    if said:
        _LOG.info("records are carried again")
    if done.deleted:
        _LOG.info("%d old segments are deleted", done.deleted)
    return ""


def _touch(path: Path) -> None:
    try:
        path.touch()
    except OSError as error:
        _LOG.warning("%s cannot be touched: %s", path, error.strerror)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
