"""`rs.reference_based`: what its rows must agree with, the same whatever jobs, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests import tolerance as tol

ASKED = {"reference": "old", "earlier": ["first", "second"], "adjust": ["base"], "seed": 3}
FEW = {"m": 4, "bootstrap": 20, "jackknife": False}


def trial(seed=1, n=160, holes=True):
    """Two arms, a baseline and three visits; people leave, some miss a visit and come back."""
    rng = np.random.default_rng(seed)
    arm, base = np.arange(n) % 2, rng.normal(size=n)
    first = 0.7 * base + 0.4 * arm + rng.normal(size=n)
    second = 0.6 * first + 0.3 * arm + rng.normal(size=n)
    last = 0.6 * second + 0.4 * arm + rng.normal(size=n)
    away = rng.random(n) < 0.15
    gone = away | (rng.random(n) < 0.2 + 0.1 * (second > 0))
    frame = pd.DataFrame(
        {
            "arm": np.where(arm == 1, "new", "old"), "base": base, "first": first,
            "second": np.where(away, np.nan, second), "last": np.where(gone, np.nan, last),
            "site": np.where(rng.random(n) < 0.5, "north", "south"), "moved": arm * (base > 1),
        }
    )  # fmt: skip
    if holes:
        frame.loc[5:11, "first"] = np.nan
    return frame


@pytest.fixture(scope="module")
def found():
    return rs.reference_based(trial(), "last", "arm", **ASKED, m=20, bootstrap=100)


def test_a_row_for_each_strategy_and_variance(found):
    table = found.tidy()
    assert table["method"].tolist() == [
        f"{s}_{v}" for s in ("mar", "j2r", "cr", "cir") for v in ("rubin", "bootstrap", "jackknife")
    ]
    assert (table["std_error"] > 0).all()
    assert table["label"].str.contains("information-anchored").sum() == 4
    assert table["label"].str.contains("repeated sampling").sum() == 8
    assert found["j2r_rubin"].estimate.value == table["estimate"][3]
    with pytest.raises(KeyError):
        found["j2r"]


def test_borrowing_from_the_reference_shrinks_repeated_sampling_not_rubins(found):
    wide = found.tidy().pivot_table(index="strategy", columns="variance", values="std_error")
    assert (wide.loc[["J2R", "CR", "CIR"], "jackknife"] < wide.loc["MAR", "jackknife"]).all()
    assert (
        wide.loc[["J2R", "CR", "CIR"], "rubin"] > wide.loc[["J2R", "CR", "CIR"], "jackknife"]
    ).all()


def test_the_same_whatever_jobs_and_order(found):
    again = rs.reference_based(
        trial().sample(frac=1, random_state=2), "last", "arm", **ASKED, m=20, bootstrap=100, jobs=2
    )
    numbers = ["estimate", "std_error", "df", "conf_low"]
    assert (again.tidy()[numbers] == found.tidy()[numbers]).all(axis=None)


def test_the_units_of_the_outcome_do_not_matter(found):
    data = trial()
    visits = ["first", "second", "last"]
    data[visits] = 1000 + 25 * data[visits]
    moved = rs.reference_based(data, "last", "arm", **ASKED, m=20, bootstrap=100).tidy()
    for column in ("estimate", "std_error"):
        assert moved[column].to_numpy() == pytest.approx(
            25 * found.tidy()[column].to_numpy(), rel=tol.CONVERGED
        )


def test_completed_tables_are_those_of_rubins_row(found):
    tables = list(found.completed("J2R"))
    data = trial()
    assert len(tables) == 20
    assert set(tables[0].columns) == set(data.columns)
    values = []
    for table in tables:
        kept = table.loc[data["last"].notna(), "last"].sort_index()
        assert kept.to_numpy() == pytest.approx(data["last"].dropna().to_numpy(), abs=tol.EXACT)
        assert table[["first", "second", "last"]].notna().all(axis=None)
        X = np.column_stack([np.ones(len(table)), table["arm"] == "new", table["base"]])
        values.append(np.linalg.lstsq(X.astype(float), table["last"].to_numpy())[0][1])
    assert np.mean(values) == pytest.approx(found["j2r_rubin"].estimate.value, abs=tol.CLOSED_FORM)


def test_patterns_and_checks_count_people(found):
    patterns, data = found.patterns(), trial()
    assert patterns["people"].sum() == len(data)
    last = patterns[patterns["last_visit"] == "last"].set_index("arm")["people"]
    assert last.to_dict() == data.dropna(subset="last")["arm"].value_counts().to_dict()
    told = [c.parts for c in found.checks()]
    gone = data[data["last"].isna()]["arm"].value_counts()
    assert (told[0][0].n, told[0][2].n) == (gone["new"], gone["old"])
    assert any("came back" in str(parts) and parts[0].n == 7 for parts in told)
    assert not any("lack a covariate" in str(parts) for parts in told)


def test_people_without_a_covariate_are_left_out_and_told():
    data = trial()
    data.loc[:4, "base"] = np.nan
    found = rs.reference_based(data, "last", "arm", **ASKED, **FEW)
    assert found.rows[0].estimate.n == len(data) - 5
    assert [c.parts[0].n for c in found.checks() if c.verdict == "caution"] == [5]


def test_at_random_people_and_strata_take_part():
    data = trial()
    asked = {**ASKED, **FEW, "strategies": "J2R"}
    plain = rs.reference_based(data, "last", "arm", **asked)
    within = rs.reference_based(data, "last", "arm", **asked, strata="site")
    assert within.rows[0].estimate.value != plain.rows[0].estimate.value
    all_of_them = data.assign(moved=1)
    spared = rs.reference_based(all_of_them, "last", "arm", **asked, at_random="moved")
    mar = rs.reference_based(all_of_them, "last", "arm", **{**asked, "strategies": "MAR"})
    assert spared.rows[0].estimate.value == pytest.approx(
        mar.rows[0].estimate.value, abs=tol.CLOSED_FORM
    )


def test_progress_is_told():
    heard = []
    rs.reference_based(
        trial(), "last", "arm", **ASKED, **FEW, progress=lambda *at: heard.append(at)
    )
    assert heard[0] == (1, 24)
    assert heard[-1] == (24, 24)


def third_arm(data):
    return data.assign(arm=np.where(data.index % 3 == 2, "third", data["arm"]))


@pytest.mark.parametrize(
    ("change", "asked", "error", "message"),
    [
        (None, {"reference": ["old", "new"]}, UsageError, "one level of the arm"),
        (None, {"reference": "odl"}, UsageError, "Did you mean 'old'"),
        (third_arm, {}, DataError, "compares two"),
        (lambda d: d.assign(arm="old"), {}, NotEstimable, "a comparison needs two"),
        (lambda d: d.assign(last=d["last"] > 0), {"earlier": []}, UsageError, "is for a number"),
        (lambda d: d.assign(last=d["last"].fillna(0)), {}, DataError, "not missing for anybody"),
        (lambda d: d.assign(first="a"), {}, DataError, "'first' is no number"),
        (lambda d: d.assign(first=np.nan), {}, DataError, "'first' has no value"),
        (lambda d: d.assign(moved=2), {"at_random": "moved"}, DataError, "must be 0 or 1"),
        (None, {"strategies": ["J2"]}, UsageError, "Did you mean 'J2R'"),
        (None, {"strategies": []}, UsageError, "names one at least"),
        (None, {"adjust": ["first"]}, UsageError, "'first' is named twice"),
        (None, {"bootstrap": 5}, UsageError, "from 20"),
        (None, {"m": 1}, UsageError, "m= is a whole number from 2"),
        (None, {"earlier": ["frist"]}, Exception, "Did you mean 'first'"),
        (lambda d: d.iloc[:12], {}, NotEstimable, "Too few people of an arm"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change, asked, error, message):
    data = trial() if change is None else change(trial())
    with pytest.raises(error, match=message):
        rs.reference_based(data, "last", "arm", **{**ASKED, **FEW, **asked})
