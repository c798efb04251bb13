"""Two groups that chose or were chosen: weights that make them alike before they are compared.

w = rs.propensity_weights("house ~ age + severity", data, estimand="overlap", cluster="site")
w.balance()           first
w.effect("abstinent") then
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.glm import Fit, Separation, dependent_columns, logistic
from recovery_stats.engines.propensity import (
    Array,
    Estimand,
    Weighting,
    by_entropy,
    by_propensity,
    effective,
    truncated,
    weighted_means,
)
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.arm_means import (
    careful_covariance,
    effect_table,
    effects_of,
    fewest_clusters,
)
from recovery_stats.models.design import Design, Outcome, build_design
from recovery_stats.models.propensity_balance import balance_frame
from recovery_stats.models.propensity_check import checks_of

Method = Literal["logistic", "entropy"]
Errors = Literal["stacked", "known"]


class NoOverlap(NotEstimable):
    """Some people have a propensity of exactly 0 or 1: nobody in the other group is like them.

    columns: those that tell the groups apart, as text; treated, untreated: such people, of n.
    """

    def __init__(self, columns: str, treated: int, untreated: int, n: int) -> None:
        super().__init__(
            f"Positivity fails: by {columns} a propensity of exactly 0 or 1 is fitted for "
            f"{treated + untreated} of {n} people ({treated} treated, {untreated} not), who have "
            "nobody in the other group to be compared with. Leave those people out of the "
            "question, join levels, or leave the column out if it is no common cause."
        )
        self.columns, self.people, self.n = columns, treated + untreated, n


@dataclass(frozen=True, slots=True, repr=False)
class PropensityWeights:
    """Weights of the people analysed, with the propensity they rest on.

    arm (n,) 0/1; fit: the logistic propensity; found: the weights used; untouched: the weights
    before truncation at `most` (inf: none). Rows as `design.kept` has them.
    """

    design: Design
    arm: Array
    fit: Fit
    found: Weighting
    untouched: Array
    most: float
    estimand: Estimand
    method: Method
    cluster: NDArray[np.intp] | None
    data: Dataset = field(repr=False)

    @property
    def weights(self) -> pd.Series[float]:
        """A weight for each row analysed, by the rows of the data."""
        return pd.Series(self.found.weights, self.design.rows, name="weight")

    @property
    def propensity(self) -> pd.Series[float]:
        """The fitted chance of being in the compared arm, by the rows of the data."""
        return pd.Series(self.fit.mu, self.design.rows, name="propensity")

    def balance(self) -> pd.DataFrame:
        """Standardised differences and variance ratios, before and after; look here first."""
        return balance_frame(self.design, self.arm, self.found.weights)

    def estimates(
        self, outcome: str, *, level: float = 0.95, errors: Errors = "stacked"
    ) -> tuple[Estimate, ...]:
        """Difference of the weighted means; of a 0/1 outcome the risk ratio and odds ratio too.

        errors: "stacked" counts that the weights were estimated; "known" takes them as given
        (HC0). With clusters by cluster, or of people alone where that is wider; df are the
        clusters of the arm that is in fewer of them, less one.
        """
        y = self.outcome(outcome)
        found = self.found if errors == "stacked" else _known(self.found)
        means, influence = weighted_means(found, self.arm, y)
        covariance, df = careful_covariance(influence, self.arm, self.cluster)
        if errors == "known" and self.cluster is None:
            covariance = covariance * (len(y) - 1) / len(y)
        method = f"weighted ({self.estimand}, {self.method})"
        return effects_of(means, covariance, df, y, level=level, method=method)

    def effect(
        self, outcome: str, *, level: float = 0.95, errors: Errors = "stacked"
    ) -> pd.DataFrame:
        """The effects of `estimates` as a table; errors of ratios are on the log scale."""
        return effect_table(self.estimates(outcome, level=level, errors=errors))

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Coefficients of the propensity model (log odds)."""
        se = np.sqrt(np.diag(self.fit.covariance))
        z, half = self.fit.beta / se, float(stats.norm.isf((1 - level) / 2)) * se
        return pd.DataFrame(
            {
                "term": self.design.names,
                "estimate": self.fit.beta,
                "std_error": se,
                "df": np.inf,
                "statistic": z,
                "p_value": 2 * stats.norm.sf(np.abs(z)),
                "conf_low": self.fit.beta - half,
                "conf_high": self.fit.beta + half,
            }
        )

    def glance(self) -> pd.DataFrame:
        """People, clusters, effective sizes, range of the propensity, largest weight."""
        w, treated = self.found.weights, self.arm == 1
        return pd.DataFrame(
            {
                "n_obs": [len(w)],
                "n_treated": [int(treated.sum())],
                "n_groups": [0 if self.cluster is None else len(np.unique(self.cluster))],
                "estimand": [self.estimand],
                "method": [self.method],
                "effective_treated": [effective(w[treated])],
                "effective_control": [effective(w[~treated])],
                "propensity_low": [self.fit.mu.min()],
                "propensity_high": [self.fit.mu.max()],
                "weight_mean": [w.mean()],
                "weight_max": [w.max()],
                "truncated": [int(np.sum(self.untouched > self.most))],
            }
        )

    def checks(self) -> tuple[Check, ...]:
        """Positivity, weights above the truncation, and balance, before any effect."""
        clusters = None if self.cluster is None else fewest_clusters(self.arm, self.cluster)
        return tuple(
            checks_of(
                self.balance(), self.arm, self.fit.mu, self.untouched, self.most, clusters
            )
        )  # fmt: skip

    def __repr__(self) -> str:
        w, treated = self.found.weights, self.arm == 1
        worst = self.balance()["smd_after"].abs().max()
        return (
            f"<PropensityWeights ({self.estimand}, {self.method}): {int(treated.sum())} against "
            f"{int((~treated).sum())} people, effective {effective(w[treated]):.1f} and "
            f"{effective(w[~treated]):.1f}; largest difference after weighting {worst:.3f} SD>"
        )

    def outcome(self, column: str) -> Array:
        """The outcome (n,) of the rows weighted; DataError where some lack it."""
        self.data.require(column)
        y: Array = self.data.frame[column].to_numpy(float)[self.design.kept]
        lost = int(np.isnan(y).sum())
        if lost:
            raise DataError(
                f"Outcome {column!r} is missing in {lost} of the {len(y)} rows that were weighted: "
                "their weights were made for everybody. Weight the rows that have it, or impute."
            )
        return y


def propensity_weights(
    formula: str,
    data: pd.DataFrame | Dataset,
    estimand: Estimand = "ate",
    *,
    method: Method = "logistic",
    truncate: float | None = None,
    cluster: str | None = None,
) -> PropensityWeights:
    """Weights that make two groups alike in what the formula names: `treated ~ covariates`.

    estimand: "ate" everybody, "att" people like the treated, "overlap" people who could have
    been in either group. method: "logistic" (inverse of the propensity) or "entropy" (means
    balanced exactly; "ate" and "att"). truncate: a weight from which on all count as this one.
    cluster: column of the house or site; errors are then by cluster.
    Raises UsageError; DataError for a treatment that is not 0/1; NotEstimable where a propensity
    is 0 or 1, naming the columns. Source: see engines.propensity. Checked: reference case
    iptw_lalonde.
    """
    _refuse(estimand, method, truncate)
    table = as_dataset(data)
    design = build_design(formula, table, groups=(cluster,) if cluster else ())
    arm = _arm(design)
    _refuse_dependent(design)
    fit = _fit(design, arm)
    if method == "entropy":
        made = by_entropy(np.delete(design.X, _constants(design.X), 1), arm, estimand)
    else:
        made = by_propensity(design.X, arm, fit, estimand)
    most = float("inf") if truncate is None else truncate
    codes = None if cluster is None else design.groups[cluster].codes
    return PropensityWeights(
        design, arm, fit, truncated(made, most), made.weights, most, estimand, method, codes, table
    )


def _refuse(estimand: str, method: str, truncate: float | None) -> None:
    for word, value, known in (
        ("estimand", estimand, get_args(Estimand)), ("method", method, get_args(Method)),
    ):  # fmt: skip
        if value not in known:
            raise UsageError(f"{word} is {', '.join(map(repr, known))}; {value!r} is none of them.")
    if method == "entropy" and estimand == "overlap":
        raise UsageError(
            "Entropy balancing has the targets 'ate' and 'att'; for 'overlap' use "
            "method='logistic', whose weights balance the means exactly as well."
        )
    if truncate is not None and not truncate > 0:
        raise UsageError("truncate is a weight above 0 (10, say), or None.")


def _arm(design: Design) -> Array:
    if not isinstance(design.response, Outcome):
        raise UsageError("The formula has one column on its left: treated ~ covariates.")
    arm = design.response.y
    if not set(np.unique(arm)) <= {0.0, 1.0}:
        raise DataError(
            f"Treatment {design.response.name!r} has {len(np.unique(arm))} values; it must be 0 "
            "(usual) or 1 (compared)."
        )
    if arm.min() == arm.max():
        raise NotEstimable(
            f"All {len(arm)} complete rows have the same {design.response.name!r}: nobody to "
            "compare them with."
        )
    return arm


def _refuse_dependent(design: Design) -> None:
    if gone := dependent_columns(design.X):
        raise NotEstimable(
            f"Covariate {design.names[gone[0]]!r} is determined by those before it; leave it out."
        )


def _fit(design: Design, arm: Array) -> Fit:
    try:
        return logistic(design.X, arm)
    except Separation as separated:
        names = [design.names[j] for j in np.flatnonzero(separated.direction)]
        apart = np.abs(design.X @ separated.direction) > 1e-9
        treated, untreated = (int(np.sum(apart & (arm == a))) for a in (1, 0))
        raise NoOverlap(_listed(names), treated, untreated, len(arm)) from None


def _listed(names: Sequence[str]) -> str:
    shown = [repr(n) for n in names if n != "Intercept"]
    return ", ".join(shown[:4]) + (" …" if len(shown) > 4 else "")


def _constants(X: Array) -> list[int]:
    return [j for j in range(X.shape[1]) if np.ptp(X[:, j]) == 0]


def _known(found: Weighting) -> Weighting:
    return Weighting(found.weights, np.zeros_like(found.slope), found.carried)
