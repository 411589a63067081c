"""What people ask of a Specialist by its annotations; each request ends as one Decision that names them."""

from __future__ import annotations

import re
from datetime import datetime

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import APPROVE_ANNOTATION, RETRY_ANNOTATION
from modelecology.governance.facts import Approval, RevisionRecord
from modelecology.governance.log import SpecialistRecord

_ACTOR_LIMIT = 200
_APPROVAL = re.compile(r"(?P<revision>[0-9a-f]{12})/(?P<by>(?P<actor>.+)@(?P<time>[^@]+))")


def retry_asked(specialist: Specialist, log: SpecialistRecord) -> str:
    """Say who asked for another try, as <actor>@<time>; nothing where that request was served."""
    asked = specialist.metadata.annotations.get(RETRY_ANNOTATION, "")[:_ACTOR_LIMIT]
    return "" if asked == log.retried_by else asked


def approval(specialist: Specialist, record: RevisionRecord) -> Approval | None:
    """Read who approved which revision; None where nobody did. The record is that of the current one."""
    asked = specialist.metadata.annotations.get(APPROVE_ANNOTATION, "")
    if not asked:
        return None
    found = _APPROVAL.fullmatch(asked)
    if found is None or not _is_time(found["time"]) or len(found["by"]) > _ACTOR_LIMIT:
        return Approval("", asked[:_ACTOR_LIMIT])
    return Approval(found["revision"], found["by"], used=found["by"] == record.promoted_by)


def _is_time(text: str) -> bool:
    """Say whether a text is a time with its zone, as RFC 3339 writes it."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
