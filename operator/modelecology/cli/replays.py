"""`explain --replay`: verdicts made again, away from the operator, and compared with what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.text import Text

from modelecology.api.decision import Decision
from modelecology.governance.chain import entry_of
from modelecology.governance.log import Entry, LogState, digest_of, fold
from modelecology.governance.replay import Difference, replay, replay_deletion, rests_on_the_log_alone
from modelecology.governance.situations import Inputs

from .offline import NotReplayable

ReadInputs = Callable[[str], Inputs]
ReadLog = Callable[[], Iterable[Entry]]


class Outcome(StrEnum):
    """How a replay came out."""

    SAME = "Same"
    DIFFERS = "Differs"
    NOT_KEPT = "NotKept"
    UNREADABLE = "Unreadable"


_STYLES = {
    Outcome.SAME: "green",
    Outcome.DIFFERS: "red",
    Outcome.NOT_KEPT: "yellow",
    Outcome.UNREADABLE: "bold red",
}


@dataclass(frozen=True, slots=True)
class Replay:
    """One decision, made again."""

    sequence: int
    action: str
    outcome: Outcome
    note: str = ""
    differences: tuple[Difference, ...] = ()


def entry(decision: Decision) -> Entry:
    """Read a decision as an entry of the log. Raises LogBroken."""
    return entry_of(decision.spec.model_dump(mode="json", by_alias=True, exclude_none=True))


def replayed(decisions: Iterable[Decision], inputs: ReadInputs, log: ReadLog) -> tuple[Replay, ...]:
    """Make verdicts again. `log` gives the population's whole log; it is read once, and only if needed."""
    whole: list[Entry] = []
    found = []
    for each in map(entry, decisions):
        if rests_on_the_log_alone(each) and not whole:
            whole = list(log())
        found.append(_replayed(each, inputs, whole))
    return tuple(found)


def _replayed(each: Entry, inputs: ReadInputs, whole: list[Entry]) -> Replay:
    if digest_of(each) != each.digest:
        note = "Its digest does not match its body: it was changed after it was recorded."
        return Replay(each.sequence, each.action, Outcome.DIFFERS, note)
    if rests_on_the_log_alone(each):
        differences = replay_deletion(each, _before(whole, each))
        note = "It rests on the log alone."
    elif each.premises.inputs is None:
        note = (
            "What it was made from was not kept: it did not wait for the store, or an older version made it."
        )
        return Replay(each.sequence, each.action, Outcome.NOT_KEPT, note)
    else:
        try:
            differences, note = replay(each, inputs(each.premises.inputs)), ""
        except NotReplayable as error:
            text = f"{error.message} {error.remedy}".strip()
            return Replay(each.sequence, each.action, Outcome.UNREADABLE, text)
    if not differences:
        return Replay(each.sequence, each.action, Outcome.SAME, note)
    return Replay(each.sequence, each.action, Outcome.DIFFERS, note, differences)


def _before(whole: list[Entry], each: Entry) -> LogState:
    return fold(e for e in whole if e.sequence < each.sequence)


def held(replays: tuple[Replay, ...], *, every: bool) -> bool:
    """Say whether what was asked for came out the same; of all decisions, some may not have been kept."""
    allowed = (Outcome.SAME, Outcome.NOT_KEPT) if every else (Outcome.SAME,)
    return all(r.outcome in allowed for r in replays)


def render_replays(replays: tuple[Replay, ...]) -> Text:
    """Write a line a decision, and a line a difference below it."""
    text = Text()
    for each in replays:
        text.append(f"Decision {each.sequence} {each.action}: ")
        text.append(_WORDS[each.outcome], style=_STYLES[each.outcome])
        text.append(f" {each.note}\n" if each.note else "\n")
        for difference in each.differences:
            text.append(f"  {difference.field}: recorded {difference.recorded}\n")
            text.append(f"  {' ' * len(difference.field)}  replayed {difference.replayed}\n")
    same = sum(r.outcome is Outcome.SAME for r in replays)
    text.append(f"{same} of {len(replays)} decisions came out the same, byte for byte.")
    return text


_WORDS = {
    Outcome.SAME: "the same, byte for byte.",
    Outcome.DIFFERS: "it comes out otherwise.",
    Outcome.NOT_KEPT: "it cannot be made again.",
    Outcome.UNREADABLE: "what it was made from cannot be read.",
}


def replay_record(replays: tuple[Replay, ...]) -> dict[str, Any]:
    """Record replays for programs."""
    return {
        "replays": [
            {
                "sequence": r.sequence,
                "action": r.action,
                "outcome": r.outcome.value,
                "note": r.note,
                "differences": [
                    {"field": d.field, "recorded": d.recorded, "replayed": d.replayed} for d in r.differences
                ],
            }
            for r in replays
        ]
    }
