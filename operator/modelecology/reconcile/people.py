"""What people ask of a Specialist by its annotations; each request ends as one Decision that names them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import (
    APPROVE_ANNOTATION,
    PROMOTE_ANNOTATION,
    QUARANTINE_ANNOTATION,
    RELEASE_ANNOTATION,
    RETIRE_ANNOTATION,
    RETRY_ANNOTATION,
    UNDO_ANNOTATION,
    State,
)
from modelecology.governance.facts import Approval, RevisionRecord
from modelecology.governance.lifecycle import RESIDENT
from modelecology.governance.log import SpecialistRecord
from modelecology.governance.situations import Isolation

_ACTOR_LIMIT = 200
_CLOCKS_DIFFER = timedelta(minutes=5)  # between the person's machine and the operator's
_APPROVAL = re.compile(r"(?P<revision>[0-9a-f]{12})/(?P<by>(?P<actor>.+)@(?P<time>[^@]+))")
_ISOLATION = re.compile(
    r"(?P<revision>[0-9a-f]{12})/(?P<by>.+?@(?P<time>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[-+]\d\d:\d\d)))(?P<why>\s.*)?",
    re.DOTALL,
)
_REASON_LIMIT = 500


def retry_asked(specialist: Specialist, log: SpecialistRecord) -> str:
    """Say who asked for another try, as <actor>@<time>; nothing where that request was served."""
    asked = specialist.metadata.annotations.get(RETRY_ANNOTATION, "")[:_ACTOR_LIMIT]
    return "" if asked == log.retried_by else asked


def approval(specialist: Specialist, record: RevisionRecord) -> Approval | None:
    """Read who approved which revision; None where nobody did. The record is that of the current one."""
    found = _word(specialist, APPROVE_ANNOTATION)
    if found is None:
        return None
    # Each step of a canary needs a word of its own: one from before it began was for an earlier one.
    given = _time(found.by.rpartition("@")[2])
    old = record.state is State.CANARY and given is not None and given <= record.since
    return replace(found, used=found.by == record.promoted_by or old)


def promoting(specialist: Specialist, record: RevisionRecord) -> Approval | None:
    """Read who ends the step that a canary is in; a word from before that step is used."""
    found = _word(specialist, PROMOTE_ANNOTATION)
    if found is None or record.state is not State.CANARY:
        return None
    given = _time(found.by.rpartition("@")[2])
    return replace(found, used=given is None or given <= record.since)


def acceptance(specialist: Specialist, record: RevisionRecord) -> Approval | None:
    """Read who accepted the retirement of which revision; a word that is older than the proposal is used."""
    found = _word(specialist, RETIRE_ANNOTATION)
    if found is None:
        return None
    return replace(found, used=found.by == record.retired_by or _is_older(found, record.since))


def undoing(specialist: Specialist, record: RevisionRecord) -> Approval | None:
    """Read who took the retirement of which revision back; a word that is older than that is used."""
    found = _word(specialist, UNDO_ANNOTATION)
    if found is None:
        return None
    # Undone is the retirement, also where the files were deleted since.
    return replace(found, used=found.by == record.restored_by or _is_older(found, record.retired_at))


def release(specialist: Specialist, record: RevisionRecord) -> Approval | None:
    """Read who let which revision out of quarantine; a word that is older than the quarantine is used."""
    found = _word(specialist, RELEASE_ANNOTATION)
    if found is None:
        return None
    return replace(found, used=found.by == record.released_by or _is_older(found, record.entered))


def quarantine_asked(specialist: Specialist, log: SpecialistRecord) -> Isolation | None:
    """Read who wants which revision out of service, and why; None where that is done or was served.

    A word counts however old it is: better one quarantine too many than one too few.
    """
    found = _ISOLATION.fullmatch(specialist.metadata.annotations.get(QUARANTINE_ANNOTATION, ""))
    if found is None or _time(found["time"]) is None or len(found["by"]) > _ACTOR_LIMIT:
        return None
    record = log.revisions.get(found["revision"])
    if record is None or record.state not in RESIDENT or record.quarantined_by == found["by"]:
        return None
    return Isolation(record, found["by"], " ".join((found["why"] or "").split())[:_REASON_LIMIT])


def _word(specialist: Specialist, annotation: str) -> Approval | None:
    asked = specialist.metadata.annotations.get(annotation, "")
    if not asked:
        return None
    found = _APPROVAL.fullmatch(asked)
    if found is None or _time(found["time"]) is None or len(found["by"]) > _ACTOR_LIMIT:
        return Approval("", asked[:_ACTOR_LIMIT])
    return Approval(found["revision"], found["by"])


def _is_older(word: Approval, than: datetime | None) -> bool:
    given = _time(word.by.rpartition("@")[2])
    return given is not None and than is not None and given + _CLOCKS_DIFFER < than


def _time(text: str) -> datetime | None:
    """Read a time with its zone, as RFC 3339 writes it; None for any other text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
