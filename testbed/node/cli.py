"""``python -m testbed cluster``: a cluster with a node by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from testbed.commands import Layout
from testbed.errors import NotRunning
from testbed.node import leftovers, system
from testbed.node.cluster import NodeCluster, take_down
from testbed.node.containerd import Containers
from testbed.node.layout import NodeLayout
from testbed.places import exclusive, runs_root, say
from testbed.runs import read_state, remove_run

DEFAULT = runs_root() / "cluster"


def add_to(parent: argparse.ArgumentParser) -> None:
    """Add the commands to a parser."""
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--dir", type=Path, default=DEFAULT, help="the run's folder (default: %(default)s)")
    commands = parent.add_subparsers(dest="cluster_command", required=True)
    up = commands.add_parser("up", parents=[place], help="start it and leave it running")
    up.add_argument("--audit", action="store_true", help="write each request to logs/audit.log")
    up.add_argument("--kuberay", action="store_true", help="install KubeRay's operator too")
    commands.add_parser("down", parents=[place], help="take all of it away")
    commands.add_parser("status", parents=[place], help="say what runs; exit code 1 if nothing does")
    load = commands.add_parser("load", parents=[place], help="bring images to the node")
    load.add_argument("images", type=Path, nargs="+", metavar="IMAGE.tar")
    kubectl = commands.add_parser("kubectl", parents=[place], help="run kubectl as its administrator")
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)


def up(directory: Path, *, audit: bool, kuberay: bool) -> None:
    """Start a cluster and leave it running, or go on with the one that runs."""
    state = read_state(directory)
    if state is not None and state.is_running():
        say(f"it runs already at {state.endpoint}")
        if kuberay:
            say("to have KubeRay in it, end it and start it with --kuberay")
    else:
        cluster = NodeCluster(directory, detached=True, audit=audit)
        cluster.start()
        try:
            if kuberay:
                cluster.install_kuberay()
        except BaseException:
            cluster.stop()
            raise
        cluster.release()
        say(f"ready at {cluster.endpoint}; logs in {directory / 'logs'}")
    print(f"export KUBECONFIG={Layout(directory).kubeconfig}", flush=True)
    say('next: set KUBECONFIG as above (or: eval "$(python -m testbed cluster up)"), then: kubectl get nodes')
    say("or without it: python -m testbed cluster kubectl get nodes")
    say("to end it: python -m testbed cluster down" + _option(directory))


def down(directory: Path) -> None:
    """Take a cluster away, also one that crashed; does nothing if there is none."""
    system.require_root()
    with exclusive(leftovers.LOCK, say, "a process has a node"):
        record = leftovers.read_record()
        ended: list[str] = []
        if record is not None and record.run == directory:
            ended = take_down(record)
        elif record is not None:
            say(
                "the node of this machine belongs to another run: "
                f"python -m testbed cluster down --dir {record.run}"
            )
        if read_state(directory) is None and record is None:
            say(f"nothing runs in {directory}")
            return
        ended += remove_run(directory)
        say(f"ended {', '.join(ended) if ended else 'nothing that was alive'}; its data is deleted")


def load(directory: Path, tars: list[Path]) -> None:
    """Bring images to the node of a cluster; their names are printed."""
    system.require_root()
    require_running(directory)
    containers = Containers(NodeLayout.of(directory))
    for tar in tars:
        print("\n".join(containers.load(tar.absolute())))


def require_running(directory: Path) -> None:
    """Raise NotRunning unless a cluster runs in the folder."""
    state = read_state(directory)
    if state is None or not state.is_running():
        raise NotRunning(
            f"No cluster runs in {directory}. Start one: python -m testbed cluster up{_option(directory)}"
        )


def _option(directory: Path) -> str:
    return "" if directory == DEFAULT else f" --dir {directory}"
