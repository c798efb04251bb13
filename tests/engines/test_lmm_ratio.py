"""Likelihood ratios of simulated rows: the same as fitting those rows."""

from __future__ import annotations

import numpy as np
import pytest

from recovery_stats.engines import lmm, lmm_ratio
from recovery_stats.engines.lmm_ratio import Design
from tests.engines.lmm_example import example
from tests.tolerance import SETTLED


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("small", "large"), [("intercept", "slope"), ("intercept", "crossed")])
def test_ratios_are_those_of_fits_to_the_rows(small: str, large: str, reml: bool) -> None:
    X, y, factors = example(large)
    first = factors[0]
    intercept = lmm.RandomFactor(first.codes, first.levels, first.Z[:, :1], ((0,),))
    chosen = [intercept] if large == "slope" else factors[1:]
    weights = 0.5 + np.arange(len(y)) % 4
    fits = [lmm.fit(X, y, f, reml=reml, weights=weights) for f in (chosen, factors)]
    designs = [Design(fit, X, f) for fit, f in zip(fits, (chosen, factors), strict=True)]
    ours = lmm_ratio.ratios(*designs, 6, np.random.default_rng(3), weights=weights)
    rng = np.random.default_rng(3)
    size = 6 if large == "slope" else 1
    rows = [lmm_ratio._rows(designs[0], size, weights, rng) for _ in range(6 // size)]
    for r, row in enumerate(np.hstack(rows).T):
        outcome = row / np.sqrt(weights)
        alone = [
            lmm.fit(X, outcome, f, reml=reml, weights=weights).criterion for f in (chosen, factors)
        ]
        assert ours[r] == pytest.approx(alone[0] - alone[1], abs=SETTLED)
    assert (ours > -SETTLED).all()
