"""Moments of incomplete normal rows and Little's test: Anderson's closed form, lavaan, naniar."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recovery_stats.engines.normal_missing import fit, little, patterns
from tests.tolerance import CONVERGED, MONTE_CARLO_SES

R = json.loads(Path(__file__).with_name("normal_missing.json").read_text())


def matrix(case):
    columns = [[np.nan if v is None else v for v in c] for c in R[case]["data"].values()]
    return np.column_stack(columns).astype(float)


def two(n=50, lost=20, seed=3):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((n, 2)) @ np.array([[1, 0.6], [0, 1.1]])
    y[:lost, 1] = np.nan
    return y, lost


def test_without_gaps_it_is_the_sample():
    Y = two()[0][20:]
    found = fit(Y)
    assert found.mean == pytest.approx(Y.mean(axis=0), abs=CONVERGED)
    assert found.covariance == pytest.approx(np.cov(Y.T, ddof=0), abs=CONVERGED)


def test_andersons_closed_form_for_one_column_with_gaps():
    Y, lost = two()
    x, seen = Y[:, 0], Y[lost:]
    S = np.cov(seen.T, ddof=0)
    slope = S[0, 1] / S[0, 0]
    mean = seen[:, 1].mean() + slope * (x.mean() - seen[:, 0].mean())
    variance = S[1, 1] - slope * S[0, 1] + slope**2 * x.var()
    found = fit(Y)
    assert found.mean == pytest.approx([x.mean(), mean], abs=CONVERGED)
    assert found.covariance[1, 1] == pytest.approx(variance, abs=CONVERGED)
    assert found.covariance[0, 1] == pytest.approx(slope * x.var(), abs=CONVERGED)


def test_for_one_column_with_gaps_little_compares_the_other_column():
    """The statistic collapses to a comparison of x between those with and without y."""
    Y, lost = two()
    x, n = Y[:, 0], len(Y)
    gap = x[:lost].mean() - x[lost:].mean()
    expected = lost * (n - lost) / n * gap**2 / x.var()
    found = little(Y)
    assert found.statistic == pytest.approx(expected, rel=CONVERGED)
    assert (found.df, found.patterns, found.rows) == (1, 2, n)


@pytest.mark.parametrize("case", ["air", "waves"])
def test_lavaan_has_the_same_moments_and_statistic(case):
    Y = matrix(case)
    found, test = fit(Y), little(Y)
    assert found.converged
    assert found.mean == pytest.approx(np.array(R[case]["mean"]), rel=1e-7)
    assert found.covariance == pytest.approx(np.array(R[case]["cov"]), rel=1e-7)
    assert test.statistic == pytest.approx(R[case]["statistic"], rel=1e-7)
    assert (test.df, test.patterns) == (R[case]["df"], R[case]["patterns"])


def test_airquality_as_naniar_prints_it():
    found = little(matrix("air"))
    assert found.statistic == pytest.approx(35.1061288689702, rel=1e-5)  # its EM stops sooner
    assert found.p == pytest.approx(0.00141778113856683, rel=1e-4)
    assert (found.df, found.patterns) == (14, 4)


def test_units_and_empty_rows_do_not_matter():
    Y = matrix("waves")
    moved = np.vstack([Y * [1e3, 1e-3, 5] + [7, 0, -1e4], np.full((3, 3), np.nan)])
    one, other = little(Y), little(moved)
    assert other.statistic == pytest.approx(one.statistic, rel=1e-7)
    assert other.rows == one.rows
    assert sum(part.n for part in patterns(moved)) == one.rows


def test_no_gaps_no_test():
    found = little(two()[0][20:])
    assert (found.df, found.p) == (0, 1.0)


def test_it_rejects_as_often_as_it_says_when_values_are_lost_at_random():
    rng, n, rejected = np.random.default_rng(12), 400, 0
    for _ in range(n):
        Y = rng.standard_normal((300, 3)) @ np.array([[1, 0.5, 0.3], [0, 1, 0.4], [0, 0, 1]])
        Y[:, 1:][rng.random((300, 2)) < 0.3] = np.nan
        rejected += little(Y).p < 0.05
    assert abs(rejected / n - 0.05) < MONTE_CARLO_SES * np.sqrt(0.05 * 0.95 / n)
