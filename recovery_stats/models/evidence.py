"""What an estimate says for and against: equivalence within a declared margin, Bayes factors.

A p above 0.05 never says that there is no difference. Equivalence can be shown only within a
margin declared beforehand; a Bayes factor weighs the declared expected effect against none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as t_distribution

from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import UsageError

Verdict = Literal["shown", "not shown", "refuted"]
Aim = Literal["equivalence", "non-inferiority"]
SUBSTANTIAL = 3.0  # Jeffreys' bound for evidence worth mention


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Whether the effect lies within the margin, by two one-sided tests (or one).

    p: of the larger one-sided test. low, high: the interval of level 1 - 2 alpha that decides.
    "refuted": that interval lies wholly outside.
    """

    aim: Aim
    margin: float
    reason: str
    p: float
    low: float
    high: float
    verdict: Verdict


def equivalence(
    estimate: Estimate,
    margin: float,
    *,
    reason: str,
    aim: Aim = "equivalence",
    better: Literal["higher", "lower"] = "lower",
    alpha: float = 0.05,
) -> Equivalence:
    """Test an effect against a margin declared before the run.

    margin: on the estimate's own scale; for a ratio above 1, and its inverse on the other side.
    reason: why this margin, printed with the result. aim "non-inferiority": only the worse side
    counts; `better` says which way is good.
    Raises UsageError without a reason, or for a margin that is none.
    Source: Schuirmann 1987. Checked: by hand; the interval and the tests agree.
    """
    ratio = estimate.scale == "ratio"
    if not reason.strip():
        raise UsageError("A margin needs its reason: why a smaller effect would not matter.")
    if not np.isfinite(margin) or margin <= (1.0 if ratio else 0.0):
        raise UsageError(
            f"A margin of {margin:g} is none: above 1 for a ratio, above 0 for a difference."
        )
    value, wide = (np.log(x) if ratio else x for x in (estimate.value, margin))
    below = float(t_distribution.sf((value + wide) / estimate.se, estimate.df))
    above = float(t_distribution.cdf((value - wide) / estimate.se, estimate.df))
    reach = float(t_distribution.isf(alpha, estimate.df)) * estimate.se
    low, high = value - reach, value + reach
    if aim == "equivalence":
        p, within, outside = max(below, above), -wide < low and high < wide, (
            low > wide or high < -wide
        )  # fmt: skip
    elif better == "lower":
        p, within, outside = above, high < wide, low > wide
    else:
        p, within, outside = below, low > -wide, high < -wide
    verdict: Verdict = "shown" if within else "refuted" if outside else "not shown"
    if ratio:
        low, high = np.exp(low), np.exp(high)
    return Equivalence(aim, margin, reason, p, float(low), float(high), verdict)


def bayes_factor(estimate: Estimate, expected: float) -> pd.DataFrame:
    """The evidence for the declared effect against none: half-normal prior, over three scales.

    expected: the effect declared beforehand, on the estimate's own scale (a ratio: not 1); its
    sign says which way. The prior under the effect is half a normal with that standard deviation
    (of the logarithm for a ratio), so that smaller effects are likelier and the other direction
    is excluded. Rows: half the expected size, the size, twice the size. bf10 above 3: evidence
    for an effect; below 1/3: for none; between: the data do not tell.
    Raises UsageError for an expected effect of none.
    Source: Dienes 2014; the likelihood is normal with the standard error, or t with its df.
    Checked: closed form; numerical integration.
    """
    ratio = estimate.scale == "ratio"
    if (ratio and not expected > 0) or expected == (1.0 if ratio else 0.0):
        raise UsageError("The expected effect is none; declare what you expect, on the same scale.")
    value, size = (float(np.log(x)) if ratio else x for x in (estimate.value, expected))
    rows = []
    for factor in (0.5, 1.0, 2.0):
        bf = half_normal_factor(np.sign(size) * value, estimate.se, abs(size) * factor, estimate.df)
        says = "effect" if bf > SUBSTANTIAL else "none" if bf < 1 / SUBSTANTIAL else "undecided"
        scale = float(np.exp(size * factor)) if ratio else size * factor
        rows.append((factor, scale, bf, says))
    return pd.DataFrame(rows, columns=["times_expected", "prior_scale", "bf10", "says"])


def half_normal_factor(value: float, se: float, scale: float, df: float = float("inf")) -> float:
    """Marginal likelihood under effects |N(0, scale²)| over that under none.

    With a normal likelihood: 2 N(value; 0, se² + scale²) Φ(value scale / (se total)) over
    N(value; 0, se²); with finite df the t likelihood is integrated by Gauss-Legendre.
    """
    total = float(np.hypot(se, scale))
    if np.isinf(df):
        log = norm.logpdf(value, 0, total) - norm.logpdf(value, 0, se)
        return float(2 * np.exp(log + norm.logcdf(value * scale / (se * total))))
    nodes, weights = np.polynomial.legendre.leggauss(400)
    far = max(10 * scale, abs(value) + 20 * se)
    # The likelihood can be narrow beside the prior: the integral is split at its edges.
    edges = np.unique(np.clip([0, value - 8 * se, value, value + 8 * se, scale, far], 0, far))
    area = 0.0
    for a, b in pairwise(edges):
        theta = (a + b) / 2 + (b - a) / 2 * nodes
        density = t_distribution.pdf((value - theta) / se, df) * 2 * norm.pdf(theta, 0, scale)
        area += float((b - a) / 2 * weights @ density)
    return area / float(t_distribution.pdf(value / se, df))
