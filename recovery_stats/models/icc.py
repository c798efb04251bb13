"""How alike people of one house are: `icc(data, outcome="used", cluster="house", arm="arm")`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.engines.cluster import design_effect, intraclass
from recovery_stats.engines.latent_icc import alike
from recovery_stats.engines.linalg import Array, IntArray
from recovery_stats.errors import NotEstimable
from recovery_stats.models.outcome import read_outcome

SOME, FEW = 40, 10  # clusters


@dataclass(frozen=True, slots=True)
class Icc:
    """The outcome of people with a cluster, arms apart; see `icc`.

    y (n,), ids (n,) codes of clusters, arm (n,) codes.
    """

    outcome: str
    cluster: str
    binary: bool
    y: Array = field(repr=False)
    ids: IntArray = field(repr=False)
    arm: IntArray = field(repr=False)
    alone: int

    @property
    def sizes(self) -> Array:
        """People in each cluster."""
        return np.bincount(self.ids).astype(float)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """term, estimate, conf_low, conf_high, design_effect, method: a row for each scale.

        `observed`: analysis of variance, with Searle's limits; of a yes-or-no outcome also
        `observed_model` and `latent`, of a logistic model with limits of its profile likelihood.
        The design effect is that of the observed scale; the latent one has none.
        """
        return pd.DataFrame(list(self._rows(level)))

    def _rows(self, level: float) -> Iterator[dict[str, Any]]:
        a = intraclass(self.y, self.ids, self.arm, level=level)
        yield self._row("observed", (a.icc, a.low, a.high), "analysis of variance")
        if not self.binary:
            return
        X = np.column_stack(
            [np.ones(len(self.y)), *(self.arm == k for k in np.unique(self.arm)[1:])]
        )
        X[:, 1:] -= X[:, 1:].mean(axis=0)
        found = alike(X, self.y, self.ids, level=level)
        yield self._row("observed_model", found.observed, "logistic model, profile likelihood")
        row = self._row("latent", found.latent, "logistic model, profile likelihood")
        yield row | {"design_effect": float("nan")}

    def _row(self, term: str, at: tuple[float, float, float], method: str) -> dict[str, Any]:
        return {
            "term": term, "estimate": at[0], "conf_low": at[1], "conf_high": at[2],
            "design_effect": design_effect(self.sizes, at[0]), "method": method,
        }  # fmt: skip

    def glance(self) -> pd.DataFrame:
        """People, clusters, and how unequal these are."""
        size = self.sizes
        return pd.DataFrame(
            {"n_obs": [len(self.y)], "n_groups": [len(size)], "mean_size": [size.mean()],
             "cv_size": [size.std() / size.mean()], "alone": [self.alone]}
        )  # fmt: skip

    def checks(self) -> tuple[Check, ...]:
        """How many clusters there are, and how many of one person."""
        G, single = len(self.sizes), int(np.sum(self.sizes == 1))
        words = (
            " clusters: the correlation is hardly known." if G < FEW
            else " clusters: its interval is wide." if G < SOME else " clusters."
        )  # fmt: skip
        parts = (Quantity(float(G), "whole"), words, " Of one person alone: ",
                 Count(single), "; these say nothing of likeness.")  # fmt: skip
        return (Check("groups", "caution" if G < FEW else "ok", parts, self.cluster),)

    def __repr__(self) -> str:
        return (
            f"<Icc of {self.outcome!r} within {self.cluster!r}: {len(self.y)} people, "
            f"{len(self.sizes)} clusters>"
        )


def icc(
    data: pd.DataFrame | Dataset,
    *,
    outcome: str,
    cluster: str,
    arm: str | None = None,
    outcome_level: str | None = None,
) -> Icc:
    """Intraclass correlation with limits and the design effect for unequal sizes.

    cluster may be empty: people without a house have no part in it. arm: its differences are
    taken out. Raises NotEstimable with one cluster, or where none has two people.
    """
    table = as_dataset(data)
    named = [c for c in (outcome, arm) if c]
    table.require(*named, cluster)
    known = table.keep(table.frame[named].notna().all(axis=1), "every value known")
    reading = read_outcome(known, outcome, outcome_level)
    known = known.with_column(Variable("outcome|", outcome), reading.values)
    housed = known.keep(known.frame[cluster].notna(), f"has a {cluster}")
    ids = np.asarray(pd.factorize(housed.frame[cluster])[0])
    if len(housed) == 0 or ids.max() < 1 or np.bincount(ids).max() < 2:
        raise NotEstimable(
            f"Column {cluster!r} needs two levels or more, and a level with two people, for people "
            "of one to be more alike than people of two."
        )
    arms = np.zeros(len(ids), dtype=np.intp) if arm is None else (
        np.asarray(pd.factorize(housed.frame[arm])[0])
    )  # fmt: skip
    y = housed.frame["outcome|"].to_numpy(float)
    return Icc(outcome, cluster, reading.binary, y, ids, arms, len(known) - len(housed))
