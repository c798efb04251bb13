"""After a generalised mixed model: intervals, residuals, simulated outcomes, shares of variance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, polygamma

import recovery_stats as rs
from recovery_stats.engines import glmm
from recovery_stats.errors import UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED, MONTE_CARLO_SES, R_DIGITS

STORED = json.loads((Path(__file__).parent / "generalised_after.json").read_text())
FRAME = pd.DataFrame(STORED["data"])
TMB_SPLINE = 5e-4  # glmmTMB reads profile limits off a spline through a few points


@pytest.fixture(scope="module", params=STORED["fits"], ids=lambda f: f["family"])
def pair(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    theirs = request.param
    return rs.glmm(theirs["formula"], FRAME, family=theirs["family"]), theirs


def test_intervals_of_known_groups_are_glmmtmbs(pair: tuple[Any, dict[str, Any]]) -> None:
    fit, theirs = pair
    found = fit.predict(type="link", interval="confidence")
    assert found["estimate"].to_numpy() == pytest.approx(theirs["eta"], abs=R_DIGITS)
    assert found["std_error"].to_numpy() == pytest.approx(theirs["se"], rel=R_DIGITS)
    fixed = fit.predict(FRAME, random=False, type="link", interval="confidence")
    assert fixed["std_error"].to_numpy() == pytest.approx(theirs["se_fixed"], rel=R_DIGITS)


def test_profile_limits_are_glmmtmbs_and_where_the_likelihood_says(
    pair: tuple[Any, dict[str, Any]],
) -> None:
    fit, theirs = pair
    found = fit.confint("profile")
    assert found["conf_low"].to_numpy() == pytest.approx(theirs["low"], abs=TMB_SPLINE)
    assert found["conf_high"].to_numpy() == pytest.approx(theirs["high"], abs=TMB_SPLINE)
    for end in ("conf_low", "conf_high"):
        shift = fit.X[:, 1] * found[end][1] + (0.0 if fit.offset is None else fit.offset)
        held = glmm.fit(np.delete(fit.X, 1, 1), fit.law, fit.factors, offset=shift)
        fall = 2.0 * (fit.log_likelihood - held.log_likelihood)
        assert fall == pytest.approx(stats.chi2.isf(0.05, 1), rel=CONVERGED)


def test_scales_and_populations_agree(pair: tuple[Any, dict[str, Any]]) -> None:
    fit, _ = pair
    link = fit.predict(type="link", interval="confidence")
    mean = fit.predict(interval="confidence")
    assert mean["estimate"].to_numpy() == pytest.approx(fit.predict().to_numpy(), rel=CLOSED_FORM)
    turn = expit if fit.link == "logit" else np.exp
    assert mean["conf_low"].to_numpy() == pytest.approx(turn(link["conf_low"]), rel=CLOSED_FORM)
    whole = fit.predict(random="average", interval="confidence")
    assert whole["estimate"].to_numpy() == pytest.approx(fit.predict(random="average").to_numpy())
    assert (whole["std_error"] > 0).all()


def test_an_unseen_group_adds_its_variance(pair: tuple[Any, dict[str, Any]]) -> None:
    fit, _ = pair
    new = FRAME.head(1).assign(person=999)
    strange = fit.predict(new, type="link", interval="confidence")
    average = fit.predict(new, random=False, type="link", interval="confidence")
    more = strange["std_error"].iloc[0] ** 2 - average["std_error"].iloc[0] ** 2
    assert more == pytest.approx(float(fit.engine.psi[0][0, 0]), rel=CONVERGED)
    gap = fit.predict(new.assign(x=np.nan), interval="confidence", random=False)
    assert gap.isna().all().all()


def people(seed: int, family: str) -> pd.DataFrame:
    """600 groups of 4; the outcome y of every family, and n - y in `free`."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(600), 4)
    x, b = rng.normal(size=2400), rng.normal(0.0, 0.7, 600)[person]
    eta = 0.4 * x + b
    p, mu = expit(eta), np.exp(eta + 0.7)
    y = {
        "binomial": lambda: rng.binomial(7, p),
        "poisson": lambda: rng.poisson(mu),
        "negative-binomial": lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + mu)),
        "beta-binomial": lambda: rng.binomial(7, rng.beta(4 * p, 4 * (1 - p))),
        "ordinal": lambda: np.searchsorted([-0.8, 0.7], eta + rng.logistic(size=2400)),
    }[family]()
    return pd.DataFrame({"person": person, "x": x, "y": y, "free": 7 - y})


@pytest.mark.parametrize(
    "family", ["binomial", "poisson", "negative-binomial", "beta-binomial", "ordinal"]
)
def test_quantile_residuals_are_normal_and_simulations_alike(family: str) -> None:
    data = people(11, family)
    left = "cbind(y, free)" if "binomial" in family and "negative" not in family else "y"
    fit = rs.glmm(f"{left} ~ x + (1 | person)", data, family=family)
    again = fit.simulate(40, seed=5)
    observed = data["y"].to_numpy(float)
    assert again.shape == (2400, 40)
    for measure in (np.mean, np.var, lambda v: np.mean(v == 0)):
        drawn = np.array([measure(again[c].to_numpy()) for c in again])
        off = abs(measure(observed) - drawn.mean()) / drawn.std(ddof=1)
        assert off < MONTE_CARLO_SES
    # Around the true groups: new effects are drawn, then known to the residual.
    kept = fit.simulate(1, seed=6, effects="predicted")["sim_1"].to_numpy()
    second = data.assign(y=kept, free=7 - kept)
    drawn = rs.glmm(f"{left} ~ x + (1 | person)", second, family=family).residuals("quantile")
    assert np.isfinite(drawn).all()
    assert abs(float(drawn.mean())) < 0.1
    assert fit.residuals("quantile", seed=2).to_numpy() == pytest.approx(
        fit.residuals("quantile", seed=2).to_numpy()
    )


def test_a_wrong_family_is_seen_in_its_residuals() -> None:
    data = people(3, "negative-binomial")
    data["g"] = 0
    right, wrong = (
        rs.glmm("y ~ x + (1 | person)", data, family=f).residuals("quantile")
        for f in ("negative-binomial", "poisson")
    )
    assert float(np.abs(wrong).max()) > float(np.abs(right).max())


def test_pearson_residuals_by_hand() -> None:
    data = people(4, "negative-binomial")
    fit = rs.glmm("y ~ x + (1 | person)", data, family="negative-binomial")
    mu, alpha = fit.fitted().to_numpy(), fit.family_parameters()["estimate"][0]
    expected = (data["y"] - mu) / np.sqrt(mu + alpha * mu**2)
    assert fit.residuals("pearson").to_numpy() == pytest.approx(expected.to_numpy())
    gap = fit.residuals("response").to_numpy()
    assert gap == pytest.approx((data["y"] - mu).to_numpy())


def test_shares_of_variance_by_hand() -> None:
    fit = rs.glmm(
        "y ~ x + (1 | person)", people(4, "negative-binomial"), family="negative-binomial"
    )
    psi, alpha = float(fit.engine.psi[0][0, 0]), fit.family_parameters()["estimate"][0]
    mean = float(fit.predict(random="average").mean())
    fixed = float(np.var(fit.predict(random=False, type="link"), ddof=1))
    for method, own in (
        ("log-normal", np.log(1 + 1 / mean + alpha)),
        ("delta", 1 / mean + alpha),
        ("trigamma", float(polygamma(1, 1 / (1 / mean + alpha)))),
    ):
        total = fixed + psi + own
        assert fit.r2(method)["conditional"] == pytest.approx((fixed + psi) / total)
        assert fit.r2(method)["marginal"] == pytest.approx(fixed / total)
        assert fit.icc(method=method) == pytest.approx(psi / (psi + own))
    logit = rs.glmm("cbind(y, free) ~ x + (1 | person)", people(4, "binomial"))
    b = float(logit.engine.psi[0][0, 0])
    assert logit.icc() == pytest.approx(b / (b + np.pi**2 / 3))
    p = float(logit.predict(random="average").mean())
    assert logit.icc(method="delta") == pytest.approx(b / (b + 1 / (7 * p * (1 - p))))


def test_requests_that_make_no_sense() -> None:
    fit = rs.glmm("y ~ x + (1 | person)", people(4, "ordinal"), family="ordinal")
    for ask in (
        lambda: fit.residuals("pearson"),
        lambda: fit.residuals("deviance"),
        lambda: fit.predict(interval="confidence"),
        lambda: fit.predict(interval="prediction"),
        lambda: fit.simulate(0),
        lambda: fit.simulate(effects="old"),
        lambda: fit.icc(method="delta"),
        lambda: fit.r2("log-normal"),
        lambda: fit.icc("site"),
        lambda: fit.confint("bootstrap"),
    ):
        with pytest.raises(UsageError):
            ask()
