"""The live revisions of a population: who serves which task today, and how well."""

from __future__ import annotations

from dataclasses import dataclass

from modelecology.api.vocabulary import State
from modelecology.governance.facts import RevisionRecord, Scorecard
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.pins import beside
from modelecology.store import StoreError

from .frame import Asked, Frame

WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Rival:
    """A live revision of the population: its record, its task, and the log's name for its artifact."""

    record: RevisionRecord
    specialist: str
    task: str
    quality: float


def rivals(frame: Frame) -> tuple[Rival, ...]:
    """List the live revisions of the population that serve their tasks; pinned ones beside them do not."""
    found = []
    for specialist in frame.log.specialists.values():
        for record in specialist.in_state(State.LIVE):
            if record.scorecard is not None and record.revision == specialist.live:
                found.append(_rival(specialist, record, record.scorecard))
    return tuple(found)


def pinned(frame: Frame) -> tuple[Rival, ...]:
    """List the live revisions that answer by their own names alone."""
    each = ((s, r) for s in frame.log.specialists.values() for r in beside(s))
    return tuple(_rival(s, r, r.scorecard) for s, r in each if r.scorecard is not None)


def _rival(specialist: SpecialistRecord, record: RevisionRecord, card: Scorecard) -> Rival:
    return Rival(record, specialist.name, card.task, card.score)


def resident_bytes(frame: Frame, key: str) -> int:
    """Say how large an adapter is in memory; one that is not in the store counts nothing."""
    try:
        return known_bytes(frame, key)
    except StoreError:
        return 0


def known_bytes(frame: Frame, key: str) -> int:
    """Say how large an adapter is in memory, archived or not. Raises StoreError."""
    weights = frame.store.manifest(key, archived=True).files.get(WEIGHTS)
    return weights.size if weights else 0


def results_due(frame: Frame, attempts: int = 0) -> tuple[Asked, ...]:
    """List the results to make next, all of one model: the generalist's first, then each live specialist's.

    After a failure it is the turn of the next one, so that one which always fails keeps nobody waiting.
    Raises StoreError.
    """
    baseline = frame.unfinished(frame.baseline())
    if baseline:
        return baseline
    wanted = (asked for rival in (*rivals(frame), *pinned(frame)) for asked in _of_rival(frame, rival))
    missing = [asked for asked in wanted if frame.unfinished((asked,))]
    return (missing[attempts % len(missing)],) if missing else ()


def asked_for_all(frame: Frame) -> tuple[Asked, ...]:
    """List the results that serve all judging and belong to no candidate: they are the population's cost."""
    told = {revision for _, revision in frame.log.book.held}
    # One that went live before the log told which results are paid has paid for those of its own suite.
    live = (*rivals(frame), *pinned(frame))
    ours = (r for r in live if r.record.revision in told or r.record.suite != frame.suite_digest)
    return (*frame.baseline(), *(asked for rival in ours for asked in _of_rival(frame, rival)))


def _of_rival(frame: Frame, rival: Rival) -> tuple[Asked, ...]:
    if frame.suite.spec.task(rival.task) is None:
        return ()
    record = rival.record
    return (
        Asked(rival.task, "Main", record.key),
        Asked(rival.task, "Shadow", record.key, record.served_name),
    )
