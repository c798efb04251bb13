"""Linear mixed models with a residual structure: the fit that `lmm(..., residual=)` gives.

Everything of a `MixedFit` works or says why not; what is added: `residual_covariance()`, the
covariance over the waves, and `residual_parameters()`, its parameters with standard errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn, cast

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import lmm as plain
from recovery_stats.engines import lmm_df, lmm_residual_df
from recovery_stats.engines import lmm_residual as engine
from recovery_stats.engines.linalg import Array
from recovery_stats.engines.lmm_robust import cluster_robust
from recovery_stats.engines.residual import Unstructured
from recovery_stats.errors import NotEstimable, UsageError, unknown
from recovery_stats.models import mixed_residual_after
from recovery_stats.models.columns import Columns
from recovery_stats.models.design import Design, Outcome
from recovery_stats.models.formula import Formula
from recovery_stats.models.margins import Grid
from recovery_stats.models.mixed_bootstrap import EFFECTS, Bootstrap, Limits
from recovery_stats.models.mixed_check import few_groups, left_out, rows_lost, singular
from recovery_stats.models.mixed_diagnosis import effects_shape, shape, spread, spread_by_level
from recovery_stats.models.mixed_fit import Method, MixedFit
from recovery_stats.models.mixed_icc import random_variance
from recovery_stats.models.mixed_residual_check import examine_structure
from recovery_stats.models.residual_parameter import covariance_table, parameter_rows
from recovery_stats.models.residual_request import Request
from recovery_stats.models.residual_start import starting_values
from recovery_stats.models.residual_structure import Structure, build_structure

KINDS = ("response", "pearson", "normalised", "marginal")


@dataclass(frozen=True, repr=False)
class ResidualMixedFit(MixedFit):
    """A fitted linear mixed model whose residuals are correlated or unequal within people."""

    structure: Structure = field(kw_only=True)

    @property
    def residual_structure(self) -> str:
        """The name of the residual structure."""
        return self.structure.request.kind

    @property
    def structured(self) -> engine.ResidualFit:
        """The engine's fit; it has every field of a plain one that this class reads."""
        return cast(engine.ResidualFit, self.engine)

    @cached_property
    def information(self) -> lmm_df.Information:
        return lmm_residual_df.information(self.structured)

    # --- the fit as a whole ----------------------------------------------------------------------

    @property
    def n_groups(self) -> int:
        """Levels of the largest random factor, or people."""
        return max(self.structure.persons, *(f.acting for f in self.factors), 0)

    @property
    def groups(self) -> dict[str, int]:
        """Levels of every random factor, and people."""
        return {self.structure.people: self.structure.persons, **super().groups}

    @property
    def method(self) -> str:
        return f"{super().method}, residuals {self.structure.request.kind}"

    def confint(
        self,
        method: str = "wald",
        level: float = 0.95,
        *,
        replicates: int = 1000,
        seed: int = 1,
        kind: Limits = "percentile",
    ) -> pd.DataFrame:
        """Intervals: "wald" of the coefficients; "bootstrap" of the whole model, the parameters of
        the residual structure in it."""
        if method == "profile":
            self._refuse("confint(method='profile')", "method='bootstrap'")
        if method == "bootstrap":
            found = self.bootstrap(replicates, seed)
            table = found.tidy(level, kind)[["term", "estimate", "conf_low", "conf_high"]]
            table.attrs["failed"] = found.failed
            return table
        return super().confint(method, level)

    def bootstrap(self, replicates: int = 1000, seed: int = 1) -> Bootstrap:
        """Parametric bootstrap: random effects and residuals drawn anew, each outcome refitted."""
        return mixed_residual_after.bootstrap(self, replicates, seed)

    def caic(self) -> pd.DataFrame:
        self._refuse("caic()", "the aic of glance()")

    def icc_interval(
        self, group: str | None = None, level: float = 0.95, replicates: int = 1000, seed: int = 1
    ) -> pd.DataFrame:
        self._refuse("icc_interval()", "icc()")

    def simulate(self, n: int = 1, seed: int = 1, effects: str = "new") -> pd.DataFrame:
        """New outcomes for the rows analysed: columns `sim_1` to `sim_n`.

        effects: "new" draws random effects anew; "predicted" keeps those of these groups.
        """
        if effects not in EFFECTS:
            raise UsageError(unknown("kind of effects", effects, EFFECTS))
        draws = engine.simulate(
            self.structured, n, np.random.default_rng(seed), new=effects == "new"
        )
        mean = self.fitted(random=effects == "predicted").to_numpy()[:, None]
        names = [f"sim_{j + 1}" for j in range(n)]
        return pd.DataFrame(mean + draws, index=self.design.rows, columns=names)

    # --- the covariance --------------------------------------------------------------------------

    def variance_components(self) -> pd.DataFrame:
        """Random effects as ever; then residual variances and covariances, group "Residual".

        term_1, term_2: levels of variance, or waves; a correlation that is a parameter of its own
        stands in a row of its own, `term_1` "correlation", without a covariance.
        """
        table = super().variance_components()
        parts = parameter_rows(self.structure, self.structured, self.information)
        rows = [
            ("Residual", p.term_1, p.term_2, p.covariance, p.correlation)
            for p in parts
            if p.kind != "range"
        ]
        residual = pd.DataFrame(rows, columns=table.columns)
        random = table[table["group"] != "Residual"]
        return residual if random.empty else pd.concat([random, residual], ignore_index=True)

    def residual_parameters(self) -> pd.DataFrame:
        """Variances, correlations (or covariances) of the residual structure with their errors."""
        parts = parameter_rows(self.structure, self.structured, self.information)
        return pd.DataFrame(
            {
                "parameter": [p.kind for p in parts],
                "term_1": [p.term_1 for p in parts],
                "term_2": [p.term_2 for p in parts],
                "estimate": [p.estimate for p in parts],
                "std_error": [p.std_error for p in parts],
            }
        )

    def residual_covariance(
        self, group: str | None = None, correlation: bool = False
    ) -> pd.DataFrame:
        """Residual covariance (or correlation) over the waves of one person, waves by waves.

        group: a level of residual_groups= or residual_variance= where the structure has one.
        """
        return covariance_table(self.structure, self.structured, group, correlation)

    @cached_property
    def _residual_variances(self) -> Array:
        """The residual variance (n,) of each row, prior weights in."""
        rows = np.arange(self.n_obs, dtype=np.intp)[:, None]
        return engine.residual_covariance(self.structured, rows)[:, 0, 0]

    def icc(self, group: str | None = None) -> float:
        """Share of variance between groups, over the mean residual variance of the rows."""
        if not self.factors:
            raise UsageError(
                "The model has no random term, so there is no share of variance between groups; "
                "residual_covariance(correlation=True) has the correlations within people."
            )
        parts, names = random_variance(self), [f.name for f in self.factors]
        if group is not None and group not in names:
            raise UsageError(unknown("random factor", group, names))
        wanted = sum(v for v, n in zip(parts, names, strict=True) if group in (None, n))
        return float(wanted / (sum(parts) + self._residual_variances.mean()))

    def r2(self) -> pd.Series[Any]:
        """Marginal and conditional R² over the mean residual variance of the rows."""
        fixed = float(np.var(self.X @ self.engine.beta, ddof=1))
        random = sum(random_variance(self))
        total = fixed + random + float(self._residual_variances.mean())
        return pd.Series({"marginal": fixed / total, "conditional": (fixed + random) / total})

    def random_effects(self) -> pd.DataFrame:
        if self.factors:
            return super().random_effects()
        return pd.DataFrame(columns=["group", "level", "term", "estimate", "std_error"])

    # --- rows ------------------------------------------------------------------------------------

    def residuals(self, kind: str = "response") -> pd.Series[Any]:
        """response: outcome minus fitted; pearson: over the row's residual standard deviation;
        normalised: made uncorrelated within people, of variance 1; marginal: without random
        effects."""
        if kind not in KINDS:
            raise UsageError(unknown("kind of residual", kind, KINDS))
        left = self.outcome - self.fitted(random=kind != "marginal").to_numpy()
        if kind == "pearson":
            left = left / np.sqrt(self._residual_variances)
        if kind == "normalised":
            left = engine.normalised(self.structured, left)
        return self._series(left)

    def predict(
        self,
        new_data: pd.DataFrame | Dataset | None = None,
        random: bool = True,
        interval: str | None = None,
        level: float = 0.95,
    ) -> pd.Series[Any] | pd.DataFrame:
        """As in `MixedFit.predict`; intervals are those of the mean, random=False."""
        if interval is not None and (interval != "confidence" or (random and self.factors)):
            self._refuse(
                f"predict(interval={interval!r}, random={random})",
                "interval='confidence' with random=False",
            )
        if interval is None:
            return super().predict(new_data, random)
        return super().predict(new_data, False, interval="confidence", level=level)

    def leverage(self) -> pd.DataFrame:
        """How far each fitted value follows its own row: fixed, random, overall."""
        return mixed_residual_after.leverage(self)

    def influence(self, group: str | None = None, refit: bool = False) -> pd.DataFrame:
        """What leaving out each person, or each level of `group`, changes; as in `MixedFit`."""
        return mixed_residual_after.influence(self, group, refit)

    def _refuse(self, what: str, instead: str) -> NoReturn:
        raise UsageError(f"{what} is not offered with a residual structure; use {instead}.")

    # --- checks ----------------------------------------------------------------------------------

    def checks(self) -> tuple[Check, ...]:
        """What was examined about this fit."""
        residuals = self.residuals("normalised").to_numpy()
        return (
            *singular(self.factors, self.engine),
            *few_groups(self.factors),
            *left_out(self.dropped),
            *rows_lost(self.design.lost),
            *examine_structure(self.structure, self.structured),
            shape("normal residuals", residuals, "residuals"),
            *effects_shape(self),
            spread(residuals, self.fitted().to_numpy()),
            *spread_by_level(self, residuals),
        )

    def __repr__(self) -> str:
        shown = super().__repr__()
        return f"{shown[:-1]}, residuals {self.structure.request.kind}>"


# --- fitting -------------------------------------------------------------------------------------


def fit_structured(
    request: Request,
    asked: Formula,
    design: Design,
    kept: list[int],
    dropped: list[str],
    factors: Sequence[plain.RandomFactor],
    df: Method,
    cluster: str | None,
    offset: Array | None,
    weights: Array | None,
    grid: Grid,
    data: pd.DataFrame | Dataset,
    *,
    reml: bool,
) -> ResidualMixedFit:
    """Fit the design with the residual structure asked for."""
    assert isinstance(design.response, Outcome)
    X, y = design.X[:, kept], design.response.y
    structure = build_structure(
        request, _analysed(data, design), [(f.name, f.codes) for f in factors]
    )
    _refuse_same_twice(structure, factors)
    outcome = y if offset is None else y - offset
    left = outcome - X @ np.linalg.lstsq(X, outcome, rcond=None)[0]
    start = starting_values(structure, left, random=bool(factors))
    fitted = engine.fit(
        X, y, factors, structure.residual, structure.rows, start, reml=reml, weights=weights,
        offset=offset,
    )  # fmt: skip
    robust = None
    if cluster:
        codes = design.groups[cluster].codes
        person = plain.RandomFactor(
            structure.rows.person, structure.persons, np.ones((len(y), 1)), ((0,),),
            structure.people,
        )  # fmt: skip
        robust = cluster_robust(
            X, outcome - X @ fitted.beta, [*factors, person],
            [*fitted.psi, np.zeros((1, 1))], fitted.sigma2, fitted.covariance, codes,
            noise=lambda rows: engine.residual_covariance(fitted, rows),
        )  # fmt: skip
    return ResidualMixedFit(
        asked, design, tuple(kept), tuple(dropped), tuple(factors),
        cast(plain.LmmFit, fitted), df, cluster, robust, offset, weights, grid, data,
        structure=structure,
    )  # fmt: skip


def _analysed(data: pd.DataFrame | Dataset, design: Design) -> Columns:
    source = Columns.of(data)
    return Columns(source.frame[design.kept], source.codebook)


def _refuse_same_twice(structure: Structure, factors: Sequence[plain.RandomFactor]) -> None:
    """A random intercept of people is inside compound symmetry and inside unstructured."""
    inside = isinstance(structure.residual, Unstructured) or (
        structure.request.kind == "compound-symmetry" and structure.request.variance is None
    )
    pairs = structure.rows.person
    for factor in factors:
        same = factor.levels == structure.persons and np.array_equal(
            np.unique(pairs, return_index=True)[1], np.unique(factor.codes, return_index=True)[1]
        )
        if inside and same:
            raise NotEstimable(
                f"residual={structure.request.kind!r} already holds every covariance that the "
                f"random term of {factor.name!r} can add, so the two cannot be told apart. Take "
                "the random term out, or choose another residual structure."
            )
