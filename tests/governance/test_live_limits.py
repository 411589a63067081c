"""Limits on what users get of a live revision: one that breaks them goes, and only for its own faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State
from modelecology.governance.alarm import RAISED
from modelecology.governance.facts import Alarm, Residency, Served, Situation
from modelecology.governance.lifecycle import CheckName
from modelecology.governance.residence import decide_live
from modelecology.governance.rules import LiveLimits

from .scenes import POLICY, evidence, record, situation, verdict, wait

LOUD, QUIET = Alarm(12, 11.0, RAISED), Alarm(12, 11.0, RAISED - 1e-6)
LIMITED = replace(POLICY, quarantine=LiveLimits(errors=0.05, latency=2.0, percentile=90, score=0.3))


def live(served: Served | None, **changes: Any) -> Situation:
    known = record(State.LIVE, was_live=True)
    told = replace(evidence(), served=served)
    return situation(State.LIVE, **{"record": known, "evidence": told, "policy": LIMITED, **changes})


@pytest.mark.parametrize(
    ("served", "broken", "said"),
    [
        (
            Served(errors=LOUD),
            CheckName.LIVE_ERRORS,
            "11 of the last 12 answers failed; allowed: at most 5 %.",
        ),
        (Served(late=LOUD), CheckName.LIVE_LATENCY, "answers took longer than 2 s; allowed: at most 10 %."),
        (Served(wrong=LOUD), CheckName.LIVE_SCORE, "answers were wrong; allowed: at most 70 %."),
    ],
)
def test_a_broken_limit_is_a_quarantine_that_says_which(served: Served, broken: str, said: str) -> None:
    found = verdict(decide_live(live(served)))
    edge = found.transition
    assert (edge.action, edge.source, edge.target) == (Action.QUARANTINE, State.LIVE, State.QUARANTINED)
    assert (found.reason, found.outcome) == (Reason.LIVE_LIMIT_BROKEN, Outcome.FAIL)
    assert [c.name for c in found.checks if c.outcome is Outcome.FAIL] == [broken]
    assert said in found.message


def test_below_the_alarm_it_serves_on() -> None:
    assert wait(decide_live(live(Served(QUIET, QUIET, QUIET)))).reason is Reason.SERVING


def test_without_limits_or_without_records_nothing_is_judged() -> None:
    assert wait(decide_live(live(Served(LOUD, LOUD, LOUD), policy=POLICY))).reason is Reason.SERVING
    assert wait(decide_live(live(None))).reason is Reason.SERVING


def test_while_an_engine_is_away_nobody_goes_for_what_it_does_to_all() -> None:
    away = Residency(replicas=2, proved=1, mismatched=0, unreachable=1)
    found = wait(decide_live(live(Served(LOUD, LOUD, LOUD), residency=away)))
    assert found.reason is Reason.ENGINE_UNREACHABLE


def test_what_is_not_proved_everywhere_just_now_goes_all_the_same() -> None:
    loading = Residency(replicas=2, proved=1, mismatched=0, unreachable=0)
    found = verdict(decide_live(live(Served(errors=LOUD), residency=loading)))
    assert found.reason is Reason.LIVE_LIMIT_BROKEN
    assert found.checks[0].outcome is Outcome.INCONCLUSIVE
