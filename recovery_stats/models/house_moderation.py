"""Mixed models of what differs between kinds of houses, with degrees of freedom of houses.

Degrees of freedom are Kenward and Roger's (Satterthwaite's where one arm alone has houses and each
arm a residual variance of its own), but never more than houses less the coefficients that houses
decide: a variance between houses that comes out as zero would otherwise let people be counted for
houses. A slope that is compared between houses has a random part, because without one its
comparison counts people too.
Sources: Roberts & Roberts 2005; Schluchter & Elashoff 1990; Heisig & Schaeffer 2019; Enders &
Tofighi 2007 (deviations from the house's mean). Checked: balanced houses are a regression on house
means; lmerTest and pbkrtest (tests/models/house_moderator.R); error rates
by simulation (scripts/house_kinds.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import ConvergenceError, NotEstimable
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.formula import quote
from recovery_stats.models.house_join import Characteristic
from recovery_stats.models.margins import row_of
from recovery_stats.models.mixed import MixedFit, lmm
from recovery_stats.models.risk import estimate

ARM, OUTCOME = "arm|", "outcome|"
HOUSE, HOUSED, BY, WITHIN, MEAN = "house|", "housed|", "arm#", "within|", "house mean|"
FEWEST_DF = 4  # below, no approximation to few clusters keeps its level (Tipton 2015)
FEWEST_HOUSES = 2  # of a level (and arm): one house cannot be told from its level


class TooFewHouses(NotEstimable):
    """Houses are too few for a characteristic; the parts of the sentence, for reports.

    level: the level of which too few houses exist, or "". left: degrees of freedom between houses.
    """

    def __init__(self, found: Characteristic, houses: int, left: int, where: str, level: str = ""):
        self.label, self.houses, self.left, self.where = found.label, houses, left, where
        self.level = level
        super().__init__(
            f"{self.label}: level “{level}” has fewer than {FEWEST_HOUSES} houses{where}; what a "
            "single house does cannot be told from what its kind does. Join levels, or leave the "
            "characteristic out."
            if level
            else f"{self.label}: {houses} houses {where} leave {left} degrees of freedom between "
            f"houses; at least {FEWEST_DF} are asked for, because below no method for few houses "
            "keeps its error rate."
        )


@dataclass(frozen=True, slots=True)
class Tested:
    """Effects at the points of a characteristic, and the test that they are the same.

    effects: Estimates at each level or place; slope: change for one unit, or for the second of
    two levels (None for more). den_df: not more than between_df; robust_p: CR2 by house.
    """

    effects: tuple[Estimate, ...]
    slope: Estimate | None
    statistic: float
    num_df: float
    den_df: float
    p: float
    robust_p: float
    between_df: float
    houses: int
    people: int
    method: str


@dataclass(frozen=True, slots=True)
class Rows:
    """People with a known house (and, where one arm alone has houses, those of the other arm).

    one_arm: houses in the compared arm alone.
    """

    data: Dataset
    clusters: Clusters
    one_arm: bool
    adjust: tuple[str, ...]
    level: float

    @property
    def arm(self) -> Array:
        return np.asarray(self.data.frame[ARM], dtype=float)

    @property
    def crossed(self) -> bool:
        return self.clusters.structure == "crossed"

    @property
    def alike(self) -> NDArray[np.bool_]:
        """Whether the row's house decides its effect: all houses, or those where arms meet."""
        if not self.crossed:
            return self.clusters.real
        both = [set(self.clusters.codes[self.arm == a].tolist()) for a in (0, 1)]
        return np.isin(self.clusters.codes, list(both[0] & both[1]))


def effect_by_house(rows: Rows, found: Characteristic) -> Tested:
    """How the difference between the arms depends on the characteristic.

    Where one arm alone has houses, people of the other arm are compared with every kind of house.
    Raises NotEstimable where houses are too few, saying how many would do.
    """
    _enough(rows, found)
    own = [f"w{j}|" for j in range(found.q)]
    by_arm = [f"arm w{j}|" for j in range(found.q)]
    held = np.nan_to_num(found.values)
    columns = dict(zip(by_arm, (held * rows.arm[:, None]).T, strict=True))
    named = [*by_arm] if rows.one_arm else [*own, *by_arm]
    columns |= {} if rows.one_arm else dict(zip(own, held.T, strict=True))
    data = _with(rows, columns)
    predictors = " + ".join(map(quote, (ARM, *rows.adjust, *named)))
    random = (
        f"(0 + {quote(HOUSED)} | {quote(HOUSE)})" if rows.one_arm
        else f"(1 + {quote(ARM)} | {quote(HOUSE)})" if rows.crossed
        else f"(1 | {quote(HOUSE)})"
    )  # fmt: skip
    formula = f"{quote(OUTCOME)} ~ {predictors} + {random}"
    required = (ARM, *by_arm)
    fit = _fit(formula, data, required, one_arm=rows.one_arm)
    robust = _robust(formula, data, required)
    between = _between(rows, fit)
    at = [row_of(fit.terms, {ARM: 1.0} | dict(zip(by_arm, place, strict=True)))
          for _, place in found.points]  # fmt: skip
    return _tested(rows, found, fit, robust, np.vstack(at), by_arm, between)


def slope_by_house(rows: Rows, found: Characteristic, x: Array) -> Tested:
    """How the slope of the outcome on a person's covariate depends on the characteristic.

    x (n,): the covariate; its deviation from the house's mean has a random slope, the mean is
    adjusted for. Residents alone. Raises NotEstimable where houses are too few.
    """
    house = rows.clusters.codes
    mean = (np.bincount(house, x) / np.bincount(house))[house]
    within = x - mean
    varies = np.bincount(house, within**2) > 0
    n = int(varies.sum())
    _count(found, n - 1 - found.q, n, "in which the covariate varies")
    own = [f"w{j}|" for j in range(found.q)]
    across = [f"within w{j}|" for j in range(found.q)]
    columns = {WITHIN: within, MEAN: mean}
    columns |= dict(zip(own, found.values.T, strict=True))
    columns |= dict(zip(across, (found.values * within[:, None]).T, strict=True))
    arms = [] if rows.one_arm else [ARM]
    predictors = " + ".join(map(quote, (*arms, *rows.adjust, WITHIN, MEAN, *own, *across)))
    fixed, random = f"{quote(OUTCOME)} ~ {predictors}", f"1 + {quote(WITHIN)}"
    formula = f"{fixed} + ({random} | {quote(HOUSE)})"
    apart = f"{fixed} + ({random} || {quote(HOUSE)})"  # where their correlation cannot be told
    data = _with(rows, columns)
    required = (WITHIN, *across)
    try:
        fit, robust = _fit(formula, data, required), _robust(formula, data, required)
    except ConvergenceError:
        fit, robust = _fit(apart, data, required), _robust(apart, data, required)
    between = float(n - 1 - found.q)
    at = [row_of(fit.terms, {WITHIN: 1.0} | dict(zip(across, place, strict=True)))
          for _, place in found.points]  # fmt: skip
    return _tested(rows, found, fit, robust, np.vstack(at), across, between)


# --- the fit ---------------------------------------------------------------------------------


def _with(rows: Rows, columns: dict[str, Array]) -> Dataset:
    frame = rows.data.frame.assign(
        **{HOUSE: rows.clusters.codes.astype(str), HOUSED: rows.clusters.real.astype(float),
           BY: np.where(rows.arm == 1, "compared", "usual")}, **columns,
    )  # fmt: skip
    return rows.data.with_frame(frame)


def _fit(
    formula: str, data: Dataset, required: tuple[str, ...], *, one_arm: bool = False
) -> MixedFit:
    if not one_arm:
        return lmm(formula, data, df="kenward-roger", required=required)
    return lmm(
        formula, data, df="satterthwaite", required=required, residual="heterogeneous",
        residual_by=BY,
    )  # fmt: skip


def _robust(formula: str, data: Dataset, required: tuple[str, ...]) -> MixedFit:
    return lmm(formula, data, required=required, cluster=HOUSE)


def _between(rows: Rows, fit: MixedFit) -> float:
    """Houses less the rank of what is the same for everybody of a house."""
    which = rows.alike
    house = np.unique(rows.clusters.codes[which], return_inverse=True)[1]
    X, J = fit.X[which], int(house.max()) + 1
    mean = np.stack([np.bincount(house, x) / np.bincount(house) for x in X.T], axis=1)
    if rows.crossed:  # what multiplies the arm decides how its slope differs between houses
        n = fit.terms.index(ARM)
        own = [n, *(j for j, t in enumerate(fit.terms) if t.startswith("arm w"))]
        return float(J - len(own))
    spread = np.abs(X - mean[house]).max(axis=0)
    same = spread <= 1e-9 * np.maximum(1.0, np.abs(X).max(axis=0))
    return float(J - np.linalg.matrix_rank(mean[:, same]))


def _tested(
    rows: Rows, found: Characteristic, fit: MixedFit, robust: MixedFit, at: Array,
    moderators: list[str], between: float,
) -> Tested:  # fmt: skip
    L = np.vstack([row_of(fit.terms, {m: 1.0}) for m in moderators])
    test = fit.test(L)
    den = min(float(test.den_df), between)
    effects = fit.combine(at)
    people = [None] * len(at) if found.number else [
        int(np.sum((found.level == i) & rows.clusters.real)) for i in range(len(at))
    ]  # fmt: skip
    made = tuple(
        estimate(
            "effect", name, float(v), float(s), min(float(d), between), level=rows.level,
            method=fit.method, n=len(rows.data) if n is None else n,
        )
        for (name, _), v, s, d, n in zip(
            found.points, effects.estimate, effects.std_error, effects.df, people, strict=True
        )
    )  # fmt: skip
    slope = None
    if found.q == 1:
        one = fit.combine(L)
        slope = estimate(
            "slope", found.label, float(one.estimate[0]), float(one.std_error[0]), den,
            level=rows.level, method=fit.method, n=len(rows.data),
        )  # fmt: skip
    houses = len(np.unique(rows.clusters.codes[rows.clusters.real]))
    return Tested(
        made, slope, float(test.statistic), float(test.num_df), den,
        float(f_distribution.sf(test.statistic, test.num_df, den)),
        float(robust.test(np.vstack([row_of(robust.terms, {m: 1.0}) for m in moderators])).p_value),
        between, houses, len(rows.data), fit.method,
    )  # fmt: skip


# --- whether there are houses enough --------------------------------------------------------------


def _enough(rows: Rows, found: Characteristic) -> None:
    """NotEstimable where a level has one house (of an arm), or few houses are left for the test."""
    which = rows.alike
    houses = len(np.unique(rows.clusters.codes[which]))
    decided = 1 + found.q if rows.one_arm or rows.crossed else 2 + 2 * found.q
    where = "where the arms meet" if rows.crossed else "with people"
    _count(found, houses - decided, houses, where)
    if found.level is None:
        return
    arms = (0.0, 1.0) if not (rows.one_arm or rows.crossed) else (None,)
    for i, (name, _) in enumerate(found.points):
        for a in arms:
            mine = which & (found.level == i) & (True if a is None else rows.arm == a)
            n = len(np.unique(rows.clusters.codes[mine]))
            if n < FEWEST_HOUSES:
                raise TooFewHouses(found, n, 0, "" if a is None else " of one arm", name)


def _count(found: Characteristic, left: int, houses: int, where: str) -> None:
    if left < FEWEST_DF:
        raise TooFewHouses(found, houses, max(left, 0), where)
