"""Generalised estimating equations, through statsmodels: the marginal answer beside the others."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import ConvergenceError, NotEstimable
from recovery_stats.models.risk import estimate
from recovery_stats.models.sample import ARM, Sample


def difference(
    sample: Sample, codes: NDArray[np.intp], *, level: float, name: str, label: str
) -> Estimate:
    """Difference between the arms with an exchangeable working correlation within clusters.

    Identity link (a difference in means or in risks); errors with the small-sample correction
    of Mancl & DeRouen (2001), t with clusters minus coefficients degrees of freedom.
    Raises NotEstimable with weights (statsmodels has the correction only without) and with too
    few clusters, ConvergenceError when the equations do not settle.
    Checked: clusters of one give least squares with HC3; balanced clusters the arm means.
    """
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.families import Gaussian
    from statsmodels.genmod.generalized_estimating_equations import GEE

    if sample.weights is not None:
        raise NotEstimable("The small-sample correction is for unweighted equations only.")
    df = len(np.unique(codes)) - sample.X.shape[1]
    if df < 1:
        raise NotEstimable(f"{df + sample.X.shape[1]} clusters are too few for the coefficients.")
    model = GEE(
        sample.y, sample.X, groups=codes, cov_struct=Exchangeable(), family=Gaussian()
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fit = model.fit(cov_type="bias_reduced", ctol=1e-10, maxiter=200)
        except Warning as error:
            raise ConvergenceError(f"The estimating equations did not settle: {error}") from None
    return estimate(
        name, label, float(fit.params[ARM]), float(fit.bse[ARM]), float(df), level=level,
        rank="sensitivity", method="GEE, exchangeable, Mancl–DeRouen errors", n=len(sample.y),
    )  # fmt: skip
