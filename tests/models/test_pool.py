"""pool(): mice's numbers, every kind of fit, tables, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f as f_distribution

import recovery_stats as rs
from recovery_stats.errors import DataError, UsageError
from recovery_stats.models.linear import ols
from tests.tolerance import CLOSED_FORM, CONVERGED, EXACT, R_CONVERGED

R: dict[str, Any] = json.loads(
    Path(__file__).parent.parent.joinpath("engines", "rubin.json").read_text()
)


def _sets(name: str) -> list[pd.DataFrame]:
    raw = R[name]
    frame = pd.DataFrame({k: v for k, v in raw.items() if k not in ("imp", ".imp")})
    number = np.array(raw.get("imp", raw.get(".imp")))
    return [frame[number == k].reset_index(drop=True) for k in np.unique(number)]


LINEAR = _sets("data")
BINARY = _sets("made")


def _pooled(formula: str, sets: list[pd.DataFrame], **options: Any) -> Any:
    return rs.pool([rs.glm(formula, d, **options) for d in sets])


@pytest.mark.parametrize(
    ("case", "formula", "sets", "options"),
    [("lm", "chl ~ age + bmi", LINEAR, {}), ("glm", "y ~ x + g", BINARY, {"family": "binomial"})],
)
def test_coefficients_as_in_mice(
    case: str, formula: str, sets: list[pd.DataFrame], options: dict[str, Any]
) -> None:
    fit, want = _pooled(formula, sets, **options), R[case]
    table, info = fit.tidy(), fit.information()
    theirs = {
        "estimate": "estimate", "std_error": "se", "df": "df", "p_value": "p",
        "conf_low": "low", "conf_high": "high",
    }  # fmt: skip
    for ours, name in theirs.items():
        np.testing.assert_allclose(table[ours], want[name], rtol=CONVERGED)
    for ours, name in (("within", "within"), ("between", "between"), ("fmi", "fmi")):
        np.testing.assert_allclose(info[ours], want[name], rtol=CONVERGED)
    np.testing.assert_allclose(np.diag(fit.covariance()), info["total"], rtol=CLOSED_FORM)


@pytest.mark.parametrize("case", ["lm", "glm"])
@pytest.mark.parametrize("method", ["D1", "D2", "D3"])
def test_several_coefficients_as_in_mice(case: str, method: str) -> None:
    if case == "lm":
        big, small = _pooled("chl ~ age + bmi", LINEAR), _pooled("chl ~ bmi", LINEAR)
    else:
        big = _pooled("y ~ x + g", BINARY, family="binomial")
        small = _pooled("y ~ x", BINARY, family="binomial")
    found = big.compare(small, method).iloc[0]
    F, num, den, p, riv = R[f"{case}_{method}"]
    if riv < 0:  # the formula can give a negative increase in variance; no variance shrinks
        assert found["riv"] == 0
        assert found["statistic"] == pytest.approx(F * (1 + riv), rel=CONVERGED)
        return
    p = f_distribution.sf(F, num, den) if p == "NA" else p
    ours = [found[c] for c in ("statistic", "num_df", "den_df", "p_value", "riv")]
    np.testing.assert_allclose(ours, [F, num, den, p, riv], rtol=R_CONVERGED)


def test_least_squares_pools_as_the_gaussian_glm() -> None:
    a = rs.pool([ols("chl ~ age + bmi", d) for d in LINEAR])
    b = _pooled("chl ~ age + bmi", LINEAR)
    np.testing.assert_allclose(
        a.tidy().drop(columns="term"), b.tidy().drop(columns="term"), rtol=CONVERGED
    )
    small = rs.pool([ols("chl ~ bmi", d) for d in LINEAR])
    D3 = a.compare(small, "D3").iloc[0]
    np.testing.assert_allclose(D3["statistic"], R["lm_D3"][0], rtol=CONVERGED)


def test_term_by_term() -> None:
    fit = _pooled("chl ~ age + bmi", LINEAR)
    table = fit.anova().set_index("term")
    np.testing.assert_allclose(table.loc["age", "statistic"], R["lm_D1"][0], rtol=CONVERGED)
    assert list(table["num_df"]) == [2, 1]
    by_name = fit.test("age").iloc[0]
    assert by_name["statistic"] == pytest.approx(table.loc["age", "statistic"], rel=CLOSED_FORM)


def test_one_coefficient_of_six_sets_as_in_mice() -> None:
    big, small = _pooled("chl ~ age + bmi", LINEAR), _pooled("chl ~ age", LINEAR)
    found = big.compare(small, "D1").iloc[0]
    ours = [found[c] for c in ("statistic", "num_df", "den_df", "p_value", "riv")]
    np.testing.assert_allclose(ours, R["lm_D1_one"], rtol=R_CONVERGED)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_one_coefficient_of_few_sets_is_tested_by_its_t(m: int) -> None:
    fit = rs.pool([rs.glm("chl ~ age + bmi", d) for d in LINEAR[:m]])
    t, F = fit.tidy().set_index("term").loc["bmi"], fit.anova().set_index("term").loc["bmi"]
    ours = [F["statistic"], F["den_df"], F["p_value"]]
    np.testing.assert_allclose(ours, [t["statistic"] ** 2, t["df"], t["p_value"]], rtol=CLOSED_FORM)
    assert (fit.anova()["den_df"] <= fit.df_complete.max()).all()


# --- every model -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets() -> list[pd.DataFrame]:
    """Four copies of one table with a covariate that differs a little between them."""
    rng = np.random.default_rng(4)
    n, groups = 240, 24
    site = np.repeat(np.arange(groups), n // groups)
    x, u = rng.normal(size=n), rng.normal(size=groups)[site] * 0.5
    arm = np.where(rng.random(n) < 0.5, "a", "b")
    eta = 0.4 * x + 0.5 * (arm == "b") + u
    frame = pd.DataFrame(
        {
            "site": site, "arm": arm, "y": eta + rng.normal(size=n),
            "used": rng.random(n) < 1 / (1 + np.exp(-eta)), "count": rng.poisson(np.exp(eta / 2)),
            "time": rng.exponential(np.exp(-eta)) + 0.01, "event": rng.random(n) < 0.8,
        }
    ).astype({"used": int, "event": int})  # fmt: skip
    frame["cause"] = frame["event"] * (1 + (rng.random(n) < 0.3))
    return [frame.assign(x=x + rng.normal(scale=0.3, size=n)) for _ in range(4)]


def test_a_likelihood_ratio_of_mixed_models_is_silent(
    sets: list[pd.DataFrame], capfd: pytest.CaptureFixture[str]
) -> None:
    """Coefficients are held as an offset, which leaves a design without columns."""
    big, small = (
        rs.pool([rs.lmm(f"y ~ {x} + (1 | site)", d) for d in sets]) for x in ("x + arm", "x")
    )
    D1, D3 = (big.compare(small, method).iloc[0] for method in ("D1", "D3"))
    assert D3["statistic"] == pytest.approx(D1["statistic"], rel=0.1)
    assert capfd.readouterr() == ("", "")


MODELS = {
    "lmm": lambda d: rs.lmm("y ~ x + arm + (1 | site)", d),
    "kenward-roger": lambda d: rs.lmm("y ~ x + arm + (1 | site)", d, df="kenward-roger"),
    "residual": lambda d: rs.lmm("y ~ x + arm + (1 | site)", d, cluster="site"),
    "glmm": lambda d: rs.glmm("used ~ x + arm + (1 | site)", d, family="binomial"),
    "gee": lambda d: rs.gee("used ~ x + arm", d, groups="site", family="binomial"),
    "glm": lambda d: rs.glm("count ~ x + arm", d, family="poisson"),
    "glm cluster": lambda d: rs.glm("y ~ x + arm", d, cluster="site"),
    "cox": lambda d: rs.cox("Surv(time, event) ~ x + arm", d),
    "cox cluster": lambda d: rs.cox("Surv(time, event) ~ x + arm", d, cluster="site"),
    "frailty": lambda d: rs.cox("Surv(time, event) ~ x + arm + frailty(site)", d),
    "aft": lambda d: rs.aft("Surv(time, event) ~ x + arm", d),
    "flexible": lambda d: rs.flexible_survival("Surv(time, event) ~ x + arm", d),
    "firth": lambda d: rs.cox("Surv(time, event) ~ x + arm", d, penalty="firth"),
    "ordinal": lambda d: rs.glmm(
        "score ~ x + arm + (1 | site)",
        d.assign(score=pd.Categorical(np.digitize(d["y"], [-0.5, 0.8]), ordered=True)),
        family="ordinal",
    ),
    "recurrent": lambda d: rs.recurrent(
        "Surv(begin, time, event) ~ x + arm", d.assign(begin=0.0, id=d.index), person="id"
    ),
    "discrete": lambda d: rs.discrete_time(
        "Surv(visit, event) ~ x + arm",
        d.assign(visit=1 + np.minimum(d["time"] // 0.5, 3).astype(int)),
        visits=[1, 2, 3, 4],
    ),
    "fine gray": lambda d: rs.fine_gray("Surv(time, cause) ~ x + arm", d, cause=1),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_pools(name: str, sets: list[pd.DataFrame]) -> None:
    fits = [MODELS[name](d) for d in sets]
    pooled = rs.pool(fits)
    each = [f.tidy().set_index("term") for f in fits]
    table = pooled.tidy().set_index("term")
    mean = sum(t["estimate"] for t in each) / 4
    np.testing.assert_allclose(table["estimate"], mean, rtol=CLOSED_FORM)
    within = sum(t["std_error"] ** 2 for t in each) / 4
    between = pd.concat([t["estimate"] for t in each], axis=1).var(axis=1)
    np.testing.assert_allclose(table["std_error"] ** 2, within + 1.25 * between, rtol=CONVERGED)
    assert np.isfinite(table["df"]).all()
    assert pooled.test(["x", "arm"]).loc[0, "num_df"] == 2
    assert {c.verdict for c in pooled.checks()} <= {"ok", "caution", "fail"}
    assert len(pooled.glance()) == 1


@pytest.mark.parametrize("name", ["lmm", "glm", "cox"])
def test_likelihood_ratio_of_equal_data_sets_is_that_of_one(
    name: str, sets: list[pd.DataFrame]
) -> None:
    small = {
        "lmm": lambda d: rs.lmm("y ~ x + (1 | site)", d, reml=False),
        "glm": lambda d: rs.glm("count ~ x", d, family="poisson"),
        "cox": lambda d: rs.cox("Surv(time, event) ~ x", d),
    }[name]
    model = MODELS[name] if name != "lmm" else lambda d: rs.lmm(
        "y ~ x + arm + (1 | site)", d, reml=False
    )  # fmt: skip
    copies = [sets[0]] * 3
    found = rs.pool(map(model, copies)).compare(rs.pool(map(small, copies))).iloc[0]
    gain = 2 * (
        model(sets[0]).glance()["log_likelihood"][0] - small(sets[0]).glance()["log_likelihood"][0]
    )
    assert found["statistic"] == pytest.approx(gain, rel=1e-5)
    assert found["riv"] == pytest.approx(0, abs=1e-5)


def test_means_of_a_pooled_fit_are_its_combinations(sets: list[pd.DataFrame]) -> None:
    pooled = rs.pool([MODELS["lmm"](d) for d in sets])
    difference = pooled.pairwise("arm").iloc[0]
    row = pooled.tidy().set_index("term").loc["arm[T.b]"]
    assert difference["estimate"] == pytest.approx(-row["estimate"], rel=CLOSED_FORM)
    assert difference["std_error"] == pytest.approx(row["std_error"], rel=CLOSED_FORM)
    assert difference["df"] == pytest.approx(row["df"], rel=1e-6)


def test_a_concordance_pools_though_it_has_no_df(sets: list[pd.DataFrame]) -> None:
    pooled = rs.pool([rs.concordance("Surv(time, event) ~ x", d) for d in sets])
    assert len(pooled.tidy()) == 1
    assert np.isfinite(pooled.tidy()["std_error"]).all()


# --- tables ------------------------------------------------------------------------------------


def test_a_table_of_coefficients_pools_as_its_fits(sets: list[pd.DataFrame]) -> None:
    fits = [MODELS["lmm"](d) for d in sets]
    a, b = rs.pool(fits).tidy(), rs.pool([f.tidy() for f in fits]).tidy()
    pd.testing.assert_frame_equal(a, b[a.columns], rtol=CLOSED_FORM)


def test_survival_on_the_complementary_log_log_scale(sets: list[pd.DataFrame]) -> None:
    curves = [rs.kaplan_meier("Surv(time, event) ~ arm", d) for d in sets]
    tables = [c.at([0.5, 1.0]) for c in curves]
    found = rs.pool(tables, transform="cloglog").tidy()
    np.testing.assert_allclose(found["estimate"], tables[0]["estimate"], rtol=CLOSED_FORM)
    one = tables[0]  # the data sets are alike in time and arm: a log-log interval of one of them
    np.testing.assert_allclose(found["conf_low"], one["conf_low"], rtol=CONVERGED)
    np.testing.assert_allclose(found["conf_high"], one["conf_high"], rtol=CONVERGED)


# --- refusals ------------------------------------------------------------------------------------


def test_one_fit_is_no_pool(sets: list[pd.DataFrame]) -> None:
    with pytest.raises(UsageError, match="two completed data sets or more; 1 given"):
        rs.pool([MODELS["glm"](sets[0])])


def test_fits_of_other_terms_are_refused(sets: list[pd.DataFrame]) -> None:
    other = sets[1].assign(arm=sets[1]["arm"].where(sets[1].index > 5, "c"))
    with pytest.raises(DataError, match=r"data sets 1 and 2 differ .*arm\[T.c\]"):
        rs.pool([MODELS["glm"](sets[0]), MODELS["glm"](other)])


def test_a_smaller_model_must_be_smaller(sets: list[pd.DataFrame]) -> None:
    a = rs.pool([rs.glm("y ~ x", d) for d in sets])
    b = rs.pool([rs.glm("y ~ arm", d) for d in sets])
    with pytest.raises(UsageError, match="it alone has arm"):
        a.compare(b)


def test_own_df_can_be_given(sets: list[pd.DataFrame]) -> None:
    fits = [MODELS["cox"](d) for d in sets]
    small, large = rs.pool(fits, df_complete=10), rs.pool(fits, df_complete=np.inf)
    assert (small.tidy()["df"] < 10).all()
    assert (large.tidy()["df"] > small.tidy()["df"]).all()
    assert small.tidy()["estimate"].equals(large.tidy()["estimate"])
    assert abs(small.rules.riv - large.rules.riv).max() < EXACT
