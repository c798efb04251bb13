"""Intervals for predictions of a generalised mixed model, on the scale of the link or outcome.

    random=False      an average group: the coefficients' error alone
    random=True       a known group: its mode's error too, and how it moves with the parameters
                      (Kass & Steffey 1989; as lme4 and glmmTMB do); an unseen one adds z'Psi z
    random="average"  the population's mean, integrated over the random effects (delta method)

Limits are normal on the scale of the link and carried over.
Checked: tidy(), population_means, random_effects (tests/models/test_generalised_after.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.glmm_population import integrated, inverse_link
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import UsageError
from recovery_stats.models.columns import Columns

if TYPE_CHECKING:
    from recovery_stats.models.generalised_fit import GlmmFit


def intervals(
    fit: GlmmFit,
    new_data: pd.DataFrame | Dataset | None,
    *,
    random: bool | Literal["average"],
    type: str,
    level: float,
) -> pd.DataFrame:
    """estimate, std_error, conf_low, conf_high for every row; NaN where a value is missing."""
    _check(fit, random, level)
    columns = Columns.of(fit.analysed if new_data is None else new_data)
    X = fit.recipe.matrix(columns)[:, fit.kept]
    offset = fit.recipe.offset(columns)
    if new_data is None and fit.offset is not None:
        offset = fit.offset
    Z = fit.effect_columns(columns)
    eta = X @ fit.engine.beta + offset
    if random == "average":
        at = integrated(fit.engine, fit.link, X, Z, offset)
        slope = at.value * (1.0 - at.value) if fit.link == "logit" else at.value
        J = at.gradients() / slope[:, None]
        eta = np.log(at.value / (1.0 - at.value)) if fit.link == "logit" else np.log(at.value)
        variance = np.einsum("ni,ij,nj->n", J, fit.engine.joint, J)
    elif random:
        codes = fit.level_codes(0, columns)
        eta = eta + np.einsum("nq,nq->n", Z[0], fit.effects_at(0, codes))
        variance = _known(fit, X, Z[0], codes)
    else:
        variance = np.einsum("ni,ij,nj->n", X, fit.engine.covariance, X)
    return _table(fit, eta, np.sqrt(np.maximum(variance, 0.0)), columns, type, level)


def _check(fit: GlmmFit, random: bool | str, level: float) -> None:
    if not 0.0 < level < 1.0:
        raise UsageError(f"level= is a share between 0 and 1, not {level}.")
    if fit.family == "ordinal":
        raise UsageError("Intervals of predictions are not offered for ordinal models.")
    if random is True and len(fit.factors) > 1:
        raise UsageError(
            "Intervals with predicted effects are offered for one grouping factor; use "
            "random=False (an average group) or random='average' (the population)."
        )


def _known(fit: GlmmFit, X: Array, Z: Array, codes: IntArray) -> Array:
    """Error of x'b + z'u: the mode's own, and that of all parameters through both."""
    e = fit.engine
    seen = (codes >= 0)[:, None]
    J = np.zeros((len(X), len(e.joint)))
    J[:, e.n_theta : e.n_theta + e.p] = X @ e.units.A
    J += np.einsum("nq,nqk->nk", Z * seen, e.shifts[0][codes])
    own = np.where(seen[:, :, None], e.conditional[0][codes], e.psi[0])
    return np.asarray(
        np.einsum("nq,nqr,nr->n", Z, own, Z) + np.einsum("ni,ij,nj->n", J, e.joint, J)
    )


def _table(
    fit: GlmmFit, eta: Array, se: Array, columns: Columns, type: str, level: float
) -> pd.DataFrame:
    half = float(norm.isf((1.0 - level) / 2.0)) * se
    found = {"estimate": eta, "std_error": se, "conf_low": eta - half, "conf_high": eta + half}
    if type == "response":
        found["std_error"] = se * inverse_link(fit.link, eta)[1]
        for name in ("estimate", "conf_low", "conf_high"):
            found[name] = inverse_link(fit.link, found[name])[0]
    return pd.DataFrame(found, index=columns.frame.index)
