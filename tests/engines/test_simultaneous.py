"""Chances of the largest of several t statistics, held by closed forms, tables and R."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, norm
from scipy.stats import t as t_distribution

from recovery_stats.engines.simultaneous import (
    largest_isf,
    largest_sf,
    range_isf,
    range_sf,
)
from tests.tolerance import CLOSED_FORM, LATTICE, PRINTED_2


def equal(k: int, rho: float = 0.5) -> np.ndarray:
    return np.full((k, k), rho) + (1.0 - rho) * np.eye(k)


def by_quadrature(t: float, k: int, df: float, rho: float) -> float:
    """Equal correlations: one common normal, one common root, each integrated by Gauss's rule."""
    z, w = np.polynomial.hermite_e.hermegauss(120)
    x, v = np.polynomial.legendre.leggauss(400)
    s = np.sqrt(chi2.ppf((x + 1) / 2, df) / df)[:, None]
    a, b = np.sqrt(rho), np.sqrt(1 - rho)
    each = norm.cdf((t * s - a * z) / b) - norm.cdf((-t * s - a * z) / b)
    return 1.0 - float((v / 2) @ each**k @ (w / w.sum()))


@pytest.mark.parametrize(("t", "k", "df", "rho"), [(2.5, 3, 20, 0.5), (2.2, 6, 7.3, 0.3)])
def test_equal_correlations(t: float, k: int, df: float, rho: float) -> None:
    assert largest_sf(t, equal(k, rho), df) == pytest.approx(
        by_quadrature(t, k, df, rho), abs=LATTICE
    )


def test_one_statistic_and_independent_ones() -> None:
    assert largest_sf(-2.1, np.eye(1), 9.4) == pytest.approx(
        2 * t_distribution.sf(2.1, 9.4), rel=CLOSED_FORM
    )
    alone = 2 * norm.sf(2.1)
    assert largest_sf(2.1, np.eye(4), np.inf) == pytest.approx(1 - (1 - alone) ** 4, abs=1e-12)


def test_a_general_correlation_against_mvtnorm() -> None:
    """pmvt(GenzBretz(1e7, 1e-8)) said 0.1420451 with error 6e-7; 1 - pmvnorm(Miwa) 0.0596503."""
    R = np.array([[1, 0.7, 0.2], [0.7, 1, -0.4], [0.2, -0.4, 1.0]])
    assert largest_sf(2.2, R, 7) == pytest.approx(0.142045052, abs=LATTICE)
    assert largest_sf(2.5, equal(6), np.inf) == pytest.approx(0.0596502932, abs=LATTICE)


@pytest.mark.parametrize(("k", "df", "printed"), [(2, 20, 2.38), (3, 20, 2.54), (9, 20, 2.95)])
def test_dunnetts_table(k: int, df: float, printed: float) -> None:
    """Two-sided 5 % points of Dunnett 1964, table II."""
    assert largest_isf(0.05, equal(k), df) == pytest.approx(printed, abs=PRINTED_2)


def test_repeated_statistics_count_once() -> None:
    assert largest_sf(2.0, np.ones((3, 3)), 12.0) == pytest.approx(
        2 * t_distribution.sf(2.0, 12.0), abs=LATTICE
    )


def test_studentised_range_against_ptukey() -> None:
    assert range_sf(2.5, 4, 13.7) == pytest.approx(0.104324357699573, abs=1e-9)
    assert range_sf(2.5, 4, np.inf) == pytest.approx(0.0598940107277548, abs=1e-9)
    assert range_isf(0.05, 4, 13.7) == pytest.approx(2.91465117491, abs=1e-7)


def test_all_pairs_of_balanced_means_are_tukeys() -> None:
    pairs = np.array([(1, -1, 0), (1, 0, -1), (0, 1, -1)]) / np.sqrt(2)
    assert largest_sf(2.5, pairs @ pairs.T, 13.7) == pytest.approx(
        range_sf(2.5, 3, 13.7), abs=10 * LATTICE
    )
