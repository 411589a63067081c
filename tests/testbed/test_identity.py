"""A process is known by more than its number."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from testbed.identity import ProcessIdentity
from testbed.waiting import holds_within


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "300"]) as process:
        yield process
        process.kill()


def _identity(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return identity


def test_a_process_is_ended_by_its_own_identity(sleeper: subprocess.Popen[bytes]) -> None:
    identity = _identity(sleeper)
    assert identity.is_alive()
    assert identity.end(5)
    assert sleeper.wait(5) == -signal.SIGTERM
    assert not identity.end(5)


def test_a_later_process_of_the_same_number_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    earlier = _identity(sleeper).model_copy(update={"start_ticks": 1})
    assert not earlier.is_alive()
    assert not earlier.end(5)
    assert sleeper.poll() is None


def test_a_process_of_another_boot_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    before_the_reboot = _identity(sleeper).model_copy(update={"boot": "another"})
    assert not before_the_reboot.end(5)
    assert sleeper.poll() is None


def test_a_process_that_ignores_the_polite_signal_is_killed() -> None:
    deaf = ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    with subprocess.Popen(deaf, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert _identity(process).end(0.2)
        assert process.wait(5) == -signal.SIGKILL


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    identity = _identity(sleeper)
    sleeper.kill()  # and not waited for: it stays in the process table
    assert holds_within(lambda: not identity.is_alive(), 5)
    assert ProcessIdentity.of(sleeper.pid) is None
