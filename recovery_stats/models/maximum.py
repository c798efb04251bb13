"""What every model fitted by maximum likelihood offers: tables, tests of terms, checks.

A model brings its engine's parameters and a way to fit fewer columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from scipy.stats import chi2

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.errors import UsageError
from recovery_stats.models.coefficient import set_beside, tabulate_coefficients
from recovery_stats.models.columns import Array, IntArray
from recovery_stats.models.design import Design
from recovery_stats.models.hazard_check import (
    FEW_EVENTS,
    check_clusters,
    told_events,
    word_clusters,
)


class Analysed(Protocol):
    """The rows behind a fit."""

    @property
    def design(self) -> Design: ...
    @property
    def n_events(self) -> int: ...
    @property
    def cluster_name(self) -> str: ...
    @property
    def weightless(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class MaximumFit(ABC):
    """A maximised likelihood of times, with its tables, tests and checks.

    observation: the rows. model_covariance (k, k): inverse information. clusters (n,): codes of
    independent groups of rows, None without robust errors; robust (k, k): their covariance.
    """

    observation: Analysed
    model_covariance: Array = field(repr=False)
    clusters: IntArray | None = field(repr=False)
    robust: Array | None = field(repr=False)

    # --- what a model brings

    @property
    @abstractmethod
    def parameters(self) -> tuple[str, ...]:
        """Names of theta (k,)."""

    @property
    @abstractmethod
    def theta(self) -> Array:
        """All parameters (k,)."""

    @property
    @abstractmethod
    def loglik(self) -> float:
        """Maximised log-likelihood."""

    @property
    @abstractmethod
    def loglik_null(self) -> float:
        """The same without covariates."""

    @property
    @abstractmethod
    def method(self) -> str:
        """How it was estimated, for tables."""

    @abstractmethod
    def _loglik_of(self, columns: list[int]) -> float:
        """Log-likelihood with these columns of X only."""

    @property
    def _not_ratios(self) -> tuple[str, ...]:
        """Parameters that exponentiate leaves alone."""
        return ()

    @property
    def _covariates(self) -> list[int]:
        """Columns of X that are covariates: all but the intercept."""
        return [j for j, t in enumerate(self.terms) if t != "Intercept"]

    # --- what was found

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients of X."""
        return self.observation.design.names

    @property
    def covariance_matrix(self) -> Array:
        """Covariance of theta (k, k); the robust one where there is one."""
        return self.model_covariance if self.robust is None else self.robust

    @property
    def n_clusters(self) -> int | None:
        """Independent clusters behind robust errors; None without."""
        return None if self.clusters is None else int(self.clusters.max()) + 1

    def covariance(self) -> pd.DataFrame:
        """Covariance of the parameters; the robust one where there is one."""
        return pd.DataFrame(self.covariance_matrix, list(self.parameters), list(self.parameters))

    def _word_errors(self) -> str:
        """What a reader of the shortest summary must know of robust errors."""
        return word_clusters(self.n_clusters, self.robust, self.model_covariance)

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per parameter; exponentiate turns estimate and limits into ratios."""
        se = np.sqrt(np.diag(self.covariance_matrix))
        frame = tabulate_coefficients(
            self.parameters, self.theta, se, level=level, exponentiate=exponentiate
        )
        for name in self._not_ratios if exponentiate else ():
            row = frame["term"] == name
            for column in ("estimate", "conf_low", "conf_high"):
                frame.loc[row, column] = np.log(frame.loc[row, column])
        if self.robust is not None:
            set_beside(frame, np.sqrt(np.diag(self.model_covariance)))
        return frame

    def glance(self) -> pd.DataFrame:
        """The whole model in one row; bic counts rows."""
        n, k = len(self.observation), len(self.theta)
        gain = max(2 * (self.loglik - self.loglik_null), 0.0)
        df = len(self._covariates)
        row = {
            "n_obs": n,
            "n_events": self.observation.n_events,
            "log_likelihood": self.loglik,
            "aic": 2 * k - 2 * self.loglik,
            "bic": k * np.log(n) - 2 * self.loglik,
            "converged": True,
            "log_likelihood_null": self.loglik_null,
            "lr_statistic": gain,
            "lr_df": df,
            "lr_p": float(chi2.sf(gain, df)) if df else np.nan,
            "method": self.method,
        }
        return pd.DataFrame([row])

    def anova(self, type: Literal[1, 2, 3] = 3) -> pd.DataFrame:
        """Chi-squared test of each term: Wald (3), or likelihood ratio as terms enter (1, 2).

        2 compares with all terms that do not contain it. Robust errors allow the Wald test only.
        """
        if type not in (1, 2, 3):
            raise UsageError("anova has types 1, 2 and 3.")
        design = self.observation.design
        coded = [j for j, c in enumerate(design.recipe.coded) if c.term.factors]
        found = []
        for j in coded:
            columns = [i for i, a in enumerate(design.assign) if a == j]
            wald = type == 3 or self.robust is not None
            value = self._wald(columns) if wald else self._gain(j, type)
            df = len(self._places_of(columns))
            found.append((str(design.recipe.coded[j].term), df, np.inf, value))
        frame = pd.DataFrame(found, columns=["term", "num_df", "den_df", "statistic"])
        statistic, df = (frame[c].to_numpy(float) for c in ("statistic", "num_df"))
        return frame.assign(p_value=chi2.sf(statistic, df))

    def _wald(self, columns: list[int]) -> float:
        at = self._places_of(columns)
        b = self.theta[at]
        return float(b @ np.linalg.solve(self.covariance_matrix[np.ix_(at, at)], b))

    def _places_of(self, columns: list[int]) -> list[int]:
        """Where the coefficients of these columns of X stand in theta."""
        return columns

    def _gain(self, term: int, type: int) -> float:
        """Twice the log-likelihood that a term adds to those before it, or not containing it."""
        coded, assign = self.observation.design.recipe.coded, self.observation.design.assign
        own = set(coded[term].term.factors)
        others = {
            j
            for j, c in enumerate(coded)
            if not c.term.factors
            or (j != term and (j < term if type == 1 else not own < set(c.term.factors)))
        }  # fmt: skip

        def fitted(terms: set[int]) -> float:
            return self._loglik_of([i for i, a in enumerate(assign) if a in terms])

        return 2 * (fitted(others | {term}) - fitted(others))

    # --- whether to believe it

    def checks(self) -> tuple[Check, ...]:
        """What a reader should know before believing the estimates."""
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        events, p = self.observation.n_events, len(self._covariates)
        if p:
            yield Check(
                "events per coefficient",
                "caution" if events < FEW_EVENTS * p else "ok",
                told_events(events, p),
            )
        if self.robust is not None:
            name, n = self.observation.cluster_name or "rows", self.n_clusters or 0
            model = self.model_covariance
            yield from check_clusters(name, n, self.parameters, self.robust, model)
        lost = sum(self.observation.design.lost.values())
        if lost:
            yield Check(
                "complete rows",
                "caution",
                (Count(lost, "rows"), " rows lack a value that the model needs and were left out."),
            )
        if self.observation.weightless:
            yield Check(
                "weights",
                "ok",
                (Count(self.observation.weightless, "rows"), " rows have weight 0 and were left "
                 "out."),
            )  # fmt: skip
