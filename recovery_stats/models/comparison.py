"""Two arms with clusters: how the clusters lie in the arms, which inference that allows, rivals.

Residents of a house are alike, and houses are few. What is right depends on where the arms lie:

    nested     every cluster in one arm (houses randomised, or residents against people without
               a house, each of whom is then a cluster of one): CR2 by cluster, Satterthwaite df
    crossed    arms meet within clusters (sites): by stratum where people were randomised within
               them, else CR2 by cluster
    none       people independent

With few clusters a cluster-robust error can come out too small by luck, whatever its correction.
So the interval reported is never shorter than the one that ignores clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines.cluster import (
    Intraclass,
    Welch,
    intraclass,
    two_sided,
    weighted_mean_t,
    welch,
)
from recovery_stats.errors import NotEstimable
from recovery_stats.models import gee
from recovery_stats.models.risk import Family, Standardised, estimate, standardise
from recovery_stats.models.sample import Sample

Array = NDArray[np.floating[Any]]
Structure = Literal["none", "nested", "crossed"]
Basis = Literal["clusters", "people"]
Likeness = Intraclass

MOST_WORK = 10_000_000  # clusters times people; beyond, one cluster left out hardly matters
MOST_CELLS = 20_000_000  # people times strata; beyond, a coefficient a stratum takes gigabytes
MOSTLY = 0.5  # share of people in clusters shared by the arms from which the arms "meet"


# --- how clusters lie in the arms ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters of the people compared.

    codes (n,): a code each, people without a cluster one of their own. real (n,): has a
    cluster. named: how many clusters; shared: in how many both arms meet; by_arm: clusters with
    people of the usual and of the compared arm; alone: people without one, by arm.
    """

    codes: NDArray[np.intp]
    real: NDArray[np.bool_]
    named: int
    shared: int
    by_arm: tuple[int, int]
    alone: tuple[int, int]
    structure: Structure

    @property
    def partial(self) -> bool:
        """Clustering in one arm only: the other arm's people are alone."""
        return self.structure == "nested" and 0 in self.by_arm


def clusters_of(data: Dataset, column: str | None, arm: Array) -> Clusters:
    """Read the clusters of the rows of `data`; a row without one is a cluster of its own."""
    n = len(data)
    if column is None:
        codes = np.arange(n)
        nobody = np.zeros(n, dtype=bool)
        usual = int(np.sum(arm == 0))
        return Clusters(codes, nobody, 0, 0, (0, 0), (usual, n - usual), "none")
    values = data.frame[column]
    real = values.notna().to_numpy()
    codes = np.empty(n, dtype=np.intp)
    codes[real] = np.unique(values[real].to_numpy(), return_inverse=True)[1]
    named = int(codes[real].max()) + 1 if real.any() else 0
    codes[~real] = named + np.arange(int((~real).sum()))
    members = [set(codes[real & (arm == a)].tolist()) for a in (0, 1)]
    shared = len(members[0] & members[1])
    together = np.isin(codes, list(members[0] & members[1]))
    structure: Structure = "none" if not named else "crossed" if shared else "nested"
    if structure == "crossed" and not _meet(together, real):
        structure = "nested"
    return Clusters(
        codes, real, named, shared, (len(members[0]), len(members[1])),
        (int(np.sum(~real & (arm == 0))), int(np.sum(~real & (arm == 1)))), structure,
    )  # fmt: skip


def _meet(together: NDArray[np.bool_], real: NDArray[np.bool_]) -> bool:
    """Whether most people live in clusters where both arms meet (a stray one does not count)."""
    return bool(together.sum() >= MOSTLY * len(real))


# --- the primary answer --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Primary:
    """The fit on which every effect rests, and why its errors are what they are.

    basis: errors by cluster, or of people alone because that interval is the wider one (or
    there are no clusters). stratified: people were randomised within strata, which have a
    coefficient each, or, absorbed, the means of their people, where they are too many. ratio:
    error by cluster over error of people alone (nan without clusters).
    """

    fit: Standardised
    basis: Basis
    stratified: bool
    ratio: float
    absorbed: bool = False


def primary(
    sample: Sample, family: Family, *, strata: NDArray[Any] | None, level: float
) -> Primary:
    """Standardise with the inference that the design allows, never below independence.

    sample: with its clusters. strata (n,): codes within which people were randomised; where
    these are the clusters, people within one are independent given its coefficient.
    """
    base, stratified, absorbed = sample, strata is not None, False
    if strata is not None:
        absorbed = too_many_strata(strata)
        base = within_strata(sample, strata)
    alone = standardise(base.alone(), family)
    if base.cluster is None:
        return Primary(alone, "people", stratified, float("nan"))
    clustered = standardise(base, family)
    wide, narrow = (_difference(f, level) for f in (clustered, alone))
    ratio = wide.se / narrow.se if narrow.se > 0 else float("nan")
    if not absorbed and wide.high - wide.low < narrow.high - narrow.low:
        return Primary(alone, "people", stratified, ratio)
    return Primary(clustered, "clusters", stratified, ratio, absorbed)


def strata_codes(
    data: Dataset, strata: str | None, cluster: str | None, clusters: Clusters
) -> NDArray[Any] | None:
    """Codes (n,) of what people were randomised within, by column; those without one together.

    Where strata are the clusters these are their codes, each person without one alone.
    """
    if strata is None or strata == cluster:
        return clusters.codes if strata else None
    return np.asarray(pd.factorize(data.frame[strata], use_na_sentinel=False)[0])


def too_many_strata(strata: NDArray[Any]) -> bool:
    """Whether a column for each would not fit into the memory of an ordinary computer."""
    return len(np.unique(strata)) * len(strata) > MOST_CELLS


def within_strata(sample: Sample, strata: NDArray[Any]) -> Sample:
    """The same people compared within strata; where these are the clusters, people are alone.

    Too many strata have the means of their people instead of a coefficient each, and errors by
    cluster or stratum.
    """
    if too_many_strata(strata):
        by = strata if sample.cluster is None else sample.cluster
        return replace(sample.between(strata), cluster=by)
    own = sample.cluster is None or bool(np.all(strata == sample.cluster))
    return (sample.alone() if own else sample).stratified(strata)


def _difference(fit: Standardised, level: float) -> Estimate:
    return fit.effect("difference", "d", "", level=level, rank="primary", method="")


def likeness(sample: Sample, clusters: Clusters, *, level: float) -> Likeness | None:
    """Intraclass correlation of the outcome among people who have a cluster; None without."""
    if not clusters.named:
        return None
    try:
        return intraclass(
            sample.y[clusters.real], clusters.codes[clusters.real], sample.arm[clusters.real],
            level=level,
        )  # fmt: skip
    except NotEstimable:
        return None


# --- the same difference, asked in other ways ----------------------------------------------


def strata_fit(clusters: Clusters, people: int) -> bool:
    """Whether a column for each cluster fits into the memory of an ordinary computer."""
    return clusters.named * people <= MOST_CELLS


def too_many_to_leave_out(clusters: Clusters, people: int) -> bool:
    """Whether leaving each cluster out in turn takes too long; then one hardly matters."""
    return clusters.named > 2 and clusters.named * people > MOST_WORK


@dataclass(frozen=True, slots=True)
class Rivals:
    """Makes the same difference under every other method; `word` is what a cluster is called."""

    sample: Sample
    clusters: Clusters
    family: Family
    level: float
    word: str

    def all(self) -> Iterator[Estimate]:
        """Each rival that these data allow, in the order of the sensitivity table."""
        yield from self.of(self.sample.crude(), "crude", "Without covariates")
        if self.clusters.structure == "none":
            return
        yield from self.of(self.sample.alone(), "naive", f"Ignoring {self.word}s", rank="naive")
        yield from self.of(self.sample, "by_cluster", f"By {self.word} (CR2)")
        if self.clusters.structure == "crossed" and strata_fit(self.clusters, len(self.sample.y)):
            strata = self.sample.stratified()
            yield from self.of(strata, "within", f"Within {self.word}s (strata)")
        yield from self.marginal()
        yield from self.summaries()
        yield from self.left_out()

    def marginal(self) -> Iterator[Estimate]:
        """Generalised estimating equations, where they settle."""
        try:
            yield gee.difference(
                self.sample, self.clusters.codes, level=self.level, name="gee",
                label=f"GEE, {self.word}s exchangeable",
            )  # fmt: skip
        except NotEstimable:
            return

    def of(
        self, sample: Sample, name: str, label: str, rank: Level = "sensitivity"
    ) -> Iterator[Estimate]:
        """The adjusted difference in `sample`, where it has one."""
        try:
            fit = standardise(sample, self.family)
        except NotEstimable:
            return
        method = "CR2" if sample.cluster is not None else "HC2"
        yield fit.effect("difference", name, label, level=self.level, rank=rank, method=method)

    def summaries(self) -> Iterator[Estimate]:
        """A t test on one number a cluster: means where nested, differences where crossed."""
        y, arm, codes = self.sample.y, self.sample.arm, self.clusters.codes
        try:
            found = _of_differences(y, arm, codes) if self.clusters.structure == "crossed" else (
                welch(*(_means(y[arm == a], codes[arm == a]) for a in (0, 1)))
            )  # fmt: skip
        except NotEstimable:
            return
        yield estimate(
            "summary", f"t test on {self.word} summaries",
            found.difference, found.se, found.df, level=self.level, rank="sensitivity",
            method="cluster summaries", n=len(y),
        )  # fmt: skip

    def left_out(self) -> Iterator[Estimate]:
        """The smallest and the largest difference when one cluster is left out."""
        if self.clusters.named <= 2 or too_many_to_leave_out(self.clusters, len(self.sample.y)):
            return
        found = [
            e
            for code in range(self.clusters.named)
            for e in self.of(self.sample.where(self.clusters.codes != code), "", "")
        ]
        if found:
            ordered = sorted(found, key=lambda e: e.value)
            for end, name, word in (
                (0, "left_out_low", "lowest"),
                (-1, "left_out_high", "highest"),
            ):
                yield replace(ordered[end], name=name, label=f"One {self.word} left out: {word}")


def _means(y: Array, codes: NDArray[np.intp]) -> Array:
    ids = np.unique(codes, return_inverse=True)[1]
    means: Array = np.bincount(ids, y) / np.bincount(ids)
    return means


def _of_differences(y: Array, arm: Array, codes: NDArray[np.intp]) -> Welch:
    """Differences within clusters, weighted by n0 n1 / (n0 + n1), as their precision is."""
    d, weights = [], []
    for code in np.unique(codes):
        a, b = (y[(codes == code) & (arm == k)] for k in (0, 1))
        if len(a) and len(b):
            d.append(b.mean() - a.mean())
            weights.append(len(a) * len(b) / (len(a) + len(b)))
    return weighted_mean_t(np.array(d), np.array(weights))


# --- each cluster --------------------------------------------------------------------------


def each_cluster(
    y: Array, clusters: Clusters, *, level: float
) -> tuple[tuple[float, float, float, int, int], ...]:
    """Share (0/1 outcome, Wilson interval) or mean (t interval) of each cluster, in rising order.

    Returns (value, low, high, n, people) of clusters with two or more, none of them named. n is
    the smallest number of people that a row gives away: from a share and its interval the people
    with the outcome and those without it can be counted.
    """
    binary = set(np.unique(y)) <= {0.0, 1.0}
    rows = []
    for code in range(clusters.named):
        own = y[clusters.codes == code]
        if len(own) >= 2:
            least = _least(own) if binary else len(own)
            rows.append((*_interval(own, binary, level), least, len(own)))
    return tuple(sorted(rows))


def _least(y: Array) -> int:
    """The smaller of the people with and without a yes/no outcome, of those groups that exist."""
    _, counts = np.unique(y, return_counts=True)
    return int(counts.min())


def _interval(y: Array, binary: bool, level: float) -> tuple[float, float, float]:
    n, mean = len(y), float(y.mean())
    if not binary:
        low, high, _ = two_sided(mean, float(y.std(ddof=1) / np.sqrt(n)), n - 1.0, level)
        return mean, low, high
    z2 = float(norm.isf((1 - level) / 2)) ** 2
    centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (mean * (1 - mean) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return mean, float(centre - reach), float(centre + reach)
