"""How often a judge of some bias promotes what is no better, and what a fair one saves.

    python -m bench.judge [--runs 40]

Half of the answers differ in what labels say. The judge is right, but for a share of noise, and calls a share
of the ties better. Requests come one after another, a share has a label, and the verdict is looked at again
and again; without a judge it is asked with the whole level.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from modelecology.api.vocabulary import Outcome
from modelecology.governance.facts import Judged, Live
from modelecology.governance.judge import check_shadow_gain
from modelecology.governance.rules import JudgeRules, LiveShadow

CONFIDENCE = 0.95
DIFFER, NOISE = 0.5, 0.1
ALONE = LiveShadow(50, 0.0, False)
HEARD = LiveShadow(50, 0.0, False, JudgeRules("judge", 0.7, 30, 0.05))


@dataclass(frozen=True, slots=True)
class Case:
    """A true lead, the share of ties that the judge calls better, and the share of copies with a label."""

    lead: float
    ties: float
    labelled: float


CASES = (
    Case(0.0, 0.0, 0.1),
    Case(0.0, 0.1, 0.1),
    Case(0.0, 0.3, 0.1),
    Case(0.0, 0.6, 0.1),
    Case(0.1, 0.0, 0.05),
    Case(0.2, 0.0, 0.05),
)


def main() -> None:
    """Print, for each case, how many runs passed and after how many copies, without and with a judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--copies", type=int, default=3000)
    parser.add_argument("--step", type=int, default=150, help="copies from one look to the next")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    print(f"{given.runs} runs; passed (median copies)    labels alone    with a judge")
    for case in CASES:
        runs = [_run(random, case, given.copies, given.step) for _ in range(given.runs)]
        told = "    ".join(_told([run[side] for run in runs]) for side in (0, 1))
        print(
            f"lead {case.lead:.1f}, ties {case.ties:.1f}, labelled {case.labelled:.2f}    {told}", flush=True
        )


def _run(random: np.random.Generator, case: Case, copies: int, step: int) -> tuple[int | None, int | None]:
    up = (DIFFER + case.lead) / 2
    truth = random.choice((1.0, -1.0, 0.0), copies, p=(up, DIFFER - up, 1 - DIFFER))
    says = np.where((truth == 0) & (random.random(copies) < case.ties), 1.0, truth)
    says = np.where(random.random(copies) < NOISE, random.choice((-1.0, 0.0, 1.0), copies), says)
    known = random.random(copies) < case.labelled
    found: list[int | None] = [None, None]
    for seen in range(step, copies + 1, step):
        d, f, labelled = truth[:seen], says[:seen], known[:seen]
        apart = (d != 0) & labelled
        words = Judged(
            tuple(np.where(labelled, d, f).tolist()),
            words=int((~labelled).sum()),
            told_apart=int(apart.sum()),
            agreed=int((d == f)[apart].sum()),
            leans=tuple((f - d)[labelled].tolist()),
        )
        live = Live(tuple(d[labelled].tolist()), judged=words)
        for side, rules in enumerate((ALONE, HEARD)):
            if found[side] is None:
                outcome = check_shadow_gain(live, rules, CONFIDENCE).outcome
                found[side] = {Outcome.PASS: seen, Outcome.FAIL: 0}.get(outcome)
    return found[0] or None, found[1] or None


def _told(passed: list[int | None]) -> str:
    copies = [each for each in passed if each is not None]
    return f"{len(copies):3d} ({np.median(copies):4.0f})" if copies else f"{0:3d}       "


if __name__ == "__main__":
    main()
