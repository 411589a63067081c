"""Brings every engine to the residents that the log asks for, and keeps what each of them proved."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from modelecology.engines.port import Engine, EngineError, EngineRefused, Fingerprint
from modelecology.engines.residency import Proof, load_and_prove, plan, prove, unload_and_prove_absent

from .boards import EngineView, Standing

_LOG = logging.getLogger(__name__)
TRIES = 3  # proofs that may fail before an adapter counts as another one than was evaluated


@dataclass(frozen=True, slots=True)
class Resident:
    """One adapter that every engine must hold."""

    name: str
    path: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Change:
    """What is known anew after a look at an engine: of itself, and of which adapters."""

    engine: bool
    adapters: frozenset[str]

    def __bool__(self) -> bool:
        return self.engine or bool(self.adapters)


async def reconcile_engine(
    engine: Engine, view: EngineView, wanted: Mapping[str, Resident], ours: frozenset[str]
) -> Change:
    """Bring one engine closer to what is wanted; says of what something else is known now.

    `ours` are all names that this population ever served; other adapters are never touched.
    """
    before, names = _of_engine(view), _of_adapters(view)
    try:
        cards = await engine.models()
        view.reachable, view.message = True, ""
        listed = {card.id for card in cards}
        _forget_lost(view, listed)
        steps = plan({r.name: r.path for r in wanted.values()}, cards, ours)
        for name in steps.foreign:
            _failed(view, name, Standing.REFUSED, "another adapter of this name is there, which is not ours")
        for name in steps.to_unload:
            await _unload(engine, view, name)
        for name in (ours - listed) - view.absent - wanted.keys():
            await _unload(engine, view, name)
        for name, _path in steps.to_load:
            await _load(engine, view, wanted[name])
        for name in sorted((wanted.keys() & listed) - view.standing.keys() - set(steps.foreign)):
            if name not in dict(steps.to_load):
                _judge(view, name, await prove(engine, name, wanted[name].fingerprint))
    except EngineError as error:
        view.reachable, view.message = not error.retry, str(error)
    view.looked = True
    after = _of_adapters(view)
    adapters = frozenset(n for n in names.keys() | after.keys() if names.get(n) != after.get(n))
    return Change(before != _of_engine(view), adapters)


def _forget_lost(view: EngineView, listed: set[str]) -> None:
    """An engine that restarted has lost its adapters. What was found to be wrong stays found."""
    for name, standing in list(view.standing.items()):
        if name not in listed and standing is not Standing.MISMATCHED:
            del view.standing[name]


async def _load(engine: Engine, view: EngineView, resident: Resident) -> None:
    if view.failures.get(resident.name, 0) >= TRIES:
        return
    view.absent.discard(resident.name)
    try:
        proof = await load_and_prove(engine, resident.name, resident.path, resident.fingerprint)
    except EngineRefused as error:
        _failed(view, resident.name, Standing.REFUSED, str(error))
        return
    _judge(view, resident.name, proof)


async def _unload(engine: Engine, view: EngineView, name: str) -> None:
    proof = await unload_and_prove_absent(engine, name)
    for known in (view.standing, view.messages, view.failures):
        known.pop(name, None)
    if proof.holds:
        view.absent.add(name)
    else:
        view.messages[name] = proof.message
    _LOG.info("%s: %s", engine.endpoint, proof.message)


def _judge(view: EngineView, name: str, proof: Proof) -> None:
    _LOG.info("proof %s", proof.message)
    if proof.holds:
        view.standing[name] = Standing.PROVED
        view.failures.pop(name, None)
        view.messages[name] = proof.message
        return
    failures = view.failures.get(name, 0) + 1
    view.failures[name] = failures
    view.messages[name] = proof.message
    view.standing.pop(name, None)
    if failures >= TRIES:
        view.standing[name] = Standing.MISMATCHED


def _failed(view: EngineView, name: str, standing: Standing, message: str) -> None:
    view.standing[name] = standing
    view.messages[name] = message


def _of_engine(view: EngineView) -> tuple[object, ...]:
    return view.looked, view.reachable, view.message


def _of_adapters(view: EngineView) -> dict[str, tuple[object, ...]]:
    names = view.standing.keys() | view.messages.keys() | view.absent
    return {n: (view.standing.get(n), view.messages.get(n), n in view.absent) for n in names}
