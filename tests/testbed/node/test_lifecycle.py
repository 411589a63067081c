"""A node leaves nothing behind: after a stop, a kill of its starter, or a crash of all its parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.node import NodeCluster, cgroups, leftovers, network, system
from testbed.node.layout import NodeLayout
from testbed.node.pods import GivenPodCluster
from testbed.places import REPOSITORY
from testbed.runs import read_state
from testbed.waiting import holds_within
from tests.testbed.node import manifests

pytestmark = pytest.mark.after_node

# Starts a node in the folder, runs a pod, and is killed in the middle of it.
_KILLED_STARTER = """
import os, pathlib, signal, sys
from testbed.node import NodeCluster
folder, tar, pod = sys.argv[1:]
with NodeCluster(pathlib.Path(folder)) as cluster:
    cluster.load_image(pathlib.Path(tar))
    cluster.kubectl("apply", "--filename=-", stdin=pod)
    cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/sleeper")
    os.kill(os.getpid(), signal.SIGKILL)
"""
_FAMILIES = ("iptables-save", "ip6tables-save")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run's folder, which may hold other things too."""
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "notes").write_text("not the run's")
    return folder


def _remains(folder: Path) -> list[str]:
    """What a node has left on this machine."""
    rules = [line for name in _FAMILIES for line in system.run(name).splitlines()]
    ours = (network.PROXY_PREFIX, network.OWN_PREFIX)
    found = [line for line in rules if any(prefix in line for prefix in ours)]
    found += [link["ifname"] for link in json.loads(system.run("ip", "-json", "link")) if _is_ours(link)]
    found += [str(path) for path in leftovers.mounts(folder)]
    found += [f"process {number}" for number in sorted(_processes(folder))]
    found += ["a cgroup"] if cgroups.exist() else []
    found += [str(path) for path in (leftovers.RECORD, NodeLayout.of(folder).root) if path.exists()]
    return found


def _is_ours(link: dict[str, object]) -> bool:
    return link["ifname"] == network.BRIDGE or link.get("master") == network.BRIDGE


def _processes(folder: Path) -> set[int]:
    found = set(leftovers.shims(NodeLayout.of(folder)))
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if str(folder).encode() in line:
                found.add(int(process.name))
    return found - {os.getpid()}


def _testbed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", "cluster", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def _settings() -> dict[str, str]:
    return network.read_settings((*network.SYSCTLS, "kernel/panic", "vm/overcommit_memory"))


def test_a_stopped_cluster_leaves_nothing(
    no_node: None, run_folder: Path, base_image_tar: tuple[str, Path]
) -> None:
    before = _settings()
    image, tar = base_image_tar
    with NodeCluster(run_folder) as cluster:
        cluster.load_image(tar)
        cluster.kubectl("apply", "--filename=-", stdin=manifests.pod("sleeper", image, ["sleep", "600"]))
        cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/sleeper")
        assert {network.BRIDGE, "a cgroup"} < set(_remains(run_folder))
    assert _remains(run_folder) == []
    assert _settings() == before
    assert (run_folder / "logs" / "kubelet.log").exists()
    assert (run_folder / "notes").exists()


def test_a_node_whose_starter_was_killed_is_taken_away_by_the_next_start(
    no_node: None, run_folder: Path, tmp_path: Path, base_image_tar: tuple[str, Path]
) -> None:
    image, tar = base_image_tar
    pod = manifests.pod("sleeper", image, ["sleep", "600"])
    starter = [sys.executable, "-c", _KILLED_STARTER, str(run_folder), str(tar), pod]
    killed = subprocess.run(starter, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert leftovers.shims(NodeLayout.of(run_folder)) != []
    said: list[str] = []
    with NodeCluster(tmp_path / "next", progress=said.append) as cluster:
        assert leftovers.shims(NodeLayout.of(run_folder)) == []
        assert "sleeper" not in cluster.kubectl("get", "pods", "--all-namespaces")
    assert f"taking away what is left of the node in {run_folder}" in said
    assert _remains(run_folder) == _remains(tmp_path / "next") == []


def test_a_cluster_by_hand_is_used_and_taken_down_also_after_all_of_it_crashed(
    no_node: None, run_folder: Path, base_image_tar: tuple[str, Path]
) -> None:
    image, tar = base_image_tar
    here = f"--dir={run_folder}"
    up = _testbed("up", here, "--audit")
    try:
        assert (up.returncode, up.stdout) == (0, f"export KUBECONFIG={run_folder / 'kubeconfig'}\n"), (
            up.stderr
        )
        assert "runs already" in _testbed("up", here).stderr
        assert "has a node already" in _testbed("up", f"--dir={run_folder / 'other'}").stderr
        assert _testbed("load", here, str(tar)).stdout == f"{image}\n"
        with GivenPodCluster(run_folder / "kubeconfig") as given:
            assert given.load_image(tar) == (image,)
        run = ("run", "sleeper", f"--image={image}", "--image-pull-policy=Never", "--", "sleep", "600")
        assert _testbed("kubectl", here, *run).stdout == "pod/sleeper created\n"
        wait = ("wait", "--for=condition=Ready", "--timeout=60s", "pod/sleeper")
        assert _testbed("kubectl", here, *wait).returncode == 0
        assert _testbed("status", here).stdout.count("alive") == 8
        assert '"verb":"create"' in (run_folder / "logs" / "audit.log").read_text()
        state = read_state(run_folder)
        assert state is not None
        for process in state.processes:
            process.identity.send(signal.SIGKILL)
        assert holds_within(lambda: "broken" in _testbed("status", here).stdout, 10)
    finally:
        down = _testbed("down", here)
    assert (down.returncode, _remains(run_folder)) == (0, []), down.stderr
    assert [path.name for path in run_folder.iterdir()] == ["notes"]
    again = _testbed("down", here)
    assert (again.returncode, "nothing runs" in again.stderr) == (0, True)
