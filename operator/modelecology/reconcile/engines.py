"""Brings every engine to the residents that the log asks for, and keeps what each of them proved."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelecology.engines.port import AnswerFailed, Engine, EngineError, EngineRefused, Fingerprint, ModelCard
from modelecology.engines.residency import (
    ABSENCE_PROMPT,
    Proof,
    load_and_prove,
    plan,
    prove_or_unload,
    unload_and_prove_absent,
)

from .boards import EngineView, Standing

_LOG = logging.getLogger(__name__)
TRIES = 3  # proofs that may fail before an adapter counts as another one than was evaluated
FIRST_PAUSE_SECONDS = 2.0  # after a refusal, doubled each time
LAST_PAUSE_SECONDS = 60.0
MOST_GONE = 64  # proofs of absence in one look
PROVED_FOR = timedelta(minutes=5)  # then it is proved again: an engine may change its mind in between
_NONE: Mapping[str, datetime] = {}


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
    routed: Collection[str] | None = (),
    drains: Mapping[str, datetime] = _NONE,
    most_gone: int | None = MOST_GONE,
) -> Change:
    """Bring one engine closer to what is wanted, in that order; says of what something else is known now.

    `ours` are all names that this population ever served; other adapters are never touched. What an engine
    refuses keeps it from nothing else. `routed` are the names for which users are sent to this engine now,
    None if that is not known: such a name is loaded in a later look, when users are not sent here any more.
    Until it is proved the base may answer in its name. `drains` says until when a name that goes may finish
    its requests. Of names that are not listed `most_gone` are proved gone. `now` stamps every step.
    """
    before, names, well = _of_engine(view), _of_adapters(view), view.looked
    try:
        cards = await engine.models()
        view.stepped = now()
        view.listed = frozenset(card.id for card in cards if card.parent is not None)
        await _Steps(engine, view, now, most_gone).go(wanted, cards, ours, routed, drains)
        # Not before: one that lists its models and answers nothing is as good as away.
        view.reachable, view.refused, view.message = True, False, ""
    except EngineError as error:
        # A refusal that comes as far as here is one to say what the engine serves: nothing can be proved.
        view.reachable, view.refused, view.message = False, not error.retry, str(error)
        well = False
    view.looked = True
    view.stepped = now()
    if not well:
        view.troubled = view.stepped
    after = _of_adapters(view)
    adapters = frozenset(n for n in names.keys() | after.keys() if names.get(n) != after.get(n))
    return Change(before != _of_engine(view), adapters)


class _Steps:
    """The steps of one look at one engine."""

    def __init__(
        self, engine: Engine, view: EngineView, now: Callable[[], datetime], most_gone: int | None
    ) -> None:
        self._engine = engine
        self._view = view
        self._now = now
        self._base: str | None = None
        self._broke = False
        self._most_gone = most_gone

    async def go(
        self,
        wanted: Mapping[str, Resident],
        cards: tuple[ModelCard, ...],
        ours: frozenset[str],
        routed: Collection[str] | None,
        drains: Mapping[str, datetime],
    ) -> None:
        """Unload, load and prove what is due. Raises EngineUnreachable."""
        view = self._view
        listed = {card.id for card in cards}
        self._base = next((card.id for card in cards if card.parent is None), None)
        _forget_lost(view, listed)
        steps = plan({r.name: r.path for r in wanted.values()}, cards, ours)
        for name in steps.foreign:
            _failed(view, name, "another adapter of this name is there, which is not ours")
        gone = (ours - listed) - view.absent - wanted.keys()
        runs = await self._may_run(steps.to_unload, routed, drains)
        for name in steps.to_unload:
            if name not in runs:
                await self._unload(name, drains.get(name))
        loads = [name for name, _path in steps.to_load]
        there = sorted((wanted.keys() & listed) - set(steps.foreign) - set(loads))
        loaded = []
        for name in loads:
            if routed is not None and name not in routed and await self._load(wanted[name]):
                loaded.append(name)
        owed = [name for name in there if view.standing.get(name, Standing.REFUSED) is Standing.REFUSED]
        if loaded:
            # One that made room for another may answer otherwise now.
            owed += [name for name in (*there, *loaded[:-1]) if view.standing.get(name) is Standing.PROVED]
        for name in owed:
            await self._prove(wanted[name])
        await self._prove_again([wanted[name] for name in there])
        # Last, and not all at once: nobody can be waiting for the proof that what is not listed is gone.
        for name in sorted(gone)[: self._most_gone]:
            await self._unload(name, drains.get(name))

    async def _may_run(
        self, names: Collection[str], routed: Collection[str] | None, drains: Mapping[str, datetime]
    ) -> Collection[str]:
        """Name those of some names that go on which requests run, or may begin, and which have time for that.

        An engine that does not say what runs is given all of the time.
        """
        given = drains.keys() & names
        if not given:
            return given
        now = self._now()
        waits = {name for name in given if now < drains[name]}
        idle = set() if routed is None else waits.difference(routed)
        if not idle:
            return waits
        try:
            busy = await self._engine.busy()
        except EngineError as error:
            _LOG.info("%s does not say which adapters have requests: %s", self._engine.endpoint, error)
            busy = None
        return waits if busy is None else waits - (idle - busy)

    async def _unload(self, name: str, until: datetime | None) -> None:
        """Unload a name and prove it; what still runs there may do so until a time, which may be over."""
        view = self._view
        left = 0.0 if until is None else max(0.0, (until - self._now()).total_seconds())
        view.absent.discard(name)
        try:
            proof = await unload_and_prove_absent(self._engine, name, left)
        except (EngineRefused, AnswerFailed) as error:
            if isinstance(error, AnswerFailed) and not await self._answers(ABSENCE_PROMPT, 1):
                raise
            _failed(view, name, str(error))
            _LOG.warning("%s: %s is not unloaded: %s", self._engine.endpoint, name, error)
            return
        finally:
            view.stepped = self._now()
        for known in (
            view.standing,
            view.messages,
            view.failures,
            view.refusals,
            view.again,
            view.proved_at,
        ):
            known.pop(name, None)
        if proof.holds:
            view.absent.add(name)
            # There is room now, for which another one may have been refused.
            view.again.clear()
        else:
            view.messages[name] = proof.message
        _LOG.info("%s: %s", self._engine.endpoint, proof.message)

    async def _load(self, resident: Resident) -> bool:
        """Load and prove; says whether the engine says that it did load."""
        if self._view.failures.get(resident.name, 0) >= TRIES:
            return False
        return await self._attempt(
            resident,
            lambda: load_and_prove(self._engine, resident.name, resident.path, resident.fingerprint),
        )

    async def _prove(self, resident: Resident) -> None:
        await self._attempt(
            resident, lambda: prove_or_unload(self._engine, resident.name, resident.fingerprint)
        )

    async def _prove_again(self, residents: list[Resident]) -> None:
        """Prove the one whose proof is the oldest, if it is too old: one a look, so that none is long."""
        view = self._view
        known = [r for r in residents if view.standing.get(r.name) is Standing.PROVED]
        oldest = min(known, key=lambda r: view.proved_at[r.name], default=None)
        now = view.stepped
        if oldest is not None and now is not None and now - view.proved_at[oldest.name] >= PROVED_FOR:
            await self._prove(oldest)

    async def _attempt(self, resident: Resident, ask: Callable[[], Awaitable[Proof]]) -> bool:
        """Judge what an engine answers, if it does not refuse; after a refusal it is not asked at once."""
        view, name = self._view, resident.name
        due = view.again.get(name)
        if self._broke or (due is not None and self._now() < due):
            return False
        view.absent.discard(name)
        try:
            proof = await ask()
        except AnswerFailed as error:
            view.stepped = self._now()
            if not await self._answers(*_question(resident)):
                raise
            # One a look: each may take as long as an engine is given, and what is quarantined must not wait.
            self._broke = True
            count = self._put_off(name)
            if view.standing.get(name) is not Standing.PROVED or count >= TRIES:
                _failed(view, name, str(error))
            return False
        except EngineRefused as error:
            self._put_off(name)
            _failed(view, name, str(error))
            return False
        finally:
            view.stepped = self._now()
        view.refusals.pop(name, None)
        view.again.pop(name, None)
        _judge(view, name, proof, view.stepped)
        return True

    def _put_off(self, name: str) -> int:
        """Ask for a name later than after the refusal before; gives how many there were in a row."""
        view, count = self._view, self._view.refusals.get(name, 0)
        view.refusals[name] = count + 1
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(count, 10), LAST_PAUSE_SECONDS)
        view.again[name] = self._now() + timedelta(seconds=pause)
        return count + 1

    async def _answers(self, prompt: str, most_tokens: int) -> bool:
        """Say whether the base answers: then what broke is one adapter, and the others serve on."""
        if self._base is None:
            return False
        try:
            await self._engine.chat(self._base, prompt, most_tokens)
        except EngineError:
            return False
        return True


def _question(resident: Resident) -> tuple[str, int]:
    """Give a question of an adapter's proof, and how long the answer may be."""
    first = next(iter(resident.fingerprint.probes), None)
    return (ABSENCE_PROMPT, 1) if first is None else (first.prompt, first.max_tokens)


def _forget_lost(view: EngineView, listed: set[str]) -> None:
    """An engine that restarted has lost its adapters. What was found to be wrong or is refused stays so."""
    for name, standing in list(view.standing.items()):
        waits = standing is Standing.REFUSED and name in view.again
        if name not in listed and standing is not Standing.MISMATCHED and not waits:
            del view.standing[name]
            view.proved_at.pop(name, None)
            view.troubled = view.stepped


def _judge(view: EngineView, name: str, proof: Proof, now: datetime) -> None:
    _LOG.info("proof %s", proof.message)
    if proof.holds:
        since = view.proved_at.get(name, now)
        if view.standing.get(name) is Standing.PROVED and now - since >= PROVED_FOR:
            # Two that corrupt each other hold for a moment each: only one that lasts is forgiven.
            view.failures.pop(name, None)
        view.standing[name] = Standing.PROVED
        view.proved_at[name] = now
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
    # Not the message: one that is another with each look would wake everybody each time.
    return view.looked, view.reachable, view.refused


def _of_adapters(view: EngineView) -> dict[str, tuple[object, ...]]:
    names = view.standing.keys() | view.messages.keys() | view.absent
    return {n: (view.standing.get(n), view.messages.get(n), n in view.absent) for n in names}
