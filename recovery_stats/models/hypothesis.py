"""The hypothesis that a term of a linear model tests, as rows L of L beta = 0.

Type III: contrasts against the mean of the levels, every other term in the model. Type II: the
term adjusted for all terms that do not contain it. Type I: adjusted for the terms before it.
Sources: Goodnight 1978 (SAS R-101); Kuznetsova et al. 2017. Checked: lmerTest reference cases.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.linalg import Array, dependent_columns
from recovery_stats.errors import UsageError
from recovery_stats.models.coding import Recipe, with_intercept
from recovery_stats.models.formula import INTERCEPT, Term


def contrasts(
    recipe: Recipe, kept: list[int], X: Array, data: pd.DataFrame | Dataset, kind: int
) -> dict[str, Array]:
    """Rows (k, p) over the kept coefficients for every term but the intercept.

    recipe: of the whole design; kept: the columns estimated; X (n, p) those columns over `data`.
    """
    if kind not in (1, 2, 3):
        raise UsageError(f"Tests of terms are of type 1, 2 or 3, not {kind}.")
    assign = [recipe.assign[j] for j in kept]
    if kind == 3:
        rows = _against_mean(recipe, kept, X, data)
    elif kind == 2:
        rows = _marginal(recipe, assign, X)
    else:
        rows = _sequential(recipe, assign, X)
    at = np.array(assign)
    return {
        str(recipe.coded[t].term): _reduced(L, at == t, kind)
        for t, L in rows.items()
        if recipe.coded[t].term != INTERCEPT and L.size
    }


def contrasts_beside_thresholds(
    recipe: Recipe, kept: list[int], X: Array, data: pd.DataFrame | Dataset, kind: int
) -> dict[str, Array]:
    """The same for an ordinal model, whose thresholds stand in the place of an intercept."""
    whole, columns = with_intercept(recipe), [0, *(j + 1 for j in kept)]
    rows = contrasts(whole, columns, np.column_stack([np.ones(len(X)), X]), data, kind)
    return {term: L[:, 1:] for term, L in rows.items()}


def _reduced(L: Array, own: NDArray[np.bool_], kind: int) -> Array:
    """The same hypothesis with a unit in each of the term's own columns (type 1: on the diagonal).

    Satterthwaite's denominator df of several rows depend on this form; it is lmerTest's.
    """
    square = L[:, own]
    if square.shape[0] != square.shape[1]:
        return L
    if kind == 1:
        return L / np.diag(square)[:, None]
    singular = np.linalg.matrix_rank(square) < len(square)
    return L if singular else np.asarray(np.linalg.solve(square, L))


def _against_mean(
    recipe: Recipe, kept: list[int], X: Array, data: pd.DataFrame | Dataset
) -> dict[int, Array]:
    S = recipe.matrix(data, sum_to_zero=True)
    out = set(dependent_columns(S, intercept=recipe.coded[0].term == INTERCEPT))
    left = [j for j in range(S.shape[1]) if j not in out]
    if len(left) != len(kept):
        left = kept
    C = _solved(S[:, left], X)
    return {
        t: C[[i for i, j in enumerate(left) if recipe.assign[j] == t]]
        for t in range(len(recipe.coded))
    }


def _solved(S: Array, X: Array) -> Array:
    """C with S C = X, exact zeros restored."""
    C: Array = np.linalg.lstsq(S / np.abs(S).max(0), X, rcond=None)[0] / np.abs(S).max(0)[:, None]
    unit = np.abs(C) * np.abs(S).max(0)[:, None] / np.abs(X).max(0)
    C[unit < 1e-12] = 0.0
    return C


def _sequential(recipe: Recipe, assign: list[int], X: Array) -> dict[int, Array]:
    R = np.linalg.qr(X).R
    at = np.array(assign)
    return {t: R[at == t] for t in range(len(recipe.coded))}


def _marginal(recipe: Recipe, assign: list[int], X: Array) -> dict[int, Array]:
    at = np.array(assign)
    found = {}
    for t, coded in enumerate(recipe.coded):
        others = [
            u for u, c in enumerate(recipe.coded)
            if u != t and not _contains(recipe, c.term, coded.term)
        ]  # fmt: skip
        before, own = np.isin(at, others), at == t
        Q = np.linalg.qr(X[:, before]).Q if before.any() else np.zeros((len(X), 0))
        residual = X[:, own] - Q @ (Q.T @ X[:, own])
        L = residual.T @ X
        L[:, before] = 0.0
        found[t] = L
    return found


def _contains(recipe: Recipe, outer: Term, inner: Term) -> bool:
    """Whether `outer` is `inner` crossed with further factors (the numbers being the same)."""
    numbers = [{f for f in t.factors if f in recipe.numeric} for t in (outer, inner)]
    return numbers[0] == numbers[1] and set(inner.factors) < set(outer.factors)
