"""Capacity: is there a place for one more adapter, and who should give way where there is none?"""

from __future__ import annotations

from dataclasses import replace

from modelecology.api.vocabulary import Outcome

from .facts import Check, Situation
from .lifecycle import CheckName
from .portfolio import candidate, today
from .residents import Capacity, Residents, best_residents
from .unviable import findings

MIB = 2**20


def check_capacity(situation: Situation) -> Check:
    """Check that one more adapter finds a slot, and memory where it is limited.

    The live members are tested for retirement first: the check says who is due. A member is never taken out
    for a candidate that has not served yet; where there is no place the check says whom the best set would
    leave out.
    """
    taken, slots = situation.residents, situation.policy.adapters
    needed, memory = _bytes(situation), situation.policy.memory
    fits = taken < slots and (memory is None or needed <= memory)
    said = [f"{taken} of {slots} adapter slots are taken."]
    if memory is not None:
        said.append(f"With it the adapters take {needed / MIB:.0f} of {memory / MIB:.0f} MiB.")
    said += _due(situation)
    if not fits:
        said.append(_advice(situation))
    return Check(
        CheckName.CAPACITY,
        Outcome.PASS if fits else Outcome.FAIL,
        observed=f"{taken} taken" if memory is None else f"{taken} taken, {needed / MIB:.0f} MiB needed",
        limit=f"{slots} slots" if memory is None else f"{slots} slots, {memory / MIB:.0f} MiB",
        message=" ".join(said),
    )


def free_slot(taken: int, slots: int) -> Check:
    """Check that there is a slot for an adapter that has served before; what is due is not looked for."""
    return Check(
        CheckName.CAPACITY,
        Outcome.PASS if taken < slots else Outcome.FAIL,
        observed=f"{taken} taken",
        limit=f"{slots} slots",
        message=f"{taken} of {slots} adapter slots are taken.",
    )


def best_with(situation: Situation) -> Residents:
    """Choose the members to keep if the candidate were one of them; what is in shadow keeps its place."""
    policy, here = situation.policy, today(situation)
    # The screen's score: it may be told, and no more of the candidate is known when its place is asked for.
    known = situation.evidence.screen.get(situation.claim.task)
    ours = candidate(situation, known.mean if known is not None else 0.0)
    shadows = max(0, situation.residents - len(here.members))
    memory = None if policy.memory is None else max(0, policy.memory - _shadow_bytes(situation))
    population = replace(here, members=(*here.members, ours))
    return best_residents(
        population, situation.tasks, policy, Capacity(max(0, policy.adapters - shadows), memory)
    )


def _bytes(situation: Situation) -> int:
    ours = candidate(situation, 0.0).resident_bytes
    return sum(m.resident_bytes for m in situation.members) + _shadow_bytes(situation) + ours


def _shadow_bytes(situation: Situation) -> int:
    return situation.standing.shadow_bytes if situation.standing is not None else 0


def _due(situation: Situation) -> list[str]:
    if situation.standing is None:
        return []
    found = findings(situation.standing, situation.tasks, situation.policy)
    due = [f"{name} ({each.reason})" for name, each in sorted(found.items()) if each.reason is not None]
    return [f"Due for retirement: {', '.join(due)}."] if due else []


def _advice(situation: Situation) -> str:
    best, ours = best_with(situation), situation.claim.served_name
    others = [name for name in best.left_out if name != ours]
    if ours in best.left_out:
        return "The best set would leave out this candidate."
    return f"The best set would leave out {', '.join(others)}." if others else ""
