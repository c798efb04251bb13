"""Weighted and clustered curves against survival (weighted_curve.R); means, counts by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines import curves
from recovery_stats.errors import NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, DERIVATIVE, EXACT

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
VETERAN = SHARED / "reference" / "cox_veteran_zph.csv"
PHARMACO = SHARED / "data" / "pharmaco_smoking.csv"
R = json.loads(Path(__file__).with_name("weighted_curve.json").read_text())
AT = [20, 60, 120, 250]


def veteran() -> pd.DataFrame:
    d = pd.read_csv(VETERAN)
    late = (d["time"] > 20) & (d["diagtime"] > 5)
    return d.assign(w=0.5 + (d["age"] % 7) / 5, entry=np.where(late, 10, 0))


@pytest.mark.skipif(not VETERAN.is_file(), reason="no ../shared/reference")
@pytest.mark.parametrize(
    ("name", "formula", "conf_type", "options"),
    [
        ("weights", "Surv(time, status) ~ trt", "log", {"weights": "w"}),
        ("cluster", "Surv(time, status) ~ trt", "log-log", {"cluster": "celltype"}),
        ("both", "Surv(time, status) ~ 1", "plain", {"weights": "w", "cluster": "diagtime"}),
        ("entry", "Surv(entry, time, status) ~ trt", "log", {}),
    ],
)
def test_weights_clusters_and_entry_as_in_r(
    name: str, formula: str, conf_type: Any, options: dict[str, str]
) -> None:
    fit = rs.kaplan_meier(formula, veteran(), conf_type, **options)  # type: ignore[arg-type]
    table = fit.at(AT)
    for ours, theirs in (
        ("estimate", "surv"),
        ("std_error", "se"),
        ("conf_low", "low"),
        ("conf_high", "high"),
    ):
        assert table[ours].tolist() == pytest.approx(R[name][theirs], rel=CLOSED_FORM)
    for curve, errors in zip(
        fit.fitted, np.split(np.array(R[name]["chaz_se"], float), len(fit.fitted)), strict=True
    ):
        at = curves.position(curve.table.time, np.array(AT, float))
        assert curve.hazard_se[at] == pytest.approx(errors, rel=CLOSED_FORM)


def people(n: int = 60, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "time": np.ceil(rng.exponential(20, n)),
            "event": rng.integers(0, 2, n),
            "arm": rng.integers(0, 2, n),
            "site": rng.integers(0, 8, n),
            "w": rng.uniform(0.5, 2, n),
        }
    )


def test_the_error_of_a_weighted_mean_is_what_each_row_moves_it() -> None:
    d, tau, h = people(), 15.0, 1e-5
    stop, cause = d["time"].to_numpy(), d["event"].to_numpy()

    def mean(w: Any) -> float:
        table = curves.tabulate(stop, cause, weights=w)
        return curves.restricted_mean(curves.kaplan_meier(table), tau)[0]

    w = d["w"].to_numpy()
    slopes = [
        w[i] * (mean(w + h * (np.arange(len(w)) == i)) - mean(w - h * (np.arange(len(w)) == i)))
        / (2 * h)
        for i in range(len(w))
    ]  # fmt: skip
    fit = rs.kaplan_meier("Surv(time, event) ~ 1", d, weights="w")
    assert fit.rmst(tau)["std_error"][0] == pytest.approx(np.linalg.norm(slopes), rel=DERIVATIVE)
    sites = rs.kaplan_meier("Surv(time, event) ~ 1", d, weights="w", cluster="site")
    by_site = np.bincount(d["site"], slopes)
    assert sites.rmst(tau)["std_error"][0] == pytest.approx(np.linalg.norm(by_site), rel=DERIVATIVE)


def test_robust_errors_of_unweighted_people_are_greenwood() -> None:
    d = people()
    plain, robust = (
        rs.kaplan_meier("Surv(time, event) ~ arm", d, robust=r).rmst(12.0) for r in (None, True)
    )
    pd.testing.assert_frame_equal(plain, robust, rtol=EXACT)


def test_clusters_across_the_groups_make_their_means_depend() -> None:
    """Everybody twice, once in each arm: the arms' means are one, so their difference is sure."""
    d = people().assign(arm=0, who=np.arange(60))
    both = pd.concat([d, d.assign(arm=1)])
    fit = rs.kaplan_meier("Surv(time, event) ~ arm", both, cluster="who")
    row = fit.rmst(12.0).iloc[2]
    assert row["estimate"] == pytest.approx(0, abs=CLOSED_FORM)
    assert row["std_error"] == pytest.approx(0, abs=1e-7)


@pytest.mark.skipif(not PHARMACO.is_file(), reason="no ../shared/data")
def test_difference_and_ratio_of_mean_times() -> None:
    d = pd.read_csv(PHARMACO)
    fit = rs.kaplan_meier("Surv(ttr, relapse) ~ grp", d)
    means = fit.rmst(182.0)
    table = fit.rmst_contrasts([91.0, 182.0], reference="patchOnly")
    assert table["tau"].tolist() == [91, 91, 182, 182]
    difference, ratio = table.iloc[2], table.iloc[3]
    # ../shared/numerics.md: 36.922387 (10.985965 to 62.858809)
    assert [difference[c] for c in ("estimate", "conf_low", "conf_high")] == pytest.approx(
        [36.922387, 10.985965, 62.858809], abs=1e-6
    )
    a, b = (means.set_index("group").loc[g] for g in ("patchOnly", "combination"))
    assert ratio["estimate"] == pytest.approx(b["estimate"] / a["estimate"])
    share = [g["std_error"] / g["estimate"] for g in (a, b)]
    assert ratio["std_error"] == pytest.approx(np.hypot(*share))
    assert ratio["contrast"] == "combination / patchOnly"


def test_the_table_below_the_plot_adds_up() -> None:
    d = people()
    fit = rs.kaplan_meier("Surv(time, event) ~ arm", d)
    table = fit.at_risk([0, 10, 30])
    for arm, rows in table.groupby("group"):
        mine = d[d["arm"].astype(str) == arm]
        assert rows["n_risk"].tolist() == [(mine["time"] >= t).sum() for t in (0, 10, 30)]
        gone = [((mine["time"] <= t) & (mine["event"] == 1)).sum() for t in (0, 10, 30)]
        assert rows["n_event"].tolist() == gone
    assert fit.at_risk()["time"].iloc[0] == 0


def test_limits_of_the_cumulative_hazard_are_on_its_logarithm() -> None:
    table = rs.kaplan_meier("Surv(time, event) ~ 1", people()).cumulative_hazard().dropna()
    product = table["conf_low"] * table["conf_high"]
    assert list(np.sqrt(product)) == pytest.approx(list(table["estimate"]))
    spread = np.log(table["conf_high"] / table["estimate"]) * table["estimate"]
    assert list(spread) == pytest.approx(list(1.959963984540054 * table["std_error"]))


def test_weights_that_change_break_a_spell() -> None:
    d = pd.DataFrame(
        {"id": [1, 1, 2], "a": [0, 2, 0], "b": [2, 5, 4], "e": [0, 1, 0], "w": [1.0, 2.5, 1.0]}
    )
    fit = rs.kaplan_meier("Surv(a, b, e) ~ 1", d, weights="w", person="id")
    assert fit.at([3, 5])["n_risk"].tolist() == [3.5, 2.5]


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="robust=False"):
        rs.kaplan_meier("Surv(time, event) ~ 1", people(), weights="w", robust=False)
    with pytest.raises(UsageError, match="group"):
        rs.kaplan_meier("Surv(time, event) ~ arm", people()).rmst_contrasts(5, reference="x")
    with pytest.raises(NotEstimable, match="two groups"):
        rs.kaplan_meier("Surv(time, event) ~ 1", people()).rmst_contrasts(5)


def test_few_clusters_are_told() -> None:
    few = rs.kaplan_meier("Surv(time, event) ~ 1", people(), cluster="site")
    assert [c.verdict for c in few.checks()] == ["caution"]
    own = people().assign(who=np.arange(60))
    assert [
        c.verdict for c in rs.kaplan_meier("Surv(time, event) ~ 1", own, cluster="who").checks()
    ] == ["ok"]
    assert rs.kaplan_meier("Surv(time, event) ~ 1", own).checks() == ()
