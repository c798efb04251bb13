"""How clusters lie in the arms, and the inference that follows."""

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.dataset import Dataset
from recovery_stats.models import comparison
from recovery_stats.models.comparison import Rivals, clusters_of, each_cluster, likeness, primary
from recovery_stats.models.sample import read_sample
from tests.tolerance import CLOSED_FORM

LEVEL = 0.95


def people(house, arm, seed=0):
    rng = np.random.default_rng(seed)
    n = len(arm)
    frame = pd.DataFrame(
        {"house": house, "arm": arm, "y": rng.normal(size=n), "used": rng.random(n).round()}
    )
    return Dataset(frame.astype(float))


def clusters(house, arm):
    data = people(house, arm)
    return clusters_of(data, "house", data.frame["arm"].to_numpy())


def test_nested_clusters():
    found = clusters(np.repeat([1, 2, 3, 4], 5), np.repeat([0, 0, 1, 1], 5))
    assert (found.structure, found.named, found.shared, found.by_arm) == ("nested", 4, 0, (2, 2))
    assert not found.partial


def test_people_without_a_house_make_the_design_partial():
    house = np.r_[np.repeat([1.0, 2, 3], 4), np.full(8, np.nan)]
    found = clusters(house, np.repeat([1, 0], [12, 8]))
    assert found.partial
    assert (found.named, found.by_arm, found.alone) == (3, (0, 3), (8, 0))
    assert len(np.unique(found.codes)) == 11


def test_sites_where_arms_meet_are_crossed_and_a_stray_house_is_not():
    assert clusters(np.repeat([1, 2], 10), np.tile([0, 1], 10)).structure == "crossed"
    arm = np.repeat([0, 0, 1, 1], 10)
    arm[0] = 1
    stray = clusters(np.repeat([1, 2, 3, 4], 10), arm)
    assert (stray.structure, stray.shared) == ("nested", 1)


def test_no_column_means_no_clusters():
    data = people(np.ones(6), np.tile([0, 1], 3))
    found = clusters_of(data, None, data.frame["arm"].to_numpy())
    assert (found.structure, found.named, found.alone) == ("none", 0, (3, 3))


def sample_of(data, found):
    return read_sample(data, "y", "arm", cluster=found.codes)


def test_the_wider_interval_is_the_one_reported():
    house, arm = np.repeat(np.arange(8), 6), np.repeat([0, 1], 24)
    widths = []
    for seed in range(12):
        data = people(house, arm, seed)
        found = clusters_of(data, "house", data.frame["arm"].to_numpy())
        sample = sample_of(data, found)
        chosen = primary(sample, "gaussian", strata=None, level=LEVEL)
        rivals = {e.name: e for e in Rivals(sample, found, "gaussian", LEVEL, "house").all()}
        main = chosen.fit.effect("difference", "d", "", level=LEVEL, rank="primary", method="")
        both = [rivals[k].high - rivals[k].low for k in ("naive", "by_cluster")]
        assert main.high - main.low == pytest.approx(max(both), rel=CLOSED_FORM)
        widths.append(chosen.basis)
    assert set(widths) == {"clusters", "people"}


def test_strata_that_are_the_clusters_replace_them():
    data = people(np.repeat(np.arange(4), 12), np.tile([0, 1], 24))
    found = clusters_of(data, "house", data.frame["arm"].to_numpy())
    chosen = primary(sample_of(data, found), "gaussian", strata=found.codes, level=LEVEL)
    assert (chosen.basis, chosen.stratified) == ("people", True)
    assert chosen.fit.robust.clusters == 48


def test_one_cluster_left_out_by_hand():
    house, arm = np.repeat(np.arange(6), 5), np.repeat([0, 1], 15)
    data = people(house, arm)
    found = clusters_of(data, "house", data.frame["arm"].to_numpy())
    rivals = {e.name: e for e in Rivals(sample_of(data, found), found, "gaussian", LEVEL, "").all()}
    y = data.frame["y"].to_numpy()
    differences = [
        y[(house != h) & (arm == 1)].mean() - y[(house != h) & (arm == 0)].mean() for h in range(6)
    ]
    assert rivals["left_out_low"].value == pytest.approx(min(differences), rel=CLOSED_FORM)
    assert rivals["left_out_high"].value == pytest.approx(max(differences), rel=CLOSED_FORM)


def test_strata_are_left_out_where_they_would_not_fit(monkeypatch: pytest.MonkeyPatch):
    data = people(np.repeat(np.arange(4), 12), np.tile([0, 1], 24))
    found = clusters_of(data, "house", data.frame["arm"].to_numpy())
    asked = Rivals(sample_of(data, found), found, "gaussian", LEVEL, "house")
    with_strata = [e.name for e in asked.all()]
    monkeypatch.setattr(comparison, "MOST_CELLS", 4 * 48 - 1)
    without = [e.name for e in asked.all()]
    assert [n for n in with_strata if n not in without] == ["within"]


def test_each_cluster_has_wilson_limits():
    """8 of 10: Wilson 1927 gives 0.490 to 0.943."""
    data = people(np.repeat([1, 2], [10, 4]), np.repeat([0, 1], [10, 4]))
    found = clusters_of(data, "house", data.frame["arm"].to_numpy())
    used = np.r_[np.ones(8), np.zeros(2), 1, 0, 0, 0]
    rows = each_cluster(used, found, level=LEVEL)
    assert [row[0] for row in rows] == [0.25, 0.8]
    assert rows[1][1:3] == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert [row[3] for row in rows] == [1, 2]  # 1 of 4 had it, 2 of 10 had it not


def test_likeness_is_asked_only_of_people_in_clusters():
    house = np.r_[np.repeat([1.0, 2, 3, 4], 4), np.full(6, np.nan)]
    data = people(house, np.repeat([1, 0], [16, 6]))
    found = clusters_of(data, "house", data.frame["arm"].to_numpy())
    alike = likeness(sample_of(data, found), found, level=LEVEL)
    assert alike is not None
    assert (alike.clusters, alike.mean_size) == (4, 4)
