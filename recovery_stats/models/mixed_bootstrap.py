"""Parametric bootstrap of a linear mixed model: draws, intervals, simulated outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_bootstrap import Refits, Truth, refits
from recovery_stats.engines.lmm_coordinate import Quantity, quantities
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.mixed_interval import names, refuse_robust

if TYPE_CHECKING:
    from recovery_stats.models.mixed_fit import MixedFit

Limits = Literal["percentile", "basic", "normal"]
LIMITS = ("percentile", "basic", "normal")
EFFECTS = ("new", "predicted")


@dataclass(frozen=True)
class Bootstrap:
    """Estimates of simulated outcomes: terms (k), estimate (k,) of the fit, draws (B, k).

    failed: refits without a solution; they are left out of draws. A correlation of which one
    variance came out as zero is NaN in its draw. seed: what the draws started from.
    """

    terms: tuple[str, ...]
    estimate: Array
    draws: Array = field(repr=False)
    failed: int
    seed: int

    def table(self) -> pd.DataFrame:
        """The draws, one column per term."""
        return pd.DataFrame(self.draws, columns=list(self.terms))

    def tidy(self, level: float = 0.95, kind: Limits = "percentile") -> pd.DataFrame:
        """`term, estimate, bias, std_error, conf_low, conf_high`.

        kind: "percentile"; "basic" mirrors it at the estimate; "normal" takes the estimate less
        its bias and the draws' standard error. Source: Davison & Hinkley 1997, ch. 5.
        """
        if kind not in LIMITS:
            raise UsageError(unknown("kind of bootstrap interval", kind, LIMITS))
        self._enough(level)
        rows = [
            _limits(value, draws[np.isfinite(draws)], level, kind)
            for value, draws in zip(self.estimate, self.draws.T, strict=True)
        ]
        columns = ["bias", "std_error", "conf_low", "conf_high"]
        table = pd.DataFrame(rows, columns=columns)
        table.insert(0, "estimate", self.estimate)
        table.insert(0, "term", list(self.terms))
        return table

    def _enough(self, level: float) -> None:
        needed = int(np.ceil(2.0 / (1.0 - level) - 1e-9)) - 1
        if len(self.draws) < needed:
            raise UsageError(
                f"{len(self.draws)} replicates do not reach into tails of {0.5 * (1 - level):.3g}; "
                f"ask for at least {needed}, better 1000."
            )

    def checks(self) -> tuple[Check, ...]:
        """Whether every refit had a solution."""
        if not self.failed:
            return (Check("bootstrap", "ok", ("Every simulated outcome could be fitted.",)),)
        words = (Count(self.failed, "replicates"), " could not be fitted; left out.")
        return (Check("bootstrap", "caution", words),)


def _limits(
    value: float, draws: Array, level: float, kind: str
) -> tuple[float, float, float, float]:
    if draws.size < 2:
        return (float("nan"),) * 4
    bias, se = float(draws.mean() - value), float(draws.std(ddof=1))
    if kind == "normal":
        half = float(norm.isf(0.5 * (1.0 - level))) * se
        return bias, se, value - bias - half, value - bias + half
    tails = [0.5 * (1.0 - level), 0.5 * (1.0 + level)]
    low, high = np.quantile(draws, tails, method="weibull").tolist()
    if kind == "basic":
        low, high = 2.0 * value - high, 2.0 * value - low
    return bias, se, low, high


def bootstrap(fit: MixedFit, replicates: int, seed: int) -> Bootstrap:
    """Simulate from the fit, refit by its own criterion (REML or ML)."""
    refuse_robust(fit, "Bootstrap")
    if replicates < 1:
        raise UsageError(f"replicates= must be at least 1, not {replicates}.")
    e = fit.engine
    found = refits(e.problem, e.frame, Truth.of(e), replicates, np.random.default_rng(seed))
    wanted = quantities(e, [f.blocks for f in fit.factors])
    fitted = Refits(
        e.beta[None], e.covariance[None], np.array([e.sigma2]), tuple(P[None] for P in e.psi),
        np.array([e.criterion]), np.array([False]),
    )  # fmt: skip
    draws = np.column_stack([_values(found, q) for q in wanted])[~found.failed]
    estimate = np.concatenate([_values(fitted, q) for q in wanted])
    terms = tuple(names(fit.terms, fit.factors, wanted))
    return Bootstrap(terms, estimate, draws, int(found.failed.sum()), seed)


def _values(found: Refits, quantity: Quantity) -> Array:
    """One quantity in every refit, (B,)."""
    if quantity.kind == "beta":
        return found.beta[:, quantity.a]
    if quantity.kind == "sigma":
        return np.sqrt(found.sigma2)
    psi = found.psi[quantity.factor]
    if quantity.kind == "sd":
        return np.sqrt(psi[:, quantity.a, quantity.a])
    size = np.sqrt(psi[:, quantity.a, quantity.a] * psi[:, quantity.b, quantity.b])
    ratio = psi[:, quantity.a, quantity.b] / np.where(size > 0, size, np.nan)
    return np.clip(ratio, -1.0, 1.0)


def bootstrap_intervals(
    fit: MixedFit, level: float, replicates: int, seed: int, kind: Limits
) -> pd.DataFrame:
    """The columns of `confint`, with the number of failed refits in `attrs["failed"]`."""
    found = bootstrap(fit, replicates, seed)
    table = found.tidy(level, kind)[["term", "estimate", "conf_low", "conf_high"]]
    table.attrs["failed"] = found.failed
    return table


def simulate(fit: MixedFit, n: int, seed: int, effects: str) -> pd.DataFrame:
    """New outcomes for the rows analysed, `sim_1` … `sim_n`; see `MixedFit.simulate`."""
    if effects not in EFFECTS:
        raise UsageError(unknown("kind of random effects", effects, EFFECTS))
    if n < 1:
        raise UsageError(f"n= must be at least 1, not {n}.")
    rng = np.random.default_rng(seed)
    fixed = fit.fitted(random=effects == "predicted").to_numpy()[:, None]
    values: Array = np.repeat(fixed, n, 1)
    if effects == "new":
        for factor, psi in zip(fit.factors, fit.engine.psi, strict=True):
            half = _square_root(psi)
            b = rng.standard_normal((factor.levels, n, factor.q)) @ half.T
            for j in range(factor.q):
                values += factor.Z[:, j, None] * b[factor.codes, :, j]
    spread = np.sqrt(fit.engine.sigma2 / (1.0 if fit.weights is None else fit.weights))
    values += np.reshape(spread, (-1, 1)) * rng.standard_normal(values.shape)
    columns: Any = [f"sim_{j + 1}" for j in range(n)]
    return pd.DataFrame(values, index=fit.design.rows, columns=columns)


def _square_root(psi: Array) -> Array:
    values, vectors = np.linalg.eigh(psi)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
