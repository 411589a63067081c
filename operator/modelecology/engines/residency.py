"""Engines lie, so an adapter is served or gone only when its answers say so."""

import asyncio
import hashlib
import math
import os.path
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias

from .port import Engine, EngineError, EngineRefused, Fingerprint, ModelCard, Probe

MATCH_SHARE: Final = 0.75
"""Share of the probes that must answer as the adapter did; the rest is room for rounding in a mixed batch."""

HEARD: Final = 32
"""How many characters of an answer are compared, space around it aside.

In bfloat16 rounding differs with the size of the batch, and a long answer parts from itself in the end.
Measured on 24 answers of 32 tokens, batches of 8 against 24: 3 parted, none in its first 32 characters.
"""

LIST_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at a list of models that lags behind."""

ABSENCE_PROMPT: Final = "Are you there?"

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether an adapter is served (or gone) as claimed, and the counts that say so.

    `matched` answers equal the adapter's, `base_like` equal the base's, of `n` probes asked.
    """

    holds: bool
    message: str
    matched: int = 0
    base_like: int = 0
    n: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What must change on one engine; unload first. `foreign` names stand in our way and are left alone."""

    to_load: tuple[tuple[str, str], ...]
    to_unload: tuple[str, ...]
    foreign: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the engine is as desired, foreign names aside."""
        return not self.to_load and not self.to_unload


def plan(desired: Mapping[str, str], resident: Iterable[ModelCard], ours: Container[str]) -> Plan:
    """Compare desired adapters (name to path) with what an engine lists; they are loaded in their order.

    Only names in `ours` are ever unloaded; the base (no parent) and adapters of others never are. An adapter
    of ours that the engine took from another path is unloaded and loaded anew.
    """
    cards = {card.id: card for card in resident}
    keep = {
        name
        for name, path in desired.items()
        if name in cards and cards[name].parent is not None and _same_path(cards[name].root, path)
    }
    mine = {name for name, card in cards.items() if card.parent is not None and name in ours}
    foreign = {name for name in desired if name in cards and name not in keep and name not in mine}
    return Plan(
        to_load=tuple((name, path) for name, path in desired.items() if name not in keep | foreign),
        to_unload=tuple(sorted(mine - keep)),
        foreign=tuple(sorted(foreign)),
    )


def choose_probes(
    candidate_results: Mapping[str, str],
    base_results: Mapping[str, str],
    prompts: Mapping[str, str],
    limit: int = 8,
    max_tokens: int = 64,
) -> Fingerprint:
    """Pick the items (id to output) that tell an adapter from its base; `max_tokens` is the evaluation's.

    The outputs must be generated text, not the pick of a likelihood. Short answers are preferred, since there
    rounding has less room; among the shortest the order is that of sha256(id). No difference within the
    characters that are compared: no probes.
    """
    telling = [
        item
        for item in candidate_results.keys() & base_results.keys() & prompts.keys()
        if _heard(candidate_results[item]) != _heard(base_results[item])
    ]

    def rank(item: str) -> str:
        return hashlib.sha256(item.encode()).hexdigest()

    # An empty answer is poor evidence (a broken engine gives it too), so it comes last.
    telling.sort(
        key=lambda item: (not candidate_results[item].strip(), len(candidate_results[item]), rank(item))
    )
    chosen = sorted(telling[: 4 * limit], key=lambda item: (not candidate_results[item].strip(), rank(item)))
    return Fingerprint(
        tuple(
            Probe(prompts[item], _heard(candidate_results[item]), _heard(base_results[item]), max_tokens)
            for item in chosen[:limit]
        )
    )


async def prove(engine: Engine, name: str, fingerprint: Fingerprint) -> Proof:
    """Ask the fingerprint's questions of a served name and count whose answers come back.

    Raises EngineUnreachable, and EngineRefused for anything but an unknown name, which is a failed proof.
    """
    probes = fingerprint.probes
    n = len(probes)
    if n == 0:
        return Proof(
            False, f"{name}: the fingerprint has no probes; at evaluation the adapter answered as its base"
        )
    answers = await asyncio.gather(
        *(engine.chat(name, probe.prompt, probe.max_tokens) for probe in probes), return_exceptions=True
    )
    texts: list[str] = []
    for answer in answers:
        if isinstance(answer, EngineRefused) and answer.status == HTTPStatus.NOT_FOUND:
            return Proof(False, f"{name}: the engine does not know the name ({answer.message})", n=n)
        if isinstance(answer, BaseException):
            raise answer
        texts.append(_heard(answer))
    matched = sum(text == _heard(probe.expected) for text, probe in zip(texts, probes, strict=True))
    base_like = sum(text == _heard(probe.base) for text, probe in zip(texts, probes, strict=True))
    needed = math.ceil(MATCH_SHARE * n)
    counts = f"{matched} of {n} probes answered as the adapter ({needed} needed), {base_like} as the base"
    holds = matched >= needed and matched > base_like
    return Proof(holds, f"{name}: {counts}", matched, base_like, n)


async def prove_or_unload(engine: Engine, name: str, fingerprint: Fingerprint) -> Proof:
    """Prove what an engine serves already; what is not proved is unloaded, so that it can be loaded anew.

    Raises as `prove` does.
    """
    proof = await prove(engine, name, fingerprint)
    if not proof.holds:
        await _unload_quietly(engine, name)
    return proof


async def load_and_prove(
    engine: Engine, name: str, path: str, fingerprint: Fingerprint, *, sleep: Sleep = asyncio.sleep
) -> Proof:
    """Load the adapter, see it listed with our path, and have its answers prove it; else unload it again.

    A name that the engine serves already is no error: the proof decides. Raises EngineUnreachable, and
    EngineRefused if the engine refuses to load (404: no such path there; 400: full, or an unsound adapter).
    """
    refusal: EngineRefused | None = None
    try:
        await engine.load(name, path)
    except EngineRefused as error:
        if error.status != HTTPStatus.BAD_REQUEST:
            raise
        refusal = error
    card = await _look_for(engine, name, wanted=True, sleep=sleep)
    if card is None:
        if refusal is not None:
            raise refusal
        proof = Proof(False, f"{name}: the engine said it loaded the adapter but does not list it")
    elif card.parent is None:
        # Ours always has a parent. Never unload somebody's base model.
        return Proof(False, f"{name}: the engine serves a base model under this name")
    elif not _same_path(card.root, path):
        proof = Proof(False, f"{name}: the engine serves it from {card.root}, not from {path}")
    else:
        proof = await prove(engine, name, fingerprint)
    if not proof.holds:
        await _unload_quietly(engine, name)
    return proof


async def unload_and_prove_absent(
    engine: Engine, name: str, drain_seconds: float = 0.0, *, sleep: Sleep = asyncio.sleep
) -> Proof:
    """Unload a name and prove that it is neither listed nor answering.

    Requests under way may take `drain_seconds` more. Only a 404 proves absence. Raises EngineUnreachable,
    EngineRefused.
    """
    await engine.unload(name, drain_seconds)
    if await _look_for(engine, name, wanted=False, sleep=sleep) is not None:
        return Proof(False, f"{name}: unloaded, but the engine still lists it")
    try:
        await engine.chat(name, ABSENCE_PROMPT, 1)
    except EngineRefused as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return Proof(True, f"{name}: not listed, and a request for it is answered 404")
        raise
    return Proof(False, f"{name}: unloaded and not listed, but the engine still answers for it", n=1)


async def _look_for(engine: Engine, name: str, *, wanted: bool, sleep: Sleep) -> ModelCard | None:
    """Read the list until the name's presence is as wanted; say what the last look showed."""
    for pause in (*LIST_PAUSES, None):
        card = next((card for card in await engine.models() if card.id == name), None)
        if (card is not None) is wanted or pause is None:
            return card
        await sleep(pause)
    raise AssertionError("the last pause is None")


async def _unload_quietly(engine: Engine, name: str) -> None:
    """Clean up after a failed proof; the proof's message matters more than a failing clean-up.

    What stays is unloaded by the next plan(), since the name is ours and not desired.
    """
    try:
        await engine.unload(name)
    except EngineError:
        return


def _heard(answer: str) -> str:
    return answer.strip()[:HEARD].rstrip()


def _same_path(root: str | None, path: str) -> bool:
    return root is not None and os.path.normpath(root) == os.path.normpath(path)
