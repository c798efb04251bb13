"""Subdistribution hazards of competing events from a formula: Fine and Gray's model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines import finegray as engine
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.argument import read_level, read_times
from recovery_stats.models.cause import check_censored, code_causes, code_of, name_causes, number_of
from recovery_stats.models.coefficient import (
    combine,
    estimate_ratio,
    set_beside,
    tabulate_coefficients,
)
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.external import External
from recovery_stats.models.formula import Formula
from recovery_stats.models.hazard_check import (
    FEW_CLUSTERS,
    FEW_EVENTS,
    told_events,
    word_clusters,
)
from recovery_stats.models.observation import (
    Observation,
    naming_columns,
    observe,
    read_survival,
)


def fine_gray(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    cause: int | str = 1,
    *,
    cluster: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
    censoring: str | None = None,
    varying: Mapping[str, str | Sequence[float]] | None = None,
    external: Mapping[str, External] | None = None,
) -> FineGrayFit:
    """Fit the subdistribution hazard of one cause: `Surv(time, cause) ~ x`.

    Those who met another cause stay at risk, weighted by the chance of being uncensored still.
    cause: code (0 is censored), value label, or category of a Categorical whose first means
    censored. Covariates of the formula are fixed at the start: after another cause there is no
    meeting, residence or other behaviour to follow. external: conditions that go on whatever
    happens to the person (a law, a season, a price), by name: the column with the time after
    which it holds, counted as the person's own (empty: never), or a function of the rows and a
    time to the value of each row then. cluster: column whose
    rows are not independent. weights: sampling weights. censoring: column whose groups are each
    censored in their own way. Errors count that the censoring curve is estimated. varying: terms
    whose effect changes with time, {"x": "log"} ("linear", "sqrt"), or in steps, {"x": (28, 84)}.
    Raises UsageError, DataError, NotEstimable (no event of the cause; a term without estimate).
    """
    asked = read_survival(formula, "fine_gray")
    _refuse_what_has_no_meaning(asked)
    data = code_causes(asked, data)
    seen = observe(
        asked,
        data,
        what="fine_gray",
        cluster=cluster,
        weights=weights,
        offset=offset,
        complete=(censoring,) if censoring else (),
        competing=True,
    )
    names = name_causes(asked, data, max(int(seen.cause.max()), code_of(cause)))
    number = number_of(cause, names)
    groups = _censoring_groups(seen, censoring, weights)
    if varying or external:
        from recovery_stats.models.competing_time import fit_varying  # it extends FineGrayFit

        return fit_varying(seen, varying or {}, external or {}, number, names, groups)
    fit = _maximise(seen, number, groups)
    return FineGrayFit(seen, fit, names, number, groups)


def _refuse_what_has_no_meaning(asked: Formula) -> None:
    if asked.response.start is not None:  # type: ignore[union-attr]
        raise UsageError(
            "fine_gray takes Surv(time, cause): covariates that change with a person's life "
            "(meetings, residence) do not exist after another cause, in whose wake a person stays "
            "at risk. Use values known at the start, or a Cox model of the cause."
        )
    if asked.strata or asked.frailty is not None:
        raise UsageError("fine_gray has no strata(x) or frailty(x); use x as a term, or cluster=.")


def _censoring_groups(
    seen: Observation, column: str | None, weights: str | None
) -> IntArray | None:
    """Codes of the rows' censoring groups; rows of weight 0 are gone already."""
    if column is None:
        return None
    codes = seen.design.groups[column].codes
    if weights is not None:
        codes = codes[seen.design.numbers[weights] > 0]
    return np.unique(codes, return_inverse=True)[1].reshape(-1)


def _maximise(seen: Observation, cause: int, censoring: IntArray | None) -> engine.FineGrayFit:
    """Hand the arrays to the engine."""
    with naming_columns(seen):
        return engine.fit(
            seen.X,
            seen.stop,
            seen.cause,
            of=cause,
            weights=seen.weights,
            offset=seen.offset,
            cluster=seen.cluster,
            censoring=censoring,
        )


@dataclass(frozen=True)
class FineGrayFit:
    """A fitted Fine-Gray model. Coefficients are log subdistribution hazard ratios.

    causes: names of all causes from 1; cause: the code of the one modelled. censoring (n,):
    groups with a censoring curve each, None for one curve.
    """

    observation: Observation
    engine: engine.FineGrayFit
    causes: tuple[str, ...]
    cause: int
    censoring: IntArray | None

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the coefficients."""
        return self.observation.design.names

    @property
    def beta(self) -> Array:
        """Log subdistribution hazard ratios (p,)."""
        return self.engine.beta

    @property
    def n_clusters(self) -> int | None:
        """Independent clusters behind the errors; None where rows are independent."""
        cluster = self.observation.cluster
        return None if cluster is None else int(cluster.max()) + 1

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        words = f"Fine-Gray model of {self.causes[self.cause - 1]}, robust errors"
        name = self.observation.cluster_name
        return f"{words} by {name}" if name else words

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; exponentiate gives subdistribution hazard ratios.

        With clusters, std_error_model is the robust error as if rows were independent.
        """
        se = np.sqrt(np.diag(self.engine.covariance))
        frame = tabulate_coefficients(
            self.terms, self.beta, se, level=level, exponentiate=exponentiate
        )
        if self.n_clusters is not None:
            set_beside(frame, np.sqrt(np.diag(self.engine.by_row)))
        return frame

    def glance(self) -> pd.DataFrame:
        """The whole model in one row; n_other met another cause. The likelihood is a pseudo one."""
        fit, p = self.engine, len(self.terms)
        wald = float(self.beta @ np.linalg.pinv(fit.covariance) @ self.beta) if p else 0.0
        row = {
            "n_obs": len(self.observation),
            "n_events": fit.n_events,
            "n_other": fit.n_other,
            "n_censored": fit.n_censored,
            "log_likelihood": fit.loglik,
            "aic": 2 * p - 2 * fit.loglik,
            "bic": p * np.log(fit.n_events) - 2 * fit.loglik,
            "converged": True,
            "log_likelihood_null": fit.loglik_null,
            "wald": wald,
            "wald_df": p,
            "wald_p": float(chi2.sf(wald, p)),
        }
        return pd.DataFrame([row])

    def covariance(self) -> pd.DataFrame:
        """Robust covariance of the coefficients."""
        return pd.DataFrame(self.engine.covariance, list(self.terms), list(self.terms))

    def anova(self) -> pd.DataFrame:
        """Wald test of each term; a pseudo-likelihood has no likelihood ratio test."""
        design, V = self.observation.design, self.engine.covariance
        columns = [design.columns_of(t) for t in design.terms]
        statistics = [
            float(self.beta[c] @ np.linalg.solve(V[np.ix_(c, c)], self.beta[c])) for c in columns
        ]
        df = [len(c) for c in columns]
        return pd.DataFrame(
            {
                "term": design.terms,
                "num_df": df,
                "den_df": np.inf,
                "statistic": statistics,
                "p_value": chi2.sf(statistics, df),
            }
        )

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
        """A linear combination of log ratios, as a subdistribution hazard ratio (or a log).

        With fewer than FEW_CLUSTERS clusters the wider of the errors with and without them.
        """
        c = combine(self.terms, weights)
        se, method = float(np.sqrt(c @ self.engine.covariance @ c)), self.method
        alone = float(np.sqrt(c @ self.engine.by_row @ c))
        if self.n_clusters is not None and self.n_clusters < FEW_CLUSTERS and alone > se:
            se, method = alone, f"{method}; error of independent rows, the wider of the two"
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

    # --- for other people

    def predict(self, new_data: pd.DataFrame | Dataset) -> pd.Series[float]:
        """Log subdistribution hazard relative to average covariates; nan where one is missing."""
        X, offset, index = self._new_rows(new_data)
        value = (X - self.engine.problem.centre) @ self.beta + offset
        return pd.Series(value, index, name="log_hazard")

    def incidence(
        self,
        new_data: pd.DataFrame | Dataset,
        *,
        times: Sequence[float] | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Probability of the cause by each time, for new rows.

        Returns row (label in new_data), time, estimate, std_error, conf_low, conf_high at every
        event time, or at `times`. Limits on the log scale of the cumulative hazard; nan beyond
        the end of observation.
        """
        X, offset, index = self._new_rows(new_data)
        at = self.engine.problem.time if times is None else read_times(times)
        level = read_level(level)
        H, se = self._cumulative(X, at, offset, new_data)
        z = norm.isf((1 - level) / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = np.where(H > 0, np.exp(z * se / H), 1.0)
        known = np.where(at > self.observation.stop.max(), np.nan, 1.0)
        columns = {
            "estimate": -np.expm1(-H),
            "std_error": np.exp(-H) * se,
            "conf_low": -np.expm1(-H / turn),
            "conf_high": -np.expm1(-H * turn),
        }
        frame = pd.DataFrame({name: (v * known).ravel() for name, v in columns.items()})
        frame.insert(0, "row", np.repeat(np.asarray(index), len(at)))
        frame.insert(1, "time", np.tile(at, len(X)))
        return frame

    def _cumulative(
        self, X: Array, at: Array, offset: Array, _new_data: pd.DataFrame | Dataset
    ) -> tuple[Array, Array]:
        """Cumulative hazards of new rows and their errors, (m, T)."""
        return engine.cumulative_hazard(self.engine, X, at, offset)

    def _new_rows(self, new_data: pd.DataFrame | Dataset) -> tuple[Array, Array, pd.Index[int]]:
        recipe = self.observation.design.recipe
        X, offset = recipe.matrix(new_data), recipe.offset(new_data)
        return X, offset, (new_data.frame if isinstance(new_data, Dataset) else new_data).index

    # --- what to know before believing it

    def checks(self) -> tuple[Check, ...]:
        """Events, clusters, rows lost, and whether the causes' curves exceed one together."""
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        events, p, seen = self.engine.n_events, len(self.terms), self.observation
        yield Check(
            "events per coefficient",
            "caution" if events < FEW_EVENTS * p else "ok",
            told_events(events, p),
        )
        if self.n_clusters is not None:
            few = self.n_clusters < FEW_CLUSTERS
            yield Check(
                "clusters",
                "caution" if few else "ok",
                (
                    "Robust errors from ",
                    Quantity(self.n_clusters, "whole"),
                    f" clusters ({seen.cluster_name})",
                    "; of so few they are unreliable, so reports take the wider interval."
                    if few
                    else ".",
                ),
                seen.cluster_name,
            )
        lost = sum(seen.design.lost.values())
        if lost:
            yield Check(
                "complete rows",
                "caution",
                (Count(lost, "rows"), " rows lack a value that the model needs and were left out."),
            )
        yield from check_censored(float((seen.cause == 0).sum()))
        yield from self._total_check()

    def _total_check(self) -> Iterator[Check]:
        """Curves of different causes are fitted apart; nothing keeps their sum below one."""
        total = self.probability_of_any()
        if total is None:
            return
        over = int((total > 1).sum())
        yield Check(
            "sum over causes",
            "caution" if over else "ok",
            (
                "Predicted with such a model of every cause, the probabilities of all causes by "
                "the last event add up to at most ",
                Quantity(float(total.max()), "percent"),
                "; above one for " if over else "; models of this kind do not ensure it.",
                *((Count(over, "rows"), " rows, where they cannot all be right.") if over else ()),
            ),
        )

    def probability_of_any(self) -> Array | None:
        """Predicted probability of any cause by the last event (n,), a model for each; or None.

        None where another cause has no model: too few events, or a term without an estimate.
        """
        seen = self.observation
        last = np.array([seen.stop[seen.cause > 0].max()])
        offset = np.zeros(len(seen)) if seen.offset is None else seen.offset
        total = np.zeros(len(seen))
        for cause in np.unique(seen.cause[seen.cause > 0]):
            try:
                fit = (
                    self.engine
                    if cause == self.cause
                    else _maximise(replace(seen, cluster=None), int(cause), self.censoring)
                )
            except NotEstimable:
                return None
            H, _ = engine.cumulative_hazard(fit, seen.X, last, offset)
            total += -np.expm1(-H[:, 0])
        return total

    def __repr__(self) -> str:
        fit = self.engine
        return (
            f"<Fine-Gray model of {self.causes[self.cause - 1]}: "
            f"{', '.join(self.terms) or 'no terms'}; {len(self.observation)} rows, "
            f"{fit.n_events} events, {fit.n_other} of other causes"
            f"{word_clusters(self.n_clusters, fit.covariance, fit.by_row)}>"
        )
