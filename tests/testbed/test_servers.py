"""What all servers of the testbed share: free ports, a folder, a kill that can be undone, and an end."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import family
from testbed.errors import AddressInUse, StartFailed
from testbed.family import processes_of
from testbed.places import REPOSITORY
from testbed.probe import answers_plainly
from testbed.processes import Command, free_ports
from testbed.servers import FamilyServer, Server
from testbed.waiting import holds_within

_OWNER = """
import sys
from tests.testbed.test_servers import Household
with Household() as server:
    print(server.directory, flush=True)
    sys.stdin.read()
"""


class Page(Server):
    """Python's own file server, on ports that the test offers."""

    title = "The page"

    def __init__(self, *offers: int) -> None:
        self.told: list[str] = []
        super().__init__(self.told.append)
        self.offers = list(offers)
        self.port = 0

    def answers(self) -> bool:
        return answers_plainly(self.port, "/kept")

    def _prepare(self) -> None:
        (self.directory / "kept").touch()

    def _take_ports(self) -> None:
        self.port = self.offers.pop(0) if self.offers else free_ports(1)[0]

    def _serve(self) -> None:
        self._launch(self._command(), self.answers, 30.0)

    def _command(self) -> Command:
        line = ["-m", "http.server", "--bind=127.0.0.1", str(self.port)]
        return Command("page", Path(sys.executable), line)


class Household(FamilyServer):
    """A program that leaves another one behind."""

    title = "The household"

    def _take_ports(self) -> None:
        """It has none."""

    def _serve(self) -> None:
        script = "setsid sleep 300 & touch left; exec sleep 300"
        left = self.directory / "left"
        left.unlink(missing_ok=True)
        self._launch(Command("household", Path("/bin/sh"), ["-c", script]), left.exists, 30.0)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_a_port_that_another_process_took_is_replaced(taken: int) -> None:
    with Page(taken) as page:
        assert page.port != taken
        assert page.told == ["a port was taken by another process; starting on other ports"]
        assert len(page.processes) == 1


def test_where_every_port_is_taken_it_gives_up_and_leaves_nothing(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = Page(*[taken] * 20)
    with pytest.raises(AddressInUse, match="Address already in use"):
        page.start()
    assert 10 < len(page.offers) < 19
    assert page.processes == ()
    assert list(tmp_path.iterdir()) == []


def test_what_was_killed_is_revived_at_its_address_with_its_files() -> None:
    with Page() as page:
        (before,) = page.processes
        page.kill()
        assert not before.identity.is_alive()
        assert not page.answers()
        page.revive()
        assert page.answers()
        (after,) = page.processes
    assert not after.identity.is_alive()


def test_without_its_block_it_says_how_it_is_started() -> None:
    with pytest.raises(StartFailed, match=r"The page is not started\. Use it in a with block"):
        _ = Page().directory


def test_what_a_program_leaves_behind_ends_with_it() -> None:
    with Household() as server:
        directory = server.directory
        found = processes_of(directory)
        assert len(found) == 2
        server.kill()
        assert not any(each.is_alive() for each in found)
        server.revive()
        found = processes_of(directory)
        assert len(found) == 2
    assert not any(each.is_alive() for each in found)
    assert not directory.exists()


def test_a_killed_owner_takes_all_of_it_along() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        directory = Path(owner.stdout.readline().strip())
        found = processes_of(directory)
        assert found
        owner.kill()
        owner.wait()
        assert holds_within(lambda: not directory.exists(), 30)
    assert not any(each.is_alive() for each in found)


def test_a_detached_one_lives_until_it_is_taken_down() -> None:
    server = Household(detached=True)
    server.start()
    directory = server.directory
    found = processes_of(directory)
    family.take_down(directory)
    assert found
    assert not any(each.is_alive() for each in found)
    assert not directory.exists()
    server.stop()
