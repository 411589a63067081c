"""The undo window: how long what is retired can be taken back."""

from __future__ import annotations

from datetime import datetime, timedelta

from modelecology.api.vocabulary import Outcome

from .facts import Check, RevisionRecord
from .lifecycle import CheckName
from .verdict import clock


def expiry(record: RevisionRecord, undo_window: timedelta) -> datetime:
    """Say when a retired revision can no longer be restored."""
    return record.entered + undo_window


def within_window(record: RevisionRecord, now: datetime, undo_window: timedelta) -> Check:
    """Check that a retired revision can still be restored."""
    end = expiry(record, undo_window)
    open_ = now < end
    return Check(
        CheckName.UNDO,
        Outcome.PASS if open_ else Outcome.FAIL,
        observed=clock(now),
        limit=f"until {clock(end)}",
        message=f"The undo window is {'open until' if open_ else 'closed since'} {clock(end)}.",
    )
