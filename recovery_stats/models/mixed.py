"""Linear mixed models from a formula: `lmm("y ~ x + (1 + t | person)", data)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import lmm as engine
from recovery_stats.engines.linalg import Array, dependent_columns
from recovery_stats.engines.lmm_robust import cluster_robust
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design, Outcome, RandomDesign, build_design
from recovery_stats.models.formula import Formula, parse
from recovery_stats.models.margins import Grid, grid_of, numeric_columns
from recovery_stats.models.mixed_fit import Method, MixedFit
from recovery_stats.models.mixed_refusal import check_groups, check_left, check_outcome, naming
from recovery_stats.models.mixed_residual import fit_structured
from recovery_stats.models.residual_request import read_request

__all__ = ["MixedFit", "lmm"]

METHODS = ("satterthwaite", "kenward-roger", "normal")


def lmm(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    reml: bool = True,
    df: Method = "satterthwaite",
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    cluster: str | None = None,
    required: Sequence[str] = (),
    reference: Mapping[str, str] | None = None,
    residual: str | None = None,
    residual_by: str | None = None,
    residual_variance: str | None = None,
    residual_groups: str | None = None,
) -> MixedFit:
    """Fit a linear mixed model.

    df: reference distribution of the coefficients. weights: residual variance is sigma² /
    weight. cluster: a column whose levels are independent; adds CR2 robust errors. required:
    columns whose coefficients must be estimable; others are dropped with a Check when they are
    combinations of those before them. reference: column to reference level. residual: structure
    of the residuals within people ("ar1", "car1", "compound-symmetry", "toeplitz",
    "ante-dependence", "heterogeneous", "unstructured", and "heterogeneous-ar1" and so on), over
    residual_by= "wave | person"; no random term is needed then. residual_variance: a column by
    whose levels the residual variance differs. residual_groups: groups of people with a structure
    each; see `recovery_stats.models.residual_request`.
    Raises UsageError (formula), DataError (values), NotEstimable (no answer on these data).
    """
    asked = parse(formula) if isinstance(formula, str) else formula
    request = read_request(residual, residual_by, residual_variance, residual_groups, asked)
    _check_request(asked, df, reml, structured=request is not None)
    table, columns = with_arrays(data, weights=weights, offset=offset)
    design = build_design(
        asked, table, numbers=tuple(columns.values()), groups=(
            *((cluster,) if cluster else ()), *(request.columns if request else ())
        ), reference=reference,
    )  # fmt: skip
    y = _outcome(design)
    kept, dropped = estimable(design, asked, tuple(required))
    factors = random_factors(design)
    check_groups(factors, len(y))
    if reml:
        check_left(factors, design.X[:, kept])
    given = design.numbers.get(columns.get("weights", ""))
    check_weights(given, columns.get("weights", ""), Columns.of(table), design)
    shift = total_offset(design, columns.get("offset"))
    if request is not None:
        return fit_structured(
            request, asked, design, kept, dropped, factors, df, cluster, shift, given,
            means_of(design, table), table, reml=reml,
        )  # fmt: skip
    X = design.X[:, kept]
    with naming(asked.response_columns()[0], y, factors):
        fitted = engine.fit(X, y, factors, reml=reml, weights=given, offset=shift)
    robust = None
    if cluster:
        left = y - X @ fitted.beta - (0.0 if shift is None else shift)
        robust = cluster_robust(
            X, left, factors, fitted.psi, fitted.sigma2, fitted.covariance,
            design.groups[cluster].codes, weights=given,
        )  # fmt: skip
    return MixedFit(
        asked, design, tuple(kept), tuple(dropped), tuple(factors), fitted, df, cluster, robust,
        shift, given, means_of(design, table), table,
    )  # fmt: skip


def _check_request(asked: Formula, df: str, reml: bool, *, structured: bool) -> None:
    if df not in METHODS:
        raise UsageError(unknown("kind of degrees of freedom", df, METHODS))
    if df == "kenward-roger" and not reml:
        raise UsageError("Kenward–Roger needs reml=True; under ML use df='satterthwaite'.")
    if not asked.random and not structured:
        raise UsageError(
            f"The formula {asked.text!r} has no random term; write one, such as (1 | person), or "
            "ask for a residual structure, such as residual='unstructured'."
        )
    if asked.strata or asked.frailty or asked.cluster:
        raise UsageError("strata(), frailty() and cluster() belong to survival models.")


def with_arrays(
    data: pd.DataFrame | Dataset, **given: str | Sequence[float] | None
) -> tuple[pd.DataFrame | Dataset, dict[str, str]]:
    """Put weights and offset given as arrays beside the data; return the column names."""
    columns: dict[str, str] = {}
    frame = data.frame if isinstance(data, Dataset) else data
    added = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, str):
            columns[name] = value
            continue
        values = np.asarray(value, dtype=float)
        if values.shape != (len(frame),):
            raise DataError(f"{name}= holds {values.size} values for {len(frame)} rows.")
        columns[name] = f"({name})"
        added[f"({name})"] = values
    if not added:
        return data, columns
    wider = frame.assign(**added)
    return (data.with_frame(wider) if isinstance(data, Dataset) else wider), columns


def _outcome(design: Design) -> Array:
    response = design.response
    if not isinstance(response, Outcome):
        raise UsageError("A linear mixed model needs one numeric column on the left of '~'.")
    check_outcome(response.name, response.y)
    return response.y


def estimable(
    design: Design, asked: Formula, required: tuple[str, ...]
) -> tuple[list[int], list[str]]:
    """The columns that can be estimated, and the names of those dropped as collinear."""
    n, p = design.X.shape
    if p >= n:
        largest = max(design.recipe.factors.values(), key=lambda f: len(f.levels), default=None)
        why = (
            f" Column {largest.column!r} alone has {len(largest.levels)} levels."
            if largest and len(largest.levels) > n // 2
            else ""
        )
        raise NotEstimable(f"{n} rows cannot estimate {p} coefficients and their errors.{why}")
    if p == 0:
        return [], []
    dropped = dependent_columns(design.X, intercept=asked.intercept)
    for j in dropped:
        name = design.names[j]
        if np.ptp(design.X[:, j]) == 0:
            raise NotEstimable(
                f"Predictor {name!r} has the same value in all {n} rows, so it has no effect to "
                "estimate; leave it out."
            )
        if name in required or any(j in design.named(c) for c in required):
            raise NotEstimable(
                f"Predictor {name!r} is a combination of the other predictors in these {n} rows, "
                "so its effect cannot be told from theirs; leave one of them out."
            )
    kept = [j for j in range(p) if j not in dropped]
    return kept, [design.names[j] for j in dropped]


def random_factors(design: Design) -> list[engine.RandomFactor]:
    """Random terms of the same grouping become one factor with several blocks."""
    merged: dict[str, list[RandomDesign]] = {}
    for part in design.random:
        merged.setdefault(part.grouping.name, []).append(part)
    factors = []
    for name, parts in merged.items():
        blocks: list[tuple[int, ...]] = []
        at = 0
        for part in parts:
            q = part.Z.shape[1]
            whole = tuple(range(at, at + q))
            blocks += [whole] if part.correlated else [(j,) for j in whole]
            at += q
        effects = tuple(n for part in parts for n in part.names)
        if len(set(effects)) < len(effects):
            raise UsageError(f"The random terms of {name!r} name an effect twice.")
        Z = parts[0].Z if len(parts) == 1 else np.hstack([part.Z for part in parts])
        first = parts[0].grouping
        factors.append(
            engine.RandomFactor(first.codes, first.size, Z, tuple(blocks), name, effects)
        )
    return factors


def check_weights(weights: Array | None, name: str, table: Columns, design: Design) -> None:
    if weights is None:
        return
    wrong = np.zeros(len(table), dtype=bool)
    wrong[design.kept] = ~(weights > 0)
    if wrong.any():
        raise DataError(
            f"Weights in column {name!r} must be above 0; {int(wrong.sum())} are not, "
            f"{table.rows(wrong)}."
        )


def total_offset(design: Design, column: str | None) -> Array | None:
    if column is None:
        return design.offset
    given = design.numbers[column]
    return given if design.offset is None else given + design.offset


def means_of(design: Design, table: pd.DataFrame | Dataset) -> Grid:
    """Means of the numbers behind the columns; those that are columns are not read again."""
    columns, rows = Columns.of(table), slice(None) if design.kept.all() else design.kept
    at = {name: j for j, name in enumerate(design.names)}
    means = {
        c: float((design.X[:, at[c]] if c in at else columns.numbers(c)[rows]).mean())
        for c in numeric_columns(design.recipe)
    }
    return grid_of(design.recipe, means)
