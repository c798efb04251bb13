"""How well markers order people by their times: Harrell's and Uno's concordance from a formula."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import get_args

import numpy as np
import pandas as pd
from scipy.stats import norm

from recovery_stats.core.dataset import Dataset
from recovery_stats.engines import concordance as engine
from recovery_stats.engines.concordance import Concordance, TimeWeight
from recovery_stats.errors import UsageError, unknown
from recovery_stats.models.argument import read_level
from recovery_stats.models.columns import Array
from recovery_stats.models.formula import Formula
from recovery_stats.models.observation import Observation, naming_columns, observe


def concordance(
    formula: Formula | str,
    data: pd.DataFrame | Dataset,
    *,
    reverse: bool = False,
    count_by: TimeWeight = "n",
    after: float | None = None,
    until: float | None = None,
    weights: str | None = None,
    cluster: str | None = None,
    person: str | None = None,
) -> ConcordanceTable:
    """Concordance of each column of the right side with time: `Surv(time, event) ~ x + z`.

    A higher value means a later event; reverse: an earlier one, as for a risk score. Pairs are
    compared within strata(x). count_by: "n" is Harrell's, "n/G2" with `until` Uno's, "S", "S/G"
    and "I" weigh early or late events more. after, until: only events between these times
    count. Raises UsageError without a marker, NotEstimable without comparable pairs.
    Checked: all pairs by brute force; R survival 3.5.
    """
    if count_by not in get_args(TimeWeight):
        raise UsageError(unknown("way to count pairs", count_by, get_args(TimeWeight)))
    seen = observe(
        formula, data, what="concordance", weights=weights, cluster=cluster, person=person
    )
    if not seen.design.names:
        raise UsageError("concordance needs a marker: Surv(time, event) ~ marker.")
    event = seen.cause.astype(bool)
    event &= (seen.stop >= (-np.inf if after is None else after)) & (
        seen.stop <= (np.inf if until is None else until)
    )
    sign = 1.0 if reverse else -1.0
    with naming_columns(seen):
        found = tuple(
            engine.concordance(
                sign * seen.X[:, j],
                seen.stop,
                event,
                start=seen.start,
                strata=seen.strata,
                weights=seen.weights,
                cluster=seen.cluster if seen.cluster is not None else seen.person,
                count_by=count_by,
            )
            for j in range(seen.X.shape[1])
        )
    return ConcordanceTable(seen, found, count_by)


@dataclass(frozen=True)
class ConcordanceTable:
    """The concordance of each marker, comparable with each other on the same rows."""

    observation: Observation = field(repr=False)
    found: tuple[Concordance, ...] = field(repr=False)
    count_by: TimeWeight

    @property
    def terms(self) -> tuple[str, ...]:
        """The markers."""
        return self.observation.design.names

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """One row a marker: term, estimate, std_error, limits, weight of each kind of pair."""
        frame = pd.DataFrame(
            [
                (term, c.estimate, c.std_error, c.concordant, c.discordant, c.tied_x, c.tied_y,
                 c.tied_xy)
                for term, c in zip(self.terms, self.found, strict=True)
            ],
            columns=["term", "estimate", "std_error", "concordant", "discordant", "tied_x",
                     "tied_y", "tied_xy"],
        )  # fmt: skip
        half = norm.isf((1 - read_level(level)) / 2) * frame["std_error"]
        frame.insert(3, "conf_low", np.maximum(frame["estimate"] - half, 0.0))
        frame.insert(4, "conf_high", np.minimum(frame["estimate"] + half, 1.0))
        return frame

    def covariance(self) -> pd.DataFrame:
        """Covariance of the markers' concordances: they were found on the same people."""
        U = self._influence
        return pd.DataFrame(U.T @ U, list(self.terms), list(self.terms))

    @property
    def _influence(self) -> Array:
        return np.column_stack([c.influence for c in self.found])

    def compare(self, level: float = 0.95) -> pd.DataFrame:
        """contrast, estimate, std_error, statistic, p_value and limits of each pair of markers."""
        V, C = self.covariance().to_numpy(), np.array([c.estimate for c in self.found])
        z = norm.isf((1 - read_level(level)) / 2)
        rows = []
        for a, b in combinations(range(len(C)), 2):
            gap, se = C[a] - C[b], float(np.sqrt(max(V[a, a] + V[b, b] - 2 * V[a, b], 0.0)))
            statistic = gap / se if se > 0 else np.nan
            name = f"{self.terms[a]} - {self.terms[b]}"
            p = 2 * norm.sf(abs(statistic))
            rows.append((name, gap, se, statistic, p, gap - z * se, gap + z * se))
        columns = ["contrast", "estimate", "std_error", "statistic", "p_value"]
        return pd.DataFrame(rows, columns=[*columns, "conf_low", "conf_high"])

    def __repr__(self) -> str:
        parts = [
            f"{t}: {c.estimate:.4f} ± {c.std_error:.4f}"
            for t, c in zip(self.terms, self.found, strict=True)
        ]
        return f"<Concordance: {'; '.join(parts)}>"
