"""Least squares from a formula: the plain regression other answers are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, stats

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models.design import Design, Outcome, build_design
from recovery_stats.models.formula import Formula

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OlsFit:
    """A least-squares fit: coefficients (p,), their covariance (p, p), residual variance."""

    design: Design
    beta: Array
    covariance_matrix: Array
    sigma2: float

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
    return OlsFit(design, beta, sigma2 * unscaled, sigma2)
