"""From a verdict to what its entry says: the same when it is decided and when it is replayed."""

from __future__ import annotations

from dataclasses import replace

from .book import Spent
from .facts import Check, Verdict
from .log import Entry

OPERATOR = "operator"
_MOST_CHECKS = 64


def said(entry: Entry, verdict: Verdict, cost: Spent) -> Entry:
    """Give an entry what a verdict says; its place, time, subject and premises stay as they are."""
    edge = verdict.transition
    return replace(
        entry,
        action=edge.action,
        from_state=edge.source,
        to=edge.target,
        outcome=verdict.outcome,
        reason=str(verdict.reason),
        actor=verdict.actor or OPERATOR,
        message=_cut(verdict.message, 2048),
        checks=tuple(_bounded(check) for check in verdict.checks[:_MOST_CHECKS]),
        scorecard=verdict.scorecard,
        look=verdict.look,
        cost=cost,
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
