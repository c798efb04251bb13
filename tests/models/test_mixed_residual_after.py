"""Bootstrap, leverage and influence of fits with a residual structure: dense formulas, refits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recovery_stats.engines import lmm_residual as engine
from recovery_stats.errors import UsageError
from recovery_stats.models import mixed_residual_after
from recovery_stats.models.mixed import lmm
from tests.models.test_mixed_residual import FORMULA, data, fitted
from tests.tolerance import CONVERGED, INVARIANCE, MONTE_CARLO_SES

Array = np.ndarray
FITS: dict[str, tuple[str, dict[str, Any]]] = {
    "ar1": ("", {"residual": "ar1", "residual_by": "wave | person"}),
    "unstructured": ("", {"residual": "unstructured", "residual_by": "wave | person"}),
    "person": (" + (1 | person)", {"residual": "ar1", "residual_by": "wave"}),
    "site": (" + (1 | site)", {"residual": "csh", "residual_by": "wave | person"}),
    "crossed": (" + (1 | wave)", {"residual": "car1", "residual_by": "time | person"}),
    "weights": (" + (1 | site)", {"residual": "ar1", "residual_by": "wave | person",
                                  "weights": 0.5 + np.arange(185) % 3}),
}  # fmt: skip


def fit_of(name: str) -> Any:
    random, how = FITS[name]
    return fitted(FORMULA + random, **how)


def dense(fit: Any) -> tuple[Array, Array]:
    """R and V of all rows, cell by cell."""
    n = fit.n_obs
    person = fit.structure.rows.person
    R = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if person[i] == person[j]:
                R[i, j] = engine.residual_covariance(fit.structured, np.array([[i, j]]))[0, 0, 1]
    V = R.copy()
    for f, psi in zip(fit.factors, fit.engine.psi, strict=True):
        V += (f.Z @ psi @ f.Z.T) * (f.codes[:, None] == f.codes)
    return R, V


@pytest.mark.parametrize("name", FITS)
def test_leverage_is_the_diagonal_of_the_hat_matrices(name: str) -> None:
    fit = fit_of(name)
    R, V = dense(fit)
    X, inverse = fit.X, np.linalg.inv(V)
    fixed = X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    overall = fixed + (V - R) @ inverse @ (np.eye(len(X)) - fixed)
    table = fit.leverage()
    assert table.fixed.to_numpy() == pytest.approx(np.diag(fixed), rel=1e-7, abs=1e-10)
    assert table.overall.to_numpy() == pytest.approx(np.diag(overall), rel=1e-7, abs=1e-10)
    assert overall @ fit.outcome == pytest.approx(fit.fitted().to_numpy(), abs=1e-7)
    assert table.fixed.sum() == pytest.approx(X.shape[1])


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("group", ["person", "site", "arm_site"])
def test_deletion_is_generalised_least_squares_on_the_rest(name: str, group: str) -> None:
    random, how = FITS[name]
    frame = data().assign(arm_site=lambda d: d.site.astype(str) + (d.wave > 2).astype(str))
    fit = fitted(FORMULA + random, frame, **how)
    _, V = dense(fit)
    found = fit.influence(group)
    for i, level in enumerate(found.level):
        left = (frame[group].astype(str) != str(level)).to_numpy()
        inner = np.linalg.inv(V[np.ix_(left, left)])
        covariance = np.linalg.inv(fit.X[left].T @ inner @ fit.X[left])
        beta = covariance @ fit.X[left].T @ inner @ fit.outcome[left]
        change = (fit.engine.beta - beta) / np.sqrt(np.diag(covariance))
        ours = [found[f"dfbetas({t})"][i] for t in fit.terms]
        assert ours == pytest.approx(change, rel=1e-6, abs=1e-8)
        ratio = np.linalg.det(covariance) / np.linalg.det(fit.engine.covariance)
        assert found.covariance_ratio[i] == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize("name", ["ar1", "unstructured", "person"])
def test_refits_are_fits_to_the_rows_that_are_left(name: str) -> None:
    random, how = FITS[name]
    fit, frame = fit_of(name), data()
    found = fit.influence(refit=True)
    assert list(found.level[:2]) == sorted(frame.person.unique())[:2]
    without = lmm(FORMULA + random, frame[frame.person != found.level[3]], **how)
    own = np.sqrt(np.diag(without.engine.covariance))
    change = (fit.engine.beta - without.engine.beta) / own
    assert [found[f"dfbetas({t})"][3] for t in fit.terms] == pytest.approx(change, abs=INVARIANCE)
    first = "variance(1)" if name == "unstructured" else "variance()"
    first = next(c for c in found.columns if c.startswith("variance")) if first else first
    assert found[first][3] == pytest.approx(without.engine.sigma2, rel=INVARIANCE)


def test_a_refit_to_the_same_outcome_is_the_fit() -> None:
    for name in FITS:
        fit = fit_of(name)
        again = mixed_residual_after.refitted(fit, fit.outcome)
        assert again is not None
        assert again.criterion == pytest.approx(fit.engine.criterion, abs=CONVERGED)


def test_the_bootstrap_scatters_as_the_likelihood_says() -> None:
    """300 refits of an AR(1): standard deviations against standard errors, bias within noise."""
    fit = fit_of("ar1")
    found = fit.bootstrap(300, seed=4)
    assert found.failed == 0
    table = found.tidy().set_index("term")
    known = fit.tidy().set_index("term")
    parts = fit.residual_parameters()
    noise = MONTE_CARLO_SES / np.sqrt(600)
    for term in fit.terms:
        assert table.std_error[term] == pytest.approx(known.std_error[term], rel=noise + 0.03)
        assert abs(table.bias[term]) < MONTE_CARLO_SES * known.std_error[term] / np.sqrt(300)
    names = [t for t in table.index if t.startswith(("variance", "correlation"))]
    assert table.estimate[names].to_numpy() == pytest.approx(parts.estimate.to_numpy())
    assert table.std_error[names].to_numpy() == pytest.approx(
        parts.std_error.to_numpy(), rel=noise + 0.1
    )
    again = fit.bootstrap(300, seed=4)
    assert np.array_equal(again.draws, found.draws)


def test_bootstrap_intervals_hold_every_part() -> None:
    fit = fit_of("person")
    table = fit.confint("bootstrap", replicates=60, seed=2)
    assert table.term.to_list()[-3] == "sd(Intercept|person)"
    assert (table.conf_low <= table.conf_high).all()
    un = fit_of("unstructured").confint("bootstrap", replicates=45, seed=2)
    assert "covariance(1,2)" in set(un.term)
    with pytest.raises(UsageError, match="profile"):
        fit.confint("profile")
