"""Brings every engine to the residents that the log asks for, and keeps what each of them proved."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelecology.engines.port import Engine, EngineError, EngineRefused, Fingerprint, ModelCard
from modelecology.engines.residency import Proof, load_and_prove, plan, prove, unload_and_prove_absent

from .boards import EngineView, Standing

_LOG = logging.getLogger(__name__)
TRIES = 3  # proofs that may fail before an adapter counts as another one than was evaluated
FIRST_PAUSE_SECONDS = 2.0  # after a refusal, doubled each time
LAST_PAUSE_SECONDS = 60.0


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
    engine: Engine,
    view: EngineView,
    wanted: Mapping[str, Resident],
    ours: frozenset[str],
    now: Callable[[], datetime],
) -> Change:
    """Bring one engine closer to what is wanted; says of what something else is known now.

    `ours` are all names that this population ever served; other adapters are never touched. What an engine
    refuses keeps it from nothing else. `now` stamps every step.
    """
    before, names = _of_engine(view), _of_adapters(view)
    try:
        cards = await engine.models()
        view.reachable, view.refused, view.message = True, False, ""
        view.stepped = now()
        await _Steps(engine, view, now).go(wanted, cards, ours)
    except EngineError as error:
        # A refusal that comes as far as here is one to say what the engine serves: nothing can be proved.
        view.reachable, view.refused, view.message = False, not error.retry, str(error)
    view.looked = True
    view.stepped = now()
    after = _of_adapters(view)
    adapters = frozenset(n for n in names.keys() | after.keys() if names.get(n) != after.get(n))
    return Change(before != _of_engine(view), adapters)


class _Steps:
    """The steps of one look at one engine."""

    def __init__(self, engine: Engine, view: EngineView, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._view = view
        self._now = now

    async def go(
        self, wanted: Mapping[str, Resident], cards: tuple[ModelCard, ...], ours: frozenset[str]
    ) -> None:
        """Unload, load and prove what is due. Raises EngineUnreachable."""
        view = self._view
        listed = {card.id for card in cards}
        _forget_lost(view, listed)
        steps = plan({r.name: r.path for r in wanted.values()}, cards, ours)
        for name in steps.foreign:
            _failed(view, name, "another adapter of this name is there, which is not ours")
        gone = (ours - listed) - view.absent - wanted.keys()
        for name in (*steps.to_unload, *sorted(gone)):
            await self._unload(name)
        loads = [name for name, _path in steps.to_load]
        for name in loads:
            await self._load(wanted[name])
        for name in sorted((wanted.keys() & listed) - set(steps.foreign) - set(loads)):
            if view.standing.get(name, Standing.REFUSED) is Standing.REFUSED:
                await self._prove(wanted[name])

    async def _unload(self, name: str) -> None:
        view = self._view
        view.absent.discard(name)
        try:
            proof = await unload_and_prove_absent(self._engine, name)
        except EngineRefused as error:
            _failed(view, name, str(error))
            _LOG.warning("%s: %s is not unloaded: %s", self._engine.endpoint, name, error)
            return
        finally:
            view.stepped = self._now()
        for known in (view.standing, view.messages, view.failures, view.refusals, view.again):
            known.pop(name, None)
        if proof.holds:
            view.absent.add(name)
            # There is room now, for which another one may have been refused.
            view.again.clear()
        else:
            view.messages[name] = proof.message
        _LOG.info("%s: %s", self._engine.endpoint, proof.message)

    async def _load(self, resident: Resident) -> None:
        if self._view.failures.get(resident.name, 0) >= TRIES:
            return
        await self._attempt(
            resident,
            lambda: load_and_prove(self._engine, resident.name, resident.path, resident.fingerprint),
        )

    async def _prove(self, resident: Resident) -> None:
        await self._attempt(resident, lambda: prove(self._engine, resident.name, resident.fingerprint))

    async def _attempt(self, resident: Resident, ask: Callable[[], Awaitable[Proof]]) -> None:
        """Judge what an engine answers; after a refusal it is not asked again at once."""
        view, name = self._view, resident.name
        due = view.again.get(name)
        if due is not None and self._now() < due:
            return
        view.absent.discard(name)
        try:
            proof = await ask()
        except EngineRefused as error:
            count = view.refusals.get(name, 0)
            view.refusals[name] = count + 1
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(count, 10), LAST_PAUSE_SECONDS)
            view.again[name] = self._now() + timedelta(seconds=pause)
            _failed(view, name, str(error))
            return
        finally:
            view.stepped = self._now()
        view.refusals.pop(name, None)
        view.again.pop(name, None)
        _judge(view, name, proof)


def _forget_lost(view: EngineView, listed: set[str]) -> None:
    """An engine that restarted has lost its adapters. What was found to be wrong or is refused stays so."""
    for name, standing in list(view.standing.items()):
        waits = standing is Standing.REFUSED and name in view.again
        if name not in listed and standing is not Standing.MISMATCHED and not waits:
            del view.standing[name]


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


def _failed(view: EngineView, name: str, message: str) -> None:
    view.standing[name] = Standing.REFUSED
    view.messages[name] = message


def _of_engine(view: EngineView) -> tuple[object, ...]:
    return view.looked, view.reachable, view.refused, view.message


def _of_adapters(view: EngineView) -> dict[str, tuple[object, ...]]:
    names = view.standing.keys() | view.messages.keys() | view.absent
    return {n: (view.standing.get(n), view.messages.get(n), n in view.absent) for n in names}
