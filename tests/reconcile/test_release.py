"""Taking the finalizer off everything before an uninstall."""

from __future__ import annotations

from pathlib import Path

from modelecology.kube.cluster import POPULATION, SPECIALIST, Body, Kind
from modelecology.kube.double import InMemoryCluster
from modelecology.kube.errors import NotFound
from modelecology.reconcile.finalizer import FINALIZER
from modelecology.reconcile.release import release_all
from testbed.pretend_desk import PretendDesk


async def _made(cluster: InMemoryCluster, folder: Path, namespace: str) -> None:
    desk = PretendDesk(folder)
    for kind, body in ((POPULATION, desk.population()), (SPECIALIST, desk.specialist("dates", "dates", 0.6))):
        body["metadata"]["finalizers"] = [FINALIZER, "example.org/other"]
        await cluster.create(kind, namespace, body)


def _finalizers(cluster: InMemoryCluster, namespace: str) -> list[list[str]]:
    found = [cluster.get(POPULATION, namespace, "desk"), cluster.get(SPECIALIST, namespace, "dates")]
    return [body["metadata"]["finalizers"] for body in found if body is not None]


async def _released(cluster: InMemoryCluster, *namespaces: str) -> list[str]:
    return [said async for said in release_all(cluster, namespaces)]


async def test_the_finalizer_goes_from_everything_and_everything_stays(tmp_path: Path) -> None:
    cluster = InMemoryCluster()
    await _made(cluster, tmp_path, "a")
    await _made(cluster, tmp_path, "b")
    assert await _released(cluster) == [
        "Specialist a/dates",
        "Specialist b/dates",
        "Population a/desk",
        "Population b/desk",
    ]
    for namespace in ("a", "b"):
        assert _finalizers(cluster, namespace) == [["example.org/other"]] * 2
    assert await _released(cluster) == []


async def test_only_the_watched_namespaces_are_meant(tmp_path: Path) -> None:
    cluster = InMemoryCluster()
    await _made(cluster, tmp_path, "a")
    await _made(cluster, tmp_path, "b")
    assert await _released(cluster, "b") == ["Specialist b/dates", "Population b/desk"]
    assert _finalizers(cluster, "a") == [[FINALIZER, "example.org/other"]] * 2


class Disturbed(InMemoryCluster):
    """A cluster in which somebody writes each object a moment before it is patched for the first time."""

    async def patch(self, kind: Kind, namespace: str, name: str, body: Body, *, status: bool = False) -> Body:
        if name not in self.disturbed:
            self.disturbed.add(name)
            labels = {"metadata": {"labels": {"moved": "yes"}}}
            await super().patch(kind, namespace, name, labels)
        return await super().patch(kind, namespace, name, body, status=status)

    def __init__(self) -> None:
        super().__init__()
        self.disturbed: set[str] = set()


async def test_an_object_that_somebody_writes_meanwhile_is_read_again(tmp_path: Path) -> None:
    cluster = Disturbed()
    await _made(cluster, tmp_path, "a")
    assert await _released(cluster) == ["Specialist a/dates", "Population a/desk"]
    assert _finalizers(cluster, "a") == [["example.org/other"]] * 2


class Uninstalled(InMemoryCluster):
    """A cluster whose kinds are gone already."""

    async def list(self, kind: Kind, namespace: str | None, labels: str = "") -> list[Body]:
        raise NotFound("the server could not find the requested resource")


async def test_without_the_kinds_there_is_nothing_to_do() -> None:
    assert await _released(Uninstalled()) == []
