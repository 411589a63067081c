"""Any number of attempts, exactly one commit, and nothing visible before it, wherever the store stands."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelecology.store import ArtifactStore, Commit, Cost, S3Access, StoreUnavailable
from modelecology.store.double import Death, Fault, FlakyObjects, memory_objects

from .conftest import Ground, in_memory, paths

KEY = "a" * 64
ROUNDS = 50
SPAWN = multiprocessing.get_context("spawn")


def commit_once(store: ArtifactStore, content: bytes, key: str = KEY) -> Commit:
    """Make one attempt at a key."""
    with store.begin(key) as attempt:
        attempt.write("result.txt", content)
        return attempt.commit("Train", {"by": content.decode()}, Cost(wall_seconds=1.0))


def test_a_second_commit_adopts_the_winner(ground: Ground) -> None:
    first = commit_once(ground.open(), b"first")
    second = commit_once(ground.open(), b"second")
    store = ground.open()
    assert second == first
    assert store.read(KEY, "result.txt") == b"first"
    assert store.manifest(KEY).meta == {"by": "first"}


def test_a_loser_leaves_nothing_behind(ground: Ground) -> None:
    place = f"artifacts/{KEY}/{commit_once(ground.open(), b'first').attempt}"
    commit_once(ground.open(), b"second")
    assert paths(ground) == [
        f"{place}/manifest.json",
        f"{place}/result.txt",
        f"artifacts/{KEY}/commit.json",
    ]
    assert list(ground.cache.attempts.iterdir()) == []


@settings(max_examples=15, deadline=None)
@given(count=st.integers(min_value=2, max_value=8))
def test_of_many_threads_exactly_one_wins_and_all_adopt_it(
    tmp_path_factory: pytest.TempPathFactory, count: int
) -> None:
    directory = tmp_path_factory.mktemp("race")
    in_directory = partial(ArtifactStore.open, f"file://{directory}")
    for ground_store in (in_directory, in_memory(memory_objects(), directory).open):
        gate = threading.Barrier(count)
        commits: list[Commit] = []

        def race(
            number: int,
            open_store: Callable[[], ArtifactStore] = ground_store,
            gate: threading.Barrier = gate,
            commits: list[Commit] = commits,
        ) -> None:
            with open_store().begin(KEY) as attempt:
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
        assert ground_store().commit_of(KEY) == commits[0]
        ground_store().verify(KEY)


def commit_in_rounds(
    uri: str, access: S3Access | None, number: int, gate: Barrier, found: multiprocessing.Queue[list[str]]
) -> None:
    """Race for many keys, each at the same moment as the others, and tell who won each."""
    winners: list[str] = []
    for round_number in range(ROUNDS):
        key = f"{round_number:064x}"
        with ArtifactStore.open(uri, access).begin(key) as attempt:
            attempt.write("result.txt", f"{number}".encode())
            gate.wait(60)
            winners.append(attempt.commit("Train", {}, Cost()).attempt)
    found.put(winners)


def race_in_processes(uri: str, access: S3Access | None) -> None:
    gate = SPAWN.Barrier(2)
    found: multiprocessing.Queue[list[str]] = SPAWN.Queue()
    processes = [
        SPAWN.Process(target=commit_in_rounds, args=(uri, access, number, gate, found)) for number in range(2)
    ]
    for process in processes:
        process.start()
    first, second = (found.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    assert first == second
    store = ArtifactStore.open(uri, access)
    for round_number, winner in enumerate(first):
        key = f"{round_number:064x}"
        commit = store.commit_of(key)
        assert commit is not None
        assert commit.attempt == winner
        store.verify(key)
    attempts = {name.split("/")[1] for name, _entry in store.files.scan("artifacts")} - {"commit.json"}
    assert attempts == set(first)


def test_two_processes_that_race_for_fifty_commits_on_a_directory_agree_on_each(tmp_path: Path) -> None:
    uri = f"file://{tmp_path / 'store'}"
    ArtifactStore.create(uri)
    race_in_processes(uri, None)


def test_two_processes_that_race_for_fifty_commits_on_a_real_s3_server_agree_on_each(
    s3_uri: str, s3_access: S3Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELECOLOGY_CACHE", str(tmp_path))
    race_in_processes(s3_uri, s3_access)


class Crash(BaseException):
    """Stands for the power going out: nothing of the program runs after it."""


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the power go out at the step-th durable operation; returns how many were reached."""
    reached = 0

    def watched(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal reached
            reached += 1
            if reached >= step:
                raise Crash
            return original(*arguments, **named)

        return call

    for name in ("fsync", "link", "rename", "replace", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return lambda: reached


@pytest.mark.parametrize("step", range(1, 14))
def test_a_crash_before_the_commit_shows_nothing_and_after_it_everything(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"file://{tmp_path / 'store'}"
    ArtifactStore.create(uri)
    with monkeypatch.context() as patch:
        crash_at(step, patch)
        with suppress(Crash):
            commit_once(ArtifactStore.open(uri), b"whole")
    store = ArtifactStore.open(uri)
    if store.commit_of(KEY) is not None:
        store.verify(KEY)
        assert store.read(KEY, "result.txt") == b"whole"
    commit_once(store, b"whole")
    store.verify(KEY)


@pytest.mark.parametrize("step", range(1, 12))
@pytest.mark.parametrize("doing", ["archive", "restore", "delete"])
def test_a_crash_while_archiving_restoring_or_deleting_is_mended_by_repeating_it(
    tmp_path: Path, doing: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"file://{tmp_path / 'store'}"
    store = ArtifactStore.create(uri)
    commit_once(store, b"whole")
    if doing == "restore":
        store.archive(KEY)
    with monkeypatch.context() as patch:
        crash_at(step, patch)
        with suppress(Crash):
            getattr(store, doing)(KEY)
    check_repeated(ArtifactStore.open(uri), doing)


def check_repeated(store: ArtifactStore, doing: str) -> None:
    """What is in use is whole, what is not is known to be there, and a repeat ends what was begun."""
    if store.commit_of(KEY) is not None:
        store.verify(KEY)
    elif doing != "delete":
        assert store.is_archived(KEY)
    getattr(store, doing)(KEY)
    assert (store.commit_of(KEY) is not None) == (doing == "restore")
    assert store.is_archived(KEY) == (doing == "archive")
    commit_once(store, b"whole")
    store.verify(KEY)


FAULTS = [fault for fault in Fault if fault is not Fault.NONE]


def nth(step: int, fault: Fault) -> Callable[[str, str], Fault]:
    """Let something happen to the step-th request."""
    asked = 0

    def plan(_kind: str, _path: str) -> Fault:
        nonlocal asked
        asked += 1
        return fault if asked == step else Fault.NONE

    return plan


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("step", range(1, 10))
def test_whatever_befalls_a_request_of_a_commit_the_next_try_ends_it(
    tmp_path: Path, step: int, fault: Fault
) -> None:
    objects = memory_objects()
    flaky = in_memory(FlakyObjects(objects, nth(step, fault)), tmp_path).open()
    steady = in_memory(objects, tmp_path).open()
    told: Commit | None = None
    with suppress(Death, StoreUnavailable):
        told = commit_once(flaky, b"first")
    found = steady.commit_of(KEY)
    if told is not None:
        assert found == told
    if found is not None:
        assert steady.verify(KEY).meta == {"by": "first"}
    again = commit_once(steady, b"second")
    assert found is None or again == found
    steady.verify(KEY)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("step", range(1, 14))
@pytest.mark.parametrize("doing", ["archive", "restore", "delete"])
def test_whatever_befalls_a_request_of_a_change_a_repeat_ends_it(
    tmp_path: Path, doing: str, step: int, fault: Fault
) -> None:
    objects = memory_objects()
    steady = in_memory(objects, tmp_path).open()
    commit_once(steady, b"whole")
    if doing == "restore":
        steady.archive(KEY)
    flaky = in_memory(FlakyObjects(objects, nth(step, fault)), tmp_path).open()
    with suppress(Death, StoreUnavailable):
        getattr(flaky, doing)(KEY)
    check_repeated(in_memory(objects, tmp_path).open(), doing)
