"""Why a specialist stands where it stands: one verdict on one screen, and the history behind it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modelecology.api.decision import Check, Decision, DecisionSpec
from modelecology.api.meta import ConditionStatus, ConditionType
from modelecology.api.reasons import Reason, remedy_of
from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import Action, Outcome, State

from . import words
from .port import CliError
from .rows import because, doing, find
from .table import STATE_STYLES

HISTORY = 10
_OUTCOME_STYLES = {
    Outcome.PASS: "green",
    Outcome.FAIL: "red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.ERROR: "bold red",
}
_PAST = {
    Action.PROPOSE: "was proposed",
    Action.EVALUATE: "went into evaluation",
    Action.PROVE: "goes into its proof",
    Action.ADMIT: "was admitted to shadow",
    Action.REJECT: "was rejected",
    Action.SHELVE: "was shelved",
    Action.START_CANARY: "became a canary",
    Action.ADVANCE: "went a step on as a canary",
    Action.PROMOTE: "went live",
    Action.RETIRE: "was retired",
    Action.RESTORE: "was restored",
    Action.RETRY: "was taken up again",
    Action.RECONSIDER: "is judged again",
    Action.QUARANTINE: "was quarantined",
    Action.RELEASE: "was released from quarantine",
    Action.FAIL: "failed",
    Action.DELETE: "was deleted",
}


def choose(decisions: tuple[Decision, ...], name: str, sequence: int | None) -> Decision | None:
    """Find the decision of a sequence, or the newest that weighed checks; None when nothing was decided yet.

    Raises `CliError` when no decision of that sequence is about the specialist.
    """
    if sequence is not None:
        for decision in decisions:
            if decision.spec.sequence == sequence:
                return decision
        known = ", ".join(str(d.spec.sequence) for d in decisions[-HISTORY:]) or "none"
        raise CliError(f"No decision {sequence} is about {name}.", f"Its newest decisions are: {known}.")
    # That a pin brings another revision back is no verdict on the one that people ask about.
    judged = [d for d in decisions if d.spec.checks and d.spec.reason != Reason.PINNED]
    return judged[-1] if judged else decisions[-1] if decisions else None


# Conditions of which a person should know, and when.
_WORTH_SAYING = (
    (ConditionType.DRIFT, ConditionStatus.TRUE),
    (ConditionType.MATCH_REFUSED, ConditionStatus.TRUE),
    (ConditionType.PINNED, ConditionStatus.FALSE),
)


def render_explanation(
    specialist: Specialist, decisions: tuple[Decision, ...], chosen: Decision | None, now: datetime
) -> RenderableType:
    """Lay out one verdict; `decisions` are all about the specialist, oldest first."""
    today = _now(specialist)
    blocks: list[RenderableType] = [today]
    if chosen is None:
        blocks.append(Text("Nothing has been decided about it yet.", style="dim"))
        return Group(*blocks)
    body = chosen.spec
    blocks += [Text(), _verdict(body, today.plain), Text()]
    if body.checks:
        blocks += [_checks(body.checks), Text()]
    blocks += [_grounds(body, chosen.metadata.name, specialist), Text(), _history(decisions, chosen, now)]
    return Group(*blocks)


def _now(specialist: Specialist) -> Text:
    state = specialist.status.state
    text = Text.assemble(
        (specialist.metadata.name, "bold"),
        f" (task {specialist.spec.contract.task}) is ",
        (state, STATE_STYLES[state]),
    )
    ready = find(specialist.status.conditions, ConditionType.READY)
    why = words.sentence(because(ready) if ready is not None else doing(specialist))
    text.append(f". {why[:1].upper()}{why[1:]}")
    for kind, status in _WORTH_SAYING:
        found = find(specialist.status.conditions, kind)
        if found is not None and found.status is status and found.message:
            text.append(f" {words.sentence(found.message)}")
    expires = specialist.status.expires
    if state is State.RETIRED and expires is not None:
        text.append(f" It can be restored until {words.moment(expires)}: set lifecycle.target to Live.")
    return text


def verdict_sentence(body: DecisionSpec) -> str:
    """Say a verdict in one sentence: who, what, why."""
    if body.action is Action.HOLD:
        return f"No action: {words.plain(body.reason)}."
    past = _PAST.get(body.action, f"went from {body.from_state} to {body.to}")
    return f"{body.subject.specialist} {past}: {words.plain(body.reason)}."


def _verdict(body: DecisionSpec, said: str) -> Text:
    text = Text(f"Decision {body.sequence}: ", style="bold")
    text.append(verdict_sentence(body))
    if body.message:
        text.append(f"\n{words.sentence(body.message)}", style="not bold")
    remedy = remedy_of(body.reason)
    if remedy and body.outcome is not Outcome.PASS and remedy not in said + body.message:
        text.append(f"\nWhat to do: {remedy}", style="not bold")
    return text


def _checks(checks: tuple[Check, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    confidences = {c.interval.confidence for c in checks if c.interval is not None}
    level = f" {min(confidences):.4g}" if len(confidences) == 1 else ""
    for title in ("CHECK", "OUTCOME"):
        table.add_column(title, no_wrap=True)
    for title in ("OBSERVED", "LIMIT"):
        table.add_column(title, overflow="fold")
    table.add_column(f"INTERVAL{level}", no_wrap=True)
    table.add_column("N", no_wrap=True, justify="right")
    table.add_column("MESSAGE", overflow="fold", min_width=20)
    for check in checks:
        table.add_row(
            Text(check.name),
            Text(check.outcome, style=_OUTCOME_STYLES[check.outcome]),
            Text(check.observed or words.NONE),
            Text(check.limit or words.NONE),
            Text(_interval(check, alone=len(confidences) <= 1)),
            words.NONE if check.n is None else str(check.n),
            Text(check.message),
        )
    return table


def _interval(check: Check, *, alone: bool) -> str:
    """Write a check's interval; with its own confidence where the checks' confidences differ."""
    text = words.interval(check.interval)
    return text if alone or check.interval is None else f"{text} {check.interval.confidence:.4g}"


def _grounds(body: DecisionSpec, object_name: str, specialist: Specialist) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in _facts(body, object_name, specialist):
        grid.add_row(label, Text(value))
    return grid


def _facts(body: DecisionSpec, object_name: str, specialist: Specialist) -> Iterator[tuple[str, str]]:
    card = body.scorecard
    if card is not None:
        line = f"{card.score:.2f}, beside {card.incumbent_score:.2f} of {card.incumbent} (n={card.n})"
        if card.difference is not None:
            line += f"; difference {words.interval(card.difference)} at {card.difference.confidence:.4g}"
        yield "score", line
    if body.look is not None:
        yield "look", words.look(body.look, opened=body.action is Action.PROVE)
    yield "revision", f"{body.subject.revision}, key {words.short(body.subject.key)}"
    premises = body.premises
    named = (
        ("policy", premises.policy),
        ("suite", premises.suite),
        ("evidence", premises.evidence),
        ("code", premises.code),
        *((("inputs", premises.inputs),) if premises.inputs else ()),
    )
    yield "premises", ", ".join(f"{label} {words.short(digest)}" for label, digest in named)
    total = words.ledger(specialist.status.ledger)
    yield "cost", f"{words.ledger(body.cost)} since the decision before; {total} in all"
    yield "decided", f"{words.moment(body.time)} by {body.actor}"
    yield "log", f"{object_name}, digest {words.short(body.digest)}, after {words.short(body.previous)}"


def _history(decisions: tuple[Decision, ...], chosen: Decision, now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("DECISION", justify="right", no_wrap=True)
    for title in ("AGO", "ACTION", "FROM", "TO", "OUTCOME"):
        table.add_column(title, no_wrap=True)
    table.add_column("REASON", overflow="fold")
    table.add_column("ACTOR", overflow="fold")
    for decision in reversed(decisions[-HISTORY:]):
        body = decision.spec
        mark = "> " if body.sequence == chosen.spec.sequence else ""
        table.add_row(
            f"{mark}{body.sequence}",
            words.age(body.time, now),
            body.action,
            _state(body.from_state),
            _state(body.to),
            Text(body.outcome, style=_OUTCOME_STYLES[body.outcome]),
            Text(body.reason),
            Text(body.actor),
        )
    if len(decisions) > HISTORY:
        table.caption = f"{len(decisions) - HISTORY} older decisions are not shown."
        table.caption_justify = "left"
    return table


def _state(state: State) -> Text:
    return Text(state, style=STATE_STYLES[state])
