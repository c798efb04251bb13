"""Linear mixed models from a formula: `lmm("y ~ x + (1 + t | person)", data)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Count, Quantity
from recovery_stats.core.estimate import Estimate, Level
from recovery_stats.engines import lmm as engine
from recovery_stats.engines import lmm_df
from recovery_stats.engines.linalg import Array, dependent_columns
from recovery_stats.engines.lmm_robust import Robust, cluster_robust
from recovery_stats.errors import DataError, NotEstimable, UsageError, unknown
from recovery_stats.models import margins
from recovery_stats.models.coding import Recipe
from recovery_stats.models.columns import Columns, Grouping
from recovery_stats.models.design import Design, Outcome, RandomDesign, build_design
from recovery_stats.models.formula import Formula, parse
from recovery_stats.models.hypothesis import contrasts
from recovery_stats.models.margins import Combination, Grid, grid_of, numeric_columns

Method = Literal["satterthwaite", "kenward-roger", "normal"]
METHODS = ("satterthwaite", "kenward-roger", "normal")
FEW_GROUPS = 10
WEIGHTS, OFFSET = "(weights)", "(offset)"


def lmm(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    reml: bool = True,
    df: Method = "satterthwaite",
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    cluster: str | None = None,
    required: Sequence[str] = (),
    reference: Mapping[str, str] | None = None,
) -> MixedFit:
    """Fit a linear mixed model.

    df: reference distribution of the coefficients. weights: residual variance is sigma² /
    weight. cluster: a column whose levels are independent; adds CR2 robust errors. required:
    columns whose coefficients must be estimable; others are dropped with a Check when they are
    combinations of those before them. reference: column to reference level.
    Raises UsageError (formula), DataError (values), NotEstimable (no answer on these data).
    """
    asked = parse(formula) if isinstance(formula, str) else formula
    _check_request(asked, df, reml)
    table, columns = _with_arrays(data, weights=weights, offset=offset)
    design = build_design(
        asked, table, numbers=tuple(columns.values()), groups=(cluster,) if cluster else (),
        reference=reference,
    )  # fmt: skip
    y = _outcome(design)
    kept, dropped = _estimable(design, asked, tuple(required))
    factors = _random_factors(design)
    _check_groups(factors, len(y))
    given = design.numbers.get(columns.get("weights", ""))
    _check_weights(given, columns.get("weights", ""), Columns.of(table), design)
    shift = _total_offset(design, columns.get("offset"))
    X = design.X[:, kept]
    fitted = engine.fit(X, y, factors, reml=reml, weights=given, offset=shift)
    robust = None
    if cluster:
        residual = y - X @ fitted.beta - (0.0 if shift is None else shift)
        robust = cluster_robust(
            X, residual, factors, fitted.psi, fitted.sigma2, fitted.covariance,
            design.groups[cluster].codes, weights=given,
        )  # fmt: skip
    return MixedFit(
        asked, design, tuple(kept), tuple(dropped), tuple(factors), fitted, df, cluster, robust,
        shift, given, _means_of(design, table), table,
    )  # fmt: skip


@dataclass(frozen=True)
class MixedFit:
    """A fitted linear mixed model; see `recovery_stats.models.mixed.lmm`.

    kept: positions of the estimated columns in the design; dropped: names of collinear ones.
    """

    formula: Formula
    design: Design = field(repr=False)
    kept_columns: tuple[int, ...] = field(repr=False)
    dropped: tuple[str, ...]
    factors: tuple[engine.RandomFactor, ...] = field(repr=False)
    engine: engine.LmmFit = field(repr=False)
    df: Method
    cluster: str | None
    robust: Robust | None = field(repr=False)
    offset: Array | None = field(repr=False)
    weights: Array | None = field(repr=False)
    grid: Grid = field(repr=False)
    data: pd.DataFrame | Dataset = field(repr=False)

    # --- the coefficients --------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        return self.design.recipe

    @property
    def kept(self) -> list[int]:
        return list(self.kept_columns)

    @property
    def X(self) -> Array:
        return self.design.X[:, self.kept]

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the coefficients."""
        return tuple(self.design.names[j] for j in self.kept_columns)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the coefficients are called in words."""
        return tuple(self.design.labels[j] for j in self.kept_columns)

    @property
    def term_means(self) -> tuple[float, ...]:
        """The mean of each column of the design: the combination that gives the mean outcome."""
        return tuple(self.X.mean(0).tolist())

    def coefficient(self, term: str) -> float:
        """One coefficient by its name."""
        return float(margins.row_of(self.terms, {term: 1.0}) @ self.engine.beta)

    @cached_property
    def information(self) -> lmm_df.Information:
        """What the degrees of freedom are computed from."""
        return lmm_df.information(self.engine)

    @cached_property
    def _covariance(self) -> Array:
        if self.robust is not None:
            return self.robust.covariance
        if self.df == "kenward-roger":
            return lmm_df.adjusted_covariance(self.information)
        return self.engine.covariance

    def combine(self, L: Array) -> Combination:
        """Estimates, standard errors and degrees of freedom of L @ coefficients."""
        variance = np.einsum("ki,ij,kj->k", L, self._covariance, L)
        return Combination(L @ self.engine.beta, np.sqrt(np.maximum(variance, 0.0)), self._df(L))

    def _df(self, L: Array) -> Array:
        if self.robust is not None:
            return self.robust.df(L)
        if self.df == "satterthwaite":
            return lmm_df.satterthwaite(self.information, L)
        if self.df == "kenward-roger":
            return lmm_df.kenward_roger(self.information, L)
        return np.full(len(L), np.inf)

    def tidy(self, level: float = 0.95, exponentiate: bool = False) -> pd.DataFrame:
        """One row per coefficient; `exponentiate` changes estimate and limits."""
        found = self.combine(np.eye(len(self.terms)))
        table: dict[str, Any] = {"term": list(self.terms), **found.table(level)}
        if exponentiate:
            for name in ("estimate", "conf_low", "conf_high"):
                table[name] = np.exp(table[name])
        if self.robust is not None:
            table["std_error_model"] = np.sqrt(np.diag(self.engine.covariance))
        return pd.DataFrame(table)

    def covariance(self) -> pd.DataFrame:
        """Covariance of the coefficients, of the kind that `tidy` shows."""
        return pd.DataFrame(self._covariance, list(self.terms), list(self.terms))

    def confint(self, method: str = "wald", level: float = 0.95) -> pd.DataFrame:
        """Intervals of the coefficients."""
        if method != "wald":
            raise UsageError(unknown("interval method", method, ("wald",)))
        columns = ["term", "estimate", "conf_low", "conf_high"]
        return self.tidy(level)[columns]

    def estimate(
        self,
        weights: Mapping[str, float],
        *,
        name: str,
        label: str,
        level: float = 0.95,
        rank: Level = "secondary",
        n: int | None = None,
    ) -> Estimate:
        """A linear combination of coefficients, by term name, as an Estimate.

        n: people behind it; by default the levels of the largest random factor.
        """
        people = self.n_groups if n is None else n
        return margins.estimate(
            self, weights, name=name, label=label, level=level, rank=rank,
            method=self.method, n=people,
        )  # fmt: skip

    def anova(self, type: int = 3) -> pd.DataFrame:
        """F tests of the terms: type 3 (default), 2 or 1."""
        rows = contrasts(self.recipe, self.kept, self.X, self._frame, type)
        tests = [self.test(L) for L in rows.values()]
        return pd.DataFrame(
            {
                "term": list(rows),
                "num_df": [t.num_df for t in tests],
                "den_df": [t.den_df for t in tests],
                "statistic": [t.statistic for t in tests],
                "p_value": [t.p_value for t in tests],
            }
        )

    def test(self, L: Array) -> lmm_df.FTest:
        """F test of L @ coefficients = 0, by the fit's own kind of degrees of freedom."""
        if self.robust is not None:
            raise UsageError("F tests of terms have no cluster-robust form yet; leave out cluster.")
        if self.df == "kenward-roger":
            return lmm_df.kenward_roger_f(self.information, L, self.engine.beta)
        if self.df == "satterthwaite":
            return lmm_df.satterthwaite_f(self.information, L, self.engine.beta)
        return lmm_df.normal_f(self.engine.covariance, L, self.engine.beta)

    # --- contrasts and means --------------------------------------------------------------------

    def contrast(
        self, weights: Mapping[str, Mapping[str, float]], level: float = 0.95
    ) -> pd.DataFrame:
        """Named linear combinations: {"a over b": {"x": 1, "z": -1}}."""
        return margins.contrast(self, weights, level=level)

    def margins(
        self,
        by: str | Sequence[str],
        at: Mapping[str, float | Sequence[float]] | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Adjusted means over the levels of `by`, other numbers at their means or at `at`."""
        return margins.marginal_means(self, by, at=at, level=level)

    def pairwise(self, by: str, adjust: str = "holm", level: float = 0.95) -> pd.DataFrame:
        """Differences between adjusted means."""
        return margins.pairwise(self, by, adjust=adjust, level=level)

    def slopes(self, of: str, by: str | Sequence[str] = (), level: float = 0.95) -> pd.DataFrame:
        """Slopes in a number, by levels of factors."""
        return margins.slopes(self, of, by, level=level)

    # --- the fit as a whole -----------------------------------------------------------------------

    @property
    def n_obs(self) -> int:
        return self.engine.n

    @property
    def n_groups(self) -> int:
        """Levels of the largest random factor."""
        return max(f.levels for f in self.factors)

    @property
    def groups(self) -> dict[str, int]:
        """Levels of every random factor."""
        return {f.name: f.levels for f in self.factors}

    @property
    def method(self) -> str:
        """How it was estimated, for tables."""
        kind = "REML" if self.engine.reml else "ML"
        if self.robust is not None:
            return f"linear mixed model, {kind}, cluster-robust errors (CR2)"
        words = {
            "satterthwaite": "Satterthwaite df",
            "kenward-roger": "Kenward–Roger",
            "normal": "normal reference",
        }[self.df]
        return f"linear mixed model, {kind}, {words}"

    def glance(self) -> pd.DataFrame:
        """The fit in one row."""
        e = self.engine
        k = e.n_parameters
        return pd.DataFrame(
            {
                "n_obs": [e.n],
                "n_groups": [self.n_groups],
                "log_likelihood": [e.log_likelihood],
                "aic": [2.0 * k - 2.0 * e.log_likelihood],
                "bic": [k * np.log(e.n) - 2.0 * e.log_likelihood],
                "converged": [True],
                "criterion": [e.criterion],
                "sigma": [float(np.sqrt(e.sigma2))],
                "singular": [e.singular],
                "method": ["REML" if e.reml else "ML"],
            }
        )

    def variance_components(self) -> pd.DataFrame:
        """Variances and covariances of the random effects, and the residual variance."""
        rows: list[tuple[str, str, str, float, float]] = []
        for factor, psi in zip(self.factors, self.engine.psi, strict=True):
            for block in factor.blocks:
                for i, a in enumerate(block):
                    rows += [_component(factor, psi, b, a) for b in block[: i + 1]]
        rows.append(("Residual", "", "", self.engine.sigma2, 1.0))
        return pd.DataFrame(
            rows, columns=["group", "term_1", "term_2", "covariance", "correlation"]
        )

    def random_effects(self) -> pd.DataFrame:
        """Predicted effects with the standard error of prediction (coefficients unknown)."""
        parts = []
        for factor, grouping, mode, spread in zip(
            self.factors, self._groupings, self.engine.effects, self.engine.effect_variance,
            strict=True,
        ):  # fmt: skip
            se = np.sqrt(np.maximum(np.diagonal(spread, axis1=1, axis2=2), 0.0))
            parts.append(
                pd.DataFrame(
                    {
                        "group": factor.name,
                        "level": np.repeat(np.array(grouping.levels, dtype=object), factor.q),
                        "term": list(factor.effects) * factor.levels,
                        "estimate": mode.ravel(),
                        "std_error": se.ravel(),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def _groupings(self) -> tuple[Grouping, ...]:
        named = {r.grouping.name: r.grouping for r in self.design.random}
        return tuple(named[f.name] for f in self.factors)

    @property
    def _frame(self) -> pd.DataFrame | Dataset:
        """The rows analysed."""
        if bool(self.design.kept.all()):
            return self.data
        if isinstance(self.data, Dataset):
            return self.data.with_frame(self.data.frame[self.design.kept])
        return self.data[self.design.kept]

    # --- rows ---------------------------------------------------------------------------------

    def _series(self, values: Array) -> pd.Series[Any]:
        return pd.Series(values, index=self.design.rows)

    def fitted(self, random: bool = True) -> pd.Series[Any]:
        """Fitted values of the rows analysed, with the predicted random effects or without."""
        value = self.X @ self.engine.beta
        if self.offset is not None:
            value = value + self.offset
        if random:
            for factor, effects in zip(self.factors, self.engine.effects, strict=True):
                value = value + np.einsum("nq,nq->n", factor.Z, effects[factor.codes])
        return self._series(value)

    def residuals(self, kind: str = "response") -> pd.Series[Any]:
        """Outcome minus fitted; "pearson" divides by the residual standard deviation."""
        known = ("response", "pearson")
        if kind not in known:
            raise UsageError(unknown("kind of residual", kind, known))
        left = self._y - self.fitted().to_numpy()
        if kind == "pearson":
            root = 1.0 if self.weights is None else np.sqrt(self.weights)
            left = left * root / np.sqrt(self.engine.sigma2)
        return self._series(left)

    @property
    def _y(self) -> Array:
        assert isinstance(self.design.response, Outcome)
        return self.design.response.y

    def predict(
        self, new_data: pd.DataFrame | Dataset | None = None, random: bool = True
    ) -> pd.Series[Any]:
        """Predictions for new rows: an unseen level has effect 0, a missing value gives NaN.

        random=False predicts for the average group.
        """
        if new_data is None:
            return self.fitted(random)
        columns = Columns.of(new_data)
        value = self.recipe.matrix(columns)[:, self.kept] @ self.engine.beta
        value = value + self.recipe.offset(columns)
        if random:
            for part, at, factor in self._random_parts():
                value = value + self._contribution(part, at, factor, columns)
        return pd.Series(value, index=columns.frame.index)

    def _random_parts(self) -> list[tuple[RandomDesign, int, int]]:
        """Each random term with its first column within its factor, and the factor's number."""
        names = [f.name for f in self.factors]
        seen = dict.fromkeys(names, 0)
        found = []
        for part in self.design.random:
            name = part.grouping.name
            found.append((part, seen[name], names.index(name)))
            seen[name] += part.Z.shape[1]
        return found

    def _contribution(self, part: RandomDesign, at: int, which: int, columns: Columns) -> Array:
        Z = part.recipe.matrix(columns)
        known = {level: j for j, level in enumerate(part.grouping.levels)}
        found = columns.grouping(tuple(_group_columns(self.formula, part.grouping.name)))
        level = np.array([*(known.get(v, -1) for v in found.levels), -1], dtype=np.intp)
        effects = self.engine.effects[which][:, at : at + Z.shape[1]]
        effects = np.vstack([effects, np.zeros(Z.shape[1])])
        return np.asarray(np.einsum("nq,nq->n", Z, effects[level[found.codes]]))

    # --- summaries of variance --------------------------------------------------------------------

    def _random_variance(self) -> list[float]:
        """Mean over rows of z'Psi z for each factor (Johnson 2014)."""
        return [
            float(np.einsum("nq,qr,nr->n", f.Z, psi, f.Z).mean())
            for f, psi in zip(self.factors, self.engine.psi, strict=True)
        ]

    def icc(self, group: str | None = None) -> float:
        """Share of the variance around the fixed effects that lies between groups (or one factor).

        Source: Nakagawa, Johnson & Schielzeth 2017.
        """
        parts = self._random_variance()
        names = [f.name for f in self.factors]
        if group is not None and group not in names:
            raise UsageError(unknown("random factor", group, names))
        wanted = sum(v for v, n in zip(parts, names, strict=True) if group in (None, n))
        return wanted / (sum(parts) + self.engine.sigma2)

    def r2(self) -> pd.Series[Any]:
        """Marginal R² (fixed effects) and conditional R² (fixed and random effects).

        Source: Nakagawa & Schielzeth 2013; Johnson 2014 for slopes.
        """
        fixed = float(np.var(self.X @ self.engine.beta, ddof=1))
        random = sum(self._random_variance())
        total = fixed + random + self.engine.sigma2
        return pd.Series({"marginal": fixed / total, "conditional": (fixed + random) / total})

    # --- checks -------------------------------------------------------------------------------

    def checks(self) -> tuple[Check, ...]:
        """What was examined about this fit."""
        return (
            *_check_singular(self),
            *_check_few(self),
            *_check_dropped(self),
            *_check_lost(self),
            _check_shape("normal residuals", self.residuals("pearson").to_numpy(), "residuals"),
            *_check_effects(self),
            _check_spread(self),
        )

    def __repr__(self) -> str:
        e = self.engine
        groups = ", ".join(f"{name} {m}" for name, m in self.groups.items())
        note = ", singular" if e.singular else ""
        return (
            f"<MixedFit {self.formula.text!r}: {e.n} rows, groups {groups}, "
            f"{'REML' if e.reml else 'ML'} log-likelihood {e.log_likelihood:.3f}{note}>"
        )


# --- what can be asked -----------------------------------------------------------------------


def _check_request(asked: Formula, df: str, reml: bool) -> None:
    if df not in METHODS:
        raise UsageError(unknown("kind of degrees of freedom", df, METHODS))
    if df == "kenward-roger" and not reml:
        raise UsageError("Kenward–Roger needs reml=True; under ML use df='satterthwaite'.")
    if not asked.random:
        raise UsageError(
            f"The formula {asked.text!r} has no random term; write one, such as (1 | person)."
        )
    if asked.strata or asked.frailty or asked.cluster:
        raise UsageError("strata(), frailty() and cluster() belong to survival models.")


def _with_arrays(
    data: pd.DataFrame | Dataset, **given: str | Sequence[float] | None
) -> tuple[pd.DataFrame | Dataset, dict[str, str]]:
    """Put weights and offset given as arrays beside the data; return the column names."""
    columns: dict[str, str] = {}
    frame = data.frame if isinstance(data, Dataset) else data
    added = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, str):
            columns[name] = value
            continue
        values = np.asarray(value, dtype=float)
        if values.shape != (len(frame),):
            raise DataError(f"{name}= holds {values.size} values for {len(frame)} rows.")
        columns[name] = f"({name})"
        added[f"({name})"] = values
    if not added:
        return data, columns
    wider = frame.assign(**added)
    return (data.with_frame(wider) if isinstance(data, Dataset) else wider), columns


def _outcome(design: Design) -> Array:
    response = design.response
    if not isinstance(response, Outcome):
        raise UsageError("A linear mixed model needs one numeric column on the left of '~'.")
    if response.y.size and np.ptp(response.y) == 0:
        raise NotEstimable(
            f"The outcome {response.name!r} has the same value in all {response.y.size} rows."
        )
    return response.y


def _estimable(
    design: Design, asked: Formula, required: tuple[str, ...]
) -> tuple[list[int], list[str]]:
    """The columns that can be estimated, and the names of those dropped as collinear."""
    n, p = design.X.shape
    if p >= n:
        largest = max(design.recipe.factors.values(), key=lambda f: len(f.levels), default=None)
        why = (
            f" Column {largest.column!r} alone has {len(largest.levels)} levels."
            if largest and len(largest.levels) > n // 2
            else ""
        )
        raise NotEstimable(f"{n} rows cannot estimate {p} coefficients and their errors.{why}")
    if p == 0:
        return [], []
    dropped = dependent_columns(design.X, intercept=asked.intercept)
    for j in dropped:
        name = design.names[j]
        if np.ptp(design.X[:, j]) == 0:
            raise NotEstimable(
                f"Predictor {name!r} has the same value in all {n} rows, so it has no effect to "
                "estimate; leave it out."
            )
        if name in required or any(j in design.named(c) for c in required):
            raise NotEstimable(
                f"Predictor {name!r} is a combination of the other predictors in these {n} rows, "
                "so its effect cannot be told from theirs; leave one of them out."
            )
    kept = [j for j in range(p) if j not in dropped]
    return kept, [design.names[j] for j in dropped]


def _random_factors(design: Design) -> list[engine.RandomFactor]:
    """Random terms of the same grouping become one factor with several blocks."""
    merged: dict[str, list[RandomDesign]] = {}
    for part in design.random:
        merged.setdefault(part.grouping.name, []).append(part)
    factors = []
    for name, parts in merged.items():
        blocks: list[tuple[int, ...]] = []
        at = 0
        for part in parts:
            q = part.Z.shape[1]
            whole = tuple(range(at, at + q))
            blocks += [whole] if part.correlated else [(j,) for j in whole]
            at += q
        effects = tuple(n for part in parts for n in part.names)
        if len(set(effects)) < len(effects):
            raise UsageError(f"The random terms of {name!r} name an effect twice.")
        Z = np.ascontiguousarray(np.hstack([part.Z for part in parts]))
        first = parts[0].grouping
        factors.append(
            engine.RandomFactor(first.codes, first.size, Z, tuple(blocks), name, effects)
        )
    return factors


def _check_groups(factors: Sequence[engine.RandomFactor], n: int) -> None:
    for factor in factors:
        m = factor.levels
        if m < 2:
            raise NotEstimable(
                f"Grouping column {factor.name!r} has one level in these {n} rows; a variance "
                "between groups needs at least two. Take its random term out."
            )
        if m >= n:
            raise NotEstimable(
                f"Grouping column {factor.name!r} has as many levels as there are rows ({n}): "
                "nothing is repeated, so its variance cannot be told from the residual."
            )
        widest = max(len(b) for b in factor.blocks)
        if m * widest >= n:
            raise NotEstimable(
                f"The random term of {factor.name!r} has {m * widest} effects ({widest} for each "
                f"of {m} levels) for {n} rows; keep fewer random slopes."
            )


def _check_weights(weights: Array | None, name: str, table: Columns, design: Design) -> None:
    if weights is None:
        return
    wrong = np.zeros(len(table), dtype=bool)
    wrong[design.kept] = ~(weights > 0)
    if wrong.any():
        raise DataError(
            f"Weights in column {name!r} must be above 0; {int(wrong.sum())} are not, "
            f"{table.rows(wrong)}."
        )


def _total_offset(design: Design, column: str | None) -> Array | None:
    if column is None:
        return design.offset
    given = design.numbers[column]
    return given if design.offset is None else given + design.offset


def _means_of(design: Design, table: pd.DataFrame | Dataset) -> Grid:
    columns = Columns.of(table)
    means = {
        c: float(columns.numbers(c)[design.kept].mean()) for c in numeric_columns(design.recipe)
    }
    return grid_of(design.recipe, means)


def _component(
    factor: engine.RandomFactor, psi: Array, a: int, b: int
) -> tuple[str, str, str, float, float]:
    size = np.sqrt(psi[a, a] * psi[b, b])
    correlation = 1.0 if a == b else float(psi[a, b] / size) if size > 0 else float("nan")
    return factor.name, factor.effects[a], factor.effects[b], float(psi[a, b]), correlation


def _group_columns(formula: Formula, name: str) -> tuple[str, ...]:
    return next(r.group for r in formula.random if r.name == name)


# --- checks -------------------------------------------------------------------------------------


def _check_singular(fit: MixedFit) -> list[Check]:
    found = []
    for factor, psi, rank in zip(fit.factors, fit.engine.psi, fit.engine.rank, strict=True):
        if rank == factor.q:
            continue
        zero = [e for e, v in zip(factor.effects, np.diag(psi), strict=True) if v == 0]
        what = (
            f"the variance of {', '.join(zero)} is estimated as exactly zero"
            if zero
            else "the random effects are estimated as perfectly correlated"
        )
        found.append(
            Check(
                "singular",
                "caution",
                (
                    f"For {factor.name}, {what}. The estimate stands; the model asks more of these "
                    "data than they show, and degrees of freedom leave this direction out.",
                ),
                factor.name,
            )
        )
    return found or [Check("singular", "ok", ("No variance is estimated at its boundary.",))]


def _check_few(fit: MixedFit) -> list[Check]:
    found = []
    for factor in fit.factors:
        few = factor.levels < FEW_GROUPS
        words = (
            " levels: their variance is poorly known; small-sample degrees of freedom are needed."
            if few
            else " levels."
        )
        found.append(
            Check(
                "groups",
                "caution" if few else "ok",
                (f"{factor.name} has ", Quantity(float(factor.levels), "whole"), words),
                factor.name,
            )
        )
    return found


def _check_dropped(fit: MixedFit) -> list[Check]:
    return [
        Check(
            "collinear",
            "caution",
            ("A combination of the predictors before it in every row; left out.",),
            name,
        )
        for name in fit.dropped
    ]


def _check_lost(fit: MixedFit) -> list[Check]:
    return [
        Check("missing", "caution", (Count(n, "rows"), " left out: no value here."), column)
        for column, n in fit.design.lost.items()
    ]


def _check_shape(name: str, values: Array, what: str) -> Check:
    """Skewness and excess kurtosis; tests of normality reject any large sample."""
    z = (values - values.mean()) / values.std()
    skew, excess = float((z**3).mean()), float((z**4).mean() - 3.0)
    odd = abs(skew) > 1.0 or excess > 3.0
    return Check(
        name,
        "caution" if odd else "ok",
        (
            f"Skewness of the {what} is ",
            Quantity(skew),
            ", excess kurtosis ",
            Quantity(excess),
            ". Intervals lean on normality in small samples only."
            if odd
            else ": close enough to normal for the intervals.",
        ),
        what,
    )


def _check_effects(fit: MixedFit) -> list[Check]:
    found = []
    for factor, effects in zip(fit.factors, fit.engine.effects, strict=True):
        for j, name in enumerate(factor.effects):
            if factor.levels >= FEW_GROUPS and np.ptp(effects[:, j]) > 0:
                what = f"{name} effects of {factor.name}"
                found.append(_check_shape("normal random effects", effects[:, j], what))
    return found


def _check_spread(fit: MixedFit) -> Check:
    """Whether residuals grow with the fitted values: rank correlation of size with fitted."""
    size = pd.Series(np.abs(fit.residuals("pearson").to_numpy()))
    r = float(size.corr(pd.Series(fit.fitted().to_numpy()), method="spearman"))
    r = 0.0 if np.isnan(r) else r
    grows = abs(r) > 0.3
    return Check(
        "constant spread",
        "caution" if grows else "ok",
        (
            "Rank correlation of the size of residuals with fitted values: ",
            Quantity(r),
            ". Robust errors by cluster (cluster=) do not need constant spread." if grows else ".",
        ),
        "residuals",
    )
