"""Satisfaction and an outcome that is not normal: R, direct fits, collapse, words, bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.result import Result
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.study import workflow
from tests.analyses.test_relationship_satisfaction import ROLES, check, study_of, words
from tests.tolerance import CONVERGED, R_DIGITS

STORED = json.loads((Path(__file__).parent / "satisfaction_family.json").read_text())
FRAME = pd.DataFrame(STORED["data"])
SITES = FRAME["pid"] % 12


def ask(outcome: str, family: str, frame: pd.DataFrame = FRAME, **options: Any) -> Result:
    renamed = frame.rename(columns={outcome: "y"})
    return rs.answer("relationship_satisfaction", study_of(renamed), family=family, **options)


def split_by_hand() -> pd.DataFrame:
    mean = FRAME.groupby("pid")["x"].transform("mean")
    band = np.digitize(FRAME["days"], [10, 20])
    return FRAME.assign(w=FRAME["x"] - mean, b=mean, band=band, rest=30 - FRAME["days"])


ASKED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "binomial": ("yes", "yes", {}),
    "binomial of 30": ("days", "cbind(days, rest)", {"out_of": 30}),
    "poisson": ("count", "count", {}),
    "negative-binomial": ("extra", "extra", {}),
    "beta-binomial": ("days", "cbind(days, rest)", {"out_of": 30}),
    "ordinal": ("band", "band", {}),
}


# --- the numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", STORED["fits"], ids=lambda f: f["family"])
def test_ratios_are_those_of_lme4_and_glmmtmb(theirs: dict[str, Any]) -> None:
    """One factor: lme4 with 11 nodes; with sites: glmmTMB's Laplace."""
    more: dict[str, Any] = {"cluster": "site"} if theirs["cluster"] else {}
    if theirs["family"] == "beta-binomial":
        more["out_of"] = 30
    result = ask(theirs["outcome"], theirs["family"], sensitivity=False, **more)
    for name, key in (("within", "within"), ("between", "between"), ("time", "wave")):
        found, (value, se) = result[name], theirs[key]
        assert_allclose((np.log(found.value), found.se), (value, se), rtol=5 * R_DIGITS, atol=1e-5)
        assert found.df == float("inf")
        assert found.scale == "ratio"
    assert_allclose(result["within"].p, theirs["p_within"], rtol=1e-3)
    if "mean_1" in theirs:
        told = result["response_within"]
        assert_allclose(told.value, theirs["mean_1"] - theirs["mean_0"], rtol=5 * R_DIGITS)


@pytest.mark.parametrize("name", list(ASKED))
def test_every_number_is_that_of_the_model_asked_for_directly(name: str) -> None:
    outcome, left, options = ASKED[name]
    family = name.partition(" ")[0]
    data = split_by_hand()
    result = ask(outcome, family, data[["pid", "wave", "x", outcome]], **options)
    fit: Any = rs.glmm(f"{left} ~ wave + w + b + (1 | pid)", data, family=family, quadrature=11)
    row = fit.tidy().set_index("term").loc["w"]
    found = result["within"]
    assert_allclose((np.log(found.value), found.se, found.p), row[["estimate", "std_error", "p_value"]].astype(float), rtol=1e-5)  # fmt: skip # noqa: E501
    times = 30.0 if options else 1.0
    above = {"above": "0"} if family == "ordinal" else {}
    if family == "ordinal":
        shares = [abs((data["band"] > k).mean() - 0.5) for k in (0, 1)]
        above = {"above": str(int(np.argmin(shares)))}
    step = fit.population_effects("w", at=[0, 1], **above).iloc[0]
    told = result["response_within"]
    assert_allclose((told.value, told.se), (times * step["estimate"], times * step["std_error"]), rtol=1e-5)  # fmt: skip # noqa: E501
    assert_allclose(result.facts["icc"].value, fit.icc(), rtol=1e-5)
    assert_allclose(result.facts["r2_marginal"].value, fit.r2()["marginal"], rtol=1e-5)
    if "mean_within[1]" in result.facts or "far" not in result.said:
        sd = data["w"].std()
        at = fit.population_means("w", at=[sd], **above).iloc[0]
        mean = result["mean_within[1]"]
        wanted = times * at[["estimate", "conf_low", "conf_high"]].astype(float)
        assert_allclose((mean.value, mean.low, mean.high), wanted, rtol=1e-5)
    assert {"lead", "lagged", "detrended", "robust", "pooled"} <= {e.name for e in result.estimates}


def test_the_marginal_row_is_gee_with_small_sample_errors() -> None:
    data = split_by_hand()
    for outcome, left, family, marginal, options in (
        ("days", "cbind(days, rest)", "beta-binomial", "binomial", {"out_of": 30}),
        ("extra", "extra", "negative-binomial", "poisson", {}),
    ):
        fit = rs.gee(f"{left} ~ wave + w + b", data, groups="pid", family=marginal)
        row = fit.tidy().set_index("term").loc["w"]
        found = ask(outcome, family, **options)["robust"]
        assert_allclose((np.log(found.value), found.se, found.df), row[["estimate", "std_error", "df"]].astype(float), rtol=1e-5)  # fmt: skip # noqa: E501


def test_two_ordered_categories_are_a_yes_or_no() -> None:
    """Cumulative logits of two categories are the logistic model, threshold minus intercept."""
    yes = ask("yes", "binomial", sensitivity=False)
    ordered = ask("yes", "ordinal", sensitivity=False)
    for e in yes.estimates:
        if e.name != "fixed[Intercept]":
            same = ordered[e.name]
            assert_allclose(
                (same.value, same.low, same.high, same.se), (e.value, e.low, e.high, e.se),
                rtol=1e-5, atol=1e-7,
            )  # fmt: skip


def test_trials_by_column_by_number_and_by_unit_are_the_same() -> None:
    by_number = ask("days", "beta-binomial", sensitivity=False, out_of=30)
    by_column = ask("days", "beta-binomial", FRAME.assign(of=30), sensitivity=False, trials="of")
    codebook = Codebook({"y": Variable("y", "Days abstinent", unit="of 30 days")})
    study = study_of(FRAME.rename(columns={"days": "y"}), codebook=codebook)
    by_unit = rs.answer(
        "relationship_satisfaction", study, family="beta-binomial", sensitivity=False
    )
    for other in (by_column, by_unit):
        assert_allclose(other["within"].value, by_number["within"].value, rtol=CONVERGED)
    assert_allclose(by_unit["response_within"].value, by_number["response_within"].value)
    assert_allclose(30 * by_column["response_within"].value, by_number["response_within"].value)


def test_slopes_vary_where_asked() -> None:
    result = ask("count", "poisson", sensitivity=False, random_slope=["wave"])
    data = split_by_hand()
    fit = rs.glmm("count ~ wave + w + b + (1 + wave | pid)", data, family="poisson")
    assert_allclose(np.log(result["within"].value), fit.coefficient("w"), rtol=1e-4)
    assert "random_time" in result.said


# --- cautions and words --------------------------------------------------------------------------


def test_the_caution_about_bounds_names_a_family_and_goes_when_it_is_given() -> None:
    days = FRAME.assign(days=np.where(FRAME["days"] > 20, 30, FRAME["days"]))
    linear = ask("days", "gaussian", days, sensitivity=False)
    told = check(linear, "bounded outcome")
    assert told.verdict == "caution"
    assert "beta-binomial" in str(told.parts)
    assert "binomial" in str(check(ask("yes", "gaussian", sensitivity=False), "bounded outcome").parts)  # fmt: skip # noqa: E501
    given = ask("days", "beta-binomial", days, sensitivity=False, out_of=30)
    assert all(c.name != "bounded outcome" for c in given.checks)
    assert "bounded" not in given.said


def test_overdispersed_counts_are_told_and_the_other_family_has_no_excess() -> None:
    poisson = ask("extra", "poisson", sensitivity=False)
    assert check(poisson, "overdispersion").verdict == "caution"
    other = ask("extra", "negative-binomial", sensitivity=False)
    assert all(c.name != "overdispersion" for c in other.checks)
    labels = [row.label for row in other.tables["variance"].rows]
    assert any(label.startswith("Overdispersion") for label in labels)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [("binomial", "odds ratio"), ("poisson", "rate ratio"), ("beta-binomial", "odds ratio"),
     ("ordinal", "odds ratio")],
)  # fmt: skip
def test_every_report_composes_in_the_words_of_its_family(name: str, ratio: str) -> None:
    outcome, _, options = ASKED[name]
    frame = split_by_hand().assign(site=SITES)[["pid", "wave", "site", "x", outcome]]
    result = ask(outcome, name, frame, cluster="site", **options)
    text = words(result)
    first = text.split("## What is estimated")[0]
    assert f"{ratio} of" in first
    assert "95% confidence interval" in first
    assert "Averaged over everybody" in first
    assert ("higher answer" in first) == (name == "ordinal")
    for causal in ("causes", "leads to", "impact", "no effect"):
        assert causal not in first
    for linear in ("linear mixed model by restricted", "Satterthwaite (1946)", "Std. b"):
        assert linear not in text
    assert "no degrees of freedom" in text
    assert "Kauermann" in text
    html = workflow.render(workflow.report(result), "x", ["html"])["x.html"]
    assert b"Marginal model" in html


# --- bad input -----------------------------------------------------------------------------------


def spoilt() -> Iterator[Any]:
    count = FRAME["count"].astype(float)
    negative = FRAME.assign(count=count.where(FRAME.index != 4, -1).where(FRAME.index != 6, 2.5))
    yield "counts", "count", "poisson", negative, {}, DataError, ["'y'", "2 of 320", "rows 5 and 7"]
    three = FRAME.assign(yes=np.where(FRAME.index == 3, 2, FRAME["yes"]))
    yield "no yes", "yes", "binomial", three, {}, DataError, ["'y'", "0 or 1", "row 4"]
    beyond = {"out_of": 20}
    yield "days", "days", "beta-binomial", FRAME, beyond, DataError, ["'y'", "from 0 to 20"]
    none = FRAME.assign(of=np.where(FRAME.index == 1, 0, 30))
    yield "trials", "days", "binomial", none, {"trials": "of"}, DataError, ["'of'", "row 2"]
    yield "unknown", "days", "beta-binomial", FRAME, {}, UsageError, ["--out-of", "--trials"]
    yield "count out of", "count", "poisson", FRAME, {"out_of": 30}, UsageError, ["--out-of"]
    both = {"trials": "of", "out_of": 30}
    yield "both", "days", "binomial", FRAME.assign(of=30), both, UsageError, ["give one"]
    many = FRAME.assign(score=np.arange(len(FRAME)))
    yield "many", "score", "ordinal", many, {}, DataError, ["'y'", "320 different"]
    apart = FRAME.assign(yes=(FRAME["x"] > 3).astype(int))
    yield "separation", "yes", "binomial", apart, {}, NotEstimable, ["separated", "x (within)"]


@pytest.mark.parametrize(
    ("outcome", "family", "frame", "options", "error", "named"),
    [pytest.param(*c[1:], id=c[0]) for c in spoilt()],
)
def test_bad_input_is_named(outcome, family, frame, options, error, named) -> None:
    with pytest.raises(error) as raised:
        ask(outcome, family, frame, **options)
    for word in named:
        assert word in str(raised.value)


def test_separation_is_told_before_a_missing_wave_and_the_wave_otherwise() -> None:
    assert ROLES["wave"] == "wave"
    study = study_of(FRAME.rename(columns={"yes": "y"}))
    roles = {k: v for k, v in ROLES.items() if k != "wave"}
    specs = {"waves": rs.core.study.TableSpec("waves", roles=roles)}
    frame = FRAME.drop(columns="wave").rename(columns={"yes": "y"})
    for separated, error, word in ((True, NotEstimable, "'x'"), (False, UsageError, "--wave")):
        y = (frame["x"] > 3).astype(int) if separated else frame["y"]
        rows = frame.assign(y=y).set_axis(range(1, len(frame) + 1))
        tables = {"waves": type(study["waves"])(rows)}
        waveless = type(study)(tables, type(study.protocol)(tables=specs))
        with pytest.raises(error, match=word):
            rs.answer("relationship_satisfaction", waveless, family="binomial")
