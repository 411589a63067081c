"""Several clients of one bucket, whose requests come in any order, fail, get lost, and whose clients die.

Every request waits for its turn, and hypothesis says whose turn it is and what happens to the request.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st

from modelecology.store import ArtifactMissing, ArtifactStore, Commit, Cost, StoreUnavailable
from modelecology.store.double import Death, Fault, FlakyObjects, Plan, memory_objects
from modelecology.store.object_files import Objects

from .conftest import Opened, in_memory, paths

KEY = "a" * 64


@dataclass
class Turns:
    """Lets one request through at a time."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    waiting: set[int] = field(default_factory=set)
    granted: dict[int, Fault] = field(default_factory=dict)
    alive: set[int] = field(default_factory=set)
    over: bool = False
    told: list[str] = field(default_factory=list)

    def plan(self, who: int) -> Callable[[str, str], Fault]:
        """Make the plan of one client: it waits until it is its turn."""

        def ask(kind: str, path: str) -> Fault:
            with self.changed:
                self.waiting.add(who)
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.over or who in self.granted)
                self.waiting.discard(who)
                fault = self.granted.pop(who, Fault.DEATH_BEFORE)
                self.told.append(f"{who} {kind} {path} {fault.name}")
                return fault

        return ask

    def _ready(self) -> bool:
        """Say whether every client that is alive waits for its turn."""
        return self.alive == self.waiting and not self.granted

    def run(
        self,
        clients: Sequence[Callable[[], object]],
        choose: Callable[[int], int],
        fault: Callable[[], Fault],
    ) -> None:
        """Run all clients to their end, or to their death."""

        def live(who: int, client: Callable[[], object]) -> None:
            try:
                with suppress(Death, StoreUnavailable, ArtifactMissing):
                    client()
            finally:
                with self.changed:
                    self.alive.discard(who)
                    self.changed.notify_all()

        self.alive = set(range(len(clients)))
        threads = [threading.Thread(target=live, args=each) for each in enumerate(clients)]
        for thread in threads:
            thread.start()
        try:
            while self._grant(choose, fault):
                pass
        finally:
            with self.changed:
                self.over = True
                self.changed.notify_all()
            for thread in threads:
                thread.join()

    def _grant(self, choose: Callable[[int], int], fault: Callable[[], Fault]) -> bool:
        """Let the next request through; False when nobody is left to ask."""
        with self.changed:
            self.changed.wait_for(lambda: not self.alive or self._ready())
            if not self.alive:
                return False
            ready = sorted(self.waiting)
        who, what = ready[choose(len(ready))], fault()
        with self.changed:
            self.granted[who] = what
            self.changed.notify_all()
        return True


faults = st.sampled_from([Fault.NONE] * 12 + list(Fault))
"""What happens to a request: mostly nothing."""


def opened(objects: Objects, folder: str, who: int) -> ArtifactStore:
    """Open the store as one client, whose attempts have names of its own that are the same in every run."""
    ground = in_memory(objects, Path(folder))
    numbers = itertools.count(1)
    return ArtifactStore(ground.files, ground.cache, lambda: f"{who:016x}{next(numbers):016x}")


def committing(store: ArtifactStore, content: bytes, told: list[Commit]) -> Callable[[], None]:
    def client() -> None:
        with store.begin(KEY) as attempt:
            attempt.write("result.txt", content)
            told.append(attempt.commit("Train", {}, Cost()))

    return client


def check_sound(ground: Opened) -> Commit | None:
    """Whatever happened: what is in use is whole."""
    store = ground.open()
    commit = store.commit_of(KEY)
    if commit is not None:
        store.verify(KEY)
    return commit


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_of_two_writers_that_fail_anywhere_all_who_are_told_of_a_commit_are_told_of_the_same(
    data: st.DataObject,
) -> None:
    objects, turns, told = memory_objects(), Turns(), list[Commit]()
    with tempfile.TemporaryDirectory() as folder:
        clients = [
            committing(opened(FlakyObjects(objects, turns.plan(who)), folder, who), b"%d" % who, told)
            for who in range(2)
        ]
        turns.run(clients, lambda n: data.draw(st.integers(0, n - 1)), lambda: data.draw(faults))
        note("\n".join(turns.told))
        ground = in_memory(objects, Path(folder))
        found = check_sound(ground)
        assert set(told) <= {found}
        again = list[Commit]()
        committing(ground.open(), b"again", again)()
        assert found is None or again == [found]
        ground.open().verify(KEY)
        ground.open().delete(KEY)
        assert paths(ground) == []


CHANGES = ("archive", "restore", "delete")


def change(store: ArtifactStore, wanted: Sequence[str]) -> None:
    """Make some changes, one after the other."""
    for name in wanted:
        getattr(store, name)(KEY)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changes_that_fail_anywhere_and_cross_each_other_leave_what_is_in_use_whole(
    data: st.DataObject,
) -> None:
    objects, turns = memory_objects(), Turns()
    with tempfile.TemporaryDirectory() as folder:
        ground = in_memory(objects, Path(folder))
        committing(opened(objects, folder, 9), b"whole", [])()
        clients = list[Callable[[], object]]()
        for who in range(2):
            store = opened(FlakyObjects(objects, turns.plan(who)), folder, who)
            wanted = data.draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3))
            clients.append(partial(change, store, wanted))
        turns.run(clients, lambda n: data.draw(st.integers(0, n - 1)), lambda: data.draw(faults))
        note("\n".join(turns.told))
        check_sound(ground)
        # Whatever is there, the operator brings it where it belongs by asking again.
        with suppress(ArtifactMissing):
            ground.open().restore(KEY)
            ground.open().verify(KEY)
            ground.open().archive(KEY)
            assert ground.open().is_archived(KEY)
        ground.open().delete(KEY)
        assert paths(ground) == []
        committing(ground.open(), b"anew", [])()
        ground.open().verify(KEY)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_commit_that_crosses_a_deletion_is_whole_or_is_not_unless_its_writer_was_cut_off(
    data: st.DataObject,
) -> None:
    objects, turns, told, cut_off = memory_objects(), Turns(), list[Commit](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        ground = in_memory(objects, Path(folder))
        if data.draw(st.booleans()):
            committing(opened(objects, folder, 9), b"before", [])()

        def noting(who: int) -> Plan:
            """Note whether something befalls a writer from the moment at which it asks for the marker."""
            plan, asked = turns.plan(who), list[str]()

            def ask(kind: str, path: str) -> Fault:
                fault = plan(kind, path)
                asked.append(kind)
                if fault is not Fault.NONE and "create" in asked:
                    cut_off.append(kind)
                return fault

            return ask

        plans = [noting(0), noting(1), turns.plan(2)]
        stores = [opened(FlakyObjects(objects, plan), folder, who) for who, plan in enumerate(plans)]
        clients = [
            committing(stores[0], b"0", told),
            committing(stores[1], b"1", told),
            lambda: stores[2].delete(KEY),
        ]
        turns.run(clients, lambda n: data.draw(st.integers(0, n - 1)), lambda: data.draw(faults))
        note("\n".join(turns.told))
        if not cut_off:
            check_sound(ground)
        with suppress(ArtifactMissing):
            ground.open().restore(KEY)
        ground.open().delete(KEY)
        assert paths(ground) == []
