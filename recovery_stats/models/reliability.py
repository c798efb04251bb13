"""Is a scale's score one thing, measured reliably? alpha, omega total, item-rest correlations.

Each on the rows that answered every item. Rows count as independent people in the intervals: with
several waves of a person ask by wave, or, with `person`, for the reliability of a person's
deviations from their own mean, which is that of change within people: the pooled covariance within
people takes the place of the covariance (Geldhof, Preacher & Zyphur 2014, Psychol Methods 19:72).

A door to pingouin, which rounds the limits of alpha and counts incomplete rows in them: both are
dealt with here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import f as fisher
from scipy.stats import norm

from recovery_stats.core.estimate import Estimate
from recovery_stats.engines.factor import OneFactor, fit
from recovery_stats.errors import NotEstimable

Array = NDArray[np.floating[Any]]
SAME = 1e-9  # a deviation from a person's mean that is only rounding
FEWEST_ITEMS = 3  # one factor of two items is not identified


def alpha(
    items: pd.DataFrame, *, level: float = 0.95, person: pd.Series[Any] | None = None
) -> Estimate:
    """Cronbach's alpha with Feldt's interval.

    items (n, k): answers, all keyed the same way, two items or more. person: whose row it is, for
    the reliability within people.
    Raises NotEstimable where fewer than two rows are complete or an item never varies.
    Source: Cronbach 1951; Feldt, Woodruff & Salih 1987. Checked: R psych; by hand.
    """
    from pingouin import cronbach_alpha

    whole, df = _deviations(items, 2, person)
    value = float(cronbach_alpha(whole, nan_policy="listwise")[0])
    n, k = whole.shape
    tail = (1 - level) / 2
    low, high = (
        1 - (1 - value) * float(fisher.isf(share, df, df * (k - 1))) for share in (tail, 1 - tail)
    )
    return Estimate(
        "alpha", "Cronbach's alpha", value, low, high, scale="correlation", level="descriptive",
        method="Feldt", confidence=level, n=n,
    )  # fmt: skip


def omega_total(
    items: pd.DataFrame, *, level: float = 0.95, person: pd.Series[Any] | None = None
) -> Estimate:
    """McDonald's omega total of the sum of the items: (Σλ)² / ((Σλ)² + Σψ), one common factor.

    items (n, k): answers, all keyed the same way, three items or more. person: as in `alpha`.
    Maximum likelihood on the covariances, so that it is the reliability of the plain sum (psych's
    omega takes the correlations: the reliability of the sum of standardised items); interval by
    the delta method on the log odds (nan where a uniqueness stands at its bound).
    Raises NotEstimable as `alpha` does, and where the items are linearly dependent.
    Source: McDonald 1999, ch. 6. Checked: R lavaan, factanal.
    """
    whole, df = _deviations(items, FEWEST_ITEMS, person)
    # The likelihood of people has a row for each; within people their means are spent.
    found = _one_factor(whole, df, df + 1 if person is None else df)
    common, unique = found.loadings.sum(), found.uniqueness.sum()
    value = float(common**2 / (common**2 + unique))
    se = _omega_error(found, common, unique)
    reach = norm.isf((1 - level) / 2) * se / (value * (1 - value)) if 0 < value < 1 else np.nan
    low, high = (float(expit(logit(value) + side * reach)) for side in (-1, 1))
    return Estimate(
        "omega_total", "McDonald's omega total", value, low, high, se, scale="correlation",
        level="descriptive", confidence=level, n=len(whole),
        method="one factor, maximum likelihood" + (", at a bound" if found.boundary else ""),
    )  # fmt: skip


def item_rest(items: pd.DataFrame) -> pd.Series[float]:
    """Each item's correlation with the sum of the others; nan for an item that never varies.

    A negative one points the wrong way: it was reversed before, or should not have been.
    """
    whole = items.dropna()
    total = whole.sum(axis=1)
    found = {c: _correlation(whole[c], total - whole[c]) for c in whole.columns}
    return pd.Series(found, dtype=float)


def _correlation(one: pd.Series[float], rest: pd.Series[float]) -> float:
    if len(one) < 3 or one.nunique() < 2 or rest.nunique() < 2:
        return float("nan")
    return float(np.corrcoef(one, rest)[0, 1])


def _complete(items: pd.DataFrame, fewest: int) -> pd.DataFrame:
    if items.shape[1] < fewest:
        raise NotEstimable(
            f"This coefficient needs {fewest} items or more; there are {items.shape[1]}."
        )
    whole = items.dropna()
    if len(whole) < 2:
        raise NotEstimable(f"{len(whole)} rows answered every item; two are needed at the least.")
    still = list(_constant(whole))
    if still:
        raise NotEstimable(f"Item {', '.join(still)} never varies in the rows with every item.")
    return whole


def _deviations(
    items: pd.DataFrame, fewest: int, person: pd.Series[Any] | None
) -> tuple[pd.DataFrame, int]:
    """The complete rows and their degrees of freedom; within people their deviations.

    A person with one complete row has no deviation and is left out.
    """
    whole = _complete(items, fewest)
    if person is None:
        return whole, len(whole) - 1
    who = person.loc[whole.index]
    several = who.groupby(who).transform("size") > 1
    whole, who = whole[several], who[several]
    df = len(whole) - int(who.nunique())
    centred = whole - whole.groupby(who).transform("mean")
    if df < 1 or (np.abs(centred).max() < SAME).any():
        raise NotEstimable("No item changes within people who answered all of them twice.")
    return centred, df


def _constant(whole: pd.DataFrame) -> Iterator[str]:
    return (str(c) for c in whole.columns if whole[c].nunique() < 2)


def _one_factor(whole: pd.DataFrame, df: int, rows: int) -> OneFactor:
    S = whole.cov().to_numpy() * (len(whole) - 1) / df
    sd = np.sqrt(np.diag(S))
    if df < len(S) or np.linalg.eigvalsh(S / np.outer(sd, sd))[0] < 1e-8:
        raise NotEstimable(
            "Omega needs more rows than items, and no item that others determine; "
            f"{len(whole)} rows answered all {len(S)} items."
        )
    return fit(S, rows)


def _omega_error(found: OneFactor, common: float, unique: float) -> float:
    scale = 2 * common / (common**2 + unique) ** 2
    k = len(found.loadings)
    slope = np.concatenate([np.full(k, scale * unique), np.full(k, -scale * common / 2)])
    return float(np.sqrt(slope @ found.covariance @ slope))
