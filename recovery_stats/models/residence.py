"""Time to relapse by arm, and by residence on each day: what is known then, never a later total.

"Stayed at least six months" is known only of people who lasted six months, so it credits the
house with time that nobody who relapsed early could have spent there (immortal time), and with
the evictions that follow a relapse (reverse causation). With no effect at all it gave a hazard
ratio of 0.36 in a simulated cohort. It is computed here to be shown beside the right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Series
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.follow_up import read_spells
from recovery_stats.models.formula import quote
from recovery_stats.models.reshape import person_days
from recovery_stats.models.risk import estimate
from recovery_stats.models.survival import CoxFit, cox, kaplan_meier

Array = NDArray[np.floating[Any]]

CLUSTER, START, STOP, EVENT, IN_HOUSE = "cluster|", "start|", "stop|", "event|", "in house|"
PERSON, LONG_STAY = "person|", "long stay|"
LONG_STAY_DAYS = 183.0


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """The columns of a comparison of times; the optional ones may be absent."""

    arm: str
    time: str
    event: str
    entry: str | None = None
    adjust: tuple[str, ...] = ()
    weights: str | None = None
    strata: str | None = None
    person: str | None = None

    @property
    def response(self) -> str:
        """The left side of a survival formula."""
        times = (self.entry, self.time) if self.entry else (self.time,)
        return f"Surv({', '.join(quote(c) for c in (*times, self.event))})"


@dataclass(frozen=True, slots=True)
class Times:
    """Curves and estimates; horizon: the day up to which both arms were observed."""

    data: Dataset
    events: tuple[int, int]
    horizon: float
    curves: tuple[Series, ...]
    estimates: tuple[Estimate, ...]
    proportional_p: float
    ratio: float
    resident: int = 0
    long_stay: int = 0


def compare_times(
    data: Dataset, columns: TimeColumns, clusters: Clusters, *, level: float, rank: Level
) -> Times:
    """Curves, restricted means and hazard ratios by arm (0/1 in `columns.arm`).

    data: complete on the columns. rank: of the adjusted hazard ratio ("primary" where there is
    no other outcome), both arms with an event.
    """
    arm = data.frame[columns.arm].to_numpy(float)
    event = data.frame[columns.event].to_numpy(float)
    events = (int(event[arm == 0].sum()), int(event[arm == 1].sum()))
    data = with_clusters(data, clusters)
    curves = kaplan_meier(f"{columns.response} ~ {quote(columns.arm)}", data, level=level)
    horizon = float(data.frame.groupby(columns.arm)[columns.time].max().min())
    fit = fit_hazard(data, columns, (columns.arm,), clusters)
    crude = fit_hazard(data, replace(columns, adjust=()), (columns.arm,), clusters)
    main = hazard_ratio(
        fit, columns.arm, clusters, name="hazard_ratio", label="Hazard ratio of relapse",
        level=level, rank=rank,
    )  # fmt: skip
    estimates = [
        main,
        hazard_ratio(
            crude, columns.arm, clusters, name="hazard_ratio_crude",
            label="Hazard ratio without covariates", level=level, rank="sensitivity",
        ),
        *_model_based(fit, columns.arm, main),
        *_restricted_means(curves, horizon, level, behind(data, columns.arm, columns.event)),
    ]  # fmt: skip
    tests = fit.proportionality().set_index("term")["p_value"]
    return Times(
        data, events, horizon, curves.series(), tuple(estimates), float(tests[columns.arm]),
        _error_ratio(fit, columns.arm),
    )  # fmt: skip


def compare_residence(
    found: Times,
    columns: TimeColumns,
    clusters: Clusters,
    stays: Dataset,
    *,
    person: str,
    start: str,
    stop: str,
    level: float,
) -> Times:
    """Add residence on the day, and beside it the naive total known only later."""
    rows = residence_rows(found.data, columns, stays, person, start, stop)
    fit = fit_hazard(rows, _row_columns(columns), (IN_HOUSE,), clusters)
    now = hazard_ratio(
        fit, IN_HOUSE, clusters, name="in_house", label="Living in a house on the day",
        level=level, rank="secondary",
    )  # fmt: skip
    days = days_resident(stays, person, start, stop)
    total = found.data.frame[person].map(days).fillna(0.0)
    resident, stayed = int((total > 0).sum()), int((total >= LONG_STAY_DAYS).sum())
    naive = long_stay_ratio(found.data, columns, clusters, total, level=level)
    added = (now, naive) if naive else (now,)
    return replace(found, estimates=(*found.estimates, *added), resident=resident, long_stay=stayed)


def long_stay_ratio(
    data: Dataset,
    columns: TimeColumns,
    clusters: Clusters,
    total: pd.Series[float],
    *,
    level: float,
) -> Estimate | None:
    """Six months in all against less, as if it were known at entry.

    total (n,): days in all stays of the rows of `data`. None where everybody or nobody stayed so
    long, or nobody who did had the event: the artefact at its purest.
    """
    long = (total >= LONG_STAY_DAYS).astype(float)
    if long.nunique() < 2:
        return None
    coded = data.with_frame(data.frame.assign(**{LONG_STAY: long}))
    try:
        fit = fit_hazard(coded, columns, (LONG_STAY,), clusters)
    except NotEstimable:
        return None
    return hazard_ratio(
        fit, LONG_STAY, clusters, name="stayed_six_months",
        label="Stayed six months in all (known only later)", level=level, rank="naive",
    )  # fmt: skip


# --- fits ------------------------------------------------------------------------------------


def with_clusters(data: Dataset, clusters: Clusters) -> Dataset:
    """Add the clusters as a column; people without one have a code of their own."""
    return data.with_frame(data.frame.assign(**{CLUSTER: clusters.codes.astype(float)}))


def fit_hazard(
    data: Dataset, columns: TimeColumns, terms: tuple[str, ...], clusters: Clusters
) -> CoxFit:
    """Cox regression (Efron) on the terms and covariates, strata where people were drawn."""
    right = " + ".join(quote(c) for c in (*terms, *columns.adjust))
    if columns.strata:
        right += f" + strata({quote(columns.strata)})"
    robust = clusters.structure != "none" and columns.strata is None
    cluster = CLUSTER if robust else None
    return cox(
        f"{columns.response} ~ {right}", data, cluster=cluster, weights=columns.weights,
        person=columns.person,
    )  # fmt: skip


def hazard_ratio(
    fit: CoxFit, term: str, clusters: Clusters, *, name: str, label: str, level: float, rank: Level
) -> Estimate:
    """The hazard ratio with the wider of the model's and the cluster-robust interval.

    The robust one takes its quantile from a t with two degrees of freedom less than there are
    clusters: a sandwich of few clusters is short, and shorter than the model's only by luck.
    """
    row = fit.tidy().set_index("term").loc[term]
    glance = fit.glance().iloc[0]
    shared: dict[str, Any] = {
        "scale": "ratio", "level": level, "rank": rank, "n": fit.observation.people,
        "events": int(glance["n_events"]),
    }  # fmt: skip
    value = float(row["estimate"])
    model_se = float(row["std_error_model"] if "std_error_model" in row else row["std_error"])
    plain = estimate(name, label, value, model_se, np.inf, method="Cox, Efron ties", **shared)
    if "std_error_model" not in row:
        return plain
    units = clusters.named + sum(clusters.alone)
    robust = estimate(
        name, label, value, float(row["std_error"]), float(max(units - 2, 1)),
        method="Cox, Efron ties, robust by cluster", **shared,
    )  # fmt: skip
    return robust if robust.high / robust.low >= plain.high / plain.low else plain


def _model_based(fit: CoxFit, term: str, main: Estimate) -> Iterator[Estimate]:
    """The same ratio with the model's own error, where `main` has another."""
    row = fit.tidy().set_index("term").loc[term]
    if "std_error_model" in row and float(row["std_error_model"]) != main.se:
        yield estimate(
            "hazard_ratio_naive", "Hazard ratio ignoring clusters",
            float(row["estimate"]), float(row["std_error_model"]), np.inf, scale="ratio",
            level=main.confidence, rank="naive", method="Cox, Efron ties", n=main.n,
            events=main.events,
        )  # fmt: skip


def _error_ratio(fit: CoxFit, term: str) -> float:
    row = fit.tidy().set_index("term").loc[term]
    if "std_error_model" not in row:
        return float("nan")
    return float(row["std_error"] / row["std_error_model"])


def behind(data: Dataset, arm: str, event: str) -> tuple[tuple[int, int], ...]:
    """People and events of both arms, and of the smaller for what compares them."""
    own = data.frame.groupby(arm)[event]
    pairs = [(int(n), int(events)) for n, events in zip(own.size(), own.sum(), strict=True)]
    return (*pairs, (min(n for n, _ in pairs), min(e for _, e in pairs)))


def _restricted_means(
    curves: Any, horizon: float, level: float, sizes: tuple[tuple[int, int], ...]
) -> Iterator[Estimate]:
    """Mean days free of relapse up to the horizon, by arm and their difference."""
    try:
        frame = curves.rmst(horizon)
    except NotEstimable:
        return
    yield from mean_estimates(
        frame, "rmst", ("Days free of relapse", "Difference in days"), level=level,
        method="restricted mean of the Kaplan–Meier curve", sizes=sizes,
    )  # fmt: skip


def mean_estimates(
    frame: pd.DataFrame, prefix: str, labels: tuple[str, str], *, level: float, method: str,
    sizes: tuple[tuple[int, int], ...],
) -> Iterator[Estimate]:  # fmt: skip
    """Mean days of both arms and their difference. labels: what they are, and the difference.

    sizes: people and events behind each.
    """
    ends = ("usual", "compared", "difference")
    for end, row, (n, events) in zip(ends, frame.itertuples(), sizes, strict=True):
        apart = end == "difference"
        label = labels[1] if apart else f"{labels[0]} in “{row.group}”"
        made = estimate(
            f"{prefix}_{end}", label, float(row.estimate), float(row.std_error), np.inf,
            scale="time", level=level, method=method,
            rank="secondary" if apart else "descriptive", n=n, events=events,
        )  # fmt: skip
        yield made if apart else replace(made, p=float("nan"))


# --- stays -----------------------------------------------------------------------------------

NAMES = {"person": PERSON, "start": START, "stop": STOP, "event": EVENT, "in_house": IN_HOUSE}


def days_resident(stays: Dataset, person: str, start: str, stop: str) -> pd.Series[float]:
    """Days in all stays of each person, inf where one has not ended."""
    first, last = read_spells(stays, person, start, stop)
    return pd.Series(last - first).groupby(stays.frame[person].to_numpy()).sum()


def residence_rows(
    data: Dataset, columns: TimeColumns, stays: Dataset, person: str, start: str, stop: str
) -> Dataset:
    """(start, stop] rows of each person with residence 0 or 1, constant within a row.

    As `person_days` cuts them: resident on (day in, day out], and overlapping stays count once.
    The names of what is made are no study's, so that no covariate is lost.
    """
    read_spells(stays, person, start, stop)
    known = stays.with_frame(stays.frame[stays.frame[person].isin(data.frame[person])])
    made = person_days(
        data, person=person, start=columns.entry, stop=columns.time, event=columns.event,
        stays=known, stay_start=start, stay_stop=stop, windows=(), daily=False, keep=(),
    ).frame.rename(columns=NAMES)  # fmt: skip
    at = pd.Index(data.frame[person]).get_indexer(pd.Index(made[PERSON]))
    rows = data.frame.iloc[at].set_axis(made.index)
    return data.with_frame(rows.assign(**{name: made[name] for name in NAMES.values()}))


def _row_columns(columns: TimeColumns) -> TimeColumns:
    return replace(columns, entry=START, time=STOP, event=EVENT, person=PERSON)
