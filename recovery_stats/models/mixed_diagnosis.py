"""What the rows of a linear mixed model say of its assumptions, one Check each.

Few groups for the method, groups that move a coefficient, shape of residuals and random effects,
spread along the fitted values and between the levels of each factor. A statistic is held against
its own sampling error as well as against a size that matters: ten groups are skewed by chance.
Sources: Lange & Ryan 1989 (random effects in units of their own spread); Belsley, Kuh & Welsch
1980 (DFBETAS of 1); Pustejovsky & Tipton 2018 (df of 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import spearmanr

from recovery_stats.core.cell import Cell, Quantity
from recovery_stats.core.check import Check, Verdict
from recovery_stats.engines.linalg import Array
from recovery_stats.errors import NotEstimable
from recovery_stats.models.columns import Columns
from recovery_stats.models.mixed_influence import influence

if TYPE_CHECKING:
    from recovery_stats.models.mixed_fit import MixedFit

ENOUGH_FOR_SHAPE = 10  # groups
ENOUGH_FOR_NORMAL = 40  # groups from which the normal reference is near the t
ENOUGH_FOR_T = 6  # groups under which the approximations of df have not been shown to hold
ENOUGH_DF = 4.0  # df of CR2 under which its t test is not to be trusted
ENOUGH_FOR_SPREAD = 10  # rows of a level
SKEWED, HEAVY = 1.0, 3.0  # skewness and excess kurtosis that matter in small samples
BEYOND_CHANCE = 3.0  # standard errors
MOVED = 1.0  # standard errors by which one group may move a coefficient
UNEQUAL = 2.0  # ratio of standard deviations
RARELY = 1e-3  # chance of a ratio of variances as large
MOST_LEVELS = 2_000  # levels of a factor beyond which one hardly matters, and all take long


def diagnose(fit: MixedFit) -> Iterator[Check]:
    """Every check in the order of reading."""
    yield _enough_groups(fit)
    yield from _influential(fit)
    residuals = fit.residuals("pearson").to_numpy()
    yield shape("normal residuals", residuals, "residuals")
    yield from effects_shape(fit)
    yield spread(residuals, fit.fitted().to_numpy())
    yield from spread_by_level(fit, residuals)


def _verdict(bad: bool) -> Verdict:
    return "caution" if bad else "ok"


# --- groups ------------------------------------------------------------------------------------


def _enough_groups(fit: MixedFit) -> Check:
    """Whether the reference distribution can be trusted with so few groups."""
    fewest = min(fit.factors, key=lambda f: f.levels)
    if fit.robust is not None:
        least = float(np.nanmin(fit.robust.df(np.eye(len(fit.terms)))))
        bad = least < ENOUGH_DF
        end = (
            ": under four its t test is not to be trusted; read the model's own errors beside it."
            if bad
            else ", enough for its t test."
        )
        found = ("A robust error rests on ", Quantity(least, "df"), f" degrees of freedom{end}")
        return _of_method(bad, found, str(fit.cluster))
    if fit.df == "normal":
        bad = fewest.levels < ENOUGH_FOR_NORMAL
        words = (
            f"{fewest.name} has fewer than forty levels: intervals by the normal distribution are "
            "too short; take df='satterthwaite' or df='kenward-roger'."
            if bad
            else f"Levels enough of {fewest.name} for the normal distribution."
        )
    else:
        bad = fewest.levels < ENOUGH_FOR_T
        words = (
            f"{fewest.name} has fewer than six levels: degrees of freedom are themselves poorly "
            "known, and intervals may miss the truth too often."
            if bad
            else f"Levels enough of {fewest.name} for the approximation of degrees of freedom."
        )
    return _of_method(bad, (words,), fewest.name)


def _of_method(bad: bool, words: tuple[Cell, ...], about: str) -> Check:
    return Check("groups for the method", _verdict(bad), words, about)


def _influential(fit: MixedFit) -> Iterator[Check]:
    """Whether one level of a factor carries a coefficient; it is never named."""
    for factor in fit.factors:
        if factor.levels > MOST_LEVELS:
            continue
        try:
            table = influence(fit, factor.name, refit=False).filter(like="dfbetas(")
        except NotEstimable:
            continue
        moved = np.abs(table.to_numpy())
        if not np.isfinite(moved).any():
            continue
        most = float(np.nanmax(moved))
        bad = most > MOVED
        words = (
            f"Leaving out one level of {factor.name} moves no coefficient by more than ",
            Quantity(most),
            " of its standard errors"
            + (": see influence(), and report the answer without that level too." if bad else "."),
        )
        yield Check("influential groups", _verdict(bad), words, factor.name)


# --- shape and spread ------------------------------------------------------------------------


def shape(name: str, values: Array, what: str) -> Check:
    """Skewness and excess kurtosis; tests of normality reject any large sample."""
    z, n = (values - values.mean()) / values.std(), len(values)
    skew, excess = float((z**3).mean()), float((z**4).mean() - 3.0)
    by_chance = np.sqrt(6.0 / n), np.sqrt(24.0 / n)
    odd = abs(skew) > max(SKEWED, BEYOND_CHANCE * by_chance[0])
    odd = odd or excess > max(HEAVY, BEYOND_CHANCE * by_chance[1])
    return Check(
        name,
        _verdict(bool(odd)),
        (
            f"Skewness of the {what} is ",
            Quantity(skew),
            ", excess kurtosis ",
            Quantity(excess),
            ". Intervals lean on normality in small samples only."
            if odd
            else ": close enough to normal for the intervals.",
        ),
        what,
    )


def effects_shape(fit: MixedFit) -> Iterator[Check]:
    """Predicted effects over their own spread, which differs with the rows of a level."""
    parts = zip(
        fit.factors, fit.engine.psi, fit.engine.effects, fit.engine.effect_variance, strict=True
    )
    for factor, psi, effects, error in parts:
        for j, name in enumerate(factor.effects):
            own = psi[j, j] - error[:, j, j]  # variance of what is predicted
            seen = own > 1e-8 * psi[j, j]
            if psi[j, j] > 0 and int(seen.sum()) >= ENOUGH_FOR_SHAPE:
                z = effects[seen, j] / np.sqrt(own[seen])
                effect = "intercept" if name == "Intercept" else name
                yield shape("normal random effects", z, f"{effect} effects of {factor.name}")


def spread(residuals: Array, fitted: Array) -> Check:
    """Whether residuals grow with the fitted values: rank correlation of size with fitted."""
    r = float(spearmanr(np.abs(residuals), fitted).statistic) if np.ptp(fitted) > 0 else 0.0
    grows = abs(r) > max(0.3, BEYOND_CHANCE / np.sqrt(len(fitted)))
    return Check(
        "constant spread",
        _verdict(bool(grows)),
        (
            "Rank correlation of the size of residuals with fitted values: ",
            Quantity(r),
            ". Robust errors by cluster (cluster=) do not need constant spread." if grows else ".",
        ),
        "residuals",
    )


def spread_by_level(fit: MixedFit, residuals: Array) -> Iterator[Check]:
    """Whether residuals spread more at some levels of a factor among the predictors."""
    columns = Columns.of(fit.analysed)
    for factor in {f.column: f for f in fit.recipe.factors.values()}.values():
        codes = factor.codes(columns)
        rows = np.bincount(codes, minlength=len(factor.levels))
        enough = np.flatnonzero(rows >= ENOUGH_FOR_SPREAD)
        if enough.size < 2:
            continue
        sizes = np.array([residuals[codes == j].std(ddof=1) for j in enough])
        if not sizes.min() > 0:
            continue
        wide, narrow = enough[int(sizes.argmax())], enough[int(sizes.argmin())]
        ratio = float(sizes.max() / sizes.min())
        chance = f_distribution.sf(ratio**2, rows[wide] - 1, rows[narrow] - 1)
        bad = ratio > UNEQUAL and bool(chance < RARELY)
        words = (
            f"Between levels of {factor.column}, residuals spread up to ",
            Quantity(ratio),
            " times as wide"
            + ("; robust errors by cluster do not need equal spread." if bad else "."),
        )
        yield Check("constant spread", _verdict(bad), words, factor.column)
