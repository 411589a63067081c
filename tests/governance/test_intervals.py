"""Bounds: against published values, and by coverage over seeded histories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.governance.intervals import (
    FEW_CHANGES,
    FEW_UNITS,
    clopper_pearson,
    mcnemar,
    of_mean,
    tango,
)

HISTORIES = 1500
NOISE = 0.02  # three standard errors of a coverage of 95 % over so many histories


@pytest.mark.parametrize(
    ("gained", "lost", "n", "low", "high"),
    [
        (0, 1, 44, -0.096, 0.037),  # Tango 1998, Statistics in Medicine 17, the soft contact lenses: 90 %
        (28, 25, 618, -0.0148, 0.0247),  # R, PropCIs 0.3-0, scoreci.mp(25, 28, 618, 0.90)
    ],
)
def test_tango_gives_the_published_intervals(gained: int, lost: int, n: int, low: float, high: float) -> None:
    found = tango(gained, lost, n, 0.95)  # one-sided 95 % on both sides is two-sided 90 %
    assert found.low == pytest.approx(low, abs=5e-4 if n < 100 else 5e-5)
    assert found.high == pytest.approx(high, abs=5e-4 if n < 100 else 5e-5)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 300))
    gained = draw(st.integers(0, n))
    return gained, draw(st.integers(0, n - gained)), n


@given(tables(), st.floats(0.5, 0.999))
def test_tango_holds_the_point_and_mirrors(table: tuple[int, int, int], confidence: float) -> None:
    gained, lost, n = table
    found, mirrored = tango(gained, lost, n, confidence), tango(lost, gained, n, confidence)
    assert -1 <= found.low <= (gained - lost) / n <= found.high <= 1
    assert found.low == pytest.approx(-mirrored.high, abs=1e-8)


@given(tables())
def test_more_confidence_is_a_wider_interval(table: tuple[int, int, int]) -> None:
    narrow, wide = tango(*table, 0.8), tango(*table, 0.99)
    assert wide.low <= narrow.low + 1e-9
    assert wide.high >= narrow.high - 1e-9


@pytest.mark.parametrize(("gain", "loss"), [(0.1, 0.1), (0.3, 0.05), (0.02, 0.1), (0.25, 0.25)])
@pytest.mark.parametrize("n", [40, 100])
def test_tango_covers_the_truth_as_often_as_it_says(gain: float, loss: float, n: int) -> None:
    random = np.random.default_rng(7)
    counts = random.multinomial(n, (gain, loss, 1 - gain - loss), HISTORIES)
    found = {(int(b), int(c)): tango(int(b), int(c), n, 0.95) for b, c in np.unique(counts[:, :2], axis=0)}
    truth = gain - loss
    low = np.mean([found[int(b), int(c)].low <= truth for b, c, _ in counts])
    high = np.mean([found[int(b), int(c)].high >= truth for b, c, _ in counts])
    # A score interval is nominal on average over truths; a single one may be a little below.
    assert low >= 0.95 - NOISE - 0.01
    assert high >= 0.95 - NOISE - 0.01


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.5, 0.97])
def test_clopper_pearson_never_covers_less_than_it_says(truth: float) -> None:
    counts = np.random.default_rng(8).binomial(60, truth, HISTORIES)
    found = {int(k): clopper_pearson(int(k), 60, 0.95) for k in np.unique(counts)}
    assert np.mean([found[int(k)].low <= truth for k in counts]) >= 0.95 - NOISE
    assert np.mean([found[int(k)].high >= truth for k in counts]) >= 0.95 - NOISE


def test_clopper_pearson_gives_the_rule_of_three() -> None:
    assert clopper_pearson(0, 60, 0.95).low == 0
    assert clopper_pearson(0, 60, 0.95).high == pytest.approx(1 - 0.05 ** (1 / 60))
    assert clopper_pearson(60, 60, 0.95).high == 1


def test_clusters_of_graded_scores_are_covered_as_often_as_the_bound_says() -> None:
    random = np.random.default_rng(9)
    truth, histories = 0.05, 300
    low = high = 0
    for _ in range(histories):
        units = np.clip(truth + 0.2 * random.standard_normal(50), -1, 1)
        found = of_mean(units, 0.95, -1, 1)
        low += found.low <= truth
        high += found.high >= truth
    assert low / histories >= 0.95 - 0.04  # three standard errors of fewer histories
    assert high / histories >= 0.95 - 0.04


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_rare_harm_is_covered_where_a_bootstrap_would_see_none(share: float) -> None:
    random = np.random.default_rng(10)
    truth = -share
    covered = [
        of_mean(-(random.random(60) < share).astype(np.float64), 0.95, -1, 1).low <= truth for _ in range(300)
    ]
    assert np.mean(covered) >= 0.95 - 0.04


def test_equal_units_are_not_certainty() -> None:
    found = of_mean(np.zeros(30), 0.95, -1, 1)
    assert found.low == pytest.approx(-(1 - 0.05 ** (1 / 30)))
    assert found.high == pytest.approx(-found.low)


def test_few_units_get_the_bound_of_hoeffding() -> None:
    units = np.linspace(-0.2, 0.3, FEW_UNITS - 1)
    found = of_mean(units, 0.95, -1, 1)
    assert found.high - units.mean() == pytest.approx(units.mean() - found.low)
    assert found.high - found.low > 1.5
    assert len(units) > FEW_CHANGES


def test_equal_evidence_gives_equal_bounds() -> None:
    units = np.random.default_rng(1).random(400)
    assert of_mean(units, 0.95, 0, 1) == of_mean(units.copy(), 0.95, 0, 1)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar(5, 0) == mcnemar(0, 5)
    assert mcnemar(4, 4) == 1
