"""Evaluating: the screen sends away what is hopeless, the proof decides, and what it tells is counted."""

from __future__ import annotations

from dataclasses import replace

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Disclosure, Outcome, State

from .capacity import check_capacity
from .courses import asked_tasks, gain_margin, life_of, next_look, proof_course, screen_course, sealed
from .evidence import EvidenceError
from .exhaustion import exhausted
from .facts import GENERALIST, Check, Met, Scorecard, Situation, TakenLook, Verdict, Wait
from .findings import Found, checks_of, found_by, scorecard_of
from .invariants import summary
from .lifecycle import CheckName
from .limits import check_memory
from .trial import Course, Sealed, Stage, weigh
from .verdict import claimed_task, due, task_missing
from .work import at_work

WORTH_NOTHING = 1.0 - 1e-6  # no difference is greater than 1


def decide_evaluating(situation: Situation) -> Verdict | Wait:
    """Open a proof, admit the candidate to shadow, reject it, shelve it, or wait for its results."""
    if claimed_task(situation) is None:
        return task_missing(situation)
    memory = check_memory(situation.policy.limits, situation.artifact)
    if memory is not None and memory.outcome is Outcome.FAIL:
        return _too_large(situation, memory)
    try:
        course = course_of(situation)
        if isinstance(course, Wait):
            return at_work(situation, course)
        return _judge(situation, course) if isinstance(course, Course) else course
    except EvidenceError as error:
        broken = Check(CheckName.EVIDENCE, Outcome.ERROR, "broken", "none broken", message=str(error))
        return due(
            situation,
            Action.FAIL,
            State.FAILED,
            Reason.EVIDENCE_ERROR,
            str(error),
            outcome=Outcome.ERROR,
            checks=(broken,),
        )


def _too_large(situation: Situation, memory: Check) -> Verdict:
    return due(
        situation,
        Action.REJECT,
        State.REJECTED,
        Reason.HARD_INVARIANT_FAILURE,
        f"Hard invariant failure. {memory.message}",
        outcome=Outcome.FAIL,
        checks=(summary((memory,)), memory),
    )


def look_of(situation: Situation) -> TakenLook | None:
    """Give the proof that is under way; one on another suite says nothing about this one."""
    look = situation.record.look
    return look if look is not None and look.suite == situation.suite_digest else None


def course_of(situation: Situation) -> Course | Verdict | Wait:
    """Say what the candidate is asked now, or what has to come before. Raises EvidenceError."""
    look, found = look_of(situation), sealed(situation)
    serving = {GENERALIST, *(member.served_name for member in situation.members)}
    if found is None and look is not None and look.incumbent not in serving:
        raise EvidenceError(
            f"{look.incumbent}, with which the proof compares, is no longer live and has no results. "
            "Its retry begins with the screen."
        )
    if found is None:
        names = ", ".join(n for n in asked_tasks(situation) if n not in situation.evidence.baseline)
        missing = names or situation.claim.task
        return Wait(Reason.BASELINE_RUNNING, f"The route that serves today is being evaluated on {missing}.")
    if look is not None:
        if look.incumbent != found.incumbent.model:
            raise EvidenceError(
                f"{situation.claim.task}: the proof was opened against {look.incumbent}, and the results are "
                f"those of {found.incumbent.model}. Retry."
            )
        return proof_course(situation, found, look)
    if life_of(situation).disclosure is Disclosure.FULL:
        return _open(situation, found, ())
    return screen_course(situation, found)


def _judge(situation: Situation, course: Course) -> Verdict | Wait:
    against = sealed(situation)
    evidence = situation.evidence
    candidate = evidence.proof if course.stage is Stage.PROOF else evidence.screen
    if not candidate or against is None:
        return at_work(situation, _asking(course))
    standing = weigh(course, candidate, against)
    if not standing.ended:
        raise EvidenceError(
            f"{situation.claim.task}: the {course.stage.lower()} ended after {standing.rounds} of "
            f"{len(course.rounds)} rounds, with a question open. Evaluate again."
        )
    found = found_by(course, standing, candidate, against, situation.claim.task)
    if course.stage is Stage.PROOF:
        return _close(situation, found)
    return _screened(situation, found, against)


def _asking(course: Course) -> Wait:
    most = ", ".join(f"{n} of {task}" for task, n in course.units().items())
    return Wait(Reason.EVALUATING, f"The {course.stage.lower()} asks at most {most}.")


def _screened(situation: Situation, found: Found, against: Sealed) -> Verdict | Wait:
    checks, card = checks_of(situation, found), scorecard_of(situation, found)
    return _refused(situation, checks, card) or _open(situation, against, checks, card)


def _refused(
    situation: Situation, checks: tuple[Check, ...], card: Scorecard | None, look: TakenLook | None = None
) -> Verdict | None:
    """Reject for a broken invariant, which no gain outweighs, or shelve for a gain that is too small."""
    _, invariants, *_, gain = checks
    if invariants.outcome is Outcome.FAIL:
        action, target, reason = Action.REJECT, State.REJECTED, Reason.HARD_INVARIANT_FAILURE
        message = f"Hard invariant failure. {invariants.message}"
    elif gain.outcome is Outcome.FAIL:
        action, target, reason = Action.SHELVE, State.SHELVED, Reason.GAIN_DOES_NOT_REPAY
        message = f"The portfolio's gain does not repay its cost. {gain.message}"
    else:
        return None
    return due(
        situation,
        action,
        target,
        reason,
        message,
        outcome=Outcome.FAIL,
        checks=checks,
        scorecard=card,
        look=look,
    )


def _open(
    situation: Situation, against: Sealed, checks: tuple[Check, ...], card: Scorecard | None = None
) -> Verdict | Wait:
    """Open a proof: what it may risk is recorded before its first item is met."""
    if gain_margin(situation) >= WORTH_NOTHING:
        incumbent = against.incumbent
        # No item was asked; but whom it is compared with decides when it is looked at again.
        unasked = Scorecard(situation.claim.task, 0.0, incumbent.model, incumbent.mean, None, 0)
        card = card or unasked
        return due(
            situation,
            Action.SHELVE,
            State.SHELVED,
            Reason.GAIN_DOES_NOT_REPAY,
            "The portfolio's gain would not repay its cost, however good the candidate is.",
            outcome=Outcome.FAIL,
            checks=checks,
            scorecard=card,
        )
    capacity = check_capacity(situation)
    if capacity.outcome is not Outcome.PASS:
        message = f"{capacity.message} {Reason.CAPACITY_FULL.remedy}"
        return Wait(Reason.CAPACITY_FULL, message, checks=(*checks, capacity))
    life = life_of(situation)
    if life.disclosure is Disclosure.FULL and life.under_way:
        message = "Another candidate's proof is under way; under disclosure Full no item is met twice."
        return Wait(Reason.QUEUED, message, checks=checks)
    look = next_look(situation, against)
    if look is None:
        return exhausted(situation, checks)
    screened = "The screen found nothing against it. " if checks else ""
    message = (
        f"{screened}Its proof is look {life.looks + 1} of {life.horizon} at this suite, with a chance of "
        f"{look.level:.2g} of a false pass; the gain has to exceed {look.margin:+.3f}."
    )
    return due(
        situation,
        Action.PROVE,
        State.EVALUATING,
        Reason.SCREEN_SURVIVED,
        message,
        checks=(*checks, capacity),
        scorecard=card,
        look=look,
    )


def _close(situation: Situation, found: Found) -> Verdict:
    """End a proof: say of it what the disclosure allows, and count that."""
    opened = look_of(situation)
    if opened is None:
        raise EvidenceError("a proof ended that nobody opened")
    full = opened.plan.disclosure is Disclosure.FULL
    look = _told(situation, found, opened, full)
    proof = _check_proof(look)
    told = checks_of(situation, found) if full else ()
    card = scorecard_of(situation, found) if full else situation.record.scorecard
    if not look.passed and told and (refused := _refused(situation, told, card, look)) is not None:
        return replace(refused, checks=(*told, proof))
    if look.passed:
        action, target, reason = Action.ADMIT, State.SHADOW, Reason.GAIN_PROVEN
        message = f"{proof.message} All hard invariants hold and the portfolio gains."
    else:
        action, target, reason = Action.SHELVE, State.SHELVED, Reason.PROOF_NOT_PASSED
        message = proof.message
    return due(
        situation,
        action,
        target,
        reason,
        message,
        outcome=proof.outcome,
        checks=(*told, proof),
        scorecard=card,
        look=look,
    )


def _told(situation: Situation, found: Found, opened: TakenLook, full: bool) -> TakenLook:
    passed = found.standing.outcome is Outcome.PASS
    return replace(
        opened,
        passed=passed,
        # One that did not pass went to its end or broke off; where, would tell which question was open.
        round=found.standing.rounds if passed or full else 0,
        lead=life_of(situation).lead(found.gain.mean),
        met=tuple(Met(task, units) for task, units in found.units.items()) if full else (),
        trial=situation.evidence.trial,
    )


def _check_proof(look: TakenLook) -> Check:
    limit = f"all questions pass at {look.level:.2g}"
    best = (
        "" if look.lead is None else f" Its lead is at least {look.lead / look.plan.grid:+.2f}, a new best."
    )
    if look.passed:
        rounds = f"round {look.round}"
        message = f"The proof passed after {rounds} of {look.plan.rounds}.{best}"
        return Check(CheckName.PROOF, Outcome.PASS, rounds, limit, message=message)
    if look.plan.disclosure is Disclosure.FULL:
        message = "The proof did not pass: a question stayed open to the last item."
    else:
        message = (
            f"The proof did not pass.{best} More is not told under policy.evidence.disclosure "
            f"{look.plan.disclosure}: the next candidate could be built from it."
        )
    return Check(CheckName.PROOF, Outcome.INCONCLUSIVE, "not passed", limit, message=message)
