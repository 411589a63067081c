"""The finalizer: held only while something outside Kubernetes may be owned."""

from __future__ import annotations

from typing import TypeVar

from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.kube.cluster import POPULATION, SPECIALIST
from modelecology.kube.errors import NotFound

from .metrics import WRITES
from .runtime import Runtime

FINALIZER = "modelecology.io/adapters"
_T = TypeVar("_T", Population, Specialist)


async def hold(runtime: Runtime, thing: _T) -> _T:
    """Put the finalizer on an object, and give the object as it is then. Raises Conflict, KubeError."""
    held: tuple[str, ...] = thing.metadata.finalizers
    if FINALIZER in held or thing.metadata.deletion_timestamp is not None:
        return thing
    return await _write(runtime, thing, (*held, FINALIZER))


async def release(runtime: Runtime, thing: _T) -> None:
    """Take the finalizer off an object. Raises Conflict, KubeError; an object that is gone is no error."""
    held: tuple[str, ...] = thing.metadata.finalizers
    if FINALIZER not in held:
        return
    try:
        await _write(runtime, thing, tuple(f for f in held if f != FINALIZER))
    except NotFound:
        return


async def _write(runtime: Runtime, thing: _T, finalizers: tuple[str, ...]) -> _T:
    kind = POPULATION if isinstance(thing, Population) else SPECIALIST
    meta = thing.metadata
    body = {"metadata": {"resourceVersion": meta.resource_version, "finalizers": list(finalizers)}}
    answer = await runtime.cluster.patch(kind, meta.namespace, meta.name, body)
    WRITES.labels("patch", kind.kind).inc()
    found = runtime.cache.put(kind, answer)
    if not isinstance(found, type(thing)):
        raise TypeError(f"the API gave a {type(found).__name__} for a {kind.kind}")
    return found
