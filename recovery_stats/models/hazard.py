"""Cox regression from a formula: names, tables, tests and checks around engines/cox.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines import concordance, cox_residual, curves
from recovery_stats.engines import cox as engine
from recovery_stats.engines.concordance import Concordance
from recovery_stats.engines.cox_likelihood import Ties
from recovery_stats.engines.cox_residual import Transform
from recovery_stats.engines.curves import Interval
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.basis import PenalisedSpline
from recovery_stats.models.coefficient import (
    combine,
    estimate_ratio,
    set_beside,
    tabulate_coefficients,
)
from recovery_stats.models.columns import Array, Columns, IntArray
from recovery_stats.models.dose_response import dose_response
from recovery_stats.models.formula import Formula
from recovery_stats.models.hazard_check import FEW_CLUSTERS, check_hazards, word_clusters
from recovery_stats.models.hazard_interval import confint
from recovery_stats.models.new_people import expect, strata_of, survive
from recovery_stats.models.observation import (
    Observation,
    naming_columns,
    observe,
    read_survival,
)
from recovery_stats.models.residual import Residual, Unit, residuals
from recovery_stats.models.schoenfeld import over_time

if TYPE_CHECKING:
    from recovery_stats.models.standardised import StandardisedCurves

Prediction = Literal["log_hazard", "hazard", "expected", "survival"]
TIE_NAMES = {"efron": "Efron", "breslow": "Breslow", "exact": "exact (discrete)"}


def cox(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    ties: Ties = "efron",
    cluster: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
    person: str | None = None,
    penalty: Literal["firth"] | None = None,
) -> CoxFit:
    """Fit a proportional hazards model.

    formula: `Surv(time, event) ~ x` or `Surv(start, stop, event) ~ x`, with strata(x), offset(x),
    frailty(site) (gamma) or frailty(site, distribution="lognormal"), which gives a FrailtyFit,
    frailty(site/house) (log-normal, houses within sites), which gives a NestedFrailtyFit, and
    smooth terms pspline(x, df) (df 0: chosen by Akaike's criterion), which give a SmoothFit.
    cluster: column whose rows are not independent: robust errors. weights: case or sampling
    weights; weights that are not whole numbers bring robust errors. person: column that tells
    rows of one person; they must not overlap nor go on after the event, and people are
    counted by it. penalty: "firth"
    gives finite estimates where a term separates the events (FirthFit).
    Raises UsageError, DataError, NotEstimable (no events, a term without a finite estimate).
    """
    if not isinstance(ties, str) or ties not in TIE_NAMES:
        raise UsageError(unknown("treatment of ties", str(ties), TIE_NAMES))
    asked = read_survival(formula, "cox")
    seen = observe(
        asked,
        data,
        what="cox",
        person=person,
        weights=weights,
        offset=offset,
        cluster=cluster,
        once=asked.frailty is None,
    )
    if penalty is not None:
        from recovery_stats.models.firth import fit_firth  # it extends CoxFit

        if penalty != "firth" or asked.frailty is not None or _is_smooth(seen):
            raise UsageError("penalty is 'firth', in a model without frailty(x) and pspline(x).")
        return fit_firth(seen, ties)
    if asked.frailty is not None:
        if _is_smooth(seen):
            raise UsageError("frailty(x) and pspline(x) are two penalties; use rcs(x, 4).")
        from recovery_stats.models.frailty import fit_frailty  # it extends CoxFit

        return fit_frailty(seen, asked.frailty, ties)
    return fit_rows(seen, ties, firth=True)


def fit_rows(seen: Observation, ties: Ties, *, firth: bool = False) -> CoxFit:
    """Fit rows that have been read, with robust errors where they call for them.

    firth: whether the caller offers the penalty, for the message where a term separates.
    """
    clusters = _clusters(seen)
    if _is_smooth(seen):
        from recovery_stats.models.smooth import fit_smooth  # it extends CoxFit

        return fit_smooth(seen, ties, clusters)
    fit = _maximise(seen, ties, firth=firth)
    robust = None if clusters is None else cox_residual.robust_covariance(fit, clusters)
    return CoxFit(seen, fit, clusters, robust)


def _is_smooth(seen: Observation) -> bool:
    bases = (n.basis for n in seen.design.recipe.numeric.values())
    return any(isinstance(b, PenalisedSpline) for b in bases)


def _maximise(seen: Observation, ties: Ties, *, firth: bool = False) -> engine.CoxFit:
    """Hand the arrays to the engine."""
    with naming_columns(seen, firth=firth):
        return engine.fit(
            seen.X,
            seen.stop,
            seen.cause,
            start=seen.start,
            strata=seen.strata,
            weights=seen.weights,
            offset=seen.offset,
            ties=ties,
        )


def _clusters(seen: Observation) -> IntArray | None:
    """Whose rows are summed in robust errors; None for errors that trust the model.

    Weights that are not counts of people have no likelihood, so they call for robust errors.
    """
    if seen.cluster is not None:
        return seen.cluster
    if seen.weights is None or not np.any(seen.weights % 1):
        return None
    return seen.person if seen.person is not None else np.arange(len(seen))


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model. Coefficients are log hazard ratios per unit of the term.

    engine: the arrays. clusters (n,): codes of independent groups of rows, None without robust
    errors; robust (p, p): their covariance.
    """

    observation: Observation
    engine: engine.CoxFit
    clusters: IntArray | None = field(repr=False)
    robust: Array | None = field(repr=False)

    # --- what was found

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the coefficients."""
        return self.observation.design.names

    @property
    def beta(self) -> Array:
        """Log hazard ratios (p,)."""
        return self.engine.beta

    @property
    def n_clusters(self) -> int | None:
        """Independent clusters behind robust errors; None without."""
        return None if self.clusters is None else int(self.clusters.max()) + 1

    @property
    def _V(self) -> Array:
        return self.engine.covariance if self.robust is None else self.robust

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        words = f"Cox model, {TIE_NAMES[self.engine.ties]} ties"
        strata = self.observation.design.strata
        if strata is not None:
            words += f", stratified by {strata.name}"
        if self.robust is None:
            return words
        return words + f", {'cluster-' if self.observation.cluster_name else ''}robust errors"

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; exponentiate turns estimate and limits into hazard ratios.

        With robust errors, std_error_model is the model's own, and error_ratio the robust over it.
        """
        se = np.sqrt(np.diag(self._V))
        frame = tabulate_coefficients(
            self.terms, self.beta, se, level=level, exponentiate=exponentiate
        )
        if self.robust is not None:
            set_beside(frame, np.sqrt(np.diag(self.engine.covariance)))
        return frame

    def glance(self) -> pd.DataFrame:
        """The whole model in one row."""
        fit, p = self.engine, len(self.terms)
        wald = float(self.beta @ np.linalg.pinv(self._V) @ self.beta) if p else 0.0
        c = self.concordance
        row = {
            "n_obs": fit.n,
            "n_events": fit.n_events,
            "log_likelihood": fit.loglik,
            "aic": 2 * p - 2 * fit.loglik,
            "bic": p * np.log(fit.n_events) - 2 * fit.loglik,
            "converged": True,
            "log_likelihood_null": fit.loglik_null,
            "concordance": c.estimate if c else np.nan,
            "concordance_se": c.std_error if c else np.nan,
            "lr_statistic": fit.likelihood_ratio,
            "lr_df": p,
            "lr_p": float(chi2.sf(fit.likelihood_ratio, p)),
            "score": fit.score_statistic,
            "score_p": float(chi2.sf(fit.score_statistic, p)),
            "wald": wald,
            "wald_p": float(chi2.sf(wald, p)),
        }
        return pd.DataFrame([row])

    def confint(
        self, method: Literal["wald", "profile"] = "wald", level: float = 0.95
    ) -> pd.DataFrame:
        """term, estimate, conf_low, conf_high: by Wald, or the profile of the likelihood."""
        return confint(self, method, level)

    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients; the robust one where there is one."""
        return pd.DataFrame(self._V, list(self.terms), list(self.terms))

    @cached_property
    def concordance(self) -> Concordance | None:
        """How often the one with the earlier event had the higher hazard; None without pairs."""
        seen = self.observation
        log_hazard = cox_residual.row_by_row(seen.X, self.beta)  # else ties could be lost
        if seen.offset is not None:
            log_hazard += seen.offset
        try:
            return concordance.concordance(
                log_hazard,
                seen.stop,
                seen.cause,
                start=seen.start,
                strata=seen.strata,
                weights=seen.weights,
                cluster=self.clusters,
            )
        except NotEstimable:
            return None

    # --- for other people and other questions

    def estimate(
        self,
        weights: Mapping[str, float],
        *,
        name: str,
        label: str,
        level: float = 0.95,
        rank: Level = "secondary",
        exponentiate: bool = True,
    ) -> Estimate:
        """A linear combination of log hazard ratios, as a hazard ratio (or a log, on request).

        With fewer than FEW_CLUSTERS clusters the wider of the robust and the model's error is
        taken: a sandwich of so few is too short more often than not.
        """
        c = combine(self.terms, weights)
        se, method = self._error_of(c)
        return estimate_ratio(
            float(c @ self.beta),
            se,
            name=name,
            label=label,
            method=method,
            level=level,
            rank=rank,
            exponentiate=exponentiate,
            n=self.observation.people,
            events=self.engine.n_events,
        )

    def _error_of(self, c: Array) -> tuple[float, str]:
        """Standard error of a combination, and how it was found."""
        model = float(np.sqrt(c @ self.engine.covariance @ c))
        if self.robust is None:
            return model, self.method
        robust = float(np.sqrt(c @ self.robust @ c))
        if (self.n_clusters or 0) < FEW_CLUSTERS and model > robust:
            return model, f"{self.method}; model's error, the wider of the two"
        return robust, self.method

    def predict(
        self, new_data: pd.DataFrame | Dataset, kind: Prediction = "log_hazard"
    ) -> pd.Series[float]:
        """Log hazard (or hazard) relative to average covariates; nan where a value is missing.

        "expected": the number of events expected during the follow-up of each row, whose times
        new_data then has as well; "survival": the chance to go through it without the event.
        """
        if kind not in get_args(Prediction):
            raise UsageError(unknown("prediction", str(kind), get_args(Prediction)))
        if kind in ("expected", "survival"):
            return expect(self, new_data, kind)
        X = self._new_rows(new_data)
        value = cox_residual.linear_predictor(self.engine, X)
        value += self.observation.design.recipe.offset(new_data)
        index = (new_data.frame if isinstance(new_data, Dataset) else new_data).index
        return pd.Series(np.exp(value) if kind == "hazard" else value, index, name=kind)

    def _new_rows(self, new_data: pd.DataFrame | Dataset) -> Array:
        return self.observation.design.recipe.matrix(new_data)

    def dose_response(
        self,
        column: str,
        at: Sequence[Any] | None = None,
        *,
        reference: Any = None,
        level: float = 0.95,
        exponentiate: bool = False,
        where: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Log hazard ratios of values of a column against a reference value, however it enters.

        Straight, pspline(x), rcs(x, 4), ns(x, 3), poly(x, 2), a factor or in products: all
        terms that hold the column count. Returns the column, reference, estimate, std_error and
        pointwise limits. at: 41 points from the 1st to the 99th percentile, or all values where
        there are fewer. reference: the median. where: values of other columns, typical ones
        otherwise; they matter only where the column is part of a product.
        """
        return dose_response(self, column, at, reference, level, exponentiate, where)

    def standardise(
        self,
        column: str,
        levels: Sequence[Any] | None = None,
        *,
        on: pd.DataFrame | Dataset | None = None,
    ) -> StandardisedCurves:
        """Survival of the population with the column at each level (g-computation).

        Returns curves by level with `.at(times)`, risk differences and ratios `.contrasts(times)`,
        mean times `.rmst(tau)` and `.rmst_contrasts(tau)`. levels: those of a factor, or the
        values of a number with few. on: another population than the people analysed.
        """
        from recovery_stats.models.standardised import standardise  # it reads a CoxFit

        return standardise(self, column, levels, on)

    def strata_of(self, new_data: pd.DataFrame | Dataset) -> list[tuple[int, IntArray]]:
        """The strata that new rows are in: code and rows."""
        return strata_of(self, Columns.of(new_data), one=True)

    def baseline(self) -> pd.DataFrame:
        """Cumulative hazard at average covariates: stratum, time, cumulative_hazard, survival."""
        base = cox_residual.baseline(self.engine)
        H = self.engine.problem.risk.head(base.hazard)
        return pd.DataFrame(
            {
                "stratum": self.stratum_names(base.stratum),
                "time": base.time,
                "cumulative_hazard": H,
                "survival": np.exp(-H),
            }
        )

    def stratum_names(self, codes: IntArray) -> list[str]:
        """What the strata are called, by their codes."""
        strata = self.observation.design.strata
        return ["all" if strata is None else strata.levels[c] for c in codes]

    def survival(
        self,
        new_data: pd.DataFrame | Dataset,
        *,
        times: Sequence[float] | None = None,
        level: float = 0.95,
        conf_type: Interval = "log",
        person: str | None = None,
    ) -> pd.DataFrame:
        """Survival curves of new rows whose covariates stay as they are, or follow a path.

        Returns row (label in new_data), stratum, time, estimate, std_error, conf_low, conf_high
        at every event time, or at `times`; nan beyond the last observation of the stratum. With
        strata, every row in every stratum unless
        new_data has the strata's columns. person: the column that tells whose (start, stop] rows
        they are; each person's covariates change from row to row, and the curve is one a person.
        """
        return survive(self, new_data, times, level, conf_type, person)

    # --- whether to believe it

    def proportionality(self, transform: Transform = "km") -> pd.DataFrame:
        """Score test of Grambsch & Therneau that effects do not change with g(time).

        One row per term with all its columns, and GLOBAL: term, chisq, df, p_value.
        """
        design = self.observation.design
        terms = tuple(tuple(design.columns_of(t)) for t in design.terms)
        g = self._transformed(transform)
        test = cox_residual.proportionality(self.engine, g, terms, self._penalty)
        chisq = np.append(test.statistic, test.overall)
        df = np.append(self._term_df, sum(self._term_df))
        return pd.DataFrame(
            {
                "term": [*design.terms, "GLOBAL"],
                "chisq": chisq,
                "df": df,
                "p_value": chi2.sf(chisq, df),
            }
        )

    @property
    def _penalty(self) -> Array | None:
        """What the information of the (scaled) coefficients has beside the likelihood's."""
        return None

    @property
    def _term_df(self) -> list[float]:
        """Degrees of freedom of each term."""
        design = self.observation.design
        return [float(len(design.columns_of(t))) for t in design.terms]

    def _transformed(self, transform: Transform) -> Array:
        if transform not in get_args(Transform):
            raise UsageError(unknown("transform of time", transform, get_args(Transform)))
        seen, before = self.observation, None
        if transform == "km":
            table = curves.tabulate(seen.stop, seen.cause, start=seen.start)
            curve = np.concatenate(([1.0], curves.kaplan_meier(table).estimate))
            time = self.engine.problem.risk.time
            before = curve[np.searchsorted(table.time, time, side="left")]
        return cox_residual.transform_times(self.engine, transform, seen.stop, before)

    def over_time(self, term: str, df: int = 4, level: float = 0.95) -> pd.DataFrame:
        """The log hazard ratio of a coefficient over time: time, estimate, conf_low, conf_high.

        Scaled Schoenfeld residuals, smoothed by a natural spline (`models.schoenfeld`).
        """
        return over_time(self, term, df, level)

    def residuals(
        self, kind: Residual = "martingale", by: Unit = "row"
    ) -> pd.Series[float] | pd.DataFrame:
        """Residuals by row of the data; Schoenfeld's have one row an event, with its time.

        by: "person" or "cluster" sums over their rows, which the label of the first stands for.
        """
        return residuals(self, kind, by)

    def anova(self, type: Literal[1, 2, 3] = 3) -> pd.DataFrame:
        """Chi-squared test of each term: Wald (3), or likelihood ratio as terms enter (1, 2).

        2 compares with all terms that do not contain it. Robust errors allow the Wald test only.
        """
        design = self.observation.design
        if type == 3 or self.robust is not None:
            statistics = [self._wald(design.columns_of(t)) for t in design.terms]
        elif type in (1, 2):
            statistics = [self._gain(j, type) for j in range(len(design.terms))]
        else:
            raise UsageError("anova has types 1, 2 and 3.")
        df = [len(design.columns_of(t)) for t in design.terms]
        return pd.DataFrame(
            {
                "term": design.terms,
                "num_df": df,
                "den_df": np.inf,
                "statistic": statistics,
                "p_value": chi2.sf(statistics, df),
            }
        )

    def _wald(self, columns: list[int]) -> float:
        b = self.beta[columns]
        return float(b @ np.linalg.solve(self._V[np.ix_(columns, columns)], b))

    def _gain(self, term: int, type: int) -> float:
        """Twice the log-likelihood that a term adds to those before it, or not containing it."""
        coded = self.observation.design.recipe.coded
        factors = set(coded[term].term.factors)
        if type == 1:
            others = list(range(term))
        else:
            others = [
                j
                for j in range(len(coded))
                if j != term and not factors < set(coded[j].term.factors)
            ]
        return 2 * (self._loglik([*others, term]) - self._loglik(others))

    def _loglik(self, terms: list[int]) -> float:
        columns = [j for j, a in enumerate(self.observation.design.assign) if a in terms]
        seen = replace(self.observation, X=self.observation.X[:, columns])
        return _maximise(seen, self.engine.ties).loglik

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the hazard ratios."""
        return tuple(check_hazards(self))

    def _word_errors(self) -> str:
        """What a reader of the shortest summary must know of robust errors."""
        return word_clusters(self.n_clusters, self.robust, self.engine.covariance)

    def __repr__(self) -> str:
        fit = self.engine
        return (
            f"<Cox model: {', '.join(self.terms) or 'no terms'}; {fit.n} rows, "
            f"{fit.n_events} events, log-likelihood {fit.loglik:.3f}{self._word_errors()}>"
        )
