"""Null histories with ties and clusters, in which somebody looks at every item and stops when it suits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.answers import three_valued
from bench.histories import Flags, Floats, ever
from bench.peers import Evalsig
from modelecology.governance.sequential import log_wealth

UNITS = 1000
BLOCK = 200
ALPHA = 0.05
LARGEST = 6  # items of a cluster
FIRST = 30  # items before a z-test looks, and evalsig's own first look
PER_EVALSIG = 100  # histories; its stream takes time in the square of its length


@dataclass(frozen=True, slots=True)
class World:
    """A way in which differences of mean exactly margin come about: units and the items that they are of."""

    name: str
    margin: float
    draw: Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def _ties(random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    units = three_valued(random, 0.0, 0.1, (count, UNITS))
    return units, units


def _clusters(random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    sizes = random.integers(1, LARGEST + 1, (count, UNITS))
    together = three_valued(random, 0.0, 0.6, (count, UNITS))
    moves = random.random((count, UNITS, LARGEST)) < 0.7
    there = np.arange(LARGEST) < sizes[..., None]
    each = together[..., None] * (moves & there)
    # As many items as units, so that both see streams of one length.
    items = np.stack([each[row][there[row]][:UNITS] for row in range(count)])
    return each.sum(axis=-1) / sizes, items


def _skewed(random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    units = np.where(random.random((count, UNITS)) < 0.1, 0.9, -0.1)
    return units, units


def _rare(random: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    units = three_valued(random, -0.05, 0.07, (count, UNITS))
    return units, units


WORLDS = (
    World("90 % ties", 0.0, _ties),
    World("clusters of 1 to 6", 0.0, _clusters),
    World("graded, skewed", 0.0, _skewed),
    World("non-inferiority, at the margin of -5 points", -0.05, _rare),
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Share of null histories that ever passed or, asked the other way, ever failed."""

    passed: float
    failed: float
    peeked: float  # a paired z-test of items, at every one
    evalsig: float | None


def rates(random: np.random.Generator, world: World, histories: int, peer: Evalsig | None) -> Rates:
    """Look at every item of every history."""
    passed, failed, peeked = [], [], []
    goal = np.log(1 / ALPHA)
    for _ in range(histories // BLOCK):
        units, items = world.draw(random, BLOCK)
        passed.append(log_wealth(units, world.margin).max(axis=-1) >= goal)
        failed.append(log_wealth(-units, -world.margin).max(axis=-1) >= goal)
        peeked.append(_peeked(items - world.margin))
    theirs = None
    if peer is not None:
        _, items = world.draw(random, PER_EVALSIG)
        theirs = float(np.mean([peer.sequential(each)[0] for each in items - world.margin]))
    return Rates(float(np.mean(passed)), float(np.mean(failed)), float(np.mean(peeked)), theirs)


def _peeked(items: Floats) -> Flags:
    n = np.arange(1, items.shape[1] + 1)
    total, squares = np.cumsum(items, axis=1), np.cumsum(items**2, axis=1)
    spread = np.sqrt(np.maximum(squares - total**2 / n, 1e-12))
    return ever((total / spread)[:, FIRST:] >= 1.6449)
