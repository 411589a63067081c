"""Are verdicts honest for the life of a suite, and how few items do they need? By simulation, beside peers.

    python -m bench.verdicts [--quick] [--seeds N]

It needs no cluster and no model. docs/evidence.md says what each figure means, and what was seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from bench.answers import DESIGN, SUITE, Verdicts, all_effects, growth, three_valued, verdicts
from bench.figures import Spread
from bench.goals import Goals, percent
from bench.histories import (
    CHANGED,
    Counts,
    Flags,
    Floats,
    Judge,
    Lives,
    drawn,
    fresh,
    governed,
    means,
    opened,
    proved,
    ungoverned,
)
from bench.nulls import BLOCK, UNITS, WORLDS, Rates, rates
from bench.peers import JUDGES, Evalsig, evalsig, paired_size, unpaired_size
from modelecology.api.vocabulary import Disclosure
from modelecology.governance.supply import Aim, looks_bought, units_for

CANDIDATES = 200
PROBES = (1, 10, 50, 100, 200)
SUITES = (500, 5000, 50_000)
PLANTED = (20, 60, 110)  # good candidates that really come; the probes are before and between
BETWEEN = (10, 40, 100, 200)
INCUMBENT = 0.7  # score, for the unpaired peer
POWER = 0.9
MOST_FALSE, LEAST_POWER = 0.05, 0.8
FEWER_THAN_PAIRED, FEWER_THAN_UNPAIRED = 4.0, 8.0
CLEARLY_BAD, PART_OF_SUITE = -0.10, 0.1


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated."""

    seeds: int
    lives: int  # a seed
    answers: int  # a seed and effect
    nulls: int  # a seed and world
    evalsig_lives: int
    suites: Sequence[int] = SUITES


FULL = Size(seeds=5, lives=200, answers=100, nulls=2000, evalsig_lives=8)
QUICK = Size(seeds=2, lives=50, answers=100, nulls=BLOCK, evalsig_lives=2, suites=(500, 5000))


def adaptive(report: Goals, size: Size, peer: Evalsig | None) -> None:
    """(a) False promotions over a suite's life, and power at any time of it."""
    report.title(f"(a) {CANDIDATES} candidates bred on what is told; {size.seeds} seeds x {size.lives} lives")
    report.row(
        "", "false promotion, %", "least power at +5, %", "units a candidate", "level of the last look"
    )
    for units in size.suites:
        for name, disclosure, grid in (
            ("Verdict", Disclosure.VERDICT, 20),
            ("Rounded to 5 points", Disclosure.ROUNDED, 20),
            ("Rounded to 1 point", Disclosure.ROUNDED, 100),
            ("Full", Disclosure.FULL, 20),
        ):
            _under(report, size, units, name, disclosure, grid)
    units = 5000
    judges: dict[str, tuple[Judge, int, int]] = {
        "fixed paired test, re-run": (JUDGES["fixed paired test, re-run"], 1, size.lives),
        "peeking 50 times": (JUDGES["peeking 50 times"], 50, size.lives),
        f"e-process at 5 % / {CANDIDATES}, score told": (_bonferroni, 8, size.lives),
    }
    if peer is not None:
        judges["evalsig 0.1.2, gate"] = (peer.gate, 1, size.evalsig_lives)
    report.row("peers, score told", "false promotion, %", "power at +5, %", "one candidate alone, %")
    for name, (judge, cut, lives) in judges.items():
        found = [
            ungoverned(np.random.default_rng(seed), judge, units, lives, CANDIDATES, cut)
            for seed in range(size.seeds)
        ]
        alone, false, power = zip(*found, strict=True)
        report.row(f"{units}: {name}", percent(false), percent(power), percent(alone))
    _planted(report, size)
    _honest(report, size)
    _bought(report)


def _under(report: Goals, size: Size, units: int, name: str, disclosure: Disclosure, grid: int) -> None:
    def live(seed: int) -> Lives:
        random, life = np.random.default_rng(seed), opened(disclosure, grid)
        if disclosure is Disclosure.FULL:
            return fresh(random, life, units, size.lives, CANDIDATES, PROBES)
        return governed(random, life, units, size.lives, CANDIDATES, PROBES)

    found = [live(seed) for seed in range(size.seeds)]
    least = [min(each.power.values()) for each in found]
    report.row(
        f"{units}: {name}",
        percent(each.false for each in found),
        percent(least),
        Spread.of(each.units for each in found).text(0),
        f"{np.median([each.level for each in found]):.1e}",
    )
    by_place = ", ".join(f"{p}: {100 * np.mean([e.power[p] for e in found]):.0f}" for p in PROBES)
    print(f"    power by place of the good candidate, %: {by_place}")
    false = float(np.mean([each.false for each in found]))
    report.goal(f"{units} {name}: false promotions <= 5 %", f"{100 * false:.1f} %", false <= MOST_FALSE)
    if units == 5000 and disclosure is Disclosure.VERDICT:
        worst = float(np.mean(least))
        report.goal(
            f"{units} {name}: power >= 80 % at any time", f"{100 * worst:.1f} %", worst >= LEAST_POWER
        )


def _bonferroni(counts: Counts) -> tuple[Flags, Floats]:
    """The same e-process at an equal share of the level, but with the score told each time."""
    passed, _ = proved(counts, np.full(len(counts), MOST_FALSE / CANDIDATES))
    return passed, means(counts.sum(axis=1))


def _planted(report: Goals, size: Size) -> None:
    """Good candidates come and are promoted: what their passes cost the later ones."""
    found = [
        governed(
            np.random.default_rng(seed),
            opened(Disclosure.VERDICT),
            SUITE,
            size.lives,
            CANDIDATES,
            BETWEEN,
            PLANTED,
        )
        for seed in range(size.seeds)
    ]
    report.row(f"{SUITE}: Verdict, good ones at {PLANTED}", percent(each.false for each in found))
    after = ", ".join(
        f"after {j} passes {100 * np.mean([each.power[p] for each in found]):.0f}"
        for j, p in enumerate(BETWEEN)
    )
    print(f"    power at +5, %: {after}")
    false = float(np.mean([each.false for each in found]))
    report.goal("false promotions <= 5 % with true ones between", f"{100 * false:.1f} %", false <= MOST_FALSE)


def _honest(report: Goals, size: Size) -> None:
    """What a screen of which size saves where useless candidates are not bred on it."""
    report.row("5000: Verdict, candidates not bred", "units a candidate", "least power at +5, %")
    for screen in (Fraction(1, 10), Fraction(1, 4), Fraction(1, 2)):
        life = opened(Disclosure.VERDICT, screen=screen)
        found = governed(np.random.default_rng(0), life, SUITE, size.lives, CANDIDATES, PROBES, share=1.0)
        report.row(f"a screen of {screen}", f"{found.units:.0f}", f"{100 * min(found.power.values()):.1f}")


def _bought(report: Goals) -> None:
    aim = Aim()
    report.row("fresh items for looks, +5 at 80 %", "1 look", "10 looks", "200 looks", "5,000 items buy")
    for disclosure in Disclosure:
        life = opened(disclosure)
        items = [f"{units_for(life, 'task', looks, aim):,}" for looks in (1, 10, 200)]
        report.row(disclosure, *items, f"{looks_bought(life, 'task', 5000, aim)} looks")


def speed(report: Goals, size: Size, peer: Evalsig | None) -> None:
    """(b) Items to a verdict beside fixed sizes, and (c) what a clearly bad candidate costs."""
    fixed = paired_size(DESIGN.hopeless, CHANGED, DESIGN.level, POWER)
    unpaired = unpaired_size(DESIGN.hopeless, INCUMBENT, DESIGN.level, POWER)
    report.title(
        f"(b) items to a verdict at 5 %, 90 %, 3 points, 20 % changed; {size.seeds} seeds x {size.answers}"
    )
    seeds = [all_effects(np.random.default_rng(seed), CHANGED, size.answers) for seed in range(size.seeds)]
    at_design, at_null = (
        [
            verdicts(np.random.default_rng(seed), effect, CHANGED, 4 * size.answers)
            for seed in range(size.seeds)
        ]
        for effect in (DESIGN.hopeless, DESIGN.margin)
    )
    theirs = _streams(peer, seeds[0]) if peer is not None else {}
    report.row("true effect", "items: mean", "median", "pass / fail / open, %", "evalsig sequential")
    for rows in zip(*seeds, strict=True):
        each = [float(row.items.mean()) for row in rows]
        middle = [float(np.median(row.items)) for row in rows]
        won, lost = (float(np.mean([getattr(row, side) for row in rows])) for side in ("passed", "failed"))
        report.row(
            f"{rows[0].effect:+.2f}",
            Spread.of(each).text(0),
            Spread.of(middle).text(0),
            f"{100 * won:.1f} / {100 * lost:.1f} / {abs(100 * (1 - won - lost)):.1f}",
            theirs.get(rows[0].effect, ""),
        )
    whole = [float(np.mean([row.items.mean() for row in seed])) for seed in seeds]
    median = [float(np.median([row.items.mean() for row in seed])) for seed in seeds]
    report.row("mean over the effects", Spread.of(whole).text(0))
    report.row("median over the effects", Spread.of(median).text(0))
    report.row("fixed paired / fixed unpaired, each model", f"{fixed:,} / {unpaired:,}")
    random, whole_test = np.random.default_rng(0), JUDGES["fixed paired test, re-run"]
    theirs_at = [
        float(whole_test(drawn(random, np.array([fixed]), 4000, effect))[0].mean())
        for effect in (DESIGN.hopeless, DESIGN.margin)
    ]
    report.row("fixed paired: power at +3, passes at 0", *(f"{100 * share:.1f} %" for share in theirs_at))
    for name, base, least in (
        ("fixed paired", fixed, FEWER_THAN_PAIRED),
        ("fixed unpaired", unpaired, FEWER_THAN_UNPAIRED),
    ):
        ratio = Spread.of(base / items for items in whole)
        report.goal(f"{least:g}x fewer than {name}", ratio.text(2), ratio.middle >= least)
    power, false = (float(np.mean([r.passed for r in rows])) for rows in (at_design, at_null))
    report.goal("power >= 90 % at +3", f"{100 * power:.1f} %", power >= POWER)
    report.goal("false passes <= 5 % at 0", f"{100 * false:.1f} %", false <= DESIGN.level)
    _other_shares(report, size)
    report.row("log wealth, of the best bet's", "after 1,000 items", "after 5,000 items")
    for effect in (0.03, 0.05, 0.10):
        cells = ["{:.1f} of {:.1f}".format(*growth(effect, CHANGED, items)) for items in (1000, 5000)]
        report.row(f"{effect:+.2f}", *cells)
    report.title(f"(c) clearly bad: -10 points, a suite of {SUITE}")
    bad = [next(r for r in seed if r.effect == CLEARLY_BAD).items for seed in seeds]
    for share, name in ((0.5, "median"), (0.95, "95 %"), (1.0, "all")):
        report.row(f"items, {name}", Spread.of(float(np.quantile(b, share)) for b in bad).text(0))
    most = max(float(np.quantile(b, 0.95)) for b in bad)
    report.goal(
        "sent away within 1/10 of the suite", f"95 % within {most:.0f} items", most <= PART_OF_SUITE * SUITE
    )


def _other_shares(report: Goals, size: Size) -> None:
    """The same where more or fewer answers change: the stakes were laid for 20 %."""
    for changed in (0.1, 0.4):
        fixed = paired_size(DESIGN.hopeless, changed, DESIGN.level, POWER)
        found = all_effects(np.random.default_rng(99), changed, size.answers)
        items = float(np.mean([row.items.mean() for row in found]))
        report.row(
            f"{100 * changed:.0f} % changed, {len(found)} effects",
            f"{items:.0f}",
            f"fixed {fixed:,}",
            f"{fixed / items:.2f}x",
        )


def _streams(peer: Evalsig, rows: Sequence[Verdicts]) -> dict[float, str]:
    """Run evalsig's sequential gate on a few streams; it takes time in the square of their length."""
    random, found = np.random.default_rng(0), {}
    for effect in (row.effect for row in rows if row.effect in {0.05, 0.10, 0.15}):
        ends = [peer.sequential(three_valued(random, effect, CHANGED, (3000,))) for _ in range(5)]
        stopped = [items for did, items in ends if did]
        found[effect] = f"{np.mean([n for _, n in ends]):.0f}, {len(stopped)} of 5 stop"
    return found


def nulls(report: Goals, size: Size, peer: Evalsig | None) -> None:
    """(d) False passes where somebody looks at every item."""
    report.title(
        f"(d) null histories of {UNITS} units, a look at each, in %; {size.seeds} seeds x {size.nulls}"
    )
    report.row("", "ever passed", "ever failed", "z-test at each item", "evalsig sequential")
    for world in WORLDS:
        found: list[Rates] = [
            rates(np.random.default_rng(seed), world, size.nulls, peer if seed == 0 else None)
            for seed in range(size.seeds)
        ]
        theirs = found[0].evalsig
        report.row(
            world.name,
            percent(each.passed for each in found),
            percent(each.failed for each in found),
            percent(each.peeked for each in found),
            "-" if theirs is None else f"{100 * theirs:.0f}",
        )
        most = max(
            float(np.mean([each.passed for each in found])), float(np.mean([each.failed for each in found]))
        )
        report.goal(f"{world.name}: <= 5 %", f"{100 * most:.2f} %", most <= DESIGN.level)


def main() -> None:
    """Run all parts and say what was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.verdicts", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the histories: shapes, not figures")
    parser.add_argument("--seeds", type=int, help="how often everything is done anew")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    if options.seeds:
        size = replace(size, seeds=options.seeds)
    report, peer, began = Goals(), evalsig(), time.monotonic()
    print("Three figures are the least, the middle and the greatest of the seeds.")
    if peer is None:
        print("evalsig is not installed; bench/peers.py says how to put it beside.")
    stages: tuple[Callable[[Goals, Size, Evalsig | None], None], ...] = (adaptive, speed, nulls)
    for stage in stages:
        stage(report, size, peer)
    print(f"\n{time.monotonic() - began:.0f} s.")
    report.end()


if __name__ == "__main__":
    main()
