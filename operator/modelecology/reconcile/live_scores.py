"""Stage 1, live requests: scores answers by what is said of them, and says whose fault a missing one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from modelecology.api.live_records import Answered, Exchange, Feedback
from modelecology.api.routing import RouteReason
from modelecology.api.suite import Task
from modelecology.api.vocabulary import Scorer
from modelecology.governance import scoring

from .live_ledger import LiveLedger

GONE = "HTTP 499"
"""The error of a request whose client went away before its answer."""
_BUSY = ("HTTP 408", "HTTP 429")
UNSERVED = (RouteReason.NOT_RESIDENT, RouteReason.WRONG_MODEL_ANSWERED)
"""The errors of a request for which no engine had who was asked."""
_AWAY = ("HTTP 503", *UNSERVED)
Score: TypeAlias = Callable[..., float | None]
"""`score(answer, feedback, served=...)`: 0 is wrong, 1 is right, None where nothing is said of the answer."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A request of which somebody has said how good its answer was."""

    at: float  # when that was said, in seconds since 1970
    exchange: Exchange
    feedback: Feedback

    @property
    def unit(self) -> str:
        """Who asked, or else the request itself."""
        return self.exchange.asker or self.exchange.request_id


def scored(ledger: LiveLedger, exchanges: Iterable[Exchange]) -> list[Scored]:
    """Join requests with what was said of them, in the order in which that was said."""
    found = (
        Scored(max(e.time, said.time), e, said)
        for e in exchanges
        if (said := ledger.feedback(e.request_id)) is not None
    )
    return sorted(found, key=lambda each: (each.at, each.exchange.request_id))


def clients_fault(answer: Answered) -> bool:
    """Say whether there is no answer because of what the client did: that counts for nobody."""
    return answer.error is not None and answer.error.startswith("HTTP 4") and answer.error not in _BUSY


def own_fault(answer: Answered) -> bool:
    """Say whether who was asked is why there is no answer, and neither the client nor engines without it."""
    return answer.error is not None and answer.error not in _AWAY and not answer.error.startswith("HTTP 4")


def score_of(task: Task) -> Score:
    """Make what scores an answer by what was said of the request; None where that says nothing of it."""

    def score(answer: Answered | None, said: Feedback, *, served: bool) -> float | None:
        if answer is None:
            return None
        if said.score is not None:
            # A score is of what the user got, and of no other answer.
            return said.score if served else None
        if answer.error is not None:
            return 0.0 if _judges(task.scorer, said) else None
        return _by_label(task.scorer, answer, said)

    return score


def _judges(scorer: Scorer, said: Feedback) -> bool:
    """Whether a label could score an answer, if there were one."""
    if scorer is Scorer.EXACT:
        return said.label_sha256 is not None
    return scorer is Scorer.CONTAINS and said.label is not None


def _by_label(scorer: Scorer, answer: Answered, said: Feedback) -> float | None:
    if answer.text is not None and said.label is not None:
        if scorer is Scorer.EXACT:
            return scoring.exact((said.label,), answer.text)
        return scoring.contains((said.label,), answer.text) if scorer is Scorer.CONTAINS else None
    if scorer is Scorer.EXACT and answer.sha256 is not None and said.label_sha256 is not None:
        return float(answer.sha256 == said.label_sha256)
    return None
