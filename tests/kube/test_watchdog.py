"""A watch that has gone deaf ends the process; one that is merely slow does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelecology.kube.cache import ObjectCache
from modelecology.kube.cluster import POPULATION, SPECIALIST, Kind
from modelecology.kube.double import InMemoryCluster
from modelecology.kube.watchdog import DeafWatch, Watchdog
from testbed.pretend_desk import PretendDesk


class Scene:
    """A cluster, a cache that is fed or not, and a watchdog whose pauses do something."""

    def __init__(self, directory: Path) -> None:
        self.manifests = PretendDesk(directory)
        self.cluster = InMemoryCluster()
        self.cache = ObjectCache()
        self.deaf = False
        self.gone: list[tuple[Kind, str, str]] = []
        self.pauses: list[float] = []
        self.during_pause: Any = lambda: None
        self.dog = Watchdog(
            self.cluster,
            self.cache,
            None,
            lambda *where: self.gone.append(where),
            every=30.0,
            grace=10.0,
            sleep=self._sleep,
        )
        self.cluster.watch(self._hear)

    def _hear(self, event: str, kind: Kind, body: dict[str, Any]) -> None:
        if not self.deaf and event != "DELETED":
            self.cache.put(kind, body)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.during_pause()

    async def add(self, name: str) -> None:
        await self.cluster.create(SPECIALIST, "d", self.manifests.specialist(name, "dates", 0.6))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene."""
    return Scene(tmp_path)


async def test_while_the_watches_tell_everything_one_look_is_enough(scene: Scene) -> None:
    await scene.add("dates")
    await scene.dog.check()
    assert scene.pauses == []


async def test_a_change_that_is_never_told_ends_the_process(scene: Scene) -> None:
    scene.deaf = True
    await scene.add("dates")
    with pytest.raises(DeafWatch, match="Specialist d/dates"):
        await scene.dog.check()
    assert scene.pauses == [10.0]


async def test_a_change_that_is_told_late_does_not(scene: Scene) -> None:
    scene.deaf = True
    await scene.add("dates")
    body = scene.cluster.get(SPECIALIST, "d", "dates")
    scene.during_pause = lambda: scene.cache.put(SPECIALIST, body or {})
    await scene.dog.check()


async def test_a_busy_object_that_changes_again_meanwhile_does_not(scene: Scene) -> None:
    await scene.add("dates")
    scene.deaf = True
    await scene.cluster.patch(SPECIALIST, "d", "dates", {"metadata": {"labels": {"a": "1"}}})
    first = await scene.dog.behind()
    await scene.cluster.patch(SPECIALIST, "d", "dates", {"metadata": {"labels": {"a": "2"}}})
    assert not first.unseen & (await scene.dog.behind()).unseen


async def test_a_deletion_that_was_missed_is_made_up_for(scene: Scene) -> None:
    await scene.add("dates")
    scene.cluster.delete(SPECIALIST, "d", "dates")
    await scene.dog.check()
    assert scene.gone == [(SPECIALIST, "d", "dates")]
    assert scene.cache.specialist("d", "dates") is None


async def test_an_object_that_cannot_be_read_is_no_deaf_watch(scene: Scene) -> None:
    scene.deaf = True
    await scene.cluster.create(POPULATION, "d", scene.manifests.population())
    body = scene.cluster.get(POPULATION, "d", "desk") or {}
    del body["spec"]["store"]
    with pytest.raises(ValueError, match="install the CRDs"):
        scene.cache.put(POPULATION, body)
    await scene.dog.check()


async def test_filling_takes_everything_in(scene: Scene) -> None:
    scene.deaf = True
    await scene.add("dates")
    await scene.cluster.create(POPULATION, "d", scene.manifests.population())
    await scene.dog.fill()
    assert len(scene.cache.known()) == 2
    await scene.dog.check()


async def test_an_api_that_does_not_answer_is_no_deaf_watch(scene: Scene) -> None:
    scene.cluster.down = True

    class Enough(Exception):
        pass

    def stop_at_the_third() -> None:
        if len(scene.pauses) == 3:
            raise Enough

    scene.during_pause = stop_at_the_third
    with pytest.raises(Enough):
        await scene.dog.run()
    assert scene.pauses == [30.0] * 3
