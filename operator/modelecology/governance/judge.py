"""A judge's word as live evidence: its bias, as its labelled copies show it, is taken off the lead it sees.

A policy that hears a judge spends half of its level on labels alone, a quarter on the words, and a quarter on
how far words and labels lie apart. So it errs no more often than without a judge, as long as the judge's bias
lies within the policy's margin of the one that was seen; within 2 it always does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from modelecology.api.vocabulary import Outcome

from .facts import Check, Judged, Live
from .live import check_live_gain
from .rules import JudgeRules, LiveShadow
from .sequential import lower_bound

_MOST = 0.999  # a margin is below 1


@dataclass(frozen=True, slots=True)
class Bias:
    """By how much the mean of the judge's words may lie off what labels would say: low is not above 0."""

    low: float
    high: float


def check_shadow_gain(live: Live, rules: LiveShadow, confidence: float) -> Check:
    """Check the lead on live requests, by labels and, where the rules name a judge, by its word."""
    margin, asked, judge = rules.minimum_gain, rules.minimum_scored, rules.judge
    if judge is None:
        return check_live_gain(live, margin, asked, confidence)
    level = 1.0 - confidence
    alone = check_live_gain(live, margin, asked, 1.0 - level / 2)
    judged = live.judged or Judged()
    doubt = _doubt(judged, judge, confidence)
    if doubt:
        told = f"The judge {judge.name} counts for nothing: {doubt}{_troubles(judged)}."
        return _with(alone, told)
    if alone.outcome is not Outcome.INCONCLUSIVE:
        return alone
    bias = bias_of(judged, judge.bias_margin, 1.0 - level / 4)
    told = (
        f"{judged.words} of them by the judge {judge.name}, which agrees with labels in {judged.agreed} of "
        f"{judged.told_apart} copies{_troubles(judged)} and may be off by {bias.low:+.2f} to "
        f"{bias.high:+.2f}; that is asked on top."
    )
    heard = replace(live, differences=judged.differences, in_step=judged.in_step)
    refuted = check_live_gain(heard, max(-_MOST, margin + bias.low), asked, 1.0 - level / 4)
    if refuted.outcome is Outcome.FAIL:
        return _with(refuted, told)
    proven = check_live_gain(heard, min(_MOST, margin + bias.high), asked, 1.0 - level / 4)
    # What is not proven with that much on top is not refuted by it.
    open_still = proven.outcome is Outcome.FAIL
    return _with(replace(proven, outcome=Outcome.INCONCLUSIVE) if open_still else proven, told)


def bias_of(judged: Judged, margin: float, confidence: float) -> Bias:
    """Bound the bias by labels, each side at the confidence, or by the margin around what they show."""
    # An error is on a copy of which anything may be true, so it may hide a difference of 2.
    heard = len(judged.differences) + judged.errors
    hidden = 2.0 * judged.errors / heard if heard else 0.0
    units = np.array(judged.leans, dtype=np.float64) / 2.0
    if not len(units):
        return Bias(-2.0, 2.0)
    level, seen = 1.0 - confidence, 2.0 * float(units.mean())
    low = max(2.0 * lower_bound(units, level), seen - margin)
    high = min(-2.0 * lower_bound(-units, level), seen + margin)
    return Bias(min(0.0, low) - hidden, max(0.0, high) + hidden)


def agreement_bound(agreed: int, of: int, confidence: float) -> float:
    """Bound the judge's share of right answers from below, however often one looks; 0 for no copies."""
    if not of:
        return 0.0
    # The wealth that the bound inverts does not depend on the order of the answers.
    units = np.concatenate([np.ones(agreed), -np.ones(of - agreed)])
    return (1.0 + lower_bound(units, 1.0 - confidence)) / 2.0


def _doubt(judged: Judged, rules: JudgeRules, confidence: float) -> str:
    """Say why it counts for nothing, or nothing."""
    of, least = judged.told_apart, rules.minimum_labelled
    if of < least:
        return f"labels told {of} copies that it judged from what users got; {least} are asked"
    low = agreement_bound(judged.agreed, of, confidence)
    if low < rules.minimum_agreement:
        return (
            f"it agrees with labels in {judged.agreed} of {of} copies, which proves {low:.2f}; "
            f"{rules.minimum_agreement:g} is asked"
        )
    return ""


def _with(check: Check, told: str) -> Check:
    return replace(check, message=f"{check.message} {told}")


def _troubles(judged: Judged) -> str:
    found = ((judged.inconsistent, "changed with the order"), (judged.errors, "were errors"))
    told = [f"{number} {what}" for number, what in found if number]
    return f" ({', '.join(told)})" if told else ""
