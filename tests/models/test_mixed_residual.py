"""`lmm(..., residual=)` through its public face: nlme, collapses, every table, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag
from scipy.stats import chi2

from recovery_stats.errors import DataError, NotEstimable, RecoveryError, UsageError
from recovery_stats.models.likelihood_ratio import compare
from recovery_stats.models.mixed import lmm
from recovery_stats.models.mixed_residual import ResidualMixedFit
from recovery_stats.models.residual_nesting import holds
from tests.tolerance import CONVERGED, INVARIANCE, R_DIGITS

FROM_R = json.loads((Path(__file__).parent / "mixed_residual.json").read_text())
FORMULA = "y ~ wave * arm + x"
BY = {"residual_by": "wave | person"}


def data() -> pd.DataFrame:
    return pd.DataFrame(FROM_R["data"])


def fitted(formula: str = FORMULA, frame: pd.DataFrame | None = None, **how: Any) -> Any:
    fit = lmm(formula, data() if frame is None else frame, **how)
    assert isinstance(fit, ResidualMixedFit)
    return fit


# --- nlme ----------------------------------------------------------------------------------------

FITS: dict[str, tuple[str, dict[str, Any]]] = {
    "ar1": ("", {"residual": "ar1", **BY}),
    "ar1ml": ("", {"residual": "ar1", "reml": False, **BY}),
    "car1": ("", {"residual": "car1", "residual_by": "time | person"}),
    "cs": ("", {"residual": "compound-symmetry", "residual_by": "person"}),
    "csh": ("", {"residual": "csh", **BY}),
    "arh": ("", {"residual": "heterogeneous-ar1", **BY}),
    "sex": ("", {"residual": "ar1", "residual_variance": "arm", **BY}),
    "het": ("", {"residual": "heterogeneous", "residual_by": "arm"}),
    "us": ("", {"residual": "unstructured", **BY}),
    "usml": ("", {"residual": "un", "reml": False, **BY}),
    "both": (" + (1 | person)", {"residual": "ar1", "residual_by": "wave"}),
    "nested": (" + (1 | site/person)", {"residual": "car1", "residual_by": "time"}),
    "above": (" + (1 | site/person)", {"residual_variance": "arm"}),
}


@pytest.mark.parametrize("name", FITS)
def test_nlme(name: str) -> None:
    """gls polished to 1e-10; lme as its optimiser leaves it, hence a rougher tolerance there."""
    random, how = FITS[name]
    theirs, fit = FROM_R[name], fitted(FORMULA + random, **how)
    rough = R_DIGITS if random else INVARIANCE
    row = fit.glance().iloc[0]
    assert row.log_likelihood == pytest.approx(theirs["loglik"], abs=1e-6)
    assert fit.engine.n_parameters == theirs.get("parameters", theirs["npar"])
    table = fit.tidy()
    assert table.estimate.to_numpy() == pytest.approx(np.array(theirs["estimate"]), rel=rough)
    # gls divides its ML errors by n - p in place of n
    small = np.sqrt(185 / 180) if name in ("ar1ml", "usml") else 1.0
    errors = table.std_error.to_numpy() * small
    assert errors == pytest.approx(np.array(theirs["std_error"]), rel=rough)


def test_normalised_residuals_as_in_nlme() -> None:
    fit = fitted(residual="heterogeneous-ar1", **BY)
    assert fit.residuals("normalised").iloc[:6].to_numpy() == pytest.approx(
        np.array(FROM_R["arh"]["normalised"]), rel=1e-4
    )
    whole = fit.residuals("normalised")
    assert float(whole @ whole) == pytest.approx(fit.engine.n - fit.engine.p, rel=CONVERGED)


# --- what it shows -------------------------------------------------------------------------------


def test_parameters_and_covariances() -> None:
    fit = fitted(residual="unstructured", **BY)
    S = fit.residual_covariance()
    parts = fit.variance_components()
    assert list(parts.columns) == ["group", "term_1", "term_2", "covariance", "correlation"]
    assert set(parts.group) == {"Residual"}
    assert len(parts) == 15
    row = parts[(parts.term_1 == "1") & (parts.term_2 == "3")].iloc[0]
    assert row.covariance == pytest.approx(S.loc["1", "3"])
    C = fit.residual_covariance(correlation=True)
    assert row.correlation == pytest.approx(C.loc["1", "3"])
    assert fit.glance().sigma[0] == pytest.approx(np.sqrt(S.iloc[0, 0]))
    table = fit.residual_parameters()
    assert list(table.columns) == ["parameter", "term_1", "term_2", "estimate", "std_error"]
    assert (table.std_error > 0).all()


def test_standard_errors_of_parameters_on_paper() -> None:
    """Complete waves, a mean for each: S is Wishart, Var(s_ij) = (s_ii s_jj + s_ij²) / df."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"y": (rng.normal(size=(30, 3)) @ rng.normal(size=(3, 3))).ravel(),
         "visit": np.tile(list("abc"), 30), "person": np.repeat(np.arange(30), 3)}
    )  # fmt: skip
    fit = fitted("y ~ visit", frame, residual="us", residual_by="visit | person")
    S = fit.residual_covariance()
    for p in fit.residual_parameters().itertuples():
        i, j = p.term_1, p.term_2
        error = np.sqrt((S.loc[i, i] * S.loc[j, j] + S.loc[i, j] ** 2) / 29)
        assert p.std_error == pytest.approx(error, rel=INVARIANCE)


@pytest.mark.parametrize(
    ("residual", "expected"),
    [
        ("ar1", 2),
        ("car1", 3),
        ("toeplitz", 5),
        ("ante-dependence", 9),
        ("toeph", 9),
        ("csh", 6),
        ("corSymm", 11),
    ],
)
def test_every_structure_has_its_parameters(residual: str, expected: int) -> None:
    fit = fitted(residual=residual, **BY)
    table = fit.residual_parameters()
    assert len(table) == expected
    covariance, correlation = fit.residual_covariance(), fit.residual_covariance(correlation=True)
    assert np.diag(correlation) == pytest.approx(1.0)
    first = table[table.parameter == "correlation"].estimate.iloc[0]
    assert correlation.iloc[0, 1] == pytest.approx(first)
    assert covariance.iloc[0, 0] == pytest.approx(fit.glance().sigma[0] ** 2)


def test_groups_with_a_structure_each_are_separate_fits() -> None:
    """With every coefficient free by arm, two arms are two analyses."""
    frame = data()
    whole = fitted("y ~ 0 + arm + arm:wave", frame, residual="ar1", residual_groups="arm", **BY)
    parts = [
        fitted("y ~ wave", frame[frame.arm == a], residual="ar1", **BY) for a in ("house", "usual")
    ]
    together = sum(p.engine.log_likelihood for p in parts)
    assert whole.engine.log_likelihood == pytest.approx(together, abs=CONVERGED)
    for group, part in zip(("house", "usual"), parts, strict=True):
        assert whole.residual_covariance(group).to_numpy() == pytest.approx(
            part.residual_covariance().to_numpy(), rel=INVARIANCE
        )


def test_a_free_correlation_with_variances_by_wave_is_unstructured() -> None:
    two = fitted(residual="corSymm", residual_variance="wave", **BY)
    one = fitted(residual="unstructured", **BY)
    assert two.engine.criterion == pytest.approx(one.engine.criterion, rel=CONVERGED)
    assert two.engine.n_parameters == one.engine.n_parameters
    assert two.tidy().df.to_numpy() == pytest.approx(one.tidy().df.to_numpy(), rel=INVARIANCE)


def test_everything_else_of_a_mixed_fit() -> None:
    fit = fitted(residual="unstructured", df="kenward-roger", **BY)
    assert list(fit.anova(2).term) == ["wave", "arm", "x", "wave:arm"]
    assert len(fit.margins("arm")) == 2
    assert np.isfinite(fit.pairwise("arm").p_value).all()
    assert len(fit.contrast({"x": {"x": 1.0}})) == 1
    assert fit.groups == {"person": 40}
    assert fit.glance().n_groups[0] == 40
    assert fit.random_effects().empty
    frame = data()
    assert fit.predict(frame).to_numpy() == pytest.approx(fit.fitted().to_numpy())
    table = fit.predict(frame.head(), random=False, interval="confidence")
    assert (table.conf_low < table.estimate).all()
    assert {c.name for c in fit.checks()} >= {"residual structure", "normal residuals", "groups"}
    assert "residuals unstructured" in repr(fit)
    assert 0 < fit.r2()["marginal"] < 1
    for refused in (
        lambda: fit.confint("profile"), lambda: fit.icc(), lambda: fit.caic(),
        lambda: fit.icc_interval(), lambda: fit.predict(frame, interval="prediction"),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            refused()


def test_structures_are_compared_as_nlme_compares_them() -> None:
    """Likelihood ratios from nlme's own log-likelihoods; half and half where car1 has its edge."""
    names = ["ar1", "arh", "us"]
    table = compare(*(fitted(**FITS[name][1]) for name in names))
    seen = np.diff([FROM_R[name]["loglik"] for name in names]) * 2
    assert table.statistic[1:].to_numpy() == pytest.approx(seen, abs=1e-5)
    added = np.array([4.0, 9.0])  # variances of waves 2 to 5; 15 covariances for 6 parameters
    assert table.df[1:].to_numpy() == pytest.approx(added)
    assert table.p_value[1:].to_numpy() == pytest.approx(chi2.sf(seen, added), rel=1e-4)
    assert (table.method == "REML").all()
    with_random = FORMULA + " + (1 | person)"
    plain = lmm(with_random, data())
    grown = compare(plain, fitted(with_random, residual="ar1", residual_by="wave"))
    assert grown.reference[1] == "chi-squared 1"
    edge = compare(plain, fitted(with_random, residual="car1", residual_by="time | person"))
    assert edge.reference[1] == "0.5 chi-squared 0 + 0.5 chi-squared 1"
    assert edge.p_value[1] == pytest.approx(0.5 * edge.p_value_naive[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"residual": "ar1", **BY}, {"residual": "compound-symmetry", "residual_by": "person"}),
        ({"residual": "csh", **BY}, {"residual": "heterogeneous-ar1", **BY}),
        (
            {"residual": "ar1", "residual_variance": "arm", **BY},
            {"residual": "ante-dependence", **BY},
        ),
    ],
)  # fmt: skip
def test_structures_that_are_not_nested_have_their_aic(one: Any, other: Any) -> None:
    table = compare(fitted(**one), fitted(**other))
    assert np.isnan(table.p_value).all()
    assert np.isfinite(table.aic).all()
    assert "not nested" in table.reference[1]


def test_every_structure_nests_in_what_can_be_it() -> None:
    """The larger likelihood of every pair that is called nested is at least the smaller's."""
    asked = [
        {"residual": kind, **BY}
        for kind in ("heterogeneous", "ar1", "toeplitz", "csh", "toeph", "ante-dependence",
                     "corSymm", "unstructured")
    ]  # fmt: skip
    found = [fitted(**how) for how in asked]
    found += [fitted(residual="compound-symmetry", residual_by="person")]
    found += [fitted(residual="unstructured", residual_groups="arm", **BY)]
    pairs = [(a, b) for a in found for b in found if a is not b and holds(a, b)]
    assert len(pairs) > 20
    for larger, smaller in pairs:
        assert larger.engine.n_parameters > smaller.engine.n_parameters
        assert larger.engine.log_likelihood >= smaller.engine.log_likelihood - CONVERGED


def test_robust_errors_by_person_are_those_of_the_dense_formula() -> None:
    """CR2 by persons, from V of the whole sample."""
    fit = fitted(residual="ar1", cluster="person", **BY)
    frame = data()
    rows = [frame.index[frame.person == p].to_numpy() for p in sorted(set(frame.person))]
    S = fit.residual_covariance().to_numpy()
    X, e = fit.X, fit.residuals().to_numpy()
    waves = frame.wave.to_numpy()
    parts = [S[np.ix_(waves[r], waves[r])] for r in rows]
    order = np.concatenate(rows)
    V = block_diag(*parts)
    M = np.linalg.inv(X[order].T @ np.linalg.solve(V, X[order]))
    meat = np.zeros_like(M)
    for r, Vi in zip(rows, parts, strict=True):
        D = np.linalg.cholesky(Vi).T
        B = D @ (Vi - X[r] @ M @ X[r].T) @ D.T
        values, vectors = np.linalg.eigh(B)
        A = D.T @ (vectors / np.sqrt(values)) @ vectors.T @ D
        g = X[r].T @ np.linalg.solve(Vi, A @ e[r])
        meat += np.outer(g, g)
    assert fit.covariance().to_numpy() == pytest.approx(M @ meat @ M, rel=INVARIANCE)
    assert "std_error_model" in fit.tidy()


def test_simulated_outcomes_have_the_fits_covariance() -> None:
    """4,000 draws of the first complete person, against V: 5 Monte Carlo standard errors."""
    fit = fitted(FORMULA + " + (1 | person)", residual="ar1", residual_by="wave")
    draws = fit.simulate(4000, seed=2).to_numpy()
    rows = np.flatnonzero(data().person == "p02")
    V = fit.residual_covariance().to_numpy() + fit.engine.psi[0][0, 0]
    V = V[np.ix_(data().wave[rows], data().wave[rows])]
    seen = np.cov(draws[rows])
    error = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / 4000)
    assert (np.abs(seen - V) < 5 * error).all()
    assert draws.mean(1) == pytest.approx(fit.fitted(random=False).to_numpy(), abs=0.2)


def test_weights_are_variances() -> None:
    """A weight of 4 in one arm, variances by arm: the variance there is 4 times the estimate."""
    frame = data().assign(w=lambda d: np.where(d.arm == "usual", 4.0, 1.0))
    plain = fitted(residual="heterogeneous", residual_by="arm")
    fit = fitted(frame=frame, residual="heterogeneous", residual_by="arm", weights="w")
    assert fit.engine.log_likelihood == pytest.approx(plain.engine.log_likelihood, abs=CONVERGED)
    ratio = fit.variance_components().covariance / plain.variance_components().covariance
    assert ratio.to_numpy() == pytest.approx([1.0, 4.0], rel=INVARIANCE)


def test_units_of_time_do_not_matter() -> None:
    months = data().assign(wave=lambda d: 3.0 * d.wave + 2015, time=lambda d: d.time * 30.44)
    for residual, by in (("ar1", "wave"), ("car1", "time"), ("toeplitz", "wave")):
        plain = fitted(residual=residual, residual_by=f"{by} | person", df="kenward-roger")
        moved = fitted("y ~ wave * arm + x", months, residual=residual,
                       residual_by=f"{by} | person", df="kenward-roger")  # fmt: skip
        assert moved.tidy().statistic[3] == pytest.approx(plain.tidy().statistic[3], rel=INVARIANCE)
        assert moved.tidy().df[3] == pytest.approx(plain.tidy().df[3], rel=INVARIANCE)


def test_labels_are_one_step_apart_and_rows_may_come_in_any_order() -> None:
    frame = data()
    frame["visit"] = pd.Categorical([f"v{w}" for w in frame.wave])
    fit = fitted(residual="ar1", **BY)
    labels = fitted(frame=frame.sample(frac=1, random_state=1), residual="ar1",
                    residual_by="visit | person")  # fmt: skip
    assert labels.engine.criterion == pytest.approx(fit.engine.criterion, rel=CONVERGED)


# --- refusals ------------------------------------------------------------------------------------


def holed() -> pd.DataFrame:
    frame = data()
    return frame[~((frame.wave == 4) & (frame.person.isin(set(frame[frame.wave == 2].person))))]


REFUSED: dict[str, tuple[type[RecoveryError], str, str, dict[str, Any]]] = {
    "unknown": (UsageError, "Did you mean 'unstructured'", "", {"residual": "unstructred", **BY}),
    "alone": (UsageError, "need residual=", "", {"residual_by": "wave | person"}),
    "nobody": (UsageError, "name them", "", {"residual": "ar1", "residual_by": "wave"}),
    "empty": (UsageError, "after the bar", "", {"residual": "ar1", "residual_by": "wave |"}),
    "no wave": (UsageError, "column of the wave", "", {"residual": "un", "residual_by": "|person"}),
    "twice": (UsageError, "already", "", {"residual": "us", "residual_variance": "arm", **BY}),
    "column": (DataError, "Did you mean 'wave'", "", {"residual": "ar1",
                                                      "residual_by": "wav | person"}),
    "text": (DataError, "as a number", "", {"residual": "car1", "residual_by": "site | person"}),
    "uneven": (DataError, "whole steps", "", {"residual": "ar1", "residual_by": "time | person"}),
    "repeated": (DataError, "One row for each", "", {"residual": "ar1",
                                                     "residual_by": "wave | site"}),
    "groups": (DataError, "changes within people", "", {"residual": "ar1",
                                                        "residual_groups": "wave", **BY}),
    "same": (NotEstimable, "Take the random term out", " + (1 | person)",
             {"residual": "us", "residual_by": "wave"}),
    "same again": (NotEstimable, "Take the random term out", " + (1 | person)",
                   {"residual": "cs", "residual_by": "1 | person"}),
    "one row": (NotEstimable, "two rows", "", {"residual": "ar1", "residual_by": "wave | id"}),
    "one level": (NotEstimable, "one level", "", {"residual": "heterogeneous",
                                                  "residual_by": "all"}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_fault_and_the_cure(name: str) -> None:
    kind, words, random, how = REFUSED[name]
    frame = data().assign(id=lambda d: np.arange(len(d)), all="a")
    with pytest.raises(kind, match=words) as caught:
        lmm(FORMULA + random, frame, **how)
    assert "p01" not in str(caught.value)


def test_a_pair_of_waves_nobody_has() -> None:
    with pytest.raises(NotEstimable, match=r"'2' and '4'.*fewer than two people"):
        lmm(FORMULA, holed(), residual="unstructured", **BY)


def test_kenward_and_roger_need_reml() -> None:
    with pytest.raises(UsageError, match="reml=True"):
        lmm(FORMULA, data(), residual="ar1", reml=False, df="kenward-roger", **BY)


def test_names_with_bars_stand_in_back_quotes() -> None:
    rng = np.random.default_rng(2)
    plain = pd.DataFrame({"y": rng.normal(size=120), "person": np.arange(120) // 4,
                          "wave": np.arange(120) % 4, "half": np.arange(120) // 60})  # fmt: skip
    barred = plain.rename(columns={"person": "p|1", "wave": "w/1"})
    for structure, by, quoted in (
        ("ar1", "wave | person", "`w/1` | `p|1`"),
        ("cs", "person", "`p|1`"),
        ("heterogeneous", "person", "`p|1`"),
        ("ar1", "wave | half/person", "`w/1` | half/`p|1`"),
    ):
        first = lmm("y ~ 1", plain, residual=structure, residual_by=by)
        second = lmm("y ~ 1", barred, residual=structure, residual_by=quoted)
        assert first.glance().equals(second.glance()), structure
