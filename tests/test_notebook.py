"""Fits in a notebook: the report's renderer, one frame each."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

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


def survival() -> pd.DataFrame:
    d = people()
    high = d["days"] + np.where(d["u"] == 1, 0.3, np.inf)
    return d.assign(
        arm=np.where(d["x"] > 0, 1, 0), low=d["days"], high=high, cause=np.arange(100) % 3
    )


def shown_of() -> dict[str, object]:
    """A result of every kind that has no coefficients, by the call that makes it."""
    d = survival()
    wide = pd.DataFrame(np.random.default_rng(2).normal(size=(40, 3)), columns=["a", "b", "c"])
    curves = "Surv(days, u) ~ arm"
    gaps = d[["x", "y", "u", "g"]].mask(np.random.default_rng(3).random((100, 4)) < 0.1)
    return {
        "kaplan_meier": rs.kaplan_meier(curves, d),
        "logrank": rs.logrank(curves, d),
        "concordance": rs.concordance("Surv(days, u) ~ x", d),
        "cumulative_incidence": rs.cumulative_incidence("Surv(days, cause) ~ arm", d),
        "gray_test": rs.gray_test("Surv(days, cause) ~ arm", d),
        "turnbull": rs.turnbull('Surv(low, high, type="interval2") ~ 1', d),
        "aft": rs.aft(curves, d),
        "one_way": rs.one_way(d, "y", "arm"),
        "repeated_anova": rs.repeated_anova(wide, ["a", "b", "c"], within="wave"),
        "compare_arms": rs.compare_arms(d, "u", "arm"),
        "icc": rs.icc(d, outcome="y", cluster="g"),
        "propensity_weights": rs.propensity_weights("arm ~ y", d),
        "impute": rs.impute(gaps, m=2, seed=1),
        "two_by_two": rs.two_by_two(21, 67, 35, 54),
        "missing": rs.missing(gaps, ["x", "y"]),
        "reliable_change": rs.reliable_change(
            wide, "a", "b", reliability=0.85, better="lower", cutoff="c", norm_group=(1, 1)
        ),
        "synthetic_study": rs.synthetic_study("plain", persons=60, seed=1),
    }


def test_every_other_result_shows_itself() -> None:
    for name, result in shown_of().items():
        page = result._repr_html_()  # type: ignore[attr-defined]
        inside = unescape(page)
        assert page.startswith("<iframe srcdoc="), name
        assert "<table>" in inside or "<svg" in inside, name
        assert ">nan" not in inside, name


def test_curves_are_drawn_as_a_report_draws_them() -> None:
    """Under the privacy rule: nobody's own time of relapse can be read off a saved notebook."""
    found = shown_of()["kaplan_meier"]
    inside = unescape(found._repr_html_())  # type: ignore[attr-defined]
    assert "Number at risk" in inside
    assert "known only at points" in inside
    days = survival()["days"]
    assert not [t for t in days if f"{t:.6f}".rstrip("0") in inside]


def test_small_counts_stay_hidden_in_a_notebook() -> None:
    d = pd.DataFrame({"x": [np.nan] * 3 + list(range(37))})
    inside = unescape(rs.missing(d, ["x"])._repr_html_())  # type: ignore[attr-defined]
    assert "&lt; 11" in inside
    assert "<td>3</td>" not in inside


def test_data_show_their_codebook_and_nobody_s_values() -> None:
    d = rs.synthetic_study("plain", persons=60, seed=1)["persons"]
    inside = unescape(d._repr_html_())  # type: ignore[attr-defined]
    assert all(f">{name}</th>" in inside for name in d.frame.columns)
    assert "Filled in" in inside


def test_a_table_and_a_figure_of_a_report_show_themselves_disclosed(tmp_path: Path) -> None:
    study = rs.synthetic_study("plain", persons=120, seed=3)
    result = rs.answer("relationship_satisfaction", study)
    whole = unescape(result._repr_html_())  # type: ignore[attr-defined]
    for name in [*result.tables, *result.figures]:
        piece = result.excerpt(name)  # type: ignore[attr-defined]
        inside = unescape(piece._repr_html_())
        rows = re.findall(r"<tr>(?:<th scope=.row|<td></td><td[ >]).*?</tr>", inside)
        assert rows
        assert all(row in whole for row in rows)
    written = result.excerpt("effects").write(tmp_path / "effects.docx")  # type: ignore[attr-defined]
    assert written.exists()
    with pytest.raises(UsageError, match=r"named 'efects'\. Did you mean 'effects'"):
        result.excerpt("efects")  # type: ignore[attr-defined]


def test_estimating_equations_have_wald_intervals_alone() -> None:
    fit = rs.gee("u ~ x", people(), groups="g", family="binomial")
    assert list(fit.confint("wald", 0.9)["conf_low"]) == list(fit.tidy(0.9)["conf_low"])
    with pytest.raises(UsageError, match="No interval method named 'profile'"):
        fit.confint("profile")
