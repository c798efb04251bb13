"""Generalised linear mixed models from a formula: `glmm("used ~ arm + (1 | person)", data)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import glmm as engine
from recovery_stats.engines.glm import Separation
from recovery_stats.engines.glmm_family import Family
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design, build_design
from recovery_stats.models.formula import Formula, parse
from recovery_stats.models.generalised_fit import GlmmFit
from recovery_stats.models.generalised_outcome import (
    FAMILIES,
    FamilyName,
    read_family,
    with_codes,
)
from recovery_stats.models.mixed import (
    check_weights,
    estimable,
    means_of,
    random_factors,
    total_offset,
    with_arrays,
)
from recovery_stats.models.mixed_refusal import check_distinct
from recovery_stats.models.separation import refuse_separated

__all__ = ["GlmmFit", "glmm"]

MAX_NODES = 100
MOST_NODES = 2_500  # of the product grid over the effects of a level


def glmm(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    family: FamilyName = "binomial",
    quadrature: int = 1,
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    required: Sequence[str] = (),
    reference: Mapping[str, str] | None = None,
) -> GlmmFit:
    """Fit a generalised linear mixed model by maximum likelihood.

    family: "binomial" (0/1, or `cbind(successes, failures)`; log odds), "poisson" and
    "negative-binomial" (counts; log rate), "beta-binomial" (`cbind`, overdispersed; log odds),
    "ordinal" (ordered categories; cumulative log odds). quadrature: 1 is Laplace, for any random
    terms; more adaptive Gauss–Hermite nodes a random effect, for one grouping factor. weights:
    what each row's log-likelihood counts. required, reference: as in `lmm`.
    Raises UsageError (formula), DataError (values), NotEstimable (no answer on these data).
    """
    asked = parse(formula) if isinstance(formula, str) else formula
    _check_request(asked, family, quadrature)
    table, columns = with_arrays(data, weights=weights, offset=offset)
    levels: tuple[str, ...] = ()
    if family == "ordinal":
        table, levels = with_codes(asked, table)
    design = build_design(
        asked, table, numbers=tuple(columns.values()), reference=reference,
        drop_intercept=family == "ordinal",
    )  # fmt: skip
    given = design.numbers.get(columns.get("weights", ""))
    check_weights(given, columns.get("weights", ""), Columns.of(table), design)
    law, levels = read_family(family, asked, design, Columns.of(table), given, levels)
    kept, dropped = _columns_kept(design, asked, tuple(required))
    factors = random_factors(design)
    _check_groups(factors, law)
    _check_nodes(quadrature, factors)
    shift = total_offset(design, columns.get("offset"))
    X = design.X[:, kept]
    try:
        fitted = engine.fit(X, law, factors, nodes=quadrature, offset=shift)
    except Separation as separated:
        names = [design.names[j] for j in kept]
        refuse_separated(X, law, names, np.asarray(separated.direction, dtype=float))
    return GlmmFit(
        asked, design, tuple(kept), tuple(dropped), tuple(factors), law, fitted, family, levels,
        shift, means_of(design, table), table,
    )  # fmt: skip


def _check_request(asked: Formula, family: str, quadrature: int) -> None:
    if family not in FAMILIES:
        raise UsageError(unknown("family", family, FAMILIES))
    if isinstance(quadrature, bool) or not isinstance(quadrature, int):
        raise UsageError("quadrature= is a whole number of nodes; 1 is Laplace's approximation.")
    if not 1 <= quadrature <= MAX_NODES:
        raise UsageError(f"quadrature={quadrature}: between 1 and {MAX_NODES} nodes.")
    if not asked.random:
        raise UsageError(
            f"The formula {asked.text!r} has no random term; write one, such as (1 | person)."
        )
    if asked.strata or asked.frailty or asked.cluster:
        raise UsageError("strata(), frailty() and cluster() belong to survival models.")


def _check_nodes(quadrature: int, factors: Sequence[engine.RandomFactor]) -> None:
    if quadrature > 1 and len(factors) > 1:
        raise UsageError(
            f"quadrature={quadrature} needs a single grouping factor, such as (1 | person); for "
            "several use quadrature=1 (Laplace)."
        )
    if quadrature ** factors[0].q > MOST_NODES:
        raise UsageError(
            f"quadrature={quadrature} makes {quadrature ** factors[0].q} nodes for the "
            f"{factors[0].q} random effects of a level; at most {MOST_NODES}. Use fewer."
        )


def _columns_kept(
    design: Design, asked: Formula, required: tuple[str, ...]
) -> tuple[list[int], list[str]]:
    if not design.X.shape[1]:
        return [], []
    return estimable(design, asked, required)


def _check_groups(factors: Sequence[engine.RandomFactor], law: Family) -> None:
    """Refuse one level, and groups of a single yes or no each; counts may have one row each."""
    for factor in factors:
        if factor.levels < 2:
            raise NotEstimable(
                f"Grouping column {factor.name!r} has one level in these {law.n} rows; a variance "
                "between groups needs at least two. Take its random term out."
            )
        if factor.levels >= law.n and law.single:
            raise NotEstimable(
                f"Grouping column {factor.name!r} has as many levels as there are rows "
                f"({law.n}): nothing is repeated, so its variance cannot be estimated. Take its "
                "random term out, or group the rows by something that repeats."
            )
        widest = max(len(b) for b in factor.blocks)
        if widest > 1 and factor.levels * widest >= law.n + (not law.single):
            raise NotEstimable(
                f"The random term of {factor.name!r} has {factor.levels * widest} effects "
                f"({widest} for each of {factor.levels} levels) for {law.n} rows; keep fewer "
                "random slopes."
            )
    check_distinct(factors, law.n)
    if law.single and len(factors) == 1 and _constant_within(factors[0], law):
        raise NotEstimable(
            f"The outcome never varies within a level of {factors[0].name!r}: the variance between "
            "its levels has no finite estimate. Keep one row a level and use rs.glm, or take the "
            "random term out."
        )


def _constant_within(factor: engine.RandomFactor, law: Family) -> bool:
    y = law.outcome
    first = np.zeros(factor.levels)
    first[factor.codes[::-1]] = y[::-1]
    return bool((y == first[factor.codes]).all())
