"""`rs.difference_in_differences`: what it reads, refuses and returns; two packages' numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines.parallel_trends import EventStudy, relative_bound, smooth_bound
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.staggered_fit import Staggered
from tests.models.staggered_peer import rows
from tests.tolerance import CONVERGED, DRAWN_QUANTILE

PEER = json.loads(Path(__file__).with_name("staggered_peer.json").read_text())
KEY = {"event": "since", "group": "group", "time": "time"}


def fit(data: pd.DataFrame | None = None, **options: object) -> Staggered:
    given = {"unit": "pid", "time": "time", "first": "first", **options}
    given = {"errors": "influence"} | given
    return rs.difference_in_differences("y", rows() if data is None else data, **given)


@pytest.mark.parametrize("case", PEER["effects"])
def test_cells_sums_and_errors_are_those_of_csdid(case: str) -> None:
    """csdid divides by n where we divide by n - 1."""
    method, controls, base = case.split()
    found = fit(adjust=["x"], method=method, controls=controls, base=base, errors="influence")
    peer, less = PEER["effects"][case], np.sqrt(119 / 120)
    cells = found.tidy()[["group", "time", "estimate", "std_error"]].to_numpy()
    expected = np.array(peer["cells"], dtype=float)
    assert cells[:, :3] == pytest.approx(expected[:, :3], abs=CONVERGED)
    assert less * cells[:, 3] == pytest.approx(np.nan_to_num(expected[:, 3]), abs=CONVERGED)
    for name, table in (("event", found.event_study()), ("group", found.by_group()),
                        ("time", found.by_time())):  # fmt: skip
        mine = table[[KEY[name], "estimate", "std_error"]].to_numpy()
        theirs = np.array(peer[name], dtype=float)
        assert mine[:, :2] == pytest.approx(theirs[:, :2], abs=CONVERGED)
        assert less * mine[:, 2] == pytest.approx(np.nan_to_num(theirs[:, 2]), abs=CONVERGED)
    total = found.overall()
    assert [total.value, less * total.se] == pytest.approx(peer["overall"], abs=CONVERGED)


def test_bounds_against_honestdid() -> None:
    """Smooth: they draw the quantile of the folded normal, and search over a grid of errors.

    Relative: theirs inverts a conditional test; the union of intervals holds it and is wider by
    a little, and it is the same where nothing may deviate (their grid: 1/190).
    """
    peer = PEER["bounds"]
    estimate = np.array(peer["estimate"])
    study = EventStudy(estimate[:3], estimate[3:], np.array(peer["covariance"]))
    target = np.full(3, 1 / 3)
    for most, (low, high) in peer["smooth"].items():
        found = smooth_bound(study, target, float(most), 0.95)
        assert (found.low, found.high) == pytest.approx((low, high), abs=DRAWN_QUANTILE)
    for most, (low, high) in peer["relative"].items():
        found = relative_bound(study, target, float(most), 0.95)
        step = 8.0 / 1500
        assert found.low <= low + step
        assert found.high >= high - step
        assert found.high - found.low <= 1.15 * (high - low)


def test_face() -> None:
    found = fit(cluster="site")
    assert "24 clusters" in repr(found)
    row = found.glance().iloc[0]
    assert row["clusters"] == found.count
    assert row["estimate"] == found.overall().value
    event = found.event_study()
    assert list(event["since"]) == [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0]
    assert (event["band_low"] <= event["conf_low"]).all()
    assert (event["band_high"] >= event["conf_high"]).all()
    assert found.two_way_weights()["overall"].sum() == pytest.approx(1.0)
    assert {c.name for c in found.checks()} >= {"clusters of staggered starts",
                                                "trends before the start"}  # fmt: skip


def test_bands_are_the_same_for_the_same_seed() -> None:
    one, two = fit(seed=4).event_study(), fit(seed=4).event_study()
    pd.testing.assert_frame_equal(one, two)


def test_breakdown_is_where_the_interval_reaches_zero() -> None:
    found = fit()
    most = found.breakdown()
    assert 0 < most < 20
    inside, outside = found.bounds([most - 1e-4, most + 1e-4])["excludes_zero"]
    assert inside
    assert not outside
    later = found.bounds([0.0], at=2.0).iloc[0]
    event = found.event_study().set_index("since").loc[2.0]
    assert later["set_low"] == pytest.approx(event["estimate"])


def test_order_of_rows_and_scale_of_weights_do_not_matter() -> None:
    data = rows().assign(w=lambda d: 1.0 + d["pid"] % 3)
    one = fit(data, weights="w", adjust=["x"]).overall()
    other = data.sample(frac=1.0, random_state=1).assign(w=lambda d: 7 * d["w"])
    two = fit(other, weights="w", adjust=["x"]).overall()
    assert (one.value, one.se) == pytest.approx((two.value, two.se), rel=CONVERGED)


def test_a_site_a_row_is_the_mean_of_its_people() -> None:
    """Without covariates, people as units and their sites' weighted means give one answer."""
    data = rows()
    people = fit(data, cluster="site")
    means = data.groupby(["site", "time"], as_index=False).agg(
        y=("y", "mean"), first=("first", "first"), n=("pid", "nunique")
    )
    sites = rs.difference_in_differences(
        "y", means, unit="site", time="time", first="first", weights="n", errors="influence"
    )
    assert sites.overall().value == pytest.approx(people.overall().value, rel=CONVERGED)
    assert sites.overall().se == pytest.approx(people.overall().se, rel=CONVERGED)


def test_openings_between_visits_and_after_the_last_one() -> None:
    data = rows()
    moved = data.assign(first=data["first"] - 0.4)
    assert fit(moved).overall().value == pytest.approx(fit(data).overall().value)
    late = data.assign(first=data["first"].fillna(2050.0))
    assert fit(late).overall().value == pytest.approx(fit(data).overall().value)


def test_units_open_from_the_start_are_left_out_and_counted() -> None:
    data = rows()
    again = data.assign(first=data["first"].where(data["pid"] % 10 != 0, 1999.0))
    found = fit(again)
    assert found.lost.treated_always == 12
    assert len(found.panel.w) == 108


def test_refusals() -> None:
    data = rows()
    with pytest.raises(DataError, match="rows repeat"):
        fit(pd.concat([data, data.head(2)], ignore_index=True))
    with pytest.raises(DataError, match="changes within 1 of the units"):
        fit(data.assign(first=data["first"].where(data.index != 0, 2003.5)))
    with pytest.raises(DataError, match="changes within"):
        fit(data.assign(town=np.arange(len(data)) % 7), cluster="town")
    with pytest.raises(NotEstimable, match="No unit begins"):
        fit(data.assign(first=np.nan))
    with pytest.raises(NotEstimable, match="a change needs two"):
        fit(data[data["time"] == 2001.0])
    with pytest.raises(UsageError, match="method is one of"):
        fit(method="magic")
    with pytest.raises(UsageError, match="base='universal'"):
        fit(base="varying").bounds()
    with pytest.raises(DataError, match="Weights"):
        fit(data.assign(w=0.0), weights="w")
    with pytest.raises(NotEstimable, match="not yet treated"):
        fit(data.assign(first=2002.0))
    with pytest.raises(NotEstimable, match="at least two clusters"):
        fit(data.assign(land=1), cluster="land")


def test_levels_of_a_factor_adjust_like_their_indicators() -> None:
    data = rows().assign(kind=lambda d: np.array(["a", "b", "c"])[d["pid"] % 3])
    data = data.assign(b=(data["kind"] == "b") * 1.0, c=(data["kind"] == "c") * 1.0)
    one = fit(data, adjust=["kind"], method="regression").overall()
    two = fit(data, adjust=["b", "c"], method="regression").overall()
    assert one.value == pytest.approx(two.value, rel=CONVERGED)


def test_missing_covariates_cost_the_comparisons_that_need_them() -> None:
    data = rows()
    some = data.assign(x=data["x"].where(data["pid"] != 3))
    less = fit(some, adjust=["x"])
    without = fit(data[data["pid"] != 3], adjust=["x"])
    assert less.tidy()["estimate"].to_numpy() == pytest.approx(
        without.tidy()["estimate"].to_numpy(), rel=CONVERGED
    )


def test_few_sites_are_left_out_in_turn() -> None:
    few = fit(cluster="site", errors="auto")
    assert few.jackknifed
    assert few.overall().se > fit(cluster="site").overall().se
    assert not fit(errors="auto").jackknifed
