"""Residuals, leverage and the influence of whole groups in a linear mixed model.

Residuals are conditional (around the fitted values with random effects) or marginal (around the
coefficients alone); studentised ones are divided by their own standard error, which is smaller
where the row pulls the fit towards itself.
Sources: Demidenko & Stukel 2005; Christensen, Pearson & Johnson 1992; Belsley, Kuh & Welsch 1980.
Checked: dense formulas, brute refits, lme4 (tests/models/test_mixed_influence.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recovery_stats.engines import lmm as engine
from recovery_stats.engines.linalg import Array, IntArray, dependent_columns
from recovery_stats.engines.lmm import LmmFit, RandomFactor
from recovery_stats.engines.lmm_influence import Deletion, delete
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.columns import Columns, Grouping
from recovery_stats.models.mixed_prediction import joint_of, whitened

if TYPE_CHECKING:
    from recovery_stats.models.mixed_fit import MixedFit

KINDS = (
    "response", "pearson", "studentised", "marginal", "marginal_pearson", "marginal_studentised",
)  # fmt: skip


# --- rows --------------------------------------------------------------------------------------


def residuals(fit: MixedFit, kind: str) -> Array:
    """Residuals (n,) of the rows analysed.

    response: outcome minus fitted; pearson: over the residual standard deviation; studentised:
    over its own standard error. marginal, marginal_pearson, marginal_studentised: the same around
    the coefficients alone, over the standard deviation of the outcome, or its own error.
    """
    if kind not in KINDS:
        raise UsageError(unknown("kind of residual", kind, KINDS))
    conditional = not kind.startswith("marginal")
    left = fit.outcome - fit.fitted(random=conditional).to_numpy()
    if kind in ("response", "marginal"):
        return np.asarray(left)
    noise = fit.engine.sigma2 / (1.0 if fit.weights is None else fit.weights)
    if kind == "pearson":
        return np.asarray(left / np.sqrt(noise))
    if kind == "studentised":
        share = 1.0 - leverage(fit)["overall"].to_numpy()
        return np.asarray(left / np.sqrt(noise * np.maximum(share, np.finfo(float).tiny)))
    spread = noise + sum(
        np.einsum("nq,qr,nr->n", f.Z, psi, f.Z)
        for f, psi in zip(fit.factors, fit.engine.psi, strict=True)
    )
    if kind == "marginal_studentised":
        spread = spread - np.einsum("ni,ij,nj->n", fit.X, fit.engine.covariance, fit.X)
    return np.asarray(left / np.sqrt(spread))


def leverage(fit: MixedFit) -> pd.DataFrame:
    """How far each fitted value follows its own row: fixed, random, overall (between 0 and 1).

    fixed sums to the number of coefficients; overall to the effective number of parameters.
    """
    X, factors = whitened(fit)
    Z, codes = [f.Z for f in factors], [f.codes for f in factors]
    joint = joint_of(fit)
    overall = joint.variance(X, Z, codes) / fit.engine.sigma2
    fixed = joint.fixed_leverage(X, Z, codes)
    columns = {"fixed": fixed, "random": overall - fixed, "overall": overall}
    return pd.DataFrame(columns, index=fit.design.rows)


# --- groups ------------------------------------------------------------------------------------


def influence(fit: MixedFit, group: str | None, refit: bool) -> pd.DataFrame:
    """What leaving out each level of `group` changes, one row a level.

    level, rows; cooks_distance; covariance_ratio (above 1: the level makes coefficients more
    precise); dfbetas(term): the coefficient's change in its standard error without the level.
    By default the variances stay as they are, which is exact for the coefficients given them;
    refit=True estimates all again and adds the standard deviations found without the level.
    NaN where a coefficient cannot be estimated without it.
    """
    grouping = _grouping(fit, group)
    codes = grouping.codes
    if refit:
        deletion, parts = _refitted(fit, codes, grouping.size)
    else:
        X, factors = whitened(fit)
        root = 1.0 if fit.weights is None else np.sqrt(fit.weights)
        left = root * residuals(fit, "response")
        deletion, parts = delete(joint_of(fit), X, factors, left, codes), {}
    return pd.DataFrame(
        {
            "level": list(grouping.levels),
            "rows": np.bincount(codes, minlength=grouping.size),
            **measures(fit, deletion),
            **parts,
        }
    )


def _grouping(fit: MixedFit, group: str | None) -> Grouping:
    """A random factor by its name, or the levels of any column of the data."""
    names = [f.name for f in fit.factors]
    if group is None:
        group = max(fit.factors, key=lambda f: f.levels).name
    columns = Columns.of(fit.analysed)
    if group in names:
        return fit.groupings[names.index(group)]
    found = columns.grouping((group,))
    if (found.codes < 0).any() or found.size < 2:
        raise UsageError(
            f"Influence by {group!r} needs a level in every row analysed, and two levels or more."
        )
    return found


def measures(fit: MixedFit, deletion: Deletion) -> dict[str, Array]:
    """Cook's distance, the ratio of the covariances' determinants, and DFBETAS by term."""
    V, p = fit.engine.covariance, len(fit.terms)
    size = np.sqrt(np.diag(V))
    scaled = deletion.shift / size
    cook = np.einsum("ci,ci->c", scaled, np.linalg.solve(V / np.outer(size, size), scaled.T).T) / p
    relative = deletion.covariance / np.outer(size, size)
    with np.errstate(invalid="ignore"):  # NaN where there is no deletion
        ratio = np.linalg.det(relative) / np.linalg.det(V / np.outer(size, size))
    own = np.sqrt(np.einsum("cii->ci", deletion.covariance))
    return {
        "cooks_distance": cook,
        "covariance_ratio": ratio,
        **{f"dfbetas({t})": deletion.shift[:, j] / own[:, j] for j, t in enumerate(fit.terms)},
    }


def _refitted(fit: MixedFit, codes: IntArray, count: int) -> tuple[Deletion, dict[str, Any]]:
    p = len(fit.terms)
    shift, covariance = np.full((count, p), np.nan), np.full((count, p, p), np.nan)
    names = [name for name, _ in spreads(fit.factors, fit.engine)]
    sizes = np.full((count, len(names)), np.nan)
    for i in range(count):
        without = _without(fit, codes != i)
        if without is not None:
            shift[i], covariance[i] = fit.engine.beta - without.beta, without.covariance
            sizes[i] = [v for _, v in spreads(fit.factors, without)]
    return Deletion(shift, covariance), dict(zip(names, sizes.T, strict=True))


def spreads(factors: tuple[RandomFactor, ...], found: LmmFit) -> Iterator[tuple[str, float]]:
    """Standard deviations of the random effects and of the residual, named as `confint` does."""
    for factor, psi in zip(factors, found.psi, strict=True):
        for j, name in enumerate(factor.effects):
            yield f"sd({name}|{factor.name})", float(np.sqrt(psi[j, j]))
    yield "sigma", float(np.sqrt(found.sigma2))


def _without(fit: MixedFit, kept: Array) -> LmmFit | None:
    """The model on the rows kept; None where it has no answer there."""
    X = fit.X[kept]
    if dependent_columns(X, intercept=fit.formula.intercept):
        return None
    factors = []
    for f in fit.factors:
        levels, codes = np.unique(f.codes[kept], return_inverse=True)
        again = codes.reshape(-1).astype(np.intp)
        factors.append(RandomFactor(again, levels.size, f.Z[kept], f.blocks, f.name, f.effects))
    if min(f.levels for f in factors) < 2:
        return None
    try:
        return engine.fit(
            X, fit.outcome[kept], factors, reml=fit.engine.reml,
            weights=None if fit.weights is None else fit.weights[kept],
            offset=None if fit.offset is None else fit.offset[kept],
        )  # fmt: skip
    except NotEstimable:
        return None
