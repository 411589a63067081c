"""Stage 3: write the verdict down. Nothing is done before its Decision is in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime

from modelecology.api.population import Population
from modelecology.api.vocabulary import Action, Outcome
from modelecology.governance.book import Spent
from modelecology.governance.entries import OPERATOR, said
from modelecology.governance.facts import Cost, RevisionRecord, Verdict
from modelecology.governance.ledger import spent
from modelecology.governance.log import Entry, LogState, Premises, Subject
from modelecology.governance.situations import Inputs, Made, kept
from modelecology.kube.cluster import DECISION, SPECIALIST, EventText
from modelecology.kube.errors import KubeError
from modelecology.store import StoreError

from .accounts import posted
from .frame import Frame
from .metrics import JOB_END_TO_ACTION, TRANSITIONS, WRITES
from .queue import WorkKey
from .routes import tend_routes
from .runtime import Runtime
from .sealing import keep_copy
from .tell import tell

_WARNINGS = (Action.REJECT, Action.FAIL, Action.QUARANTINE)
_LOG = logging.getLogger(__name__)


async def keep_inputs(frame: Frame, made: Made, extra: Cost, *, wait: bool) -> str | None:
    """Keep what an entry is made from before it is recorded; gives its digest.

    `extra` is all that is charged beside the verdict's own cost. Raises StoreError with `wait`; without it
    gives None where the store cannot be written, for a verdict that has to be taken all the same.
    """
    try:
        return await asyncio.to_thread(_keep, frame, Inputs(made, frame.policy.prices, extra))
    except StoreError as error:
        if wait:
            raise
        _LOG.warning(
            "%s/%s: a verdict is recorded without its inputs: %s", frame.namespace, frame.name, error
        )
        return None


def _keep(frame: Frame, inputs: Inputs) -> str:
    found = kept(inputs)
    frame.store.inputs.keep(found.files)
    return found.digest


def entry_of(
    frame: Frame,
    subject: Subject,
    verdict: Verdict,
    extra: Cost,
    evidence: str | None,
    *,
    policy: str | None = None,
    inputs: str | None = None,
    now: datetime,
) -> Entry:
    """Turn a verdict into the next entry; its place in the chain is filled in by the log.

    `policy` is the digest of the one that judged, where it is not today's.
    """
    blank = _blank(frame.name, frame.log, subject, verdict, now)
    cost = spent(verdict.cost + extra, frame.policy.prices)
    premises = Premises(policy or frame.policy_digest, frame.suite_digest, evidence, frame.code, inputs)
    return replace(said(blank, verdict, cost), premises=premises)


def bare_entry(
    population: str,
    log: LogState,
    subject: Subject,
    verdict: Verdict,
    *,
    now: datetime,
) -> Entry:
    """Give what every entry says; a deletion says no more, since nothing was weighed for it."""
    return said(_blank(population, log, subject, verdict, now), verdict, Spent())


def _blank(population: str, log: LogState, subject: Subject, verdict: Verdict, now: datetime) -> Entry:
    edge = verdict.transition
    return Entry(
        population=population,
        sequence=log.sequence + 1,
        time=now.astimezone(UTC).replace(microsecond=0),
        subject=subject,
        action=edge.action,
        from_state=edge.source,
        to=edge.target,
        outcome=verdict.outcome,
        reason=str(verdict.reason),
        actor=OPERATOR,
        previous=log.digest,
    )


def subject_of(name: str, uid: str, record: RevisionRecord, key: str = "") -> Subject:
    """Name what a decision is about."""
    return Subject(name, uid, record.revision, key or record.key)


async def record(runtime: Runtime, frame: Frame, entry: Entry) -> Entry:
    """Write the entry as the next Decision, count it, and tell it as an Event. Raises LogMoved, KubeError."""
    written = await put_down(runtime, frame.population, await posted(runtime, frame, entry))
    await keep_copy(runtime, frame.population)
    return written


async def put_down(runtime: Runtime, population: Population, entry: Entry) -> Entry:
    """Write an entry that has its account, and nothing to the store yet. Raises LogMoved, KubeError."""
    namespace, name = population.metadata.namespace, population.metadata.name
    try:
        written = await runtime.log(population).append(entry)
    except KubeError:
        # It may be in the log though the answer was lost: gateways wait for no later look.
        await tend_routes(runtime, population)
        raise
    await tend_routes(runtime, population)
    WRITES.labels("create", DECISION.kind).inc()
    TRANSITIONS.labels(namespace, name, entry.action, entry.to, entry.reason).inc()
    _LOG.info(
        "%s/%s %s: %s > %s, %s: %s",
        namespace,
        entry.subject.specialist,
        entry.action,
        entry.from_state,
        entry.to,
        entry.reason,
        entry.message,
    )
    warning = entry.action in _WARNINGS or entry.outcome is Outcome.ERROR
    event = EventText(warning, entry.reason, entry.action, entry.message or entry.reason)
    key = WorkKey(SPECIALIST.kind, namespace, entry.subject.specialist)
    ended = runtime.ended.pop(key, None)
    if ended is not None:
        JOB_END_TO_ACTION.observe(time.monotonic() - ended)
    subject = entry.subject
    about = runtime.cache.specialist(namespace, subject.specialist)
    # The log may know the object by the uid of an earlier one.
    ours = about is not None and about.metadata.log_uid == subject.uid
    uid = about.metadata.uid if about is not None and ours else subject.uid
    tell(runtime, SPECIALIST, namespace, subject.specialist, uid=uid, event=event)
    return written
