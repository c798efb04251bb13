"""What is examined about every linear mixed model, one Check each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from recovery_stats.core.check import Check
from recovery_stats.core.document import Count, Quantity
from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm import LmmFit, RandomFactor

Factors = Sequence[RandomFactor]
FEW_GROUPS = 10


def examine(
    factors: Factors,
    fit: LmmFit,
    residuals: Array,
    fitted: Array,
    dropped: Sequence[str],
    lost: Mapping[str, int],
) -> tuple[Check, ...]:
    """Boundary, groups, collinear and missing columns, shape and spread of residuals and effects.

    residuals (n,) standardised, fitted (n,). dropped: collinear columns left out; lost: rows
    without a value, by column.
    """
    return (
        *_singular(factors, fit),
        *_few(factors),
        *left_out(dropped),
        *rows_lost(lost),
        _shape("normal residuals", residuals, "residuals"),
        *_effects(factors, fit),
        _spread(residuals, fitted),
    )


def boundary(
    factors: Factors, psi: Sequence[Array], rank: Sequence[int]
) -> Iterator[tuple[str, str]]:
    """The factors whose covariance lies on its boundary: their name, and in words where."""
    for factor, covariance, r in zip(factors, psi, rank, strict=True):
        if r == factor.q:
            continue
        zero = [e for e, v in zip(factor.effects, np.diag(covariance), strict=True) if v == 0]
        yield (
            factor.name,
            (
                f"the variance of {', '.join(zero)} is estimated as exactly zero"
                if zero
                else "the random effects are estimated as perfectly correlated"
            ),
        )


def _singular(factors: Factors, fit: LmmFit) -> list[Check]:
    found = [
        Check(
            "singular",
            "caution",
            (
                f"For {name}, {what}. The estimate stands; the model asks more of these "
                "data than they show, and degrees of freedom leave this direction out.",
            ),
            name,
        )
        for name, what in boundary(factors, fit.psi, fit.rank)
    ]
    return found or [Check("singular", "ok", ("No variance is estimated at its boundary.",))]


def _few(factors: Factors) -> list[Check]:
    found = []
    for factor in factors:
        few = factor.levels < FEW_GROUPS
        words = (
            " levels: their variance is poorly known; small-sample degrees of freedom are needed."
            if few
            else " levels."
        )
        found.append(
            Check(
                "groups",
                "caution" if few else "ok",
                (f"{factor.name} has ", Quantity(float(factor.levels), "whole"), words),
                factor.name,
            )
        )
    return found


def left_out(names: Sequence[str]) -> list[Check]:
    return [
        Check(
            "collinear",
            "caution",
            ("A combination of the predictors before it in every row; left out.",),
            name,
        )
        for name in names
    ]


def rows_lost(lost: Mapping[str, int]) -> list[Check]:
    return [
        Check("missing", "caution", (Count(n, "rows"), " left out: no value here."), column)
        for column, n in lost.items()
    ]


def _shape(name: str, values: Array, what: str) -> Check:
    """Skewness and excess kurtosis; tests of normality reject any large sample."""
    z = (values - values.mean()) / values.std()
    skew, excess = float((z**3).mean()), float((z**4).mean() - 3.0)
    odd = abs(skew) > 1.0 or excess > 3.0
    return Check(
        name,
        "caution" if odd else "ok",
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


def _effects(factors: Factors, fit: LmmFit) -> list[Check]:
    found = []
    for factor, effects in zip(factors, fit.effects, strict=True):
        for j, name in enumerate(factor.effects):
            if factor.levels >= FEW_GROUPS and np.ptp(effects[:, j]) > 0:
                what = f"{name} effects of {factor.name}"
                found.append(_shape("normal random effects", effects[:, j], what))
    return found


def _spread(residuals: Array, fitted: Array) -> Check:
    """Whether residuals grow with the fitted values: rank correlation of size with fitted."""
    r = float(spearmanr(np.abs(residuals), fitted).statistic) if np.ptp(fitted) > 0 else 0.0
    grows = abs(r) > 0.3
    return Check(
        "constant spread",
        "caution" if grows else "ok",
        (
            "Rank correlation of the size of residuals with fitted values: ",
            Quantity(r),
            ". Robust errors by cluster (cluster=) do not need constant spread." if grows else ".",
        ),
        "residuals",
    )
