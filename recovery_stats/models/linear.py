"""Least squares from a formula: the plain regression other answers are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, stats

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.design import Design, Outcome, build_design
from recovery_stats.models.formula import Formula
from recovery_stats.models.hypothesis import contrasts

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OlsFit:
    """A least-squares fit: coefficients (p,), their covariance (p, p), residual variance.

    data: what was given; its rows in `design.kept` were analysed.
    """

    design: Design
    beta: Array
    covariance_matrix: Array
    sigma2: float
    data: pd.DataFrame | Dataset = field(repr=False)

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the coefficients."""
        return self.design.names

    def estimate(
        self, weights: Mapping[str, float], *, name: str, label: str, level: float = 0.95,
        rank: Level = "secondary",
    ) -> Estimate:  # fmt: skip
        """A linear combination of coefficients with its t interval."""
        c = np.zeros(len(self.terms))
        for term, weight in weights.items():
            if term not in self.terms:
                raise UsageError(unknown("term", term, self.terms))
            c[self.terms.index(term)] = weight
        df = float(len(self.design.X) - len(self.terms))
        value, se = float(c @ self.beta), float(np.sqrt(c @ self.covariance_matrix @ c))
        half = float(stats.t.isf((1 - level) / 2, df)) * se
        p = float(2 * stats.t.sf(abs(value / se), df)) if se > 0 else float("nan")
        return Estimate(
            name, label, value, value - half, value + half, se, p, df, "difference", rank,
            "least squares", level, len(self.design.X),
        )  # fmt: skip

    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients."""
        return pd.DataFrame(self.covariance_matrix, self.terms, self.terms)

    @property
    def df_residual(self) -> int:
        """Rows minus coefficients."""
        return len(self.design.X) - len(self.terms)

    @property
    def residuals(self) -> pd.Series[float]:
        """Outcome minus fitted, by the rows of the data."""
        assert isinstance(self.design.response, Outcome)
        left = self.design.response.y - self.design.X @ self.beta
        return pd.Series(left, self.design.rows)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """One row per coefficient."""
        se = np.sqrt(np.diag(self.covariance_matrix))
        df = float(self.df_residual)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = self.beta / se
        half = float(stats.t.isf((1 - level) / 2, df)) * se
        columns = {
            "term": self.terms,
            "estimate": self.beta,
            "std_error": se,
            "df": df,
            "statistic": t,
            "p_value": 2 * stats.t.sf(np.abs(t), df),
            "conf_low": self.beta - half,
            "conf_high": self.beta + half,
        }
        return pd.DataFrame(columns)

    def glance(self) -> pd.DataFrame:
        """The fit in one row. log_likelihood, aic and bic are of maximum likelihood, as R's."""
        n, p = self.design.X.shape
        log_likelihood = -n / 2 * (np.log(2 * np.pi * self.sigma2 * (n - p) / n) + 1)
        row = {
            "n_obs": n, "df_residual": n - p, "sigma": float(np.sqrt(self.sigma2)),
            "log_likelihood": float(log_likelihood),
            "aic": float(2 * (p + 1) - 2 * log_likelihood),
            "bic": float(np.log(n) * (p + 1) - 2 * log_likelihood), "converged": True,
        }  # fmt: skip
        return pd.DataFrame([row])

    def anova(self, type: int = 3) -> pd.DataFrame:
        """F tests of the terms with their sums of squares; the last row holds the residual's.

        Types 1, 2 and 3 as in `hypothesis`. Checked: R's anova and car's Anova.
        """
        kept = self.design.kept
        rows = (
            self.data.with_frame(self.data.frame[kept])
            if isinstance(self.data, Dataset)
            else self.data[kept]
        )
        X, df = self.design.X, float(self.df_residual)
        tests = contrasts(self.design.recipe, list(range(X.shape[1])), X, rows, type)
        unscaled = self.covariance_matrix / self.sigma2
        table = []
        for term, L in tests.items():
            value = L @ self.beta
            squares = float(value @ np.linalg.solve(L @ unscaled @ L.T, value))
            F = squares / len(L) / self.sigma2
            table.append((term, len(L), df, squares, F, float(stats.f.sf(F, len(L), df))))
        table.append(("Residuals", self.df_residual, np.nan, self.sigma2 * df, np.nan, np.nan))
        columns = ["term", "num_df", "den_df", "sum_of_squares", "statistic", "p_value"]
        return pd.DataFrame(table, columns=columns)


def ols(formula: Formula | str, data: pd.DataFrame | Dataset) -> OlsFit:
    """Regress by least squares.

    Raises NotEstimable when there are no more rows than coefficients or columns are collinear.
    Source: QR decomposition with column scaling. Checked: R lm; Wampler's polynomials.
    """
    design = build_design(formula, data)
    if not isinstance(design.response, Outcome):
        raise UsageError("Least squares needs one numeric column on the left of the formula.")
    X, y = design.X, design.response.y
    n, p = X.shape
    if n <= p:
        raise NotEstimable(f"{n} rows cannot estimate {p} coefficients and a residual variance.")
    scale = np.sqrt((X**2).sum(axis=0))
    Q, R, order = linalg.qr(X / scale, mode="economic", pivoting=True)
    if abs(R[-1, -1]) < 1e-10 * abs(R[0, 0]):
        raise NotEstimable(
            f"Column {design.names[order[-1]]!r} is a combination of the others; leave it out."
        )
    inverse = linalg.solve_triangular(R, np.eye(p))
    back = np.argsort(order)
    beta = (inverse @ (Q.T @ y))[back] / scale
    residual = y - X @ beta
    sigma2 = float(residual @ residual / (n - p))
    unscaled = (inverse @ inverse.T)[np.ix_(back, back)] / np.outer(scale, scale)
    return OlsFit(design, beta, sigma2 * unscaled, sigma2, data)
