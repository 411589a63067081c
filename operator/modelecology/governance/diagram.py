"""Render the lifecycle into docs/lifecycle.md: python -m modelecology.governance.diagram [--check]."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modelecology.api.vocabulary import Action, State

from .lifecycle import TRANSITIONS, Transition

PAGE = Path("docs/lifecycle.md")
BEGIN = "<!-- rendered from the table of transitions: begin -->"
END = "<!-- rendered from the table of transitions: end -->"
# Every state has these two edges; drawn from everywhere they would hide the rest. The table below lists them.
EVERYWHERE = (Action.RETIRE, Action.DELETE)
MANY = 6  # reasons of a failure, beyond which a row says how many more there are


def mermaid() -> str:
    """Draw the transitions, one arrow for each pair of states, as a Mermaid state diagram."""
    arrows: dict[tuple[State, State], list[Action]] = {}
    for edge in TRANSITIONS:
        if edge.action in EVERYWHERE and edge.source not in (State.LIVE, State.RETIRED):
            continue
        arrows.setdefault((edge.source, edge.target), []).append(edge.action)
    lines = ["stateDiagram-v2", f"    [*] --> {State.PENDING}"]
    lines += [f"    {s} --> {t}: {', '.join(actions)}" for (s, t), actions in arrows.items()]
    lines.append(f"    {State.DELETED} --> [*]")
    return "\n".join(lines)


def table() -> str:
    """List every transition with its checks, in their order, and its reasons."""
    rows = ["| from | action | to | checks, in order | reasons |", "|---|---|---|---|---|"]
    rows += [f"| {e.source} | {e.action} | {e.target} | {_checks(e)} | {_reasons(e)} |" for e in TRANSITIONS]
    return "\n".join(rows)


def block() -> str:
    """Render what stands between the page's two marks, with the marks."""
    return f"{BEGIN}\n\n```mermaid\n{mermaid()}\n```\n\n{table()}\n\n{END}"


def rendered(page: str) -> str:
    """Give the page with its block rendered anew. Raises ValueError when a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the mark {BEGIN if not begin else END!r}. Put both marks back.")
    return before + block() + after


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with --check say whether it is up to date; 0 is fine, 1 is out of date."""
    parser = argparse.ArgumentParser(prog="python -m modelecology.governance.diagram", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to render")
    options = parser.parse_args(arguments)
    page: Path = options.page
    text = page.read_text(encoding="utf-8")
    fresh = rendered(text)
    if not options.check:
        page.write_text(fresh, encoding="utf-8")
        return 0
    if fresh != text:
        sys.stderr.write(f"{page} is out of date. Run python -m modelecology.governance.diagram.\n")
        return 1
    return 0


def _checks(edge: Transition) -> str:
    who = "a step has approval" if edge.source is State.CANARY else "promotion.mode is Manual"
    rule = "policy.quarantine" if edge.action is Action.QUARANTINE else "shadow.live"
    asked = [*edge.chain, *(f"{name} (if {rule} is set)" for name in edge.live)]
    asked += [f"{name} (if {who})" for name in edge.manual]
    return ", ".join(asked) or "-"


def _reasons(edge: Transition) -> str:
    if edge.target is not State.FAILED:
        return ", ".join(edge.reasons)
    shown = ", ".join(edge.reasons[:MANY])
    more = len(edge.reasons) - MANY
    return f"{shown} and {more} of the job's own" if more > 0 else shown


if __name__ == "__main__":
    raise SystemExit(main())
