"""What is examined about every linear mixed model, one Check each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm import LmmFit, RandomFactor
from recovery_stats.models.mixed_diagnosis import diagnose

if TYPE_CHECKING:
    from recovery_stats.models.mixed_fit import MixedFit

Factors = Sequence[RandomFactor]
FEW_GROUPS = 10


def examine(fit: MixedFit) -> tuple[Check, ...]:
    """Boundary, groups, collinear and missing columns, then what the rows say of the model."""
    return (
        *singular(fit.factors, fit.engine),
        *few_groups(fit.factors),
        *left_out(fit.dropped),
        *rows_lost(fit.design.lost),
        *diagnose(fit),
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


def singular(factors: Factors, fit: LmmFit) -> list[Check]:
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


def few_groups(factors: Factors) -> list[Check]:
    found = []
    for factor in factors:
        few = factor.acting < FEW_GROUPS
        words = (
            " levels: their variance is poorly known; small-sample degrees of freedom are needed."
            if few
            else " levels."
        )
        found.append(
            Check(
                "groups",
                "caution" if few else "ok",
                (f"{factor.name} has ", Quantity(float(factor.acting), "whole"), words),
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
