"""Censoring weights: curves that they must give back, models by hand, known loss in simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from tests.tolerance import CLOSED_FORM, CONVERGED, EXACT

FORMULA = "Surv(days, lost) ~ "


def cohort(n: int = 240, seed: int = 3, strength: float = 1.2) -> pd.DataFrame:
    """People in poor housing relapse sooner and are lost sooner; whole days, so ties."""
    rng = np.random.default_rng(seed)
    poor = rng.integers(0, 2, n)
    relapse = np.ceil(rng.exponential(60 * np.exp(-0.8 * poor)))
    loss = np.ceil(rng.exponential(80 * np.exp(-strength * poor)))
    end = 90.0
    days = np.minimum(np.minimum(relapse, loss), end)
    event = (relapse <= np.minimum(loss, end)).astype(int)
    lost = ((loss < relapse) & (loss < end)).astype(int)
    frame = {"id": np.arange(n), "days": days, "event": event, "lost": lost, "poor": poor}
    return pd.DataFrame(frame | {"arm": rng.integers(0, 2, n), "age": rng.normal(40, 9, n)})


def weigh(data: pd.DataFrame, right: str = "poor", **more: Any) -> Any:
    return rs.censoring_weights(FORMULA + right, data, person="id", event="event", **more)


@pytest.mark.parametrize("stabilise", [None, "1"])
def test_weighted_curve_is_the_mean_of_the_groups(stabilise: str | None) -> None:
    """With G by group the weighted Kaplan-Meier is Σ share of the group times its own curve."""
    data = cohort()
    found = weigh(data, method="km", stabilise=stabilise)
    at = [10, 25, 40, 60]
    weighted = rs.kaplan_meier(
        "Surv(start, days, event) ~ 1", found.rows, weights="ipcw", person="id"
    ).at(at)
    apart = rs.kaplan_meier("Surv(days, event) ~ poor", data).at(at)
    share = data["poor"].mean()
    curves = apart["estimate"].to_numpy().reshape(2, 4)
    mean = (1 - share) * curves[0] + share * curves[1]
    np.testing.assert_allclose(weighted["estimate"], mean, rtol=CLOSED_FORM)


def test_weights_without_covariates_change_nothing() -> None:
    data = cohort()
    found = weigh(data, "1", method="km")
    np.testing.assert_allclose(found.weight, 1.0, rtol=EXACT)
    plain = weigh(data, "1", method="km", stabilise=None)
    fit = rs.cox("Surv(start, days, event) ~ arm", found.rows, ties="breslow")
    assert fit.beta == pytest.approx(
        rs.cox("Surv(days, event) ~ arm", data, ties="breslow").beta, rel=CONVERGED
    )
    assert plain.weight.max() > 1.5


def test_cutting_rows_changes_no_likelihood() -> None:
    data = cohort()
    found = weigh(data)
    assert found.rows["event"].sum() == data["event"].sum()
    assert found.rows["lost"].sum() == data["lost"].sum()
    length = found.rows["days"] - found.rows["start"]
    assert length.sum() == pytest.approx(data["days"].sum(), rel=EXACT)
    cut = rs.cox("Surv(start, days, event) ~ arm + poor", found.rows)
    whole = rs.cox("Surv(days, event) ~ arm + poor", data)
    np.testing.assert_allclose(cut.beta, whole.beta, rtol=CONVERGED)


def test_coxs_weights_by_hand() -> None:
    """Breslow's hazards of loss with covariates, person by person in a loop, events first."""
    data = cohort(60)
    found = weigh(data, "poor + age", stabilise=None)
    shifted = data.assign(t=data["days"] + 0.5 * (1 - data["event"]))
    fit = rs.cox("Surv(t, lost) ~ poor + age", shifted)
    base = fit.baseline()
    relative = np.exp(fit.predict(shifted).to_numpy())
    hazard = base["cumulative_hazard"].to_numpy()
    for row in found.rows.itertuples():
        upto = int(np.searchsorted(base["time"], row.start + 0.5, side="right"))
        expected = np.exp(relative[row.id] * (hazard[upto - 1] if upto else 0.0))
        assert row.ipcw == pytest.approx(expected, rel=CONVERGED)


@pytest.mark.parametrize("method", ["km", "cox"])
def test_rows_split_by_hand_have_the_weights_of_whole_ones(method: Any) -> None:
    """The hazard of loss adds up over a person's rows: halves of 20 days change no weight."""
    data = cohort(60).assign(start=0.0)
    long = data[data["days"] > 20]
    early = long.assign(days=20.0, event=0, lost=0)
    halves = pd.concat([data[data["days"] <= 20], early, long.assign(start=20.0)])
    whole, split = (
        rs.censoring_weights(
            "Surv(start, days, lost) ~ poor", d, person="id", event="event", method=method,
            stabilise=None,
        ).rows.set_index(["id", "days"])["ipcw"]
        for d in (data, halves)
    )  # fmt: skip
    assert whole.max() > 1.5
    np.testing.assert_allclose(split.loc[whole.index], whole, rtol=CONVERGED)


def test_flags_that_are_true_or_false() -> None:
    data = cohort(60)
    flags = data.assign(**{k: data[k].astype("boolean") for k in ("lost", "event")})
    plain, found = (
        rs.censoring_weights("Surv(days, lost) ~ poor", d, person="id", event="event").rows
        for d in (data, flags)
    )
    pd.testing.assert_frame_equal(found, plain, check_dtype=False)


def test_periods_by_logistic_regression() -> None:
    """Two periods, one binary covariate: shares of those not relapsed that are lost."""
    frame = pd.DataFrame(
        {
            "id": [*range(20), *range(10)],
            "a": [0] * 20 + [1] * 10,
            "b": [1] * 20 + [2] * 10,
            "x": [0, 1] * 15,
            "event": [0] * 10 + [1] * 4 + [0] * 6 + [0] * 10,
            "lost": [0] * 14 + [1] * 6 + [0] * 10,
        }
    )
    frame.loc[17, "lost"] = frame.loc[25, "lost"] = 0
    found = rs.censoring_weights(
        "Surv(a, b, lost) ~ x", frame, person="id", event="event", method="logistic", stabilise=None
    )
    here = frame[frame["event"] == 0]
    chance = here.groupby("x")["lost"].mean()
    later = found.rows[found.rows["a"] == 1]
    np.testing.assert_allclose(later["ipcw"], 1 / (1 - later["x"].map(chance)), rtol=CONVERGED)
    assert (found.rows.loc[found.rows["a"] == 0, "ipcw"] == 1).all()


def test_loss_that_goes_with_relapse_is_undone() -> None:
    """20,000 people, exponential relapse; unweighted the curve is too high, weighted right."""
    data = cohort(20_000, seed=8, strength=2.0)
    data["days"] = data["days"] + 0.0
    truth = 0.5 * (np.exp(-30 / 60) + np.exp(-30 * np.exp(0.8) / 60))
    naive = rs.kaplan_meier("Surv(days, event) ~ 1", data).at([30]).iloc[0]
    found = rs.kaplan_meier(
        "Surv(start, days, event) ~ 1", weigh(data).rows, weights="ipcw", person="id"
    ).at([30]).iloc[0]  # fmt: skip
    assert abs(found["estimate"] - truth) < 4 * found["std_error"]
    assert abs(naive["estimate"] - truth) > 4 * naive["std_error"]


def test_truncation_is_counted_and_checks_tell() -> None:
    found = weigh(cohort(), "poor + age", stabilise=None, truncate=(0.0, 0.9))
    table = found.tidy().iloc[0]
    assert table["n_truncated"] > 0
    assert table["max"] == pytest.approx(np.quantile(weigh(
        cohort(), "poor + age", stabilise=None).weight, 0.9), rel=EXACT)  # fmt: skip
    assert found.checks()[0].name == "censoring weights"
    assert "lost" in repr(found)
    assert table["effective_n"] < table["n_obs"]


def test_datasets_keep_their_codebook() -> None:
    frame = cohort()
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    rows = weigh(Dataset(frame)).rows
    assert isinstance(rows, Dataset)
    assert "ipcw" in rows.frame


def test_refusals() -> None:
    data = cohort()
    both = data.assign(lost=1)
    with pytest.raises(DataError, match="are lost and have the event"):
        weigh(both)
    with pytest.raises(NotEstimable, match="Nobody was lost"):
        weigh(data.assign(lost=0))
    with pytest.raises(UsageError, match="method named 'probit'"):
        weigh(data, method="probit")
    with pytest.raises(UsageError, match="two percentiles"):
        weigh(data, truncate=(0.9, 0.1))
    with pytest.raises(DataError, match="observed again from the beginning"):
        weigh(pd.concat([data, data]))
    with pytest.raises(NotEstimable, match="zero"):
        weigh(data.assign(zero=1.0), "zero", method="logistic")
