"""Few rows, in one matrix or by running totals: the definition, and the sums of many rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recovery_stats.engines import cox, cox_dense, cox_likelihood, cox_ordered, cox_residual
from tests.engines.test_cox import brute_loglik, draw, gradient
from tests.tolerance import CLOSED_FORM, EXACT, HALF_DIGITS

Array = NDArray[np.float64]
KEPT = [(), ("strata",), ("weights",), ("weights", "offset"), ("strata", "weights", "offset")]
CASES = [(layout, entry, kept)
         for layout in (cox_dense, cox_ordered) for entry in (False, True) for kept in KEPT
         if layout is cox_dense or not (entry or "strata" in kept)]  # fmt: skip


def drawn(entry: bool, tied: bool, kept: tuple[str, ...]) -> dict[str, Any]:
    data = draw(3, ties=tied, entry=entry)
    for name in ("strata", "weights", "offset"):
        data[name] = data[name] if name in kept else None
    return data


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("layout", "entry", "kept"), CASES)
def test_likelihood_by_definition(
    ties: Any, tied: bool, layout: Any, entry: bool, kept: tuple[str, ...]
) -> None:
    data = drawn(entry, tied, kept)
    given = cox_dense.Rows(**data)
    few = layout.prepare(given, ties)
    sums = cox_likelihood.prepare(*given, ties)
    np.testing.assert_allclose(few.scale, sums.scale, rtol=EXACT)
    for beta in (np.zeros(2), np.array([0.7, -0.4])):
        here = layout.evaluate(few, beta * few.scale)
        there = cox_likelihood.evaluate_moments(sums, beta * sums.scale)
        assert here is not None
        assert there is not None
        assert here.loglik == pytest.approx(brute_loglik(data, beta, ties), rel=CLOSED_FORM)
        np.testing.assert_allclose(
            here.score * few.scale,
            gradient(data, beta, ties),
            rtol=HALF_DIGITS,
            atol=HALF_DIGITS,
        )
        np.testing.assert_allclose(here.information, there.information, rtol=CLOSED_FORM)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("entry", [False, True])
@pytest.mark.parametrize("kept", KEPT)
def test_the_fit_is_that_of_many_rows(
    ties: Any, entry: bool, kept: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = drawn(entry, True, kept)
    few = cox.fit(**data, ties=ties)
    monkeypatch.setattr(cox_dense, "MOST_CELLS", 0)
    monkeypatch.setattr(cox_ordered, "MOST_CELLS", 0)
    many = cox.fit(**data, ties=ties)
    for name in ("beta", "covariance", "loglik_null", "loglik", "score_statistic", "wald"):
        np.testing.assert_allclose(getattr(few, name), getattr(many, name), rtol=CLOSED_FORM)
    assert (few.n, few.n_events, few.idle_strata) == (many.n, many.n_events, many.idle_strata)
    np.testing.assert_allclose(few.scaled_beta, many.scaled_beta, rtol=CLOSED_FORM)
    residuals = cox_residual.martingale(few)
    np.testing.assert_allclose(residuals, cox_residual.martingale(many), atol=CLOSED_FORM)


def test_rows_never_at_risk_count_for_nothing() -> None:
    """Two people censored before the first event: not in the mean, the scale or any sum."""
    stop = np.array([0.5, 0.7, 1, 2, 3, 4, 5, 6])
    event = np.array([0, 0, 1, 1, 0, 1, 1, 1])
    x = np.array([[90.0], [80], [1], [0], [2], [1], [3], [1]])
    whole, part = cox.fit(x, stop, event), cox.fit(x[2:], stop[2:], event[2:])
    np.testing.assert_allclose(whole.beta, part.beta, rtol=CLOSED_FORM)
    assert whole.loglik == pytest.approx(part.loglik, rel=EXACT)


def test_many_ties_are_left_to_other_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    data = drawn(False, True, ())
    few = cox.fit(**data)
    cells = data["X"].size + len(data["X"])
    monkeypatch.setattr(cox_ordered, "MOST_CELLS", cells)
    data["stop"] = np.ceil(data["stop"] / data["stop"].max() * 2)
    given = cox_dense.Rows(**data)
    assert cox_ordered.suits(given)
    assert cox_ordered.prepare(given, "efron") is None
    assert cox_ordered.prepare(given, "breslow") is not None
    crowded = cox.fit(**data)
    monkeypatch.setattr(cox_dense, "MOST_CELLS", 0)
    np.testing.assert_allclose(crowded.beta, cox.fit(**data).beta, rtol=CLOSED_FORM)
    assert np.abs(crowded.beta - few.beta).max() > HALF_DIGITS


def test_it_suits_few_rows_with_events_only() -> None:
    assert cox_dense.suits(228, 165)
    assert not cox_dense.suits(228, 0)
    assert not cox_dense.suits(100_000, 1)
