"""Histories of useless candidates, each bred from what was told of the ones before.

A candidate is what it does to each unit of the suite: better, the same or worse than the incumbent. A child
behaves like its parent except on a share of the units, where its behaviour is drawn anew; so its true effect
is 0 like the parent's, and only its luck on this suite can be bred. Units of one part are alike, so parts are
counted and not listed: that is exact, and fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from modelecology.api.vocabulary import Disclosure
from modelecology.governance.looks import Look, SuiteLife
from modelecology.governance.sequential import log_wealth_of

Counts = NDArray[np.int64]  # along the last axis: units that got better, stayed, got worse
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

VALUES = np.array([1.0, 0.0, -1.0])
ALPHA = Fraction(1, 20)
CHANGED = 0.2  # share of the units on which candidate and incumbent differ
GOOD = 0.05  # true effect of the candidate that should be found
HOPELESS, HOPELESS_LEVEL = 0.03, 0.1  # the screen sends away what is not 3 points better
BRED = 0.2  # share of the units on which a child is drawn anew
SCREEN = Fraction(1, 4)
SCREEN_PARTS = 10
FULL_PART = 50  # units of a chunk, where every chunk is fresh
PEEKS = 50

Judge = Callable[[Counts], tuple[Flags, Floats]]  # whether they pass, and the score that is told


@dataclass(frozen=True, slots=True)
class Lives:
    """What became of many suites' lives."""

    false: float  # share of the lives with a useless candidate promoted
    power: dict[int, float]  # by place in the history: share in which a good candidate would be promoted then
    proofs: float  # looks a life
    units: float  # met by a useless candidate
    level: float  # of the last look, median


def chances(effect: float) -> Floats:
    """Chances of better, same and worse with this true effect."""
    return np.array([(CHANGED + effect) / 2, 1 - CHANGED, (CHANGED - effect) / 2])


def drawn(random: np.random.Generator, sizes: Counts, lives: int, effect: float = 0.0) -> Counts:
    """New candidates with a true effect: their counts in each part of each life's suite."""
    return random.multinomial(np.broadcast_to(sizes, (lives, len(sizes))), chances(effect))


def bred(random: np.random.Generator, parents: Counts, share: float = BRED) -> Counts:
    """Children, which behave like their parents except on a share of the units."""
    kept = random.binomial(parents, 1 - share)
    anew = parents.sum(axis=-1) - kept.sum(axis=-1)
    return kept + random.multinomial(anew, chances(0.0))


def parts(units: int, count: int) -> Counts:
    """Cut units into parts of about one size."""
    ends = np.linspace(0, units, count + 1).astype(np.int64)
    return ends[1:] - ends[:-1]


def means(counts: Counts) -> Floats:
    """Mean difference of so many units."""
    found: Floats = (counts @ VALUES) / np.maximum(counts.sum(axis=-1), 1)
    return found


def ever(reached: Flags) -> Flags:
    """Whether any place along the last axis reached it."""
    found: Flags = np.any(reached, axis=-1)
    return found


def first(reached: Flags) -> NDArray[np.intp]:
    """Place of the first part that reached it along the last axis, or of the last part where none did."""
    found: NDArray[np.intp] = np.where(ever(reached), reached.argmax(axis=-1), reached.shape[-1] - 1)
    return found


def at(cumulated: Counts, places: NDArray[np.intp]) -> Counts:
    """Take each life's counts up to its own place."""
    found: Counts = cumulated[np.arange(len(places)), places]
    return found


def screened(counts: Counts) -> tuple[Flags, Counts]:
    """Judge the screen part by part: who is sent away, and the counts met until then."""
    cumulated = counts.cumsum(axis=1)
    reached: Flags = log_wealth_of(-VALUES, cumulated, -HOPELESS) >= np.log(1 / HOPELESS_LEVEL)
    return ever(reached), at(cumulated, first(reached))


def proved(counts: Counts, levels: Floats) -> tuple[Flags, Counts]:
    """Judge the proof part by part at each life's level: who passes, and the counts met until then."""
    cumulated = counts.cumsum(axis=1)
    with np.errstate(divide="ignore"):
        reached: Flags = log_wealth_of(VALUES, cumulated, 0.0) >= -np.log(levels)[:, None]
    return ever(reached), at(cumulated, first(reached))


def governed(
    random: np.random.Generator,
    start: SuiteLife,
    units: int,
    lives: int,
    candidates: int,
    probes: Sequence[int],
    good: Sequence[int] = (),
    share: float = BRED,
) -> Lives:
    """Live under a SuiteLife, with screen and proof; the adversary climbs on the screen and on told leads.

    At each probe it is seen whether a good candidate would be promoted, without a consequence for the life.
    At the places in good a good one really comes, and what passes becomes the incumbent.
    """
    screen = len(start.screened(units))
    sizes = np.concatenate([parts(screen, SCREEN_PARTS), parts(units - screen, start.stops)])
    state = [start] * lives
    lineage = drawn(random, sizes, lives)
    score = np.full(lives, -np.inf)
    climbing = np.zeros(lives, dtype=bool)  # on leads, once one was told
    false = np.zeros(lives, dtype=bool)
    power: dict[int, float] = {}
    met, proofs = 0.0, 0
    for place in range(1, candidates + 1):
        levels = np.array([float(level) for level in _shared(state, lambda life: life.next_level())])
        if place in probes:
            probe = drawn(random, sizes, lives, GOOD)
            away, _ = screened(probe[:, :SCREEN_PARTS])
            power[place] = float(np.mean(~away & proved(probe[:, SCREEN_PARTS:], levels)[0]))
        useless = place not in good
        children = bred(random, lineage, share) if useless else drawn(random, sizes, lives, GOOD)
        away, seen = screened(children[:, :SCREEN_PARTS])
        passed, proof = proved(children[:, SCREEN_PARTS:], levels)
        passed &= ~away
        false |= passed & useless
        leads = [
            None if gone else life.lead(mean)
            for life, mean, gone in zip(state, means(proof), away, strict=True)
        ]
        state = _after(state, passed, leads, away)
        proofs += int((~away).sum())
        met += float((seen.sum(axis=-1) + np.where(away, 0, proof.sum(axis=-1))).mean())
        told = np.array([lead is not None for lead in leads])
        better = useless & (told | (~climbing & (means(seen) > score)))  # its line stays useless
        lineage[better] = children[better]
        score = np.where(better, means(seen), score)
        climbing |= told & useless
        if passed.any():  # another incumbent: the adversary begins again
            lineage[passed] = drawn(random, sizes, int(passed.sum()))
            score[passed], climbing[passed] = -np.inf, False
    return Lives(float(false.mean()), power, proofs / lives, met / candidates, float(np.median(levels)))


def fresh(
    random: np.random.Generator,
    start: SuiteLife,
    units: int,
    lives: int,
    candidates: int,
    probes: Sequence[int],
) -> Lives:
    """Live with full results: each unit is met once, so what was bred on earlier ones is chance on these.

    A candidate that finds too few units left is not promoted.
    """
    left = np.full(lives, units)
    false = np.zeros(lives, dtype=bool)
    power: dict[int, float] = {}
    life, met, level = start, 0.0, 0.0
    for place in range(1, candidates + 1):
        level = float(life.next_level())
        if place in probes:
            power[place] = float(np.mean(_streamed(random, left, level, GOOD)[0]))
        passed, used = _streamed(random, left, level, 0.0)
        false |= passed
        left = left - used
        met += float(used.mean())
        life = life.after(Look(False))  # a pass costs nothing here, and the items are counted above
    return Lives(float(false.mean()), power, float(candidates), met / candidates, level)


def ungoverned(
    random: np.random.Generator, judge: Judge, units: int, lives: int, candidates: int, cut: int = 1
) -> tuple[float, float, float]:
    """Run one fixed suite again and again, tell the score, breed from the best.

    Gives the share of first candidates promoted, of lives with one promoted, and of good candidates promoted.
    """
    sizes = parts(units, cut)
    lineage = drawn(random, sizes, lives)
    passed, score = judge(lineage)
    alone, false = float(passed.mean()), passed
    for _ in range(candidates - 1):
        children = bred(random, lineage)
        passed, told = judge(children)
        false = false | passed
        better = told > score
        lineage[better] = children[better]
        score = np.maximum(score, told)
    return alone, float(false.mean()), float(judge(drawn(random, sizes, lives, GOOD))[0].mean())


def _streamed(
    random: np.random.Generator, left: NDArray[np.int64], level: float, effect: float
) -> tuple[Flags, NDArray[np.int64]]:
    """Judge candidates on fresh chunks until each has passed, is hopeless, or finds no chunk left."""
    lives = len(left)
    counts = np.zeros((lives, 3), dtype=np.int64)
    passed = np.zeros(lives, dtype=bool)
    running = np.flatnonzero(left >= FULL_PART)
    goal = -np.log(level) if level > 0 else np.inf
    while len(running):
        counts[running] += random.multinomial(np.full(len(running), FULL_PART), chances(effect))
        now = counts[running]
        won = log_wealth_of(VALUES, now, 0.0) >= goal
        lost = log_wealth_of(-VALUES, now, -HOPELESS) >= np.log(1 / HOPELESS_LEVEL)
        passed[running] = won
        room = left[running] - now.sum(axis=-1) >= FULL_PART
        running = running[~won & ~lost & room]
    return passed, counts.sum(axis=-1)


def _shared(state: Sequence[SuiteLife], figure: Callable[[SuiteLife], Fraction]) -> list[Fraction]:
    """Take a figure of each life; lives that went alike are one object, asked once."""
    known = {id(life): figure(life) for life in {id(life): life for life in state}.values()}
    return [known[id(life)] for life in state]


def _after(
    state: Sequence[SuiteLife], passed: Flags, leads: Sequence[int | None], away: Flags
) -> list[SuiteLife]:
    known: dict[tuple[int, bool, int | None], SuiteLife] = {}
    following = []
    for life, did, lead, gone in zip(state, passed.tolist(), leads, away.tolist(), strict=True):
        if gone:  # a candidate that the screen sent away is no look at the proof
            following.append(life)
            continue
        key = (id(life), did, lead)
        if key not in known:
            known[key] = life.after(Look(did, lead))
        following.append(known[key])
    return following


def opened(disclosure: Disclosure, grid: int = 20, screen: Fraction = SCREEN) -> SuiteLife:
    """A suite's life under the bench's policy: 5 %, planned for 200 looks."""
    return SuiteLife(ALPHA, disclosure, grid=grid, screen=screen)
