"""Which residual structures are special cases of which, for likelihood-ratio tests between them.

Judged by the rows, not by the words: the same people and waves, variances and groups of people at
least as fine, and a family of correlation that holds the other. What is not nested so is compared
by its AIC. Sources: Pinheiro & Bates 2000, ch. 5; Wolfinger 1993 (order of the structures).
"""

from __future__ import annotations

import numpy as np

from recovery_stats.engines.linalg import IntArray
from recovery_stats.models.mixed_fit import MixedFit
from recovery_stats.models.mixed_residual import ResidualMixedFit
from recovery_stats.models.residual_structure import Structure

HELD: dict[str | None, tuple[str | None, ...]] = {
    "independent": (),
    "ar1": ("independent",),
    "car1": ("independent",),
    "cs": ("independent",),
    "toeplitz": ("independent", "ar1", "cs"),
    "ante": ("independent", "ar1"),
    "free": ("independent", "ar1", "cs", "toeplitz", "ante"),
    None: ("independent", "ar1", "cs", "toeplitz", "ante", "free"),
}  # family: those that are special cases of it; None is unstructured
WAVELESS = ("independent", "cs")  # families that do not read which wave a row is of


def structure_of(fit: MixedFit) -> Structure | None:
    return fit.structure if isinstance(fit, ResidualMixedFit) else None


def same_structure(a: MixedFit, b: MixedFit) -> bool:
    """Whether two fits ask for the same of their residuals."""
    one, two = structure_of(a), structure_of(b)
    if one is None or two is None:
        return one is two
    return one.request == two.request


def holds(larger: MixedFit, smaller: MixedFit) -> bool:
    """Whether the residual structure of `smaller` is a special case of that of `larger`."""
    inner, outer = structure_of(smaller), structure_of(larger)
    if inner is None or outer is None:
        return inner is None
    family, within = outer.request.family, inner.request.family
    if family != within and within not in HELD[family]:
        return False
    mine, theirs = inner.rows, outer.rows
    if within != "independent" and not _same(mine.person, theirs.person):
        return False
    if within not in WAVELESS and not np.array_equal(mine.time, theirs.time):
        return False
    return _finer(_variances(outer), _variances(inner)) and _finer(theirs.group, mine.group)


def edges(larger: MixedFit, smaller: MixedFit) -> int:
    """At how many edges of the larger structure the smaller lies: no car1 can be negative."""
    inner, outer = structure_of(smaller), structure_of(larger)
    if outer is None or outer.request.family != "car1":
        return 0
    alone = inner is None or inner.request.family == "independent"
    return len(outer.groups) if alone else 0


def _variances(structure: Structure) -> IntArray:
    """The level of variance of each row."""
    rows = structure.rows
    if structure.request.family is not None:
        return rows.level
    return rows.group * (int(rows.wave.max()) + 1) + rows.wave


def _finer(a: IntArray, b: IntArray) -> bool:
    """Whether rows that share a level of a share one of b."""
    pairs = np.unique(a.astype(np.int64) * (int(b.max()) + 1) + b).size
    return bool(pairs == np.unique(a).size)


def _same(a: IntArray, b: IntArray) -> bool:
    return _finer(a, b) and _finer(b, a)
