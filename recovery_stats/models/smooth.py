"""Cox models with smooth terms from a formula: `Surv(time, event) ~ pspline(x, 4) + z`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.core.cell import Quantity
from recovery_stats.core.check import Check
from recovery_stats.engines import cox_penalised as engine
from recovery_stats.engines import cox_residual
from recovery_stats.engines.cox_likelihood import Ties
from recovery_stats.errors import UsageError
from recovery_stats.models.basis import PenalisedSpline
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.hazard import CoxFit
from recovery_stats.models.observation import Observation, naming_columns


def smooth_terms(seen: Observation) -> dict[str, PenalisedSpline]:
    """The penalised splines of the formula by their terms."""
    recipe = seen.design.recipe
    found = {}
    for coded in recipe.coded:
        for factor in coded.term.factors:
            basis = recipe.numeric[factor].basis if factor in recipe.numeric else None
            if isinstance(basis, PenalisedSpline):
                found[str(coded.term)] = basis
    return found


def fit_smooth(seen: Observation, ties: Ties, clusters: IntArray | None) -> SmoothFit:
    """Fit with the penalties that the formula's smooth terms ask for."""
    terms = smooth_terms(seen)
    asked = tuple(
        engine.Smooth(tuple(seen.design.columns_of(t)), b.penalty, b.df) for t, b in terms.items()
    )
    with naming_columns(seen):
        fit = engine.fit(
            seen.X,
            seen.stop,
            seen.cause,
            asked,
            start=seen.start,
            strata=seen.strata,
            weights=seen.weights,
            offset=seen.offset,
            ties=ties,
        )
    robust = None if clusters is None else cox_residual.robust_covariance(fit.cox, clusters)
    return SmoothFit(seen, fit.cox, clusters, robust, terms, fit)


@dataclass(frozen=True)
class SmoothFit(CoxFit):
    """A Cox model with smooth terms.

    The coefficients of a smooth term mean nothing one by one; read it by `dose_response`, and
    its tests in `anova`: of the straight line, and of what bends.
    """

    smooths: dict[str, PenalisedSpline] = field(repr=False)
    penalised: engine.SmoothFit = field(repr=False)

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        return f"{super().method}, penalised splines"

    def glance(self) -> pd.DataFrame:
        """As for any Cox model, with effective degrees of freedom in the place of coefficients."""
        frame, df = super().glance(), sum(self._term_df)
        loglik, gain = self.engine.loglik, self.engine.likelihood_ratio
        return frame.assign(
            aic=2 * df - 2 * loglik,
            bic=df * np.log(self.engine.n_events) - 2 * loglik,
            lr_df=df,
            lr_p=float(chi2.sf(gain, df)),
            score=np.nan,
            score_p=np.nan,
            wald_p=chi2.sf(frame["wald"], df),
            effective_df=df,
        )

    def smoothing(self) -> pd.DataFrame:
        """term, df, lambda of each smooth term."""
        return pd.DataFrame(
            {"term": list(self.smooths), "df": self._smooth_df(), "lambda": self.penalised.lambdas}
        )

    def anova(self, type: Literal[1, 2, 3] = 3) -> pd.DataFrame:
        """Wald test of each term; a smooth term has two rows, `linear` and `nonlinear`.

        The straight line through a smooth term has one degree of freedom, what bends the rest.
        """
        if type != 3:
            raise UsageError("Smooth terms have Wald tests only: anova(type=3).")
        rows = [row for term in self.observation.design.terms for row in self._tests(term)]
        frame = pd.DataFrame(rows, columns=["term", "num_df", "statistic"])
        frame.insert(2, "den_df", np.inf)
        return frame.assign(p_value=chi2.sf(frame["statistic"], frame["num_df"]))

    def _tests(self, term: str) -> Iterator[tuple[str, float, float]]:
        columns = self.observation.design.columns_of(term)
        if term not in self.smooths:
            yield term, float(len(columns)), self._wald(columns)
            return
        V = self._V[np.ix_(columns, columns)]
        slope, se, bent = engine.straight_line(self.beta[columns], V, self.smooths[term].centres)
        df = self.penalised.degrees(columns)
        yield f"{term}, linear", 1.0, (slope / se) ** 2
        yield f"{term}, nonlinear", max(df - 1, 0.5), bent

    def slopes(self) -> pd.DataFrame:
        """term, estimate, std_error: log hazard ratio per unit of the line through each smooth."""
        rows = []
        for term, basis in self.smooths.items():
            columns = self.observation.design.columns_of(term)
            V = self._V[np.ix_(columns, columns)]
            rows.append((term, *engine.straight_line(self.beta[columns], V, basis.centres)[:2]))
        return pd.DataFrame(rows, columns=["term", "estimate", "std_error"])

    @property
    def _penalty(self) -> Array | None:
        return self.penalised.penalty

    @property
    def _term_df(self) -> list[float]:
        design = self.observation.design
        return [self.penalised.degrees(design.columns_of(t)) for t in design.terms]

    def _smooth_df(self) -> list[float]:
        columns = (self.observation.design.columns_of(t) for t in self.smooths)
        return [self.penalised.degrees(c) for c in columns]

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the hazard ratios."""
        curved = (
            Check(
                "smooth term",
                "ok",
                (
                    f"{term} has ",
                    Quantity(float(df)),
                    " effective degrees of freedom; a straight line has one.",
                ),
                term,
            )
            for term, df in zip(self.smooths, self._smooth_df(), strict=True)
        )
        return (*super().checks(), *curved)
