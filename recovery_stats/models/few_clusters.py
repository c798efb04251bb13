"""The difference between two arms under every method for few clusters, side by side.

Why several: none is right everywhere. GEE errors corrected by Kauermann & Carroll, Mancl & DeRouen
and Fay & Graubard and CR2 rest on a working model; the wild bootstrap on many treated clusters; the
permutation on nothing but the randomisation, and has a smallest p that it cannot go below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines import gee as engine
from recovery_stats.engines.gee_correlation import Structure
from recovery_stats.engines.mean_law import LAWS, LINKS
from recovery_stats.engines.permutation import Permutation, count_ways, permute
from recovery_stats.engines.robust import Kind
from recovery_stats.engines.wild_bootstrap import wild_bootstrap
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.risk import estimate
from recovery_stats.models.sample import ARM, Sample

CORRECTIONS: tuple[tuple[Kind, str, str], ...] = (
    ("CR2", "gee_kauermann_carroll", "Kauermann–Carroll"),
    ("CR3", "gee_mancl_derouen", "Mancl–DeRouen"),
    ("FG", "gee_fay_graubard", "Fay–Graubard"),
)
MOST_BOOTSTRAPPED = 2_000  # clusters, each a column of signs
SOME, FEW = 40, 10
UNEQUAL = 0.5  # coefficient of variation of cluster sizes from which they are called unequal


@dataclass(frozen=True, slots=True)
class FewClusters:
    """The difference in `sample` under the methods for few clusters.

    strata (n,): codes of what units were randomised within. drawn: what was put into arms by
    chance, "clusters", "people", or None (nothing was: no permutation).
    """

    sample: Sample
    clusters: Clusters
    strata: NDArray[np.intp] | None
    drawn: str | None
    level: float
    word: str

    def all(self, rng: np.random.Generator) -> Iterator[Estimate]:
        """A row for each method that these data allow."""
        if self.clusters.structure != "none":
            for kind, name, label in CORRECTIONS:
                yield from self.corrected(kind, name, label)
            yield from self.wild(rng)
        yield from self.permuted(rng)

    def corrected(self, kind: Kind, name: str, label: str) -> Iterator[Estimate]:
        """GEE, exchangeable, identity link, errors of this kind with Satterthwaite's df."""
        s = self.sample
        X, y = np.asarray(s.X, dtype=float), np.asarray(s.y, dtype=float)
        w = None if s.weights is None else np.asarray(s.weights, dtype=float)
        several = len(np.unique(self.clusters.codes)) < len(y)
        structure: Structure = "exchangeable" if several else "independence"
        try:
            solved = engine.fit(
                X, y, LAWS["gaussian"], LINKS["identity"], self.clusters.codes,
                structure=structure, weights=w, kind=kind,
            )  # fmt: skip
        except NotEstimable:
            return
        df = solved.df(np.eye(X.shape[1])[ARM])
        yield estimate(
            name, f"GEE, {label} errors", float(solved.beta[ARM]),
            float(np.sqrt(solved.covariance[ARM, ARM])), df, level=self.level,
            rank="sensitivity", method=f"GEE, {label} errors, Satterthwaite df", n=len(y),
        )  # fmt: skip

    def wild(self, rng: np.random.Generator) -> Iterator[Estimate]:
        """The wild cluster bootstrap of the linear model; none with sampling weights."""
        s, codes = self.sample, self.clusters.codes
        if s.weights is not None or len(np.unique(codes)) > MOST_BOOTSTRAPPED:
            return
        found = wild_bootstrap(np.asarray(s.X, float), np.asarray(s.y, float), ARM, codes, rng)
        low, high = found.limits(self.level)
        yield Estimate(
            "wild", "Wild cluster bootstrap", found.estimate, low, high, p=found.p(),
            level="sensitivity", method="wild cluster bootstrap, null imposed",
            confidence=self.level, n=len(s.y),
        )  # fmt: skip

    def permuted(self, rng: np.random.Generator) -> Iterator[Estimate]:
        """The permutation test, its limits the effects that it does not reject."""
        try:
            found = self.permutation(rng)
        except NotEstimable:
            return
        if found is None:
            return
        low, high = found.limits(self.level)
        unit = self.word if self.drawn == "clusters" else "person"
        yield Estimate(
            "permutation", f"Permutation by {unit}", found.observed, low, high, p=found.p(),
            level="sensitivity", method=f"permutation by {unit}, as randomised",
            confidence=self.level, n=len(self.sample.y),
        )  # fmt: skip

    def permutation(self, rng: np.random.Generator) -> Permutation | None:
        """Allocations of what was drawn, within strata; covariates taken out beforehand."""
        if self.drawn is None or self.sample.weights is not None:
            return None
        s = self.sample
        covariates = np.delete(s.X, ARM, axis=1)
        rest = np.asarray(s.y - covariates @ np.linalg.lstsq(covariates, s.y, rcond=None)[0])
        if self.drawn == "clusters":
            codes = np.unique(self.clusters.codes, return_inverse=True)[1]
            rest = np.bincount(codes, rest) / np.bincount(codes)
        return permute(rest, *self._units(), rng)

    def _units(self) -> tuple[NDArray[np.float64], NDArray[np.intp] | None]:
        """The arm of each unit that was drawn, people or clusters, and its stratum."""
        arm = np.asarray(self.sample.arm, dtype=float)
        if self.drawn == "people":
            return arm, self.strata
        codes = np.unique(self.clusters.codes, return_inverse=True)[1]
        first = np.unique(codes, return_index=True)[1]
        if np.any(arm != arm[first][codes]):
            raise NotEstimable(
                f"A {self.word} has people of both arms, so that {self.word}s were not what was "
                "randomised."
            )
        return arm[first], None if self.strata is None else self.strata[first]

    def smallest(self) -> Check | None:
        """The smallest p that the randomisation allows."""
        if self.drawn is None or self.sample.weights is not None:
            return None
        try:
            found = count_ways(*self._units())
        except NotEstimable:
            return None
        none = found.smallest > 1.0 - self.level
        tail = " No result could have been called significant." if none else ""
        many = found.allocations >= 1e6
        ways: Cell = "more than a million" if many else Quantity(found.allocations, "whole")
        return Check(
            "smallest attainable p", "caution" if none else "ok",
            ("The randomisation allowed ", ways, " allocations; the smallest p that a permutation "
             "test could give: ", Quantity(found.smallest, "p"), f".{tail}"),
        )  # fmt: skip


def choice(clusters: Clusters, basis: str, stratified: bool, word: str) -> Check:
    """Why the primary errors are what they are, by number and balance of clusters."""
    if clusters.structure == "none":
        return Check("choice of errors", "ok", (f"No {word}: people count as independent.",))
    size = np.bincount(clusters.codes[clusters.real])
    size = size[size > 0]
    unequal = float(size.std() / size.mean())
    parts: list[Cell] = [Count(clusters.named, f"{word}s"), f" {word}s, sizes with a coefficient "
                         "of variation of ", Quantity(unequal, "ratio"), ". "]  # fmt: skip
    parts.append(_why(clusters, basis, stratified, word))
    if clusters.named < FEW:
        parts.append(
            " Under ten, no correction is safe: read the table of methods as a whole, and the "
            "permutation test where chance decided."
        )
    elif clusters.named < SOME:
        parts.append(" Under forty, plain robust errors (CR0, z) are too small; CR2 is not.")
    if unequal > UNEQUAL:
        parts.append(" Sizes differ much, which costs degrees of freedom.")
    return Check("choice of errors", "caution" if clusters.named < FEW else "ok", tuple(parts))


def _why(clusters: Clusters, basis: str, stratified: bool, word: str) -> str:
    if basis == "people" and not stratified:
        return f"The error that ignores {word}s was the larger one and is reported."
    if stratified:
        return "People were randomised within strata, each with a coefficient of its own."
    if clusters.partial:
        return (
            f"Only one arm has {word}s: Bell and McCaffrey's errors, each person without one alone."
        )
    return f"Bell and McCaffrey's errors by {word} with Satterthwaite's degrees of freedom."
