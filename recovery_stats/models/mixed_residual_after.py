"""After a fit with a residual structure: its bootstrap, leverage, and what groups do to it.

Refits begin at the estimate and search by the fit's own criterion. Parameters of the structure are
named by kind and waves: `variance(1)`, `covariance(1,2)`, `correlation(one step)`, `range`.
Checked: brute refits, dense formulas (tests/models/test_mixed_residual_after.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recovery_stats.engines import lmm_residual as engine
from recovery_stats.engines import lmm_residual_rows
from recovery_stats.engines.linalg import Array, IntArray, dependent_columns
from recovery_stats.engines.lmm import RandomFactor
from recovery_stats.engines.lmm_influence import Deletion
from recovery_stats.engines.lmm_pattern import Rows
from recovery_stats.errors import RecoveryError, UsageError
from recovery_stats.models.columns import Columns, Grouping
from recovery_stats.models.mixed_bootstrap import Bootstrap
from recovery_stats.models.mixed_influence import measures
from recovery_stats.models.mixed_interval import refuse_robust
from recovery_stats.models.residual_parameter import parameter_values

if TYPE_CHECKING:
    from recovery_stats.models.mixed_residual import ResidualMixedFit


# --- bootstrap ---------------------------------------------------------------------------------


def bootstrap(fit: ResidualMixedFit, replicates: int, seed: int) -> Bootstrap:
    """Outcomes simulated with new random effects and residuals, each fitted again."""
    refuse_robust(fit, "Bootstrap")
    if replicates < 1:
        raise UsageError(f"replicates= must be at least 1, not {replicates}.")
    named = [*zip(fit.terms, fit.engine.beta.tolist(), strict=True), *_parts(fit, fit.structured)]
    rng, draws = np.random.default_rng(seed), []
    mean = fit.fitted(random=False).to_numpy()
    for _ in range(replicates):
        y = mean + engine.simulate(fit.structured, 1, rng, new=True)[:, 0]
        found = refitted(fit, y)
        if found is not None:
            draws.append([*found.beta, *(value for _, value in _parts(fit, found))])
    terms, estimate = zip(*named, strict=True)
    kept = np.array(draws).reshape(len(draws), len(terms))
    return Bootstrap(terms, np.array(estimate), kept, replicates - len(draws), seed)


def _parts(fit: ResidualMixedFit, found: engine.ResidualFit) -> Iterator[tuple[str, float]]:
    """Standard deviations and correlations of random effects, then the residual structure's."""
    for factor, psi in zip(fit.factors, found.psi, strict=True):
        sd = np.sqrt(np.diag(psi))
        for block in factor.blocks:
            for place, a in enumerate(block):
                yield f"sd({factor.effects[a]}|{factor.name})", float(sd[a])
                for b in block[place + 1 :]:
                    size = float(sd[a] * sd[b])
                    name = f"cor({factor.effects[a]},{factor.effects[b]}|{factor.name})"
                    yield name, float(psi[a, b]) / size if size > 0 else float("nan")
    yield from parameter_values(fit.structure, found)


def refitted(
    fit: ResidualMixedFit, y: Array, kept: IntArray | None = None
) -> engine.ResidualFit | None:
    """The model fitted again to an outcome (n,), on some of the rows; None without an answer."""
    rows = np.arange(len(y), dtype=np.intp) if kept is None else kept
    X = fit.X[rows]
    if dependent_columns(X, intercept=fit.formula.intercept):
        return None
    factors = [_on(f, rows) for f in fit.factors]
    if any(f.levels < 2 for f in factors):
        return None
    s = fit.structure
    try:
        return engine.fit(
            X, y[rows], factors, s.residual, _rows(s.rows, rows), fit.structured.eta,
            reml=fit.engine.reml,
            weights=None if fit.weights is None else fit.weights[rows],
            offset=None if fit.offset is None else fit.offset[rows],
        )  # fmt: skip
    except RecoveryError:
        return None


def _on(factor: RandomFactor, rows: IntArray) -> RandomFactor:
    levels, codes = np.unique(factor.codes[rows], return_inverse=True)
    return replace(
        factor, codes=codes.reshape(-1).astype(np.intp), levels=levels.size, Z=factor.Z[rows]
    )


def _rows(rows: Rows, kept: IntArray) -> Rows:
    person = np.unique(rows.person[kept], return_inverse=True)[1].reshape(-1).astype(np.intp)
    return Rows(person, rows.wave[kept], rows.level[kept], rows.group[kept], rows.time[kept])


# --- rows and groups -----------------------------------------------------------------------------


def leverage(fit: ResidualMixedFit) -> pd.DataFrame:
    """fixed, random, overall; see `mixed_influence.leverage`."""
    fixed, overall = lmm_residual_rows.leverage(fit.structured, fit.X)
    columns = {"fixed": fixed, "random": overall - fixed, "overall": overall}
    return pd.DataFrame(columns, index=fit.design.rows)


def influence(fit: ResidualMixedFit, group: str | None, refit: bool) -> pd.DataFrame:
    """What leaving out each level changes; see `mixed_influence.influence`."""
    grouping = _grouping(fit, group)
    codes = grouping.codes
    parts: dict[str, Array] = {}
    if refit:
        deletion, parts = _without_each(fit, codes, grouping.size)
    else:
        left = fit.outcome - fit.fitted(random=False).to_numpy()
        deletion = lmm_residual_rows.delete(fit.structured, fit.X, left, codes)
    return pd.DataFrame(
        {
            "level": list(grouping.levels),
            "rows": np.bincount(codes, minlength=grouping.size),
            **measures(fit, deletion),
            **parts,
        }
    )


def _grouping(fit: ResidualMixedFit, group: str | None) -> Grouping:
    """People, a random factor by its name, or the levels of any column of the data."""
    names, columns = [f.name for f in fit.factors], Columns.of(fit.analysed)
    people = fit.structure.request.person
    if group is None and not people and not names:
        raise UsageError("The structure names no people; say which groups to leave out: group=.")
    if group in names or (group is None and not people):
        wanted = group or max(fit.factors, key=lambda f: f.levels).name
        return fit.groupings[names.index(wanted)]
    found = columns.grouping(people if group in (None, fit.structure.people) else (str(group),))
    if (found.codes < 0).any() or found.size < 2:
        raise UsageError(
            f"Influence by {group!r} needs a level in every row analysed, and two levels or more."
        )
    return found


def _without_each(
    fit: ResidualMixedFit, codes: IntArray, count: int
) -> tuple[Deletion, dict[str, Array]]:
    p, names = len(fit.terms), [name for name, _ in _parts(fit, fit.structured)]
    shift, covariance = np.full((count, p), np.nan), np.full((count, p, p), np.nan)
    sizes = np.full((count, len(names)), np.nan)
    for i in range(count):
        found = refitted(fit, fit.outcome, np.flatnonzero(codes != i))
        if found is not None:
            shift[i], covariance[i] = fit.engine.beta - found.beta, found.covariance
            sizes[i] = [value for _, value in _parts(fit, found)]
    return Deletion(shift, covariance), dict(zip(names, sizes.T, strict=True))
