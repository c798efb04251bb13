"""Fits in a notebook: the report's renderer, one frame each."""

from __future__ import annotations

from html import unescape

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import UsageError


def people() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    d = pd.DataFrame({"g": np.repeat(np.arange(20), 5), "x": rng.normal(size=100)})
    d["y"] = d["x"] + rng.normal(size=20)[d["g"]] + rng.normal(size=100)
    return d.assign(u=(d["y"] > 0) * 1, t=np.tile(np.arange(5), 20), days=rng.exponential(size=100))


def test_every_kind_of_fit_shows_its_coefficients_and_checks() -> None:
    d = people()
    fits = [
        rs.lmm("y ~ x + (1 | g)", d),
        rs.lmm("y ~ x", d, residual="ar1", residual_by="t | g"),
        rs.glmm("u ~ x + (1 | g)", d),
        rs.gee("u ~ x", d, groups="g", family="binomial"),
        rs.glm("u ~ x", d, family="binomial"),
        rs.cox("Surv(days, u) ~ x", d),
    ]
    for fit in fits:
        page = fit._repr_html_()  # type: ignore[attr-defined]
        assert page.startswith("<iframe srcdoc=")
        inside = unescape(page)
        assert f"{fit.tidy().set_index('term').loc['x', 'estimate']:.3f}" in inside
        assert all(check.name in inside for check in fit.checks())


def test_estimating_equations_have_wald_intervals_alone() -> None:
    fit = rs.gee("u ~ x", people(), groups="g", family="binomial")
    assert list(fit.confint("wald", 0.9)["conf_low"]) == list(fit.tidy(0.9)["conf_low"])
    with pytest.raises(UsageError, match="No interval method named 'profile'"):
        fit.confint("profile")
