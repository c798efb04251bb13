"""Concordance from a formula against survival (concordance.R)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.engines.concordance import TimeWeight
from recovery_stats.errors import NotEstimable, UsageError
from tests.tolerance import CONVERGED

VETERAN = (
    Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "cox_veteran_zph.csv"
)
pytestmark = pytest.mark.skipif(not VETERAN.is_file(), reason="no ../shared/reference")
R: dict[str, Any] = json.loads(Path(__file__).with_name("concordance.json").read_text())
KARNO = "Surv(time, status) ~ karno"


@pytest.fixture(scope="module")
def veteran() -> pd.DataFrame:
    return pd.read_csv(VETERAN)


def first(table: pd.DataFrame) -> tuple[float, float]:
    return table["estimate"].iloc[0], table["std_error"].iloc[0]


@pytest.mark.parametrize("kind", get_args(TimeWeight))
def test_pairs_counted_as_in_r(veteran: pd.DataFrame, kind: TimeWeight) -> None:
    found = first(rs.concordance(KARNO, veteran, count_by=kind).tidy())
    assert found == pytest.approx(tuple(R["kinds"][kind]), rel=CONVERGED)


@pytest.mark.parametrize("kind", ["S", "S/G", "I"])
def test_pairs_counted_within_strata_as_in_r(veteran: pd.DataFrame, kind: TimeWeight) -> None:
    found = first(rs.concordance(f"{KARNO} + strata(celltype)", veteran, count_by=kind).tidy())
    assert found == pytest.approx(tuple(R["within"][kind]), rel=CONVERGED)


def test_without_censoring_survival_counts_as_people_do(veteran: pd.DataFrame) -> None:
    """S is the share still at risk then, so that N S / n is 1, in strata of any size."""
    formula, everyone = f"{KARNO} + strata(celltype)", veteran.assign(status=1)
    plain = rs.concordance(formula, everyone).tidy()
    found = rs.concordance(formula, everyone, count_by="S").tidy()
    pd.testing.assert_frame_equal(found, plain, check_dtype=False)


def test_truncated_and_clustered_as_in_r(veteran: pd.DataFrame) -> None:
    uno = rs.concordance(KARNO, veteran, count_by="n/G2", until=200)
    assert first(uno.tidy()) == pytest.approx(tuple(R["uno_200"]), rel=CONVERGED)
    found = rs.concordance(f"{KARNO} + strata(trt)", veteran, cluster="celltype")
    assert first(found.tidy()) == pytest.approx(tuple(R["clustered"]), rel=CONVERGED)


def test_two_markers_are_compared_on_the_same_people(veteran: pd.DataFrame) -> None:
    veteran = veteran.assign(older=-veteran["age"])
    table = rs.concordance("Surv(time, status) ~ karno + older", veteran)
    C, V = table.tidy()["estimate"].to_numpy(), table.covariance().to_numpy()
    assert list(C) == pytest.approx(R["two"], rel=CONVERGED)
    assert V[np.triu_indices(2)] == pytest.approx(R["covariance"], rel=CONVERGED)
    row = table.compare().iloc[0]
    assert row["estimate"] == pytest.approx(R["two"][0] - R["two"][1])
    a, b, c = R["covariance"]
    assert row["std_error"] == pytest.approx(np.sqrt(a + c - 2 * b))


def test_reversed_is_the_complement(veteran: pd.DataFrame) -> None:
    up, down = (rs.concordance(KARNO, veteran, reverse=r).tidy().iloc[0] for r in (True, False))
    assert up["estimate"] == pytest.approx(1 - down["estimate"])
    assert up["concordant"] == down["discordant"]


def test_what_is_refused(veteran: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="marker"):
        rs.concordance("Surv(time, status) ~ 1", veteran)
    with pytest.raises(UsageError, match="way to count pairs"):
        rs.concordance(KARNO, veteran, count_by="G")  # type: ignore[arg-type]
    late = veteran.assign(begin=0.0)
    with pytest.raises(NotEstimable, match="late entry"):
        rs.concordance("Surv(begin, time, status) ~ karno", late, count_by="n/G2")


def test_equal_rows_tie_in_any_order() -> None:
    """Covariates of very unlike sizes: a matrix product rounds equal rows apart."""
    rng = np.random.default_rng(3)
    n = 229
    data = pd.DataFrame(
        {
            "time": rng.integers(1, 900, n), "event": rng.integers(0, 2, n),
            "seconds": rng.integers(50, 60, n) * 31_557_600.0, "sex": rng.integers(1, 3, n),
            "tiny": rng.integers(0, 3, n) * 1e-6,
        }
    )  # fmt: skip
    shapes = []
    for seed in range(6):
        shuffled = data.sample(frac=1, random_state=seed).reset_index(drop=True)
        found = rs.cox("Surv(time, event) ~ seconds + sex + tiny", shuffled).concordance
        shapes.append((found.tied_x, found.concordant))
    assert len(set(shapes)) == 1
    assert shapes[0][0] > 100
