"""What the testbed starts, it ends, in every way its owner may go; and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed import ControlPlane, controlplane
from testbed.binaries import Binaries, resolve
from testbed.errors import AlreadyRunning, StartFailed
from testbed.places import REPOSITORY
from testbed.processes import Command, free_ports, start
from testbed.runs import RunState, read_state, sweep
from testbed.waiting import holds_within

_OWNER = """
import sys
from pathlib import Path
from testbed import ControlPlane
plane = ControlPlane(Path(sys.argv[1]), detached=sys.argv[2] != "attached")
plane.start()
if sys.argv[2] == "released":
    plane.release()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def binaries() -> Binaries:
    return resolve()


@contextmanager
def _owner(directory: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has started a control plane; it ends with its standard input."""
    line = [sys.executable, "-c", _OWNER, str(directory), mode]
    with subprocess.Popen(
        line, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        yield owner


def _state(directory: Path) -> RunState:
    state = read_state(directory)
    assert state is not None
    return state


def _alive(state: RunState) -> list[str]:
    return [p.name for p in state.processes if p.identity.is_alive()]


def test_only_its_own_processes_end(tmp_path: Path, binaries: Binaries) -> None:
    decoy_program = tmp_path / "etcd"
    shutil.copy("/bin/sleep", decoy_program)
    with subprocess.Popen([str(decoy_program), "300"]) as decoy:
        with ControlPlane(binaries=binaries) as plane:
            state, directory = _state(plane.directory), plane.directory
            assert _alive(state) == ["etcd", "kube-apiserver", "kube-controller-manager"]
        assert _alive(state) == []
        assert not directory.exists()
        assert decoy.poll() is None
        decoy.kill()


def test_the_processes_of_a_killed_owner_end_and_its_files_go_with_the_next_run(tmp_path: Path) -> None:
    directory = tmp_path / "run-1"
    with _owner(directory, "attached") as owner:
        state = _state(directory)
        assert state.is_running()
        owner.kill()
        owner.wait()
        assert holds_within(lambda: not _alive(state), 10)
    lines: list[str] = []
    sweep(tmp_path, lines.append)
    assert lines == ["removed the left-over run run-1"]
    assert not directory.exists()


@pytest.mark.parametrize("moment", ["starting", "running"])
def test_ctrl_c_ends_the_processes(tmp_path: Path, moment: str) -> None:
    directory = tmp_path / "run-1"
    script = (
        "import sys, pathlib, testbed\nwith testbed.ControlPlane(pathlib.Path(sys.argv[1])):\n    input()"
    )
    line = [sys.executable, "-c", script, str(directory)]
    with subprocess.Popen(
        line, cwd=REPOSITORY, stdin=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    ) as owner:

        def has_come() -> bool:
            state = read_state(directory)
            return state is not None and (state.is_running() if moment == "running" else _has_two(state))

        assert holds_within(has_come, 30)
        state = _state(directory)
        os.killpg(owner.pid, signal.SIGINT)  # as the terminal does: to the whole foreground group
        _, errors = owner.communicate(timeout=30)
        assert owner.returncode == -signal.SIGINT
        assert errors.endswith(b"KeyboardInterrupt\n")
        assert _alive(state) == []
        assert _alive(_state(directory)) == []


def _has_two(state: RunState) -> bool:
    return len(state.processes) == 2


def test_a_detached_plane_is_swept_until_it_is_released(tmp_path: Path) -> None:
    with _owner(tmp_path / "kept", "released"), _owner(tmp_path / "crashed", "detached") as crashed:
        crashed.kill()
        crashed.wait()
        kept, left_over = _state(tmp_path / "kept"), _state(tmp_path / "crashed")
        assert left_over.is_running()
        lines: list[str] = []
        sweep(tmp_path, lines.append)
        assert _alive(left_over) == []
        assert lines == [
            "removed the left-over run crashed; ended ['kube-controller-manager', 'kube-apiserver', 'etcd']"
        ]
    assert kept.is_running()  # its owner has ended
    with pytest.raises(AlreadyRunning, match="testbed down --dir"):
        ControlPlane(tmp_path / "kept").start()
    assert len(kept.end_processes()) == len(kept.processes)


def test_a_program_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    command = Command("sleeper", Path("/bin/sleep"), ["300"])
    started = []
    thread = threading.Thread(target=lambda: started.append(start(command, tmp_path / "sleeper.log")))
    thread.start()
    thread.join()
    (process,) = started
    assert not holds_within(lambda: process.returncode() is not None, 0.5)
    process.stop(5)
    assert process.returncode() == -signal.SIGTERM


def test_a_program_that_ends_early_is_shown_with_its_last_lines_and_its_log(
    tmp_path: Path, binaries: Binaries
) -> None:
    broken = tmp_path / "etcd"
    broken.write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
    broken.chmod(0o755)
    plane = ControlPlane(
        tmp_path / "run",
        binaries=Binaries(tmp_path, broken, binaries.apiserver, binaries.kubectl, None),
    )
    with pytest.raises(StartFailed) as failed:
        plane.start()
    assert "etcd ended" in str(failed.value)
    assert "the disk is on fire" in str(failed.value)
    log = tmp_path / "run" / "logs" / "etcd.log"
    assert str(log) in str(failed.value)
    assert log.read_text() == "the disk is on fire\n"


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="nothing cannot be run"):
        start(Command("nothing", tmp_path / "nothing", []), tmp_path / "log", detached=True)


def test_a_taken_port_is_replaced(
    tmp_path: Path, binaries: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        offers = [[taken, *free_ports(3)], free_ports(4)]
        monkeypatch.setattr(controlplane, "free_ports", lambda _: offers.pop(0))
        with ControlPlane(
            tmp_path / "run", binaries=binaries, controllers=False, progress=lines.append
        ) as plane:
            assert plane.ports.etcd != taken
            assert plane.kubectl("get", "--raw", "/readyz") == "ok"
            assert not plane.has_controllers
    assert lines == ["a port was taken by another process; starting on other ports"]
    assert offers == []


def test_free_ports_differ_and_are_not_those_of_clients() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    first_client_port = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < first_client_port for port in ports)


def test_requests_are_written_down_on_demand(tmp_path: Path, binaries: Binaries) -> None:
    with ControlPlane(tmp_path / "run", binaries=binaries, audit=True, controllers=False) as plane:
        plane.kubectl("create", "namespace", "audited")
        assert '"objectRef":{"resource":"namespaces","name":"audited"' in plane.audit_log.read_text()


def test_a_folder_of_the_callers_keeps_what_is_not_the_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for _ in range(2):
        plane = ControlPlane(tmp_path, controllers=False)
        plane.start()
        plane.stop()
        assert (tmp_path / "logs" / "etcd.log").is_file()
    assert (tmp_path / "mine.txt").read_text() == "mine"
