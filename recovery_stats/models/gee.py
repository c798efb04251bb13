"""Marginal models by estimating equations: `gee("used ~ arm", data, groups="house")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines import gee as engine
from recovery_stats.engines.gee_correlation import Structure
from recovery_stats.engines.glmm_family import Binomial, Poisson
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.engines.mean_law import LAWS, LINKS, Law, Link
from recovery_stats.engines.robust import Kind
from recovery_stats.errors import (
    ConvergenceError,
    DataError,
    NotEstimable,
    UsageError,
    unknown,
)
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design, Outcome, Trials, build_design
from recovery_stats.models.formula import Formula, parse
from recovery_stats.models.gee_fit import GeeFit
from recovery_stats.models.grid import Grid
from recovery_stats.models.mixed import (
    check_weights,
    estimable,
    means_of,
    total_offset,
    with_arrays,
)
from recovery_stats.models.risk import estimate
from recovery_stats.models.sample import ARM, Sample
from recovery_stats.models.separation import refuse_if_separated

__all__ = ["GeeFit", "difference", "gee"]

FamilyName = Literal["gaussian", "binomial", "poisson", "gamma"]
Correction = Literal["kauermann-carroll", "mancl-derouen", "none"]
Reference = Literal["satterthwaite", "clusters", "normal"]
KINDS: dict[str, Kind] = {"none": "CR0", "kauermann-carroll": "CR2", "mancl-derouen": "CR3"}
EXTREME = 12.0  # a predictor on the scale of the link that raises the suspicion of separation


def gee(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    groups: str,
    family: FamilyName = "gaussian",
    link: str | None = None,
    correlation: Structure = "exchangeable",
    time: str | None = None,
    small_sample: Correction = "kauermann-carroll",
    df: Reference = "satterthwaite",
    scale: float | None = None,
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    required: Sequence[str] = (),
    reference: Mapping[str, str] | None = None,
) -> GeeFit:
    """Fit a marginal model by generalised estimating equations; groups: the column of clusters.

    family: "gaussian" (identity), "binomial" (0/1, a share, or `cbind`; logit), "poisson" and
    "gamma" (log); link: another. correlation: "independence", "exchangeable", "ar1",
    "unstructured"; time: orders a cluster's rows, and for "ar1" measures their distance (their
    order in the data if None). small_sample: correction of the robust errors (Kauermann & Carroll
    2001; Mancl & DeRouen 2001). df: "satterthwaite" (of that covariance: Pan & Wall 2002 in the
    form of Pustejovsky & Tipton 2018), "clusters" (clusters less coefficients), "normal". scale:
    phi, where known. weights: the variance is phi V(mu) / weight. required, reference: as in `lmm`.
    Raises UsageError, DataError, NotEstimable.
    """
    _check_choices(small_sample, df, scale)
    asked = prepare(
        formula, data, groups=groups, family=family, link=link, correlation=correlation, time=time,
        weights=weights, offset=offset, required=required, reference=reference,
    )  # fmt: skip
    return GeeFit(
        asked.formula, asked.design, asked.kept, asked.dropped, groups,
        asked.solve(KINDS[small_sample], scale), asked.law, asked.link, correlation, small_sample,
        df, asked.shift, asked.weights, asked.codes, asked.grid, asked.table,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One request read: the rows kept as arrays, with names and what comes back with the fit."""

    formula: Formula
    design: Design
    kept: tuple[int, ...]
    dropped: tuple[str, ...]
    law: Law
    link: Link
    structure: Structure
    X: Array
    y: Array
    weights: Array | None
    shift: Array | None
    codes: IntArray
    time: Array | None
    grid: Grid
    table: pd.DataFrame | Dataset

    def solve(self, kind: Kind, scale: float | None = None) -> engine.GeeFit:
        """The equations solved; NotEstimable names the columns of a separation."""
        names = [self.design.names[j] for j in self.kept]
        try:
            solved = engine.fit(
                self.X, self.y, self.law, self.link, self.codes, structure=self.structure,
                time=self.time, weights=self.weights, offset=self.shift, scale=scale, kind=kind,
            )  # fmt: skip
        except ConvergenceError:
            _refuse_separation(self.X, self.y, self.law, names)
            raise
        moved = solved.eta - (0.0 if self.shift is None else self.shift)
        if np.abs(moved).max() > EXTREME:
            _refuse_separation(self.X, self.y, self.law, names)
        return solved


def prepare(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    groups: str | None,
    family: str,
    link: str | None,
    correlation: Structure,
    time: str | None = None,
    weights: str | Sequence[float] | None,
    offset: str | Sequence[float] | None,
    required: Sequence[str],
    reference: Mapping[str, str] | None,
) -> Request:
    """Read a request; without groups every row is a cluster of its own."""
    asked = parse(formula) if isinstance(formula, str) else formula
    _check_request(asked, family, link, correlation)
    table, columns = with_arrays(data, weights=weights, offset=offset)
    numbers = (*columns.values(), *((time,) if time else ()))
    design = build_design(
        asked, table, numbers=numbers, groups=(groups,) if groups else (), reference=reference
    )
    law = LAWS[family]
    given = design.numbers.get(columns.get("weights", ""))
    check_weights(given, columns.get("weights", ""), Columns.of(table), design)
    y, w = _Reading(law, asked, design, Columns.of(table)).outcome(given)
    kept, dropped = estimable(design, asked, tuple(required)) if design.X.size else ([], [])
    codes = np.arange(len(y))
    when = design.numbers[time] if time else None
    if groups:
        codes = design.groups[groups].codes
        _check_clusters(groups, design.groups[groups].size, len(kept))
        _check_time(time, when, codes, groups)
    return Request(
        asked, design, tuple(kept), tuple(dropped), law, LINKS[link or law.link], correlation,
        design.X[:, kept], y, w, total_offset(design, columns.get("offset")), codes, when,
        means_of(design, table), table,
    )  # fmt: skip


def _check_choices(small_sample: str, df: str, scale: float | None) -> None:
    if small_sample not in get_args(Correction):
        raise UsageError(unknown("small-sample correction", small_sample, get_args(Correction)))
    if df not in get_args(Reference):
        raise UsageError(unknown("kind of degrees of freedom", df, get_args(Reference)))
    if scale is not None and not scale > 0:
        raise UsageError(f"scale={scale}: the known scale must be above 0.")


def _check_request(asked: Formula, family: str, link: str | None, correlation: str) -> None:
    for what, value, known in (
        ("family", family, get_args(FamilyName)),
        ("link", link or LAWS["gaussian"].link, LINKS),
        ("correlation", correlation, get_args(Structure)),
    ):
        if value not in known:
            raise UsageError(unknown(what, str(value), known))
    if asked.random:
        raise UsageError(
            "A model without random effects has no random terms; use glmm, or gee with groups=."
        )
    if asked.strata or asked.frailty or asked.cluster:
        raise UsageError("strata(), frailty() and cluster() belong to survival models.")


def _check_clusters(name: str, clusters: int, p: int) -> None:
    if clusters < 2:
        raise NotEstimable(
            f"Column {name!r} has one level in these rows; robust errors need several clusters."
        )
    if clusters <= p:
        raise NotEstimable(
            f"{clusters} clusters of {name!r} are too few for {p} coefficients; robust errors need "
            "more clusters than coefficients."
        )


def _check_time(name: str | None, when: Array | None, codes: NDArray[np.intp], groups: str) -> None:
    if when is None:
        return
    pairs = np.unique(np.column_stack([codes, when]), axis=0)
    if len(pairs) < len(when):
        raise DataError(
            f"Column {name!r} repeats a time within {len(when) - len(pairs)} rows of a level of "
            f"{groups!r}; a cluster's rows need distinct times."
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    """The outcome of one request, with what its messages need."""

    law: Law
    asked: Formula
    design: Design
    table: Columns

    def outcome(self, weights: Array | None) -> tuple[Array, Array | None]:
        """The mean's outcome and the weights of the rows kept; trials are weights."""
        response = self.design.response
        names = ", ".join(repr(c) for c in self.asked.response_columns())
        if isinstance(response, Trials) and self.law.name == "binomial":
            trials = response.successes + response.failures
            least = np.minimum(response.successes, response.failures)
            self._refuse((least < 0) | (trials == 0), f"cbind() of {names}", "counts, one trial")
            y = response.successes / trials
            return self._varying(y, names), trials if weights is None else trials * weights
        if not isinstance(response, Outcome):
            raise UsageError("Estimating equations need one column on the left of '~' (or cbind).")
        y = response.y
        needs = {
            "binomial": ((y < 0) | (y > 1), "between 0 and 1"),
            "poisson": (y < 0, "0 or more"),
            "gamma": (y <= 0, "above 0"),
        }
        if self.law.name in needs:
            wrong, words = needs[self.law.name]
            self._refuse(wrong, f"The {self.law.name} outcome {names}", words)
        return self._varying(y, names), weights

    def _varying(self, y: Array, names: str) -> Array:
        if np.ptp(y) == 0:
            raise NotEstimable(f"The outcome {names} is the same in all {y.size} rows.")
        return y

    def _refuse(self, wrong: NDArray[np.bool_], what: str, words: str) -> None:
        if not wrong.any():
            return
        among = np.zeros(len(self.table), dtype=bool)
        among[self.design.kept] = wrong
        raise DataError(
            f"{what} must be {words}; {int(wrong.sum())} rows are not, {self.table.rows(among)}. "
            "Correct them, or leave them out."
        )


def _refuse_separation(X: Array, y: Array, law: Law, names: Sequence[str]) -> None:
    ones = np.ones_like(y)
    if law.name == "binomial":
        refuse_if_separated(X, Binomial(y, ones, ones), names)
    if law.name == "poisson":
        refuse_if_separated(X, Poisson(y, ones), names)


def difference(
    sample: Sample, codes: NDArray[np.intp], *, level: float, name: str, label: str
) -> Estimate:
    """Difference between the arms with an exchangeable working correlation within clusters.

    Identity link (a difference in means or in risks); errors with the small-sample correction
    of Mancl & DeRouen (2001), t with clusters minus coefficients degrees of freedom.
    Raises NotEstimable with too few clusters, ConvergenceError when the equations do not settle.
    Checked: clusters of one give least squares with HC3; balanced clusters the arm means.
    """
    p = sample.X.shape[1]
    df = len(np.unique(codes)) - p
    if df < 1:
        raise NotEstimable(f"{df + p} clusters are too few for the coefficients.")
    structure: Structure = "exchangeable" if len(sample.y) > df + p else "independence"
    X, y = (np.asarray(a, dtype=float) for a in (sample.X, sample.y))
    w = None if sample.weights is None else np.asarray(sample.weights, dtype=float)
    solved = engine.fit(
        X, y, LAWS["gaussian"], LINKS["identity"], codes, structure=structure,
        weights=w, kind="CR3",
    )  # fmt: skip
    return estimate(
        name, label, float(solved.beta[ARM]), float(np.sqrt(solved.covariance[ARM, ARM])),
        float(df), level=level, rank="sensitivity",
        method="GEE, exchangeable, Mancl–DeRouen errors", n=len(sample.y),
    )  # fmt: skip
