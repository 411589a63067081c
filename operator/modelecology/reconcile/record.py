"""Stage 3: write the verdict down. Nothing is done before its Decision is in the log."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from modelecology.api.vocabulary import Action, Outcome
from modelecology.governance.facts import Check, Cost, RevisionRecord, Verdict
from modelecology.governance.ledger import price
from modelecology.governance.log import Entry, LogState, Premises, Spent, Subject
from modelecology.kube.cluster import DECISION, SPECIALIST, EventText

from .frame import Frame
from .metrics import JOB_END_TO_ACTION, TRANSITIONS, WRITES
from .queue import WorkKey
from .runtime import Runtime
from .tell import tell

OPERATOR = "operator"
_WARNINGS = (Action.REJECT, Action.FAIL, Action.QUARANTINE)
_LOG = logging.getLogger(__name__)


def entry_of(
    frame: Frame,
    subject: Subject,
    verdict: Verdict,
    extra: Cost,
    evidence: str | None,
    *,
    now: datetime,
) -> Entry:
    """Turn a verdict into the next entry; its place in the chain is filled in by the log."""
    cost = verdict.cost + extra
    return replace(
        bare_entry(frame.name, frame.log, subject, verdict, now=now),
        checks=tuple(_bounded(check) for check in verdict.checks[:64]),
        scorecard=verdict.scorecard,
        premises=Premises(frame.policy_digest, frame.suite_digest, evidence, frame.code),
        cost=Spent(
            cost.cpu_seconds, cost.gpu_seconds, cost.tokens, _rounded(price(cost, frame.policy.prices))
        ),
    )


def bare_entry(
    population: str,
    log: LogState,
    subject: Subject,
    verdict: Verdict,
    *,
    now: datetime,
) -> Entry:
    """Give what every entry says; a deletion says no more, since nothing was weighed for it."""
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
        actor=verdict.actor or OPERATOR,
        previous=log.digest,
        message=_cut(verdict.message, 2048),
    )


def _bounded(check: Check) -> Check:
    """Keep a check within the CRD's limits: a Decision that is refused would stop its specialist for good."""
    return replace(
        check,
        message=_cut(check.message, 1024),
        observed=_cut(check.observed, 256),
        limit=_cut(check.limit, 256),
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def _rounded(money: Decimal) -> Decimal:
    return money.quantize(Decimal("0.000001"))


def subject_of(name: str, uid: str, record: RevisionRecord, key: str = "") -> Subject:
    """Name what a decision is about."""
    return Subject(name, uid, record.revision, key or record.key)


async def record(runtime: Runtime, frame: Frame, entry: Entry) -> Entry:
    """Write the entry as the next Decision, count it, and tell it as an Event. Raises LogMoved, KubeError."""
    written = await runtime.log(frame.population).append(entry)
    WRITES.labels("create", DECISION.kind).inc()
    TRANSITIONS.labels(frame.namespace, frame.name, entry.action, entry.to, entry.reason).inc()
    _LOG.info(
        "%s/%s %s: %s > %s, %s: %s",
        frame.namespace,
        entry.subject.specialist,
        entry.action,
        entry.from_state,
        entry.to,
        entry.reason,
        entry.message,
    )
    warning = entry.action in _WARNINGS or entry.outcome is Outcome.ERROR
    event = EventText(warning, entry.reason, entry.action, entry.message or entry.reason)
    key = WorkKey(SPECIALIST.kind, frame.namespace, entry.subject.specialist)
    ended = runtime.ended.pop(key, None)
    if ended is not None:
        JOB_END_TO_ACTION.observe(time.monotonic() - ended)
    subject = entry.subject
    tell(runtime, SPECIALIST, frame.namespace, subject.specialist, uid=subject.uid, event=event)
    return written
