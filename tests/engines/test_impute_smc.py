"""Compatible draws: exact conditional distributions, Breslow's hazard, rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from recovery_stats.engines import impute as engine
from recovery_stats.engines import impute_smc as smc
from recovery_stats.engines.linalg import Array
from tests.tolerance import EXACT, MONTE_CARLO_SES

NONE = np.array([0])
MANY = 300  # copies of each row or cluster, so that few visits give many draws


@dataclass(frozen=True)
class Known:
    """A model whose parameters are known."""

    likelihood: smc.Likelihood

    def drawn(self, state: engine.State, rng: np.random.Generator) -> smc.Likelihood:
        return self.likelihood


@dataclass(frozen=True)
class Prior:
    """A covariate that is normal(0, 1), or 1 with a known chance."""

    chance: float | None = None

    def proposer(
        self, state: engine.State, rng: np.random.Generator, target: engine.Target
    ) -> smc.Propose:
        size = target.missing.size
        if self.chance is None:
            return lambda: rng.standard_normal(size)
        return lambda: (rng.random(size) < self.chance).astype(float)


@dataclass(frozen=True)
class Row:
    """A variable as it is."""

    row: int

    def __call__(self, values: Array) -> Array:
        return values[self.row]


def _surface(*pieces: smc.Piece) -> smc.Surface:
    return smc.Surface(((), *((p,) for p in pieces)))


def _drawn(values: Array, likelihood: smc.Likelihood, prior: Prior, **target: object) -> Array:
    """The draws of the variable in row 0, (visits, n)."""
    rng = np.random.default_rng(1)
    state = engine.State(values.copy(), np.ones((1, values.shape[1])))
    units = target.pop("units", None)
    everyone = np.arange(values.shape[1])
    asked = {"missing": everyone, "observed": NONE[:0], **target}
    method = smc.Compatible(prior, Known(likelihood), units, 5)  # type: ignore[arg-type]
    aim = engine.Target("x", 0, predictors=NONE, method=method, **asked)  # type: ignore[arg-type]
    kept = []
    for _ in range(150):
        engine.put(state, aim, method.draw(state, aim, rng))
        kept.append(state.values[0].copy())
    return np.array(kept[50:])


def _folded(draws: Array, width: int) -> Array:
    """Copies of the same `width` columns below each other."""
    return draws.reshape(-1, width)


def test_a_model_without_terms_has_no_columns() -> None:
    assert smc.Surface(())(np.ones((2, 7))).shape == (0, 7)
    np.testing.assert_array_equal(smc.Surface(((),))(np.ones((2, 7))), np.ones((1, 7)))


def test_a_yes_or_no_by_bayes_theorem() -> None:
    y = np.tile([0.0, 1.0], MANY)
    likelihood = smc.Chances(_surface(Row(0)), 1, np.array([-0.5, 1.2]))
    found = _folded(_drawn(np.vstack([0 * y, y]), likelihood, Prior(0.3)), 2).mean(axis=0)
    one, zero = 1 / (1 + np.exp(-0.7)), 1 / (1 + np.exp(0.5))
    for k, (a, b) in enumerate(((1 - one, 1 - zero), (one, zero))):
        assert found[k] == pytest.approx(0.3 * a / (0.3 * a + 0.7 * b), abs=0.015)


def test_a_number_by_the_conditional_normal() -> None:
    seen = np.array([-1.0, 0.5, 2.0])
    y = np.tile(seen, MANY)
    likelihood = smc.Straight(_surface(Row(0)), 1, np.array([0.0, 2.0]), 1.0)
    found = _folded(_drawn(np.vstack([0 * y, y]), likelihood, Prior()), 3)
    np.testing.assert_allclose(found.mean(axis=0), 2 * seen / 5, atol=0.02)
    np.testing.assert_allclose(found.var(axis=0), 0.2, rtol=0.06)


def test_a_square_by_numerical_integration() -> None:
    values = np.tile([[0.0], [1.5]], MANY)
    surface = _surface(smc.Computed(lambda g: g["x"] ** 2, (("x", 0),)))
    likelihood = smc.Straight(surface, 1, np.array([0.0, 1.0]), 0.5)
    found = _drawn(values, likelihood, Prior()).ravel()
    grid = np.linspace(-5, 5, 20_001)
    density = np.exp(-0.5 * grid**2 - 0.5 * ((1.5 - grid**2) / 0.5) ** 2)
    true = (density @ grid**2) / density.sum()
    assert (found**2).mean() == pytest.approx(true, rel=0.02)
    assert abs(found.mean()) < 0.05  # both signs are as likely


def test_a_value_of_a_cluster_by_all_its_rows() -> None:
    codes = np.repeat(np.arange(2 * MANY), 4)
    y = np.tile([1.0, 2.0, 0.0, 1.0, -1.0, -2.0, -3.0, -2.0], MANY)
    likelihood = smc.Straight(_surface(Row(0)), 1, np.array([0.0, 1.0]), 1.0)
    found = _drawn(
        np.vstack([0 * y, y]), likelihood, Prior(), units=codes,
        missing=np.arange(0, y.size, 4), cells=np.arange(y.size), copy=codes,
    )  # fmt: skip
    found = _folded(found, 8)
    assert (np.ptp(found.reshape(-1, 2, 4), axis=2) == 0).all()
    np.testing.assert_allclose(found[:, [0, 4]].mean(axis=0), [4 / 5, -8 / 5], atol=0.02)
    np.testing.assert_allclose(found[:, [0, 4]].var(axis=0), 1 / 5, rtol=0.06)


def test_the_mean_of_a_cluster_by_all_its_rows() -> None:
    codes = np.repeat(np.arange(2 * MANY), 3)
    y = np.tile([1.0, 2.0, 3.0, -1.0, 0.0, 1.0], MANY)
    piece = smc.Computed(lambda g: g["m"], (), (("m", 0, codes),))
    likelihood = smc.Straight(_surface(piece), 1, np.array([0.0, 2.0]), 1.0)
    found = _drawn(np.vstack([0 * y, y]), likelihood, Prior(), units=codes)
    means = _folded(found, 6).reshape(-1, 2, 3).mean(axis=2)
    # m ~ N(0, 1/3), three y ~ N(2 m, 1): precision 3 + 12, mean 2 sum(y) / 15
    np.testing.assert_allclose(means.mean(axis=0), [12 / 15, 0.0], atol=0.02)
    np.testing.assert_allclose(means.var(axis=0), 1 / 15, rtol=0.08)


def test_an_event_time_by_numerical_integration() -> None:
    surface = smc.Surface(((Row(0),),))
    event, lived = np.tile([1.0, 0.0], MANY), np.tile([0.6, 1.4], MANY)
    likelihood = smc.Hazard(surface, event, np.array([0.9]), lived)
    found = _folded(_drawn(np.zeros((1, 2 * MANY)), likelihood, Prior()), 2).mean(axis=0)
    grid = np.linspace(-6, 6, 20_001)
    for k in (0, 1):
        density = np.exp(-0.5 * grid**2 + event[k] * 0.9 * grid - lived[k] * np.exp(0.9 * grid))
        assert found[k] == pytest.approx((density @ grid) / density.sum(), abs=0.03)


@pytest.mark.parametrize("late", [False, True])
def test_breslows_hazard_by_brute_force(late: bool) -> None:
    rng = np.random.default_rng(3)
    n = 60
    stop, event = np.ceil(rng.exponential(5, n)) + 1, rng.integers(0, 2, n)
    start = np.floor(rng.random(n) * stop * 0.5) if late else None
    strata, risk = rng.integers(0, 2, n), rng.exponential(1, n)
    model = smc.Cox(smc.Surface(()), stop, event, start, strata)
    found, begin = model.lived(risk), np.full(n, -1.0) if start is None else start
    for i in range(n):
        same = strata == strata[i]
        want = 0.0
        for t in np.unique(stop[same & (event == 1)]):
            if begin[i] < t <= stop[i]:
                at_risk = same & (stop >= t) & (begin < t)
                want += (same & (stop == t) & (event == 1)).sum() / risk[at_risk].sum()
        assert found[i] == pytest.approx(want, rel=1e-9, abs=EXACT)


def test_rounds_take_one_of_each_unit() -> None:
    units = np.array([3, 1, 3, 3, 2, 1])
    rounds = smc.turns(units)
    assert sorted(np.concatenate(rounds).tolist()) == list(range(6))
    for turn in rounds:
        assert np.unique(units[turn]).size == turn.size
    assert [t.size for t in rounds] == [3, 2, 1]


def test_parameters_of_the_linear_model_are_drawn_around_least_squares() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=50)
    values = np.vstack([x, 1 + 2 * x + rng.normal(size=50)])
    model = smc.Linear(_surface(Row(0)), 1)
    state = engine.State(values, np.ones((1, 50)))
    beta = np.array([model.drawn(state, rng).beta for _ in range(4000)])
    X = np.vstack([np.ones(50), x])
    hat = np.linalg.solve(X @ X.T, X @ values[1])
    assert (abs(beta.mean(0) - hat) < MONTE_CARLO_SES * beta.std(0) / np.sqrt(4000)).all()
