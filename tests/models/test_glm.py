"""Generalised linear models: R's glm, least squares, robust errors, separation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines.robust import sandwich
from recovery_stats.errors import NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED

R_ROUND = 1e-7  # R forms errors and dispersion with the weights of the step before the last

HERE = Path(__file__).parent
FITS = json.loads((HERE / "glm.json").read_text())["fits"]
FRAME = pd.DataFrame(json.loads((HERE / "gee.json").read_text())["data"])


@pytest.mark.parametrize("theirs", FITS, ids=lambda f: f"{f['formula']} {f['family']} {f['link']}")
def test_r(theirs: dict[str, Any]) -> None:
    asked = {k: theirs[k] for k in ("family", "link", "weights") if theirs[k]}
    fit = rs.glm(theirs["formula"], FRAME, **asked)
    table, whole = fit.tidy(), fit.glance().iloc[0]
    for name in ("estimate", "std_error", "p_value"):
        assert table[name].to_numpy() == pytest.approx(theirs[name], rel=R_ROUND, abs=1e-12), name
    for name in ("deviance", "null_deviance", "log_likelihood", "aic", "bic"):
        assert whole[name] == pytest.approx(theirs[name], rel=CONVERGED), name
    assert whole["dispersion"] == pytest.approx(theirs["dispersion"], rel=R_ROUND)


def test_the_normal_family_is_least_squares() -> None:
    fit = rs.glm("score ~ x * arm", FRAME)
    X, y = fit.X, FRAME["score"].to_numpy()
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    assert fit.tidy()["estimate"].to_numpy() == pytest.approx(beta, rel=CONVERGED)
    assert fit.deviance == pytest.approx(float(((y - X @ beta) ** 2).sum()), rel=CLOSED_FORM)
    clustered = rs.glm("score ~ x * arm", FRAME, cluster="id")
    robust = sandwich(X, y - X @ beta, FRAME["id"].to_numpy(), kind="CR2")
    found = clustered.tidy()
    assert found["std_error"].to_numpy() == pytest.approx(np.sqrt(np.diag(robust.covariance)))
    assert found["std_error_model"].to_numpy() == pytest.approx(fit.tidy()["std_error"].to_numpy())
    assert found["df"][1] == pytest.approx(robust.df(np.array([0.0, 1.0, 0.0, 0.0])))
    assert clustered.covariance().to_numpy() == pytest.approx(robust.covariance, rel=CONVERGED)
    assert list(clustered.anova()["term"]) == ["x", "arm", "x:arm"]


def test_one_coefficient_has_the_test_of_its_term() -> None:
    for formula, family in (("score ~ x + arm", "gaussian"), ("used ~ x + arm", "binomial")):
        fit = rs.glm(formula, FRAME, family=family)
        row, term = fit.tidy().set_index("term").loc["x"], fit.anova().set_index("term").loc["x"]
        assert term["statistic"] == pytest.approx(row["statistic"] ** 2, rel=CONVERGED)
        assert term["p_value"] == pytest.approx(row["p_value"], rel=CONVERGED)


def test_rates_of_two_groups_by_hand() -> None:
    data = pd.DataFrame({"events": [30, 12], "time": [1000.0, 800.0], "site": ["a", "b"]})
    more = pd.concat([data, data], ignore_index=True)
    fit = rs.glm("events ~ site + offset(log(time))", more, family="poisson")
    found = fit.tidy().set_index("term").loc["site[T.b]"]
    assert found["estimate"] == pytest.approx(np.log((12 / 800) / (30 / 1000)), rel=CONVERGED)
    assert found["std_error"] == pytest.approx(np.sqrt((1 / 12 + 1 / 30) / 2), rel=CONVERGED)


def test_overdispersion_is_a_caution() -> None:
    counts = pd.DataFrame({"y": [0, 9, 1, 12, 0, 15, 2, 20], "x": [0, 0, 0, 0, 1, 1, 1, 1]})
    fit = rs.glm("y ~ x", counts, family="poisson")
    assert [c.verdict for c in fit.checks() if c.name == "overdispersion"] == ["caution"]
    assert "GlmFit" in repr(fit)


def test_separation_names_the_column() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40)})
    frame["y"] = (frame["x"] > 0).astype(int)
    for link in ("logit", "probit", "cloglog"):
        with pytest.raises(NotEstimable, match="separated by 'x'"):
            rs.glm("y ~ x + z", frame, family="binomial", link=link)
    frame["g"] = np.where(frame["x"] > 1, "rare", "usual")
    frame["used"] = np.where(frame["g"] == "rare", 1, rng.integers(0, 2, 40))
    with pytest.raises(NotEstimable, match=r"separated by 'g\[T.usual\]'"):
        rs.glm("used ~ g + z", frame, family="binomial")


def test_requests_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="no random terms"):
        rs.glm("score ~ x + (1 | id)", FRAME)
    with pytest.raises(NotEstimable, match="cannot estimate"):
        rs.glm("score ~ x", FRAME.head(2))
