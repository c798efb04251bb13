"""Levels that share Z'Z taken as one, against the same model level by level."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from recovery_stats.engines import lmm
from recovery_stats.engines.lmm_alike import FEWEST, alike
from recovery_stats.engines.lmm_groups import Problem, RandomFactor
from recovery_stats.engines.lmm_single import sums
from tests.tolerance import EXACT


def scheduled(slopes: int, *, by_wave: bool = False) -> tuple[np.ndarray, ...]:
    """X, y, codes, Z of 3,000 people at six scheduled waves, of which they miss some."""
    r = np.random.default_rng(31 + slopes)
    codes = np.repeat(np.arange(3_000), 6)
    time = np.tile(np.arange(6.0), 3_000)
    kept = (r.random(codes.size) < 0.8) | (time == 0)
    codes, time = codes[kept], time[kept]
    if by_wave:
        order = np.argsort(time, kind="stable")
        codes, time = codes[order], time[order]
    Z = np.vander(time, slopes + 1, increasing=True)
    X = np.column_stack([np.ones_like(time), time, r.normal(size=time.size)])
    effects = r.normal(size=(3_000, slopes + 1)) * [0.9, 0.3, 0.1][: slopes + 1]
    y = X @ [2.0, -0.2, 0.4] + (Z * effects[codes]).sum(1) + r.normal(size=time.size)
    return X, y, codes, Z


def problem_of(slopes: int, *, by_wave: bool = False, reml: bool = True) -> Problem:
    X, y, codes, Z = scheduled(slopes, by_wave=by_wave)
    blocks = (tuple(range(slopes + 1)),)
    factor = RandomFactor(codes, 3_000, Z, blocks)
    return lmm.prepare(X, y, [factor], reml=reml)[0]


@pytest.mark.parametrize("slopes", [0, 1, 2])
@pytest.mark.parametrize("by_wave", [False, True])
def test_every_sum_is_that_over_levels(slopes: int, by_wave: bool) -> None:
    problem = problem_of(slopes, by_wave=by_wave)
    assert problem.alike is not None
    assert problem.alike.count.sum() == 3_000
    L = np.tril(np.random.default_rng(2).normal(size=(slopes + 1, slopes + 1)))
    together, alone = sums(problem, L), sums(replace(problem, alike=None), L)
    for field in fields(together):
        one, other = getattr(together, field.name), getattr(alone, field.name)
        assert np.allclose(one, other, rtol=EXACT, atol=EXACT * np.abs(other).max())


@pytest.mark.parametrize("reml", [False, True])
def test_the_fit_is_that_over_levels(reml: bool) -> None:
    problem = problem_of(1, reml=reml)
    together, _ = lmm.minimise(problem)
    alone, _ = lmm.minimise(replace(problem, alike=None))
    assert np.allclose(together.theta, alone.theta, rtol=1e-9)
    assert together.criterion == pytest.approx(alone.criterion, rel=1e-13)


def test_levels_that_differ_stay_alone() -> None:
    r = np.random.default_rng(4)
    m = 2 * FEWEST
    R, c = np.abs(r.normal(size=(1, 1, m))), r.normal(size=(1, 3, m))
    assert alike(R, c) is None
    R[:] = r.integers(1, 9, m)
    found = alike(R, c)
    assert found is not None
    assert found.R.shape[2] == 8
    assert alike(R[:, :, : FEWEST - 1], c[:, :, : FEWEST - 1]) is None
