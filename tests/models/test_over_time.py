"""Two arms at every wave: complete data in closed form, nlme, visits missed, refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests.tolerance import CONVERGED, MONTE_CARLO_SES, R_DIGITS

R = json.loads(Path(__file__).with_name("over_time.json").read_text())
WAVES = (0, 3, 6)


def trial(people=90, seed=4, *, missing=0.2, effect=(0.0, -1.0, -2.0), sd_house=0.0, drop=0.0):
    """An outcome at 0, 3 and 6 months; the half with an arm of 1 live in ten houses.

    missing: chance of each later visit; drop: how much a bad second visit keeps from the third.
    """
    rng = np.random.default_rng(seed)
    arm = np.arange(people) % 2
    house = np.where(arm == 1, np.arange(people) // 2 % 10, np.nan)
    x = rng.normal(size=people)
    u = rng.normal(0, sd_house, 10)[np.nan_to_num(house).astype(int)] * arm
    level, rows = rng.normal(0, 1.5, people), []
    for k, wave in enumerate(WAVES):
        y = 10 - 0.5 * k + effect[k] * arm + u * (k > 0) + 0.6 * x + level
        y = y + rng.normal(0, 1 + 0.3 * k, people)
        rows.append(pd.DataFrame({"pid": np.arange(people), "wave": wave, "arm": arm, "x": x,
                                  "house": house, "y": y}))  # fmt: skip
    if drop:
        bad = rng.random(people) < 1 / (1 + np.exp(-drop * (rows[1]["y"] - 10)))
        rows[2].loc[bad.to_numpy(), "y"] = np.nan
    d = pd.concat(rows, ignore_index=True)
    d.loc[(d["wave"] > 0) & (rng.random(len(d)) < missing), "y"] = np.nan
    return d


def ask(d, **more):
    given = {"outcome": "y", "arm": "arm", "wave": "wave", "person": "pid"}
    return rs.compare_over_time(d, **given | more)


def test_complete_changes_are_t_tests():
    """Unconstrained, nobody missing, no covariates: the t test of each change, df n - 2."""
    d = trial(missing=0.0)
    found = ask(d, means="unconstrained").tidy().set_index("wave")
    wide = d.pivot_table(index=["pid", "arm"], columns="wave", values="y").reset_index()
    for wave in (3, 6):
        change = wide[wave] - wide[0]
        test = ttest_ind(change[wide["arm"] == 1], change[wide["arm"] == 0])
        row = found.loc[wave]
        gap = change[wide["arm"] == 1].mean() - change[wide["arm"] == 0].mean()
        assert row["estimate"] == pytest.approx(gap, rel=CONVERGED)
        assert row["df"] == pytest.approx(88, rel=1e-6)
        assert row["p_value"] == pytest.approx(test.pvalue, rel=1e-6)


def test_without_a_baseline_complete_waves_are_t_tests():
    d = trial(missing=0.0)
    found = ask(d[d["wave"] > 0], baseline=None).tidy().set_index("wave")
    for wave in (3, 6):
        at = d[d["wave"] == wave]
        test = ttest_ind(at.loc[at["arm"] == 1, "y"], at.loc[at["arm"] == 0, "y"])
        assert found.loc[wave, "p_value"] == pytest.approx(test.pvalue, rel=1e-6)


@pytest.mark.parametrize("kind", ["constrained", "unconstrained"])
def test_visits_missed_are_those_of_nlme(kind):
    found = ask(trial(), adjust=["x"], means=kind)
    rows = found.tidy().set_index("wave")
    for wave in (3, 6):
        expected = R[kind][f"a{wave}"] - R[kind]["a0"]
        assert rows.loc[wave, "estimate"] == pytest.approx(expected, rel=R_DIGITS)
    value = found.fit.glance()["log_likelihood"].iloc[0]
    assert value == pytest.approx(R[kind]["log_likelihood"], rel=R_DIGITS)


def test_constrained_means_meet_at_the_baseline():
    table = ask(trial(), adjust=["x"]).means().set_index(["wave", "code"])
    assert table.loc[(0, 0), "mean"] == pytest.approx(table.loc[(0, 1), "mean"])
    found = ask(trial(), adjust=["x"]).tidy().set_index("wave")
    gap = table.loc[(6, 1), "mean"] - table.loc[(6, 0), "mean"]
    assert found.loc[6, "estimate"] == pytest.approx(gap, rel=CONVERGED)
    assert table["n"].loc[0].tolist() == [45, 45]


def test_houses_widen_the_interval_and_are_ten():
    d = trial(sd_house=1.5)
    alone, housed = ask(d), ask(d, cluster="house")
    assert housed.tidy()["std_error"].iloc[1] > 1.2 * alone.tidy()["std_error"].iloc[1]
    assert housed.tidy()["df"].iloc[1] < 30 < alone.tidy()["df"].iloc[1]
    assert housed.fit.groups["house|"] == 10
    assert alone.tidy()["p_cr2"].isna().all()
    assert housed.tidy()["p_cr2"].notna().all()


def test_the_house_varies_from_the_first_wave_after_the_baseline_on():
    """Residual and house variances by generalised least squares, written out."""
    d = trial(sd_house=1.5, missing=0.1)
    found = ask(d, cluster="house")
    seen = found.data.frame
    parts = found.fit.variance_components()
    house = parts.loc[parts["group"] == "house|", "covariance"].iloc[0]
    R_ = found.fit.residual_covariance().to_numpy()
    k = np.searchsorted(WAVES, seen["wave"])
    same = seen["pid"].to_numpy()[:, None] == seen["pid"].to_numpy()
    live = (seen["arm"] == 1).to_numpy() & (seen["wave"] > 0).to_numpy()
    h = seen["house"].to_numpy()
    V = same * R_[np.ix_(k, k)] + house * ((h[:, None] == h) & live[:, None] & live)
    X, inverse = found.fit.X, np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ seen["y"])
    at = found.fit.terms.index("arm at 2|")
    assert found.tidy()["estimate"].iloc[1] == pytest.approx(beta[at], rel=1e-6)


def test_visits_missed_after_bad_ones_do_not_bias_it():
    """Truth -2 at six months; those seen there alone miss it, all visits together do not."""
    rows = []
    for seed in range(30):
        d = trial(160, seed, missing=0.0, effect=(0.0, -3.0, -2.0), drop=1.5)
        last = d[(d["wave"] == 6) & d["y"].notna()]
        by = last.groupby("arm")["y"].mean()
        rows.append((ask(d).tidy()["estimate"].iloc[1], by[1] - by[0]))
    kept, naive = np.array(rows).T
    error = kept.std(ddof=1) / np.sqrt(30)
    assert abs(kept.mean() + 2) < MONTE_CARLO_SES * error
    assert abs(naive.mean() + 2) > MONTE_CARLO_SES * error


def test_hypotheses_on_all_waves():
    d = trial(missing=0.0)
    tests = ask(d, means="unconstrained").tests().set_index("hypothesis")
    wide = d.pivot_table(index=["pid", "arm"], columns="wave", values="y").reset_index()
    C = np.column_stack([wide[3] - wide[0], wide[6] - wide[0]])
    arm = wide["arm"].to_numpy()
    gap = C[arm == 1].mean(0) - C[arm == 0].mean(0)
    S = sum(np.cov(C[arm == a].T) * 44 for a in (0, 1)) / 88
    t2 = 45 * 45 / 90 * gap @ np.linalg.solve(S, gap)
    row = tests.loc["no difference at any wave"]  # Hotelling's T squared
    assert row["statistic"] == pytest.approx(t2 * 87 / (88 * 2), rel=1e-6)
    assert row["den_df"] == pytest.approx(87, rel=1e-6)
    assert tests.loc["the same difference at every wave", "num_df"] == 1


def test_the_primary_wave_is_the_last_unless_named():
    assert ask(trial()).primary == 6
    found = ask(trial(), primary=3)
    assert found.tidy()["primary"].tolist() == [True, False]


def test_bad_input_is_told():
    d = trial()
    with pytest.raises(DataError, match="1 rows whose 'pid' and 'wave'"):
        ask(pd.concat([d, d.iloc[:1]]))
    with pytest.raises(DataError, match="several arms"):
        ask(d.assign(arm=np.where((d["pid"] == 3) & (d["wave"] == 0), 0, d["arm"])))
    with pytest.raises(UsageError, match="primary wave"):
        ask(d, primary=12)
    with pytest.raises(UsageError, match="baseline"):
        ask(d, primary=0)
    with pytest.raises(NotEstimable, match="no wave after"):
        ask(d[d["wave"] == 0])
    with pytest.raises(NotEstimable, match="Wave 6 has fewer than 5 people"):
        ask(d[(d["wave"] < 6) | (d["arm"] == 0) | (d["pid"] < 6)])
    with pytest.raises(UsageError, match="constrained"):
        ask(d, means="free")
