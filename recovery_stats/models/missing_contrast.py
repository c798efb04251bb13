"""One difference between two arms whose outcome is missing for some: complete cases, single values.

Every method of the missing-data panel answers the same question, standardised over covariates
with the inference that the clusters allow (`comparison.primary`); only what stands for a missing
outcome differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.mean_score import Family
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.comparison import clusters_of, primary
from recovery_stats.models.outcome import Reading, read_arms, read_outcome
from recovery_stats.models.risk import Standardised
from recovery_stats.models.sample import Sample, read_sample

Array = NDArray[np.floating[Any]]
ARM, OUTCOME = "arm|", "outcome|"


@dataclass(frozen=True, slots=True)
class Assumed:
    """The difference under one way of dealing with what is missing, and what that takes for true.

    group: which family of assumptions it belongs to. reason: why it is not estimable, then the
    numbers of its estimate are nan; empty where it is.
    """

    estimate: Estimate
    assumption: str
    group: str
    reason: str = ""

    @property
    def name(self) -> str:
        return self.estimate.name

    def numbers(self) -> dict[str, object]:
        """`estimate, std_error, df, p_value, conf_low, conf_high, n`, as a table has them."""
        e = self.estimate
        return {
            "estimate": e.value, "std_error": e.se, "df": e.df, "p_value": e.p,
            "conf_low": e.low, "conf_high": e.high, "n": e.n,
        }  # fmt: skip


def attempt(
    fitted: Callable[[], Estimate], name: str, label: str, told: str, group: str
) -> Assumed:
    """The row of `fitted`; one without numbers, with the reason, where it is not estimable."""
    try:
        return Assumed(fitted(), told, group)
    except NotEstimable as reason:
        return not_estimable(name, label, told, group, str(reason))


def not_estimable(name: str, label: str, told: str, group: str, reason: str) -> Assumed:
    """A row that was asked for and has no number."""
    empty = Estimate(name, label, np.nan, np.nan, np.nan, level="sensitivity", df=np.nan)
    return Assumed(empty, told, group, reason)


@dataclass(frozen=True, slots=True)
class Contrast:
    """The difference asked for.

    data: the people to whom the outcome applies, with ARM as 0/1 and OUTCOME as 0/1 or a number,
    nan where missing. earlier: columns with the outcome at earlier visits, first to last.
    helping: columns that only predict what is missing. strata: what people were randomised within.
    limits: lowest and highest value the outcome can take. counted: what an outcome of 1 is called.
    randomised: people were drawn into the arms.
    """

    data: Dataset
    binary: bool
    adjust: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    helping: tuple[str, ...] = ()
    cluster: str | None = None
    strata: str | None = None
    weights: str | None = None
    limits: tuple[float, float] | None = None
    counted: str = ""
    level: float = 0.95
    randomised: bool = False

    @property
    def family(self) -> Family:
        return "binomial" if self.binary else "gaussian"

    @property
    def outcome(self) -> Array:
        values: Array = self.data.frame[OUTCOME].to_numpy(float)
        return values

    @property
    def arm(self) -> Array:
        values: Array = self.data.frame[ARM].to_numpy(float)
        return values

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.isnan(self.outcome)

    @property
    def given(self) -> str:
        """What people are alike in, in words."""
        return "arm and covariates" if self.adjust else "arm"

    @property
    def range(self) -> tuple[float, float]:
        """The values between which a missing one lies: as given, 0 and 1, or those seen."""
        if self.limits is not None:
            return self.limits
        return (0.0, 1.0) if self.binary else (
            float(np.nanmin(self.outcome)), float(np.nanmax(self.outcome))
        )  # fmt: skip

    def with_outcome(self, values: Array) -> Contrast:
        """The same people with other outcomes."""
        return self.over(self.data.with_column(Variable(OUTCOME), values))

    def over(self, data: Dataset) -> Contrast:
        return replace(self, data=data)

    def ordered(self) -> Contrast:
        """The same people by what is known of them, so that draws do not depend on their order."""
        single = [c for c in (self.cluster, self.strata, self.weights) if c]
        frame = self.data.frame
        used = [ARM, OUTCOME, *self.adjust, *self.earlier, *self.helping, *single]
        codes = [pd.factorize(frame[c], sort=True)[0] for c in dict.fromkeys(used)]
        return self.over(self.data.with_frame(frame.iloc[np.lexsort(codes)]))

    def known(self, *, outcome: bool = True) -> Contrast:
        """People with every covariate and weight, and the outcome where it is asked for."""
        wanted = [c for c in (*self.adjust, self.weights) if c]
        rows = self.data.frame[wanted + ([OUTCOME] if outcome else [])].notna().all(axis=1)
        return self.over(self.data.with_frame(self.data.frame[rows]))

    def sample(self) -> tuple[Sample, NDArray[Any] | None]:
        """Arrays of people with covariates, and the codes of their strata."""
        clusters = clusters_of(self.data, self.cluster, self.arm)
        codes = None if clusters.structure == "none" else clusters.codes
        sample = read_sample(
            self.data, OUTCOME, ARM, self.adjust, cluster=codes, weights=self.weights
        )
        if self.strata is None:
            return sample, None
        return sample, pd.factorize(self.data.frame[self.strata], use_na_sentinel=False)[0]

    def fit(self) -> Standardised:
        """The difference as if these outcomes were all there is."""
        complete = self.known()
        if np.unique(complete.arm).size < 2:
            raise NotEstimable("One of the two arms has nobody with outcome and covariates.")
        sample, strata = complete.sample()
        return primary(sample, self.family, strata=strata, level=self.level).fit

    def difference(self, name: str, label: str, method: str) -> Estimate:
        return self.fit().effect(
            "difference", name, label, level=self.level, rank="sensitivity", method=method
        )


# --- read ------------------------------------------------------------------------------------


def read_contrast(
    data: pd.DataFrame | Dataset, outcome: str, arm: str, counted: str | None,
    reference: str | None, *, adjust: tuple[str, ...], earlier: tuple[str, ...],
    helping: tuple[str, ...], cluster: str | None, strata: str | None, weights: str | None,
    limits: tuple[float, float] | None, level: float, randomised: bool = False,
) -> Contrast:  # fmt: skip
    """People with an arm, outcome and arm as numbers."""
    held = as_dataset(data)
    single = [c for c in (cluster, strata, weights) if c]
    held.require(outcome, arm, *adjust, *earlier, *helping, *single, table="data")
    arms, read = read_arms(held, arm, reference), read_outcome(held, outcome, counted)
    held = held.with_column(
        Variable(ARM, held.label(arm), {0.0: arms.other, 1.0: arms.counted}), arms.values
    ).with_column(Variable(OUTCOME, held.label(outcome)), read.values)
    held = with_coded(held, earlier, read)
    held = held.with_frame(held.frame[held.frame[ARM].notna()])
    if limits is not None and not limits[0] < limits[1]:
        raise UsageError("limits= are the lowest and the highest value, in this order.")
    return Contrast(
        held, read.binary, adjust, earlier, helping, cluster, strata, weights, limits,
        read.counted, level, randomised,
    )  # fmt: skip


def with_coded(data: Dataset, earlier: tuple[str, ...], read: Reading) -> Dataset:
    """Earlier visits of a yes/no outcome as 0 and 1, as the outcome itself; numbers stay."""
    if not read.binary:
        return data
    for column in earlier:
        values = read_outcome(data, column, read.counted).values
        data = data.with_column(Variable(column, data.label(column)), values)
    return data


# --- without a model of what is missing ------------------------------------------------------


def complete_cases(contrast: Contrast) -> Iterator[Assumed]:
    told = f"Of people alike in {contrast.given}, those without an outcome are like those with one."
    name, label = "complete", "Complete cases"
    fitted = partial(contrast.difference, name, label, "complete cases")
    yield attempt(fitted, name, label, told, "At random")


def single_values(contrast: Contrast) -> Iterator[Assumed]:
    """The last value carried forward, and missing counted as relapse or as none."""
    if contrast.earlier:
        yield from _carried(contrast)
    if not contrast.binary:
        return
    named = f"“{contrast.counted}”" if contrast.counted else "the outcome"
    for value, name, label, told in (
        (1.0, "as_had", f"Missing = {named}", f"Everybody without an outcome had {named}."),
        (0.0, "as_not", f"Missing = not {named}", f"Nobody without an outcome had {named}."),
    ):
        yield from _filled(contrast, np.full(len(contrast.data), value), name, label, told)


def bounds(contrast: Contrast) -> Iterator[Assumed]:
    """The largest and the smallest difference that what is missing could make."""
    low, high = contrast.range
    for name, label, (usual, compared) in (
        ("highest", "Bound: highest difference", (low, high)),
        ("lowest", "Bound: lowest difference", (high, low)),
    ):
        extreme = "highest" if compared == high else "lowest"
        other = "lowest" if extreme == "highest" else "highest"
        told = f"Compared arm: all missing at the {extreme} value; other arm: at the {other}."
        values = np.where(contrast.arm == 1, compared, usual)
        yield from _filled(contrast, values, name, label, told, "Bounds")


def _carried(contrast: Contrast) -> Iterator[Assumed]:
    last = contrast.data.frame[list(contrast.earlier)].ffill(axis=1).iloc[:, -1]
    told = "Nothing changes after the last visit seen; people never seen are left out."
    yield from _filled(
        contrast, last.to_numpy(float), "carried", "Last observation carried forward", told
    )


def _filled(
    contrast: Contrast, values: Array, name: str, label: str, told: str,
    group: str = "One value for each",
) -> Iterator[Assumed]:  # fmt: skip
    """The difference with `values` where the outcome is missing."""
    filled = contrast.with_outcome(np.where(contrast.missing, values, contrast.outcome))
    fitted = partial(filled.difference, name, label, "single values")
    yield attempt(fitted, name, label, told, group)
