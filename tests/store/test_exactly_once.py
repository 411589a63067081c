"""Any number of attempts, exactly one commit, and nothing visible before it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelecology.store import ArtifactStore, Commit, Cost

KEY = "a" * 64
SPAWN = multiprocessing.get_context("spawn")


class Crash(BaseException):
    """Stands for the power going out: nothing of the program runs after it."""


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A store's uri, with its root made."""
    place = f"file://{tmp_path / 'store'}"
    ArtifactStore.create(place)
    return place


def commit_once(uri: str, content: bytes) -> Commit:
    """Make one attempt at KEY."""
    with ArtifactStore.open(uri).begin(KEY) as attempt:
        attempt.write("result.txt", content)
        return attempt.commit("Train", {"by": content.decode()}, Cost(wall_seconds=1.0))


def commit_in_a_process(uri: str, number: int, found: multiprocessing.Queue[str]) -> None:
    """Make one attempt and tell who won."""
    found.put(commit_once(uri, f"p{number}".encode()).attempt)


def test_a_second_commit_adopts_the_winner(uri: str) -> None:
    first = commit_once(uri, b"first")
    second = commit_once(uri, b"second")
    store = ArtifactStore.open(uri)
    assert second == first
    assert store.read(KEY, "result.txt") == b"first"
    assert store.manifest(KEY).meta == {"by": "first"}


def test_a_loser_leaves_nothing_behind(uri: str) -> None:
    winner = commit_once(uri, b"first")
    commit_once(uri, b"second")
    folder = Path(ArtifactStore.open(uri).local_path(KEY)).parent
    assert sorted(entry.name for entry in folder.iterdir()) == [winner.attempt, "commit.json"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(min_value=2, max_value=8))
def test_of_many_threads_exactly_one_wins_and_all_adopt_it(
    tmp_path_factory: pytest.TempPathFactory, count: int
) -> None:
    uri = f"file://{tmp_path_factory.mktemp('race')}"
    gate = threading.Barrier(count)
    commits: list[Commit] = []

    def race(number: int) -> None:
        with ArtifactStore.open(uri).begin(KEY) as attempt:
            attempt.write("result.txt", str(number).encode())
            gate.wait()
            commits.append(attempt.commit("Train", {}, Cost()))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(commits) == count
    assert len(set(commits)) == 1
    assert ArtifactStore.open(uri).commit_of(KEY) == commits[0]
    ArtifactStore.open(uri).verify(KEY)


def test_of_many_processes_exactly_one_wins_and_all_adopt_it(uri: str) -> None:
    found: multiprocessing.Queue[str] = SPAWN.Queue()
    processes = [SPAWN.Process(target=commit_in_a_process, args=(uri, number, found)) for number in range(3)]
    for process in processes:
        process.start()
    winners = {found.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(timeout=60)
    commit = ArtifactStore.open(uri).commit_of(KEY)
    assert commit is not None
    assert winners == {commit.attempt}


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the power go out at the step-th durable operation; returns how many were reached."""
    reached = 0

    def watched(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal reached
            reached += 1
            if reached == step:
                raise Crash
            return original(*arguments, **named)

        return call

    for name in ("fsync", "link", "rename", "replace"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return lambda: reached


@pytest.mark.parametrize("step", range(1, 12))
def test_a_crash_before_the_commit_shows_nothing_and_after_it_everything(
    uri: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        reached = crash_at(step, patch)
        try:
            attempt = ArtifactStore.open(uri).begin(KEY)
            attempt.write("result.txt", b"whole")
            attempt.commit("Train", {}, Cost())
        except Crash:
            assert reached() == step
    store = ArtifactStore.open(uri)
    if store.commit_of(KEY) is not None:
        store.verify(KEY)
        assert store.read(KEY, "result.txt") == b"whole"
    commit_once(uri, b"whole")
    store.verify(KEY)


@pytest.mark.parametrize("step", range(1, 10))
def test_a_crash_while_archiving_restoring_or_deleting_is_mended_by_repeating_it(
    uri: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for doing in ("archive", "restore", "delete"):
        store = ArtifactStore.open(uri)
        store.delete(KEY)
        commit_once(uri, b"whole")
        if doing == "restore":
            store.archive(KEY)
        with monkeypatch.context() as patch:
            crash_at(step, patch)
            with suppress(Crash):
                getattr(store, doing)(KEY)
        getattr(store, doing)(KEY)
        assert (store.commit_of(KEY) is not None) == (doing == "restore")
        assert store.is_archived(KEY) == (doing == "archive")
