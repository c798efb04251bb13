"""Inference about a linear mixed model through its public face, against R."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.likelihood_ratio import compare, mixture_sf
from recovery_stats.models.mixed import MixedFit, lmm
from recovery_stats.models.mixed_bootstrap import LIMITS
from tests.tolerance import (
    CLOSED_FORM,
    CONVERGED,
    MONTE_CARLO_SES,
    PRINTED_4,
    PRINTED_6,
    R_DIGITS,
    SPLINE,
)

HERE = Path(__file__).parent
R = json.loads((HERE / "mixed_inference.json").read_text())
DATA = pd.DataFrame(json.loads((HERE / "mixed.json").read_text())["data"])


def in_ours(term: str) -> str:
    """`cor_wave.(Intercept)|person` is our `cor(Intercept,wave|person)`."""
    found = re.fullmatch(r"(sd|cor)_(.*)\|(.*)", term.replace("(Intercept)", "Intercept"))
    if not found:
        return term.replace("(Intercept)", "Intercept")
    effects = ",".join(reversed(found[2].split(".")))
    return f"{found[1]}({effects}|{found[3]})"


@pytest.mark.parametrize("theirs", R["profile"], ids=lambda t: t["formula"])
def test_profile_limits_are_those_of_lme4(theirs: dict[str, Any]) -> None:
    fit = lmm(theirs["formula"], DATA)
    ours = fit.confint(method="profile").set_index("term")
    names = [in_ours(t) for t in theirs["term"]]
    assert set(names) == set(ours.index)
    assert list(ours.columns) == ["estimate", "conf_low", "conf_high"]
    assert ours.loc[names, "conf_low"].to_numpy() == pytest.approx(theirs["low"], rel=SPLINE)
    assert ours.loc[names, "conf_high"].to_numpy() == pytest.approx(theirs["high"], rel=SPLINE)


def test_profile_of_a_reml_fit_is_that_of_ml() -> None:
    formula = "y ~ wave + (1 + wave | person)"
    reml, ml = (lmm(formula, DATA, reml=r).confint("profile", level=0.9) for r in (True, False))
    numbers = ["estimate", "conf_low", "conf_high"]
    assert np.allclose(reml[numbers], ml[numbers], rtol=CONVERGED, atol=0)


def test_likelihood_and_robust_errors_do_not_mix() -> None:
    fit = lmm("y ~ wave + (1 | person)", DATA, cluster="house")
    with pytest.raises(UsageError, match="leave out cluster"):
        fit.confint("profile")


@pytest.mark.parametrize("theirs", R["robust"], ids=lambda t: f"{t['cluster']} {t['term']}")
def test_robust_f_tests_are_those_of_clubsandwich(theirs: dict[str, Any]) -> None:
    fit = lmm(theirs["formula"], DATA, cluster=theirs["cluster"])
    rows = [i for i, name in enumerate(fit.terms) if re.search(theirs["term"], name)]
    ours = fit.test(np.eye(len(fit.terms))[rows])
    for name in ("statistic", "num_df", "den_df", "p_value"):
        assert getattr(ours, name) == pytest.approx(theirs[name], rel=CONVERGED)


def test_a_robust_f_of_one_row_is_the_square_of_t() -> None:
    fit = lmm("y ~ wave + x + (1 + wave | person)", DATA, cluster="house")
    tests, row = fit.anova().set_index("term"), fit.tidy().set_index("term")
    for term in ("wave", "x"):
        assert tests.statistic[term] == pytest.approx(row.statistic[term] ** 2, rel=CLOSED_FORM)
        assert tests.den_df[term] == pytest.approx(row.df[term], rel=CLOSED_FORM)
        assert tests.p_value[term] == pytest.approx(row.p_value[term], rel=CLOSED_FORM)


def test_robust_wishart_df_by_all_pairs_of_clusters() -> None:
    fit = lmm("y ~ wave * arm + (1 | person)", DATA, cluster="house")
    robust = fit.robust
    assert robust is not None
    C = np.eye(len(fit.terms))[2:5] @ robust.M
    count = len(robust.K)
    omega = np.array(
        [
            [
                (C @ robust.J[i] @ C.T if i == j else 0.0)
                - C @ robust.K[i] @ robust.M @ robust.K[j].T @ C.T
                for j in range(count)
            ]
            for i in range(count)
        ]
    )
    values, vectors = np.linalg.eigh(np.einsum("iist->st", omega))
    root = (vectors / np.sqrt(values)) @ vectors.T
    omega = root @ omega @ root
    variance = sum(np.trace(o) ** 2 + np.trace(o @ o) for o in omega.reshape(-1, 3, 3))
    ours = fit.test(np.eye(len(fit.terms))[2:5])
    assert ours.den_df == pytest.approx(3 * 4 / variance - 2, rel=CLOSED_FORM)


def test_too_few_clusters_for_a_robust_f_are_refused() -> None:
    few = DATA[DATA.house.isin(["h1", "h2", "h3", "h4"])]
    fit = lmm("y ~ wave * x + I(x^2) + (1 | person)", few, cluster="house")
    with pytest.raises(NotEstimable, match="too few for a robust test"):
        fit.test(np.eye(len(fit.terms))[1:])


def test_bootstrap_intervals_name_every_part() -> None:
    fit = lmm("y ~ wave + x + (1 + wave | person)", DATA)
    profile, boot = fit.confint("profile"), fit.confint("bootstrap", replicates=400, seed=3)
    assert list(boot.term) == list(profile.term)
    assert list(boot.columns) == list(profile.columns)
    assert boot.attrs["failed"] == 0
    width = profile.conf_high - profile.conf_low
    assert (np.abs(boot.conf_low - profile.conf_low) < 0.3 * width).all()
    assert (np.abs(boot.conf_high - profile.conf_high) < 0.3 * width).all()
    again = fit.confint("bootstrap", replicates=400, seed=3)
    pd.testing.assert_frame_equal(boot, again)


def test_kinds_of_bootstrap_interval_from_the_draws() -> None:
    found = lmm("y ~ wave + (1 | person)", DATA).bootstrap(replicates=399, seed=5)
    draws, value = np.sort(found.table()["wave"].to_numpy()), found.estimate[1]
    rows = {k: found.tidy(kind=k).set_index("term").loc["wave"] for k in LIMITS}
    low, high = draws[9], draws[389]  # the 10th and the 390th of 399
    assert rows["percentile"].conf_low == pytest.approx(low, rel=CLOSED_FORM)
    assert rows["basic"].conf_low == pytest.approx(2 * value - high, rel=CLOSED_FORM)
    assert rows["basic"].conf_high == pytest.approx(2 * value - low, rel=CLOSED_FORM)
    centre = 2 * value - draws.mean()
    assert rows["normal"].conf_high - centre == pytest.approx(1.959964 * draws.std(ddof=1), 1e-6)
    assert found.checks()[0].verdict == "ok"
    with pytest.raises(UsageError, match="at least 1999"):
        found.tidy(level=0.999)


def test_simulated_rows_have_the_models_moments() -> None:
    fit = lmm("y ~ wave + (1 + wave | person)", DATA, weights=1.0 + np.arange(len(DATA)) % 3)
    new, kept = fit.simulate(2000, seed=2), fit.simulate(2000, seed=2, effects="predicted")
    assert list(new.columns[:2]) == ["sim_1", "sim_2"]
    assert list(new.index) == list(DATA.index)
    Z, weights = fit.factors[0].Z, fit.weights
    assert weights is not None
    spread = np.einsum("nq,qr,nr->n", Z, fit.engine.psi[0], Z) + fit.engine.sigma2 / weights
    within = ((2 / 1999) ** 0.5) * MONTE_CARLO_SES
    assert (np.abs(new.var(axis=1) / spread - 1) < within).all()
    assert (np.abs(kept.var(axis=1) / (fit.engine.sigma2 / weights) - 1) < within).all()
    error = np.sqrt(spread / 2000) * MONTE_CARLO_SES
    assert (np.abs(new.mean(axis=1) - fit.fitted(random=False)) < error).all()
    assert (np.abs(kept.mean(axis=1) - fit.fitted()) < error).all()
    same = DATA.person.to_numpy()[:, None] == DATA.person.to_numpy()
    shared = np.cov(new.to_numpy())[0, 1] - Z[0] @ fit.engine.psi[0] @ Z[1]
    assert same[0, 1]
    assert abs(shared) < MONTE_CARLO_SES * np.sqrt(2 * spread[0] * spread[1] / 2000)


# --- likelihood ratios ----------------------------------------------------------------------------


def fits(*formulas: str, **options: Any) -> list[MixedFit]:
    return [lmm(formula, DATA, **options) for formula in formulas]


def test_references_of_every_kind_of_step() -> None:
    a, b, c, d = fits(
        "y ~ wave + (1 | person)", "y ~ wave + (1 + wave || person)",
        "y ~ wave + (1 + wave | person)", "y ~ wave + arm + (1 + wave | person) + (1 | house)",
    )  # fmt: skip
    table = compare(d, a, c, b)  # any order
    assert list(table.n_parameters) == [4, 5, 6, 9]
    assert list(table.df[1:]) == [1, 1, 3]
    half, chi = "0.5 chi-squared", "chi-squared"
    expected = [f"{half} 0 + {half} 1", f"{chi} 1", f"{half} 2 + {half} 3"]
    assert list(table.reference[1:]) == expected
    assert set(table.method) == {"ML (refitted; REML before)"}
    ml = fits(*table.model, reml=False)
    both = [2 * (q.engine.log_likelihood - p.engine.log_likelihood) for p, q in pairwise(ml)]
    assert table.statistic[1:].to_numpy() == pytest.approx(both, abs=CONVERGED * 100)
    p = 0.5 * chi2.sf(table.statistic[1], 1)
    assert table.p_value[1] == pytest.approx(p, rel=CLOSED_FORM)
    assert compare(a, c).method[1] == "REML"
    assert compare(a, c).reference[1] == f"{half} 1 + {half} 2"


def test_mixtures_on_paper() -> None:
    assert mixture_sf(2.705543454, {0: 0.5, 1: 0.5}) == pytest.approx(0.05, abs=PRINTED_6)
    assert mixture_sf(0.0, {0: 0.5, 1: 0.5}) == 1.0
    assert mixture_sf(5.138, {1: 0.5, 2: 0.5}) == pytest.approx(0.05, abs=PRINTED_4)  # Stram & Lee
    assert mixture_sf(4.0, {3: 1.0}) == pytest.approx(chi2.sf(4.0, 3))


def test_a_mixture_that_is_not_known_is_left_to_simulation() -> None:
    a, b = fits("y ~ wave + (1 | person)", "y ~ wave + (1 + wave | person) + (1 | house)")
    asked = compare(a, b)
    assert np.isnan(asked.p_value[1])
    assert "bootstrap" in asked.reference[1]
    found = compare(a, b, method="bootstrap", replicates=50)
    assert 1 / 51 <= found.p_value[1] <= 1


def test_a_variance_against_zero_is_that_of_rlrsim() -> None:
    data, theirs = DATA.copy(), R["boundary"]
    data["z"] = data.y - 0.5 * data.groupby("house").y.transform("mean")
    pair = [lmm(f"z ~ wave + (1 | person){more}", data) for more in ("", " + (1 | house)")]
    found = compare(*pair, method="bootstrap", replicates=150, seed=4)
    assert found.statistic[1] == pytest.approx(theirs["reml"], abs=1e-6)
    p = theirs["p_value"]
    assert abs(found.p_value[1] - p) < MONTE_CARLO_SES * np.sqrt(p * (1 - p) / 150) + 1 / 151


def test_fixed_effects_are_those_of_pbkrtest() -> None:
    pair = fits("y ~ wave + x + (1 | person)", "y ~ wave + arm + x + (1 | person)", reml=False)
    found, theirs = compare(*pair, method="bootstrap", replicates=4000), R["fixed"]
    assert found.statistic[1] == pytest.approx(theirs["statistic"], rel=R_DIGITS)
    assert found.p_value_naive[1] == pytest.approx(theirs["naive"], rel=R_DIGITS)
    p = found.p_value[1]
    error = np.sqrt(p * (1 - p) * (1 / 4000 + 1 / theirs["simulations"]))
    assert abs(p - theirs["p_value"]) < MONTE_CARLO_SES * error
    assert p > found.p_value_naive[1]


def test_what_cannot_be_compared_is_refused() -> None:
    a, b = fits("y ~ wave + (1 | person)", "y ~ x + (1 + wave | person)")
    with pytest.raises(UsageError, match="Not nested: fixed"):
        compare(a, b)
    correlated, not_so = fits("y ~ wave + (1 + wave | person)",
                              "y ~ wave + x + arm + (1 + wave || person)")  # fmt: skip
    with pytest.raises(UsageError, match="correlated there"):
        compare(correlated, not_so)
    with pytest.raises(UsageError, match="same model"):
        compare(a, lmm("y ~ 1 + wave + (1 | person)", DATA))
    with pytest.raises(UsageError, match="other rows"):
        compare(a, lmm("y ~ wave + x + (1 | person)", DATA[5:]))
    with pytest.raises(UsageError, match="different weights"):
        compare(a, lmm("y ~ wave + x + (1 | person)", DATA, weights=np.full(len(DATA), 2.0)))
    with pytest.raises(UsageError, match="at least two"):
        compare(a)


def test_conditional_aic_counts_predicted_effects() -> None:
    fit = lmm("y ~ wave + x + (1 + wave | person)", DATA, offset=0.1 * DATA.x)
    row = fit.caic().iloc[0]
    assert row.caic == pytest.approx(2 * row.effective_df - 2 * row.log_likelihood)
    assert 3 < row.effective_df_known < row.effective_df < 3 + 2 * 36
    same = lmm("z ~ wave + x + (1 + wave | person)", DATA.assign(z=DATA.y - 0.1 * DATA.x))
    assert same.caic().caic[0] == pytest.approx(row.caic, rel=CONVERGED)
    less = lmm("y ~ wave + x + (1 | person)", DATA)
    assert less.caic().caic[0] > row.caic


def test_fits_with_a_residual_structure_are_compared_within_it() -> None:
    asked: dict[str, Any] = {"residual": "car1", "residual_by": "wave | person"}
    small, large = fits("y ~ wave + x + (1 | person)", "y ~ wave + arm + x + (1 | person)", **asked)
    found = compare(small, large)
    assert found.method[1] == "ML (refitted; REML before)"
    assert found.reference[1] == "chi-squared 2"
    # nlme 3.1-162: lme(..., correlation = corCAR1(form = ~wave | person), method = "ML")
    assert found.log_likelihood.to_numpy() == pytest.approx([-190.483370937, -186.811284492], 1e-8)
    with pytest.raises(UsageError, match="not offered"):
        compare(small, large, method="bootstrap")
    with pytest.raises(UsageError, match="not offered"):
        large.caic()
