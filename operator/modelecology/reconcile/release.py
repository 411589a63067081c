"""Takes the operator's finalizer off everything, for the time when no operator will do it any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from modelecology.kube.cluster import POPULATION, SPECIALIST, Body, Cluster, Kind
from modelecology.kube.errors import Conflict, NotFound

from .finalizer import FINALIZER


async def release_all(cluster: Cluster, namespaces: Sequence[str]) -> AsyncIterator[str]:
    """Take it off all Specialists and Populations, and say of which; nothing is deleted.

    Without `namespaces` those of the whole cluster are meant. Raises KubeError.
    """
    for kind in (SPECIALIST, POPULATION):
        for namespace in namespaces or (None,):
            async for name in _release(cluster, kind, namespace):
                yield f"{kind.kind} {name}"


async def _release(cluster: Cluster, kind: Kind, namespace: str | None) -> AsyncIterator[str]:
    moved = True
    while moved:
        moved = False
        for body in await _holding(cluster, kind, namespace):
            meta = body["metadata"]
            left = [each for each in meta["finalizers"] if each != FINALIZER]
            patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": left}}
            try:
                await cluster.patch(kind, meta["namespace"], meta["name"], patch)
            except Conflict:
                moved = True  # somebody wrote it meanwhile: it is read again
            except NotFound:
                continue
            else:
                yield f"{meta['namespace']}/{meta['name']}"


async def _holding(cluster: Cluster, kind: Kind, namespace: str | None) -> list[Body]:
    try:
        found = await cluster.list(kind, namespace)
    except NotFound:
        return []  # the kind is not installed any more
    return [body for body in found if FINALIZER in body["metadata"].get("finalizers", ())]
