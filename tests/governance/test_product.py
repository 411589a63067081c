"""Every state under every outcome: only edges of the table, each of them reached, all others refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import product

import pytest

from modelecology.api.reasons import Reason
from modelecology.api.vocabulary import Action, Disclosure, Outcome, State, Target
from modelecology.governance.alarm import RAISED
from modelecology.governance.courses import plan_of
from modelecology.governance.decide import BY_STATE, decide
from modelecology.governance.facts import (
    GENERALIST,
    Alarm,
    Approval,
    Artifact,
    Cost,
    Evidence,
    Interval,
    JobFailure,
    Live,
    Member,
    Residency,
    Served,
    Situation,
    Standing,
    Verdict,
    Wait,
)
from modelecology.governance.lifecycle import (
    JOB_ENDS,
    JUDGEMENT,
    PASSING,
    PROOF,
    SCREEN,
    TRANSITIONS,
    CheckName,
    IllegalTransition,
    Transition,
    transition,
)
from modelecology.governance.lives import life_under
from modelecology.governance.rules import EvidenceRules, Limits, LiveLimits, LiveShadow
from modelecology.governance.verdict import due

from .scenes import (
    ARTIFACT,
    CANARY,
    CLAIM,
    HOUR,
    NAME,
    NOW,
    POLICY,
    PROVED,
    REVISION,
    evidence,
    look,
    record,
    right,
    situation,
)

EVIDENCE: dict[str, Evidence] = {
    "good": evidence(),
    "no gap": evidence(incumbent=0.95),
    "breaks an invariant": evidence(everyday=0.0),
    "an invariant not proven": evidence(everyday=0.69),
    "no gain": evidence(candidate=0.1),
    "refuted through the endpoint": evidence(served=0.0),
    "not proven through the endpoint": evidence(served=0.1),
    "broken": replace(
        evidence(),
        screen={"dates": right("dates", NAME, 1.0, 99), "everyday": right("everyday", NAME, 1.0, 99)},
        proof={"dates": right("dates", NAME, 1.0, 99), "everyday": right("everyday", NAME, 1.0, 99)},
    ),
    "missing": Evidence(),
}
# What a candidate is asked on the screen and in the proof is not looked at any more in shadow.
SERVED = {name: EVIDENCE[name] for name in EVIDENCE if "endpoint" in name or name in ("good", "missing")}
FAILURES = {
    "none": None,
    "passing": JobFailure("InternalError", "again", retry=True),
    "for good": JobFailure("DataInvalid", "line 3", retry=False),
    "outage": JobFailure("StoreFull", "no space", retry=False),
}
ARTIFACTS: dict[str, Artifact | None] = {
    "none": None,
    "made": ARTIFACT,
    "adopted": replace(ARTIFACT, adopted=True),
    "too large": replace(ARTIFACT, rank=64),
}
RESIDENCIES: dict[str, Residency | None] = {
    "none": None,
    "proved": PROVED,
    "mismatched": Residency(2, 1, 1, 0),
    "away": Residency(2, 1, 0, 1),
}
TIMES = {"early": NOW - HOUR, "late": NOW - timedelta(days=30)}
PREMISES = {"same": "sha256:policy", "changed": "sha256:other"}
LIVES: tuple[Live | None, ...] = (
    None,
    Live((0.0,) * 400, 60, 400),  # as good as who serves
    Live((0.0,) * 340 + (-1.0,) * 60, 60, 400),  # all went well until this step
    Live((-1.0, 1.0) * 5, 10, 10),  # too little to tell
    Live((0.0,) * 400, 60, 400, failed=100),
)
FARED: tuple[Served | None, ...] = (
    None,
    Served(),
    Served(errors=Alarm(9, 9.0, RAISED)),
)  # users of what is live
LIMITED = replace(POLICY, quarantine=LiveLimits(errors=0.05))
# Edges that no situation of a revision makes due: a person asks for another try, a newer revision takes the
# place, a pinned one takes over, or the Specialist object is deleted. Another module records them.
ELSEWHERE = frozenset(
    (t.action, t.source, t.target)
    for t in TRANSITIONS
    if Reason.RETRY_REQUESTED in t.reasons
    or (t.action is Action.DELETE and t.source is not State.RETIRED)
    or (t.action is Action.RESTORE and t.source is State.LIVE)
)
ELSEWHERE_REASONS = frozenset(
    {
        Reason.RETRY_REQUESTED,
        Reason.SUPERSEDED,
        Reason.DELETED,
        Reason.QUARANTINE_REQUESTED,
        Reason.ROLLED_BACK,
        Reason.PINNED,
    }
)


# What a state looks at, beside who wants what, since when, under which premises and after how many tries.
LOOKS_AT: dict[State, tuple[str, ...]] = {
    State.PENDING: ("evidence", "failure"),
    State.TRAINING: ("failure", "artifact"),
    State.EVALUATING: ("evidence", "failure", "look"),
    State.SHADOW: ("served", "failure", "residency"),
    State.CANARY: ("live", "residency"),
    State.LIVE: ("residency", "fared"),
}
AXES: dict[str, tuple[object, ...]] = {
    "evidence": tuple(EVIDENCE.values()),
    "served": tuple(SERVED.values()),
    "look": (None, look()),
    "failure": tuple(FAILURES.values()),
    "artifact": tuple(ARTIFACTS.values()),
    "residency": tuple(RESIDENCIES.values()),
    "live": LIVES,
    "fared": FARED,
}


def situations(state: State) -> Iterator[Situation]:
    """The full product of what can be the case in a state and is looked at there."""
    names = LOOKS_AT.get(state, ())
    # How long ago it came into these two does not matter, nor what it was evaluated under before.
    times = (TIMES["early"],) if state in (State.PENDING, State.EVALUATING) else tuple(TIMES.values())
    premises = (PREMISES["same"],) if state is State.EVALUATING else tuple(PREMISES.values())
    common = product(Target, times, premises, (0, 3))
    looked_at = tuple(product(*(AXES[name] for name in names)))
    for (wanted, entered, policy, tired), values in product(common, looked_at):
        here = dict(zip(names, values, strict=True))
        known = record(
            state,
            entered=entered,
            attempts=tired,
            reason="HardInvariantFailure",
            was_live=tired == 0,
            previous=State.LIVE,
            look=here.pop("look", None),
        )
        if "served" in here:
            here["evidence"] = here.pop("served")
        if "live" in here:
            live = here.pop("live")
            assert live is None or isinstance(live, Live)
            here["evidence"] = replace(evidence(), live=live)
        if "fared" in here:
            fared = here.pop("fared")
            assert fared is None or isinstance(fared, Served)
            here["evidence"] = replace(evidence(), served=fared)
        rules = {State.CANARY: replace(POLICY, canary=CANARY), State.LIVE: LIMITED}
        yield situation(
            state,
            record=known,
            claim=replace(CLAIM, wanted=wanted),
            policy=rules.get(state, POLICY),
            policy_digest=policy,
            **({"artifact": None} if state is State.TRAINING else {}) | here,
        )


def extremes(state: State) -> Iterator[Situation]:
    """Situations of policy: dear, full, spent; and each reason that a job may give."""
    yield situation(state, policy=replace(POLICY, threshold=Decimal(10**6)))
    yield situation(state, residents=POLICY.adapters)
    yield situation(state, under_way=Cost(cpu_seconds=Decimal(10**9)))
    yield situation(state, suite_digest="sha256:other")
    for approval in (None, Approval(REVISION, "ada@noon"), Approval("b" * 12, "ada@noon")):
        yield situation(state, policy=replace(POLICY, manual=True), approval=approval)
    for word in (None, Approval(REVISION, "ada@noon"), Approval(REVISION, "ada@noon", used=True)):
        yield situation(state, release=word)
    yield situation(state, life=life_under(replace(look().plan, looks=1)).opened("u2/b"))
    yield from stepwise(state)
    yield from full(state)
    short = replace(evidence(), shadow=right("dates", NAME, 1.0, 39))
    yield situation(state, evidence=short)
    slow = right("dates", NAME, 1.0, 40)
    slow = replace(slow, items=tuple(replace(item, seconds=9.0) for item in slow.items))
    limited = replace(POLICY, limits=Limits(latency=1.0))
    yield situation(state, evidence=replace(evidence(), shadow=slow), policy=limited)
    bare = replace(evidence(), screen={}, shadow=None)
    for reason, retry in product((*PASSING, *JOB_ENDS), (True, False)):
        yield situation(state, artifact=None, evidence=bare, failure=JobFailure(reason, "said", retry=retry))


def stepwise(state: State) -> Iterator[Situation]:
    """Situations in which live requests have a say, or users are let on step by step."""
    asked = LiveShadow(50, 0.0, reject_late=True)
    ahead = Live((1.0, 0.0) * 40, 80, 80)
    for live in (None, ahead, Live((-1.0, 0.0) * 40, 80, 80)):
        for entered in (NOW - HOUR, NOW - timedelta(days=30)):
            yield situation(
                state,
                policy=replace(POLICY, live_shadow=asked, canary=CANARY),
                evidence=replace(evidence(), live=live),
                record=record(state, entered=entered, since=entered),
            )
    yield situation(
        state, policy=replace(POLICY, live_shadow=asked), evidence=replace(evidence(), live=ahead)
    )
    for step, approval in product((0, 1), (None, Approval(REVISION, "ada@noon"))):
        yield situation(
            state,
            policy=replace(POLICY, canary=CANARY),
            evidence=replace(evidence(), live=LIVES[1]),
            record=record(state, step=step, entered=NOW - timedelta(days=30)),
            approval=approval,
        )
    early = Live((0.0,) * 400, in_step=1, answered=400)
    for live, step, since in product((*LIVES, early), (0, 1), (NOW, NOW - timedelta(days=30))):
        yield situation(
            state,
            policy=replace(POLICY, canary=CANARY),
            evidence=replace(evidence(), live=live),
            record=record(state, step=step, since=since, entered=NOW - timedelta(days=30)),
            promoting=Approval(REVISION, "ada@noon"),
        )


def full(state: State) -> Iterator[Situation]:
    """Situations in which everything is told: before the proof, and all that it may come to."""
    policy = replace(POLICY, evidence=EvidenceRules(disclosure=Disclosure.FULL))
    yield situation(state, policy=policy)
    yield situation(state, policy=policy, life=life_under(plan_of(policy)).opened("u2/b"))
    yield situation(state, policy=replace(policy, threshold=Decimal(10**6)))
    taken = look(policy)
    for candidate, everyday in product((0.0, 0.12, 0.9), (0.0, 0.75)):
        base = right("dates", GENERALIST, 0.3)
        told = evidence(candidate=candidate, everyday=everyday)
        told = replace(told, incumbent=base, baseline={**told.baseline, "dates": base})
        whole = {"dates": right("dates", NAME, candidate), "everyday": right("everyday", NAME, everyday)}
        yield situation(
            state,
            policy=policy,
            record=record(state, look=taken),
            life=life_under(taken.plan).opened("u1/a"),
            evidence=replace(told, proof=whole),
        )


def departures(state: State) -> Iterator[Situation]:
    """Situations of a live revision that should go: each cause, new, proposed, accepted, and gone."""
    own = Member(NAME, "dates", 0.8, 2**20, 0.7, 0.9)
    base = tuple(Member(GENERALIST, task, 0.1, 0, 0.0, 0.2) for task in ("dates", "cron"))
    causes: dict[Reason, tuple[Member, ...]] = {
        Reason.STILL_VIABLE: (own,),
        Reason.CONTRACT_WITHDRAWN: (replace(own, task="poems"),),
        Reason.UNUSED: (own,),
        Reason.QUALITY_DRIFTED: (replace(own, live_quality=Interval(0.0, 0.1, 0.95)),),
        Reason.DOMINATED: (own, replace(own, served_name="other", quality=1.0, low=0.95, high=1.0)),
        Reason.NEGATIVE_VALUE: (replace(own, resident_bytes=2**50),),
    }
    for cause, members in causes.items():
        requests = {"dates": 0} if cause is Reason.UNUSED else None
        standing = Standing(base, members, requests=requests)
        for known, word in product(
            ("", cause, Reason.SUPERSEDED, Reason.UNUSED), (None, Approval(REVISION, "ada@noon"))
        ):
            yield situation(
                state,
                policy=replace(POLICY, idle_after=timedelta(hours=168)),
                record=record(state, reason=known),
                standing=standing,
                acceptance=word,
                undoing=word,
            )


@pytest.fixture(scope="module")
def outcomes() -> dict[State, list[tuple[Situation, Verdict | Wait]]]:
    return {
        state: [(here, decide(here)) for here in (*extremes(state), *departures(state), *situations(state))]
        for state in State
    }


Outcomes = dict[State, list[tuple[Situation, Verdict | Wait]]]


def test_every_state_has_its_rule() -> None:
    assert set(BY_STATE) == set(State)


def test_every_verdict_is_an_edge_of_the_table_with_a_reason_of_that_edge(outcomes: Outcomes) -> None:
    for state, found in outcomes.items():
        for _, said in found:
            if isinstance(said, Verdict):
                assert said.transition in TRANSITIONS
                assert said.transition.source is state
                assert said.reason in said.transition.reasons
            assert said.message
            assert "\n" not in said.message


def test_every_edge_is_reached_and_so_is_every_reason_of_it(outcomes: Outcomes) -> None:
    reached = {
        (said.transition, said.reason)
        for found in outcomes.values()
        for _, said in found
        if isinstance(said, Verdict)
    }
    edges = {(t.action, t.source, t.target) for t, _ in reached}
    every = {(t.action, t.source, t.target) for t in TRANSITIONS}
    assert every - edges == ELSEWHERE
    unreached = {
        (t.source, reason)
        for t in TRANSITIONS
        if (t.action, t.source, t.target) not in ELSEWHERE
        for reason in t.reasons
        if (t, reason) not in reached and reason not in ELSEWHERE_REASONS
    }
    assert unreached == {
        # A training has no evidence that could be wrong.
        (State.TRAINING, Reason.EVIDENCE_ERROR),
        # Logs of v0.1.0 have it: what it left open the proof decides now.
        (State.EVALUATING, Reason.INSUFFICIENT_EVIDENCE),
    }


def asks_a_person(here: Situation) -> bool:
    """Whether a person has the last word on where it goes from here."""
    if here.record.state is not State.CANARY:
        return here.policy.manual
    steps = here.policy.canary.steps if here.policy.canary is not None else ()
    # Who ends the step by their own word has approved it.
    return bool(steps) and steps[here.record.step].approval and here.promoting is None


def chains(edge: Transition, here: Situation) -> tuple[tuple[CheckName, ...], ...]:
    """What may be reported of an edge: all of its chain, or of a trial what its stage and disclosure tell."""
    if edge.action is Action.QUARANTINE:
        return (edge.chain, (*edge.chain, *edge.live[:1]))
    if edge.source is not State.EVALUATING:
        live = edge.live if here.policy.live_shadow is not None else ()
        return ((*edge.chain, *live, *(edge.manual if asks_a_person(here) else ())),)
    screened = SCREEN[:3]
    return {
        Action.PROVE: (SCREEN, (CheckName.CAPACITY,)),
        Action.ADMIT: (PROOF, JUDGEMENT),
        Action.REJECT: (screened, JUDGEMENT),
        Action.SHELVE: (screened, PROOF, JUDGEMENT, ()),
    }[edge.action]


def test_all_checks_of_a_chain_are_reported_once_and_in_order(outcomes: Outcomes) -> None:
    reported: dict[Action, set[tuple[str, ...]]] = {}
    for found in outcomes.values():
        for here, said in found:
            if isinstance(said, Verdict) and said.transition.chain:
                edge = said.transition
                names = tuple(c.name for c in said.checks if "/" not in c.name)
                assert names in chains(edge, here)
                if edge.source is State.EVALUATING:
                    reported.setdefault(edge.action, set()).add(names)
            assert len({c.name for c in said.checks}) == len(said.checks)
            assert all(c.message for c in said.checks)
    assert {action: len(names) for action, names in reported.items()} == {
        Action.PROVE: 2,
        Action.ADMIT: 2,
        Action.REJECT: 2,
        Action.SHELVE: 4,
    }


def test_a_proof_is_opened_and_ended_with_its_look_and_nothing_else_has_one(outcomes: Outcomes) -> None:
    for found in outcomes.values():
        for here, said in found:
            if not isinstance(said, Verdict):
                continue
            ends = here.record.look is not None and said.transition.action in (
                Action.ADMIT,
                Action.REJECT,
                Action.SHELVE,
            )
            assert (said.look is not None) == (ends or said.transition.action is Action.PROVE)
            if said.look is not None:
                assert said.look.passed == (said.transition.action is Action.ADMIT)


def test_nothing_goes_forward_unless_every_check_passed(outcomes: Outcomes) -> None:
    forward = {
        Action.PROPOSE,
        Action.EVALUATE,
        Action.PROVE,
        Action.ADMIT,
        Action.START_CANARY,
        Action.ADVANCE,
        Action.PROMOTE,
    }
    moved = [
        said
        for found in outcomes.values()
        for _, said in found
        if isinstance(said, Verdict) and said.transition.action in forward
    ]
    assert {v.transition.action for v in moved} == forward
    for said in moved:
        assert said.outcome is Outcome.PASS
        # What the screen leaves open is what the proof is for.
        proving = said.transition.action is Action.PROVE
        open_ = {c.name for c in said.checks if c.outcome is Outcome.INCONCLUSIVE}
        assert all(c.outcome in (Outcome.PASS, Outcome.INCONCLUSIVE) for c in said.checks)
        # A person may end the wait for a step's time and number, and for nothing else.
        assert proving or open_ <= ({CheckName.STEP} if said.reason is Reason.STEP_SKIPPED else set())


def test_deciding_twice_says_the_same(outcomes: Outcomes) -> None:
    for found in outcomes.values():
        for here, said in found[:40]:
            assert decide(here) == said


@pytest.mark.parametrize("action", Action)
def test_edges_that_the_table_lacks_are_refused(action: Action) -> None:
    legal = {(t.source, t.target) for t in TRANSITIONS if t.action is action}
    for source, target in product(State, State):
        if (source, target) in legal:
            assert isinstance(transition(action, source, target), Transition)
        else:
            with pytest.raises(IllegalTransition, match=f"{action} does not lead from {source} to {target}"):
                transition(action, source, target)


def test_a_reason_that_the_edge_lacks_is_refused() -> None:
    with pytest.raises(IllegalTransition, match="GapProven is no reason for Promote"):
        due(situation(State.SHADOW), Action.PROMOTE, State.LIVE, Reason.GAP_PROVEN, "no")


def test_live_is_reached_from_shadow_and_from_a_retirement_that_is_undone_only() -> None:
    into = (t for t in TRANSITIONS if t.target is State.LIVE and t.source is not State.LIVE)
    assert {(t.action, t.source) for t in into} == {
        (Action.PROMOTE, State.SHADOW),
        (Action.PROMOTE, State.CANARY),
        (Action.RESTORE, State.RETIRED),
    }


def test_an_edge_stands_in_the_table_once() -> None:
    edges = [(t.action, t.source, t.target) for t in TRANSITIONS]
    assert len(edges) == len(set(edges))
