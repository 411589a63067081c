"""Resident states: what the engines proved of a served name, and the rule for a live revision."""

from __future__ import annotations

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Outcome, State, Target

from .alarm import check_served
from .facts import Check, Residency, Situation, Verdict, Wait
from .lifecycle import CheckName
from .retirement import goes_at, retire_by_evidence
from .verdict import clip, due

NOWHERE = Residency(replicas=0, proved=0, mismatched=0, unreachable=0)


def check_fingerprint(residency: Residency | None) -> Check:
    """Check that every replica answers as the evaluated adapter does; None where none was asked yet."""
    residency = residency or NOWHERE
    if residency.mismatched > 0:
        outcome = Outcome.FAIL
        wrong = f"{residency.mismatched} of {residency.replicas}"
        message = f"{wrong} replicas do not answer as the evaluated adapter does."
    elif residency.proved < residency.replicas or residency.replicas == 0:
        outcome = Outcome.INCONCLUSIVE
        message = f"{residency.proved} of {residency.replicas} replicas are proved."
    else:
        outcome = Outcome.PASS
        message = f"All {residency.replicas} replicas answer as the evaluated adapter does."
    return Check(
        CheckName.FINGERPRINT,
        outcome,
        observed=f"{residency.proved} of {residency.replicas} proved",
        limit="all proved",
        n=residency.replicas,
        message=message,
    )


def settle(situation: Situation) -> Check | Verdict | Wait:
    """Give the passed check when all replicas are proved; else what they owe, or a quarantine."""
    residency, name = situation.residency, situation.claim.served_name
    if residency is None:
        return Wait(
            Reason.PROVING, f"{name} is being loaded; its answers are compared with the evaluation's."
        )
    check = check_fingerprint(residency)
    said = f" {residency.message}" if residency.message else ""
    if check.outcome is Outcome.FAIL:
        return due(
            situation,
            Action.QUARANTINE,
            State.QUARANTINED,
            Reason.FINGERPRINT_MISMATCH,
            f"{name}: {check.message} It takes no more requests.{said}",
            outcome=Outcome.FAIL,
            checks=(check,),
        )
    if check.outcome is Outcome.PASS:
        return check
    if residency.unreachable > 0:
        message = (
            f"{residency.unreachable} of {residency.replicas} replicas do not answer. "
            f"{Reason.ENGINE_UNREACHABLE.remedy}{said}"
        )
        return Wait(Reason.ENGINE_UNREACHABLE, clip(message), checks=(check,))
    if residency.refused > 0:
        return Wait(Reason.ENGINE_REFUSED, clip(f"{name}: {check.message}{said}"), checks=(check,))
    return Wait(Reason.PROVING, clip(f"{name}: {check.message}{said}"), checks=(check,))


def decide_live(situation: Situation) -> Verdict | Wait:
    """Keep serving, unless an engine answers with other weights, users fare badly, or it no longer pays."""
    proved = settle(situation)
    if isinstance(proved, Verdict):
        return proved
    broken = _broken_limit(situation, proved)
    if broken is not None:
        return broken
    going = retire_by_evidence(situation)
    if going is not None:
        return going
    if isinstance(proved, Wait):
        return proved
    message = f"{situation.claim.served_name} is live on {proved.n} of {proved.n} replicas."
    if situation.claim.wanted is Target.SHADOW:
        message += " lifecycle.target Shadow holds only a candidate; Retired takes a live revision out."
    return Wait(Reason.SERVING, message, until=goes_at(situation))


def _broken_limit(situation: Situation, proved: Check | Wait) -> Verdict | None:
    """Quarantine a live revision whose users fare worse than policy.quarantine allows."""
    limits, served = situation.policy.quarantine, situation.evidence.served
    if limits is None or served is None:
        return None
    # What an engine that is away does to all is no fault of one revision.
    if isinstance(proved, Wait) and proved.reason is Reason.ENGINE_UNREACHABLE:
        return None
    checks = check_served(served, limits)
    broken = next((check for check in checks if check.outcome is Outcome.FAIL), None)
    if broken is None:
        return None
    shown = proved if isinstance(proved, Check) else check_fingerprint(situation.residency)
    return due(
        situation,
        Action.QUARANTINE,
        State.QUARANTINED,
        Reason.LIVE_LIMIT_BROKEN,
        f"{situation.claim.served_name}: {broken.message} It takes no more requests.",
        outcome=Outcome.FAIL,
        checks=(shown, *checks),
    )
