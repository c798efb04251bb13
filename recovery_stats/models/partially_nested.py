"""A mixed model for residents in houses against people alone: `partially_nested(data, ...)`.

The house varies only in the arm that has houses, and each arm has a residual variance of its own;
otherwise the variance of the one arm leaks into the error of the other. Satterthwaite's degrees of
freedom, or Kenward and Roger's with their error. People without a house are each a group of one,
without an effect.
Source: Roberts & Roberts 2005; Bauer, Sterba & Hallfors 2008. Checked: R glmmTMB, nlme
(tests/models/partially_nested.R).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recovery_stats.core.dataset import Dataset
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.formula import quote
from recovery_stats.models.mixed import MixedFit, lmm
from recovery_stats.models.mixed_fit import Method

HOUSED, CLUSTER, BY = "housed|", "cluster|", "arm#"


def partially_nested(
    data: Dataset, outcome: str, arm: str, clusters: Clusters, adjust: Sequence[str] = (), *,
    df: Method = "satterthwaite",
) -> MixedFit:  # fmt: skip
    """Difference between arms, house variance where there are houses, residual variances by arm.

    outcome, arm: columns of numbers, arm 0/1; clusters: of the rows of `data`. The coefficient of
    `arm` is the difference. Raises NotEstimable.
    """
    frame = data.frame.assign(
        **{CLUSTER: clusters.codes.astype(str), HOUSED: clusters.real.astype(float),
           BY: np.where(data.frame[arm].to_numpy(float) == 1, "compared", "usual")}
    )  # fmt: skip
    predictors = " + ".join(map(quote, (arm, *adjust)))
    formula = f"{quote(outcome)} ~ {predictors} + (0 + {quote(HOUSED)} | {quote(CLUSTER)})"
    return lmm(
        formula, data.with_frame(frame), df=df, required=(arm,),
        residual="heterogeneous", residual_by=BY,
    )  # fmt: skip
