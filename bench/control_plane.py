"""Measures the operator beside a naive one: python -m bench.control_plane [--runs N] [--json FILE].

A control plane of the testbed is started once, with its audit log on. In it the two operators walk equal
populations through equal lifecycles, by turns, each in a new namespace. docs/benchmarks.md says how each
figure is made.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from bench.contenders import Contender, Naive, Ours
from bench.desk import MOST_MEMBERS, BenchDesk, naive_crd
from bench.report import report
from bench.walk import NotThere, Walk, walk
from testbed.controlplane import ControlPlane
from testbed.errors import ControlPlaneError
from testbed.places import REPOSITORY


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `parallelism` 0 means room for every job at once."""

    runs: int
    members: int
    job_seconds: float
    parallelism: int
    json: Path | None
    directory: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.control_plane", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="walks of each operator")
    parser.add_argument("--members", type=int, default=20, help="specialists of the population")
    parser.add_argument("--job-seconds", type=float, default=1.0, help="time of a job, on average")
    parser.add_argument(
        "--parallelism", type=int, default=0, help="jobs at once in our population; 0 is room for all"
    )
    parser.add_argument("--json", type=Path, help="write every run to this file")
    parser.add_argument("--directory", type=Path, help="keep logs, data and the audit log in this folder")
    found = parser.parse_args(arguments)
    if found.runs < 1:
        parser.error("--runs must be 1 at least")
    if found.directory is not None and found.directory.exists() and any(found.directory.iterdir()):
        parser.error("--directory must be new or empty")
    if not 1 <= found.members <= MOST_MEMBERS:
        parser.error(f"--members must be from 1 to {MOST_MEMBERS}")
    return Options(
        found.runs, found.members, found.job_seconds, found.parallelism, found.json, found.directory
    )


def measure(options: Options) -> tuple[list[Walk], list[Walk]]:
    """Run both operators by turns. Raises NotThere, ControlPlaneError."""
    ours: list[Walk] = []
    naive: list[Walk] = []
    with ControlPlane(options.directory, audit=True) as cluster:
        crd = cluster.directory / "naive-crd.yaml"
        crd.write_text(yaml.safe_dump(naive_crd()), encoding="utf-8")
        cluster.install_crds(REPOSITORY / "crds", crd)
        for number in range(1, options.runs + 1):
            for kind, walks in ((Ours, ours), (Naive, naive)):
                walks.append(_walk(cluster, kind, options, number))
    return ours, naive


def _walk(cluster: ControlPlane, kind: type[Contender], options: Options, number: int) -> Walk:
    directory = cluster.directory / "bench" / f"{number}-{kind.__name__.lower()}"
    directory.mkdir(parents=True)
    desk = BenchDesk(directory, options.members, options.parallelism or MOST_MEMBERS)
    found = walk(cluster, kind(cluster, desk), options.job_seconds)
    took = f"{found.wall_seconds:.1f} s, {found.cpu_seconds:.2f} s of CPU, {found.writes.total} writes"
    print(f"bench: run {number} of {options.runs}, {found.operator}: {took}", file=sys.stderr, flush=True)
    return found


def load() -> float:
    """Give the machine's load average of the last minute."""
    return os.getloadavg()[0]


def main() -> None:
    """Measure and print."""
    options = parse()
    before = load()
    try:
        ours, naive = measure(options)
    except (NotThere, ControlPlaneError) as error:
        sys.exit(f"bench: {error}")
    after = load()
    machine = f"{os.cpu_count()} cores, load {before:.1f} before and {after:.1f} after"
    way = f"{options.members} specialists, {ours[0].transitions} transitions a run"
    print(f"{options.runs} runs of each operator by turns; {way}; {machine}\n")
    print(report(ours, naive).text())
    if options.json is not None:
        record = {
            "options": {**asdict(options), "json": None, "directory": None},
            "cores": os.cpu_count(),
            "load": {"before": before, "after": after},
            "runs": [asdict(w) for w in (*ours, *naive)],
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
