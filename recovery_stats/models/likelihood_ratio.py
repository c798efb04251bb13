"""Compare nested linear mixed models by their likelihoods: `compare(smaller, larger)`.

Generalised mixed models and models of time go to `generalised_ratio` and `survival_ratio`.

A variance can only be zero or more, so that testing one against zero has its null on the boundary:
half of the time the statistic is that of the smaller model. Adding one random effect to q that it
may be correlated with, the reference is half chi-squared with q and half with q + 1 df. Where no
such mixture is known, and with few groups, method="bootstrap" simulates the reference.
Sources: Self & Liang 1987; Stram & Lee 1994; Halekoh & Højsgaard 2014 (bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm import LmmFit, RandomFactor
from recovery_stats.engines.lmm_ratio import Design, ratios
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.mixed_fit import MixedFit
from recovery_stats.models.mixed_interval import by_ml, refuse_robust
from recovery_stats.models.mixed_residual import ResidualMixedFit, fit_structured
from recovery_stats.models.residual_nesting import edges, holds, same_structure

if TYPE_CHECKING:
    from recovery_stats.models.generalised_fit import GlmmFit
    from recovery_stats.models.survival_ratio import TimeFit

METHODS = ("asymptotic", "bootstrap")
SPANNED = 1e-8  # share of a column's length outside the larger model's span that is rounding


@dataclass(frozen=True, slots=True)
class Step:
    """From a model to the next: coefficients added, and what happens to the random part.

    grown: (effects before, effects after, blocks before) of every block that changes. df: free
    parameters added. edges: of the larger residual structure, at which the smaller one stands.
    """

    coefficients: int
    grown: tuple[tuple[int, int, int], ...]
    df: int
    edges: int = 0

    @property
    def weights(self) -> dict[int, float] | None:
        """The reference distribution as df: weight; None where it is not known in closed form."""
        gains = [(before, after) for before, after, _ in self.grown if after > before]
        if self.edges:
            known = self.edges == 1 and not gains
            return {self.df - 1: 0.5, self.df: 0.5} if known else None
        if not gains:
            return {self.df: 1.0}
        (before, after), merged = gains[0], max(blocks for _, _, blocks in self.grown)
        if len(self.grown) > 1 or after > before + 1 or merged > 1:
            return None
        return {before + self.coefficients: 0.5, before + self.coefficients + 1: 0.5}


def compare(
    *fits: MixedFit | GlmmFit | TimeFit,
    method: str = "asymptotic",
    replicates: int = 1000,
    seed: int = 1,
) -> pd.DataFrame:
    """Likelihood-ratio tests of nested fits to the same rows, each against the one before.

    Fits are all of rs.lmm, rs.glmm, rs.cox, or of rs.aft and rs.flexible_survival.

    Columns `model, n_parameters, log_likelihood, aic, bic, statistic, df, p_value,
    p_value_naive, reference, method`; fits are put in order of their parameters. p_value takes
    the boundary into account (NaN where that needs method="bootstrap"), p_value_naive is
    chi-squared as if there were none. Residual structures are tested where one is a special case
    of the other; elsewhere the row has its aic and no test. Fixed effects that differ are compared
    by ML, and fits by REML are fitted again for it; method says so. REML serves where only random
    parts or residual structures differ.
    Raises UsageError for fits that are not nested or not of the same rows.
    """
    if method not in METHODS:
        raise UsageError(unknown("kind of comparison", method, METHODS))
    elsewhere = _compared_elsewhere(fits, method)
    if elsewhere is not None:
        return elsewhere
    linear = _check_fits(fits)
    _check_structures(linear, method)
    ordered = sorted(linear, key=lambda f: f.engine.n_parameters)
    reml = all(f.engine.reml and _same_columns(f, ordered[0]) for f in ordered)
    engines = [f.engine if reml else _by_ml(f) for f in ordered]
    refitted = not reml and any(f.engine.reml for f in ordered)
    words = "REML" if reml else "ML (refitted; REML before)" if refitted else "ML"
    rows = [
        row_of(f.formula.text, e.n, e.n_parameters, e.log_likelihood, words)
        for f, e in zip(ordered, engines, strict=True)
    ]
    for number, (a, b) in enumerate(pairwise(zip(ordered, engines, strict=True)), 1):
        step = _step(a[0], b[0])
        if step is None:
            rows[number]["reference"] = "residual structures that are not nested: compare the aic"
            continue
        rows[number] |= _test(step, a, b)
        if method == "bootstrap":
            rows[number] |= _simulated(a, b, rows[number]["statistic"], replicates, seed)
    return pd.DataFrame(rows)


def _compared_elsewhere(fits: Sequence[object], method: str) -> pd.DataFrame | None:
    """The table of generalised models, or of models of time; None for linear ones."""
    generalised, timed = _generalised(fits), _timed(fits)
    if (generalised or timed) and method == "bootstrap":
        raise UsageError("The bootstrap comparison is for linear mixed models (rs.lmm).")
    if generalised:
        from recovery_stats.models.generalised_ratio import compare_generalised

        return compare_generalised(generalised)
    if timed:
        from recovery_stats.models.survival_ratio import compare_survival

        return compare_survival(timed)
    return None


def _timed(fits: Sequence[object]) -> list[TimeFit]:
    """The fits where all are models of time; a module not yet loaded has made none of them."""
    homes = ("hazard", "aft", "flexible", "frailty", "frailty_nested", "firth", "smooth",
             "recurrent", "transition")  # fmt: skip
    ours = [f for f in fits if type(f).__module__.rpartition(".")[2] in homes]
    return ours if len(ours) == len(fits) > 1 else []  # type: ignore[return-value]


def _generalised(fits: Sequence[object]) -> list[GlmmFit]:
    """The fits where all are of `rs.glmm`."""
    from recovery_stats.models.generalised_fit import GlmmFit

    found = [f for f in fits if isinstance(f, GlmmFit)]
    return found if len(found) == len(fits) > 1 else []


def _check_fits(fits: Sequence[object]) -> list[MixedFit]:
    if len(fits) < 2:
        raise UsageError("compare() needs at least two fits.")
    linear = []
    for fit in fits:
        if not isinstance(fit, MixedFit):
            kinds = ", ".join(dict.fromkeys(type(f).__name__ for f in fits))
            raise UsageError(
                "compare() takes fits that are all of rs.lmm, of rs.glmm, of rs.cox, or of rs.aft "
                f"and rs.flexible_survival; these are {kinds}."
            )
        refuse_robust(fit, "Likelihood-ratio")
        linear.append(fit)
    first = linear[0]
    for fit in linear[1:]:
        same = fit.n_obs == first.n_obs and np.array_equal(fit.design.rows, first.design.rows)
        if not same or not np.array_equal(fit.outcome, first.outcome):
            raise UsageError(
                f"The fits have other rows or outcomes ({first.n_obs} and {fit.n_obs} rows); a "
                "missing value in a column of one leaves its row out there. Fit both to the rows "
                "that are complete in both."
            )
        for name in ("weights", "offset"):
            mine, other = getattr(fit, name), getattr(first, name)
            if (mine is None) != (other is None) or not np.array_equal(mine, other):
                raise UsageError(f"The fits have different {name}; compare likes with likes.")
    return linear


def _check_structures(fits: Sequence[MixedFit], method: str) -> None:
    if method == "bootstrap" and any(isinstance(f, ResidualMixedFit) for f in fits):
        raise UsageError("method='bootstrap' is not offered with a residual structure.")


def _by_ml(fit: MixedFit) -> LmmFit:
    if not isinstance(fit, ResidualMixedFit) or not fit.engine.reml:
        return by_ml(fit)
    return fit_structured(
        fit.structure.request, fit.formula, fit.design, fit.kept, list(fit.dropped), fit.factors,
        "satterthwaite", None, fit.offset, fit.weights, fit.grid, fit.data, reml=False,
    ).engine  # fmt: skip


def _same_columns(a: MixedFit, b: MixedFit) -> bool:
    return set(a.terms) == set(b.terms) and np.array_equal(
        a.X[:, np.argsort(a.terms)], b.X[:, np.argsort(b.terms)]
    )


Row = dict[str, object]


def row_of(text: str, n: int, k: int, value: float, method: str) -> Row:
    """One model of n rows and k parameters with its log-likelihood; the test is filled in later."""
    return {
        "model": text,
        "n_parameters": k,
        "log_likelihood": value,
        "aic": 2.0 * k - 2.0 * value,
        "bic": k * float(np.log(n)) - 2.0 * value,
        "statistic": np.nan,
        "df": np.nan,
        "p_value": np.nan,
        "p_value_naive": np.nan,
        "reference": "",
        "method": method,
    }


Pair = tuple[MixedFit, LmmFit]


def _test(step: Step, smaller: Pair, larger: Pair) -> Row:
    statistic = max(2.0 * (larger[1].log_likelihood - smaller[1].log_likelihood), 0.0)
    weights = step.weights
    words = "no mixture in closed form; method='bootstrap' simulates it"
    if weights is not None:
        words = " + ".join(
            f"chi-squared {df}" if w == 1.0 else f"{w:g} chi-squared {df}"
            for df, w in weights.items()
        )
    if smaller[1].singular:
        words += "; the smaller model is singular"
    return {
        "statistic": statistic,
        "df": float(step.df),
        "p_value": np.nan if weights is None else mixture_sf(statistic, weights),
        "p_value_naive": float(chi2.sf(statistic, step.df)),
        "reference": words,
    }


def mixture_sf(statistic: float, weights: dict[int, float]) -> float:
    """P(at least this much) for a mixture of chi-squared; 0 df is a point at zero."""
    if statistic <= 0:
        return 1.0
    return float(sum(w * chi2.sf(statistic, df) for df, w in weights.items() if df > 0))


def _simulated(smaller: Pair, larger: Pair, seen: object, replicates: int, seed: int) -> Row:
    """p = (1 + as large as seen) / (1 + replicates)."""
    if replicates < 1:
        raise UsageError(f"replicates= must be at least 1, not {replicates}.")
    under, over = (Design(e, f.X, f.factors) for f, e in (smaller, larger))
    rng = np.random.default_rng(seed)
    found = ratios(under, over, replicates, rng, weights=smaller[0].weights)
    found = found[np.isfinite(found)]
    extreme = int((found >= float(seen) - 1e-7).sum())  # type: ignore[arg-type]
    words = f"parametric bootstrap, {found.size} of {replicates} replicates"
    return {"p_value": (1.0 + extreme) / (1.0 + found.size), "reference": words}


def _step(smaller: MixedFit, larger: MixedFit) -> Step | None:
    """From a model to the next; None where their residual structures are not nested."""
    if same_structure(smaller, larger):
        return nested(smaller, larger)
    if not holds(larger, smaller):
        return None
    try:
        return replace(nested(smaller, larger), edges=edges(larger, smaller))
    except UsageError:  # other coefficients or random effects as well
        return None


# --- nesting -------------------------------------------------------------------------------------


def nested(smaller: MixedFit | GlmmFit, larger: MixedFit | GlmmFit) -> Step:
    """What the larger model adds; UsageError where the smaller is not a special case of it."""
    if not spans(larger.X, smaller.X):
        raise UsageError(
            f"Not nested: fixed effects of {smaller.formula.text!r} are not among those of "
            f"{larger.formula.text!r}."
        )
    grown: list[tuple[int, int, int]] = []
    placed = 0
    for factor in larger.factors:
        twin = next((f for f in smaller.factors if _same_groups(f, factor)), None)
        mine = [] if twin is None else [twin.Z[:, list(b)] for b in twin.blocks]
        for block in factor.blocks:
            Z = factor.Z[:, list(block)]
            inside = [part for part in mine if spans(Z, part)]
            mine = [part for part in mine if not any(part is i for i in inside)]
            placed += len(inside)
            before = sum(part.shape[1] for part in inside)
            if before < len(block) or len(inside) > 1:
                grown.append((before, len(block), len(inside)))
    if placed < sum(len(f.blocks) for f in smaller.factors):
        raise UsageError(
            f"Not nested: random effects of {smaller.formula.text!r} are not among those of "
            f"{larger.formula.text!r}, or are correlated there and not here."
        )
    df = larger.engine.n_parameters - smaller.engine.n_parameters
    if df == 0:
        raise UsageError("The fits are the same model; there is nothing to test.")
    return Step(larger.X.shape[1] - smaller.X.shape[1], tuple(grown), df)


def spans(outer: Array, inner: Array) -> bool:
    """Whether every column of `inner` is a combination of those of `outer`."""
    if not inner.shape[1]:
        return True
    length = np.sqrt((outer**2).sum(0))
    Q = np.linalg.qr(outer / np.where(length > 0, length, 1.0)).Q
    left = inner - Q @ (Q.T @ inner)
    left -= Q @ (Q.T @ left)
    return bool(((left**2).sum(0) <= SPANNED**2 * (inner**2).sum(0)).all())


def _same_groups(a: RandomFactor, b: RandomFactor) -> bool:
    """The same partition of the rows, whatever its names."""
    pairs = np.unique(a.codes.astype(np.int64) * (int(b.codes.max()) + 1) + b.codes).size
    return a.levels == b.levels == pairs
