"""``python -m testbed``: a control plane by hand, or a cluster with a node.

Answers go to standard output, so that ``eval "$(python -m testbed up)"`` works; progress goes to standard
error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed import binaries
from testbed.commands import Layout
from testbed.controlplane import ControlPlane
from testbed.errors import ControlPlaneError, NotRunning
from testbed.node import cli
from testbed.places import exclusive, runs_root, say
from testbed.runs import RunState, read_state, remove_run


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. An error is one plain message."""
    options = _parser().parse_args(arguments)
    directory: Path = options.dir.absolute()
    try:
        if options.command == "cluster":
            return _cluster(directory, options)
        match options.command:
            case "up":
                _up(directory, audit=options.audit)
            case "down":
                _down(directory)
            case "status":
                return _status(directory)
            case "binaries":
                print(binaries.all_tools() if options.all else binaries.resolve().folder)
            case _:
                _running(directory)
                _kubectl(directory, options.arguments)
    except ControlPlaneError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; what was started has been ended")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--dir", type=Path, default=runs_root() / "up", help="the run's folder (default: %(default)s)"
    )
    parser = argparse.ArgumentParser(
        prog="python -m testbed", description="A Kubernetes control plane or cluster by hand."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[place], help="start one and leave it running")
    up.add_argument("--audit", action="store_true", help="write each request to logs/audit.log")
    commands.add_parser("down", parents=[place], help="end it and delete its data")
    commands.add_parser("status", parents=[place], help="say what runs; exit code 1 if nothing does")
    programs = commands.add_parser(
        "binaries", parents=[place], help="build what is missing and print the folder"
    )
    programs.add_argument("--all", action="store_true", help="the node's programs and all other tools too")
    kubectl = commands.add_parser("kubectl", parents=[place], help="run kubectl as its administrator")
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)
    cli.add_to(commands.add_parser("cluster", help="a cluster with a node that runs pods; needs root"))
    return parser


def _cluster(directory: Path, options: argparse.Namespace) -> int:
    match options.cluster_command:
        case "up":
            cli.up(directory, audit=options.audit, kuberay=options.kuberay)
        case "down":
            cli.down(directory)
        case "status":
            return _status(directory)
        case "load":
            cli.load(directory, options.images)
        case _:
            cli.require_running(directory)
            _kubectl(directory, options.arguments)
    return 0


def _up(directory: Path, *, audit: bool) -> None:
    with exclusive(runs_root() / "up.lock", say, "it starts or ends a control plane"):
        state = read_state(directory)
        if state is not None and state.is_running():
            say(f"it runs already at {state.endpoint}")
        else:
            plane = ControlPlane(directory, detached=True, audit=audit)
            plane.start()
            plane.release()
            say(f"ready at {plane.endpoint}; logs in {directory / 'logs'}")
    print(f"export KUBECONFIG={Layout(directory).kubeconfig}", flush=True)
    say('next: set KUBECONFIG as above (or: eval "$(python -m testbed up)"), then: kubectl get namespaces')
    say("or without it: python -m testbed kubectl get namespaces")
    say(f"to end it: python -m testbed down{_dir_option(directory)}")


def _down(directory: Path) -> None:
    with exclusive(runs_root() / "up.lock", say, "it starts or ends a control plane"):
        if read_state(directory) is None:
            say(f"nothing runs in {directory}")
            return
        ended = remove_run(directory)
        say(f"ended {', '.join(ended) if ended else 'nothing that was alive'}; its data is deleted")


def _status(directory: Path) -> int:
    state = read_state(directory)
    if state is None or not state.processes:
        print(f"not running ({directory})")
        return 1
    verdict = "running" if state.is_running() else "broken"
    print(f"{verdict} at {state.endpoint or 'no endpoint yet'} ({directory})")
    for process in state.processes:
        alive = "alive" if process.identity.is_alive() else "ended"
        print(f"  {process.name:<24} pid {process.identity.pid:<8} {alive}")
    return 0 if state.is_running() else 1


def _kubectl(directory: Path, arguments: Sequence[str]) -> None:
    layout = Layout(directory)
    program = str(binaries.resolve().kubectl)
    # This process becomes kubectl: its terminal, signals and exit code are kubectl's own.
    os.execv(
        program,
        [
            program,
            f"--kubeconfig={layout.kubeconfig}",
            f"--cache-dir={directory / 'kubectl-cache'}",
            *arguments,
        ],
    )


def _running(directory: Path) -> RunState:
    state = read_state(directory)
    if state is None or not state.is_running():
        raise NotRunning(
            f"No control plane runs in {directory}. "
            f"Start one with: python -m testbed up{_dir_option(directory)}"
        )
    return state


def _dir_option(directory: Path) -> str:
    return "" if directory == runs_root() / "up" else f" --dir {directory}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
