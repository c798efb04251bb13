"""Where the arm was chosen: balance after weights first, then the same difference by weights,
pairs and a doubly robust mean; what an unmeasured confounder would have to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Asked
from recovery_stats.analyses._part import Part
from recovery_stats.core.cell import Cell, Quantity, Share
from recovery_stats.core.check import Check
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, LineFigure, LoveFigure, Row, Series, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable
from recovery_stats.models.balance import ALIKE
from recovery_stats.models.comparison import Clusters
from recovery_stats.models.doubly_robust import doubly_robust
from recovery_stats.models.propensity import NoOverlap, PropensityWeights, propensity_weights
from recovery_stats.models.propensity_match import propensity_match
from recovery_stats.models.tipping import needed_ratio
from recovery_stats.models.token import quote

CLUSTER = "cluster|"
PERCENTILES = tuple(range(5, 100, 5))
ROUNDING = 1e-6  # a difference that only arithmetic left
WITH_ARM = (1.5, 2.0, 3.0, 5.0)  # risk ratios of a confounder with the arm
TARGETS = {"overlap": "who could be in either", "ate": "everybody", "att": "those like the arm"}


def compare_chosen(
    asked: Asked, data: Dataset, clusters: Clusters, effects: Sequence[Estimate]
) -> Part | None:
    """Everything that weights and pairs say; None where they are not asked for."""
    if asked.design != "chosen" or not asked.adjust or asked.weights:
        return None
    ask = _asks(asked, data, clusters)
    try:
        main = ask.weights(asked.weighting)
    except NoOverlap as none:
        return Part(checks=(no_overlap(none),))
    except NotEstimable:
        return None
    if not asked.sensitivity:
        return Part(checks=main.checks())
    before = balance_part(asked, data, main)
    return replace(
        before, estimates=tuple(ask.estimates()), tables=(*before.tables, *_tipping(effects))
    )


def weigh(asked: Asked, data: Dataset, clusters: Clusters) -> PropensityWeights:
    """The weights of the declared target. Raises NoOverlap, NotEstimable."""
    return _asks(asked, data, clusters).weights(asked.weighting)


def balance_part(asked: Asked, data: Dataset, main: PropensityWeights) -> Part:
    """What weights made of the two groups: balance, positivity, overlap; no outcome is read."""
    balance, arm = main.balance(), data.variable(ARM)
    return Part(
        (), main.checks(), (_balance_table(asked, balance),),
        (_overlap(main, (arm.level(0.0), arm.level(1.0))), _love(asked, balance)),
    )  # fmt: skip


def _asks(asked: Asked, data: Dataset, clusters: Clusters) -> _Ask:
    if clusters.structure == "none":
        return _Ask(asked, data, None)
    coded = data.with_column(Variable(CLUSTER), clusters.codes.astype(float))
    return _Ask(asked, coded, CLUSTER)


# --- estimates -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ask:
    """Makes each row from the people analysed."""

    asked: Asked
    data: Dataset
    cluster: str | None

    @property
    def formula(self) -> str:
        return f"{quote(ARM)} ~ " + " + ".join(map(quote, self.asked.adjust))

    def weights(self, estimand: str, method: str = "logistic") -> PropensityWeights:
        return propensity_weights(
            self.formula, self.data, estimand, method=method, cluster=self.cluster  # type: ignore[arg-type]
        )  # fmt: skip

    def estimates(self) -> Iterator[Estimate]:
        """The difference by each way that these data allow."""
        for name, label, found in self._ways():
            try:
                first = found()[0]
            except NotEstimable:
                continue
            if np.isfinite(first.se) and first.se > 0:
                yield replace(first, name=name, label=label, level="sensitivity")

    def _ways(self) -> Iterator[tuple[str, str, Callable[[], tuple[Estimate, ...]]]]:
        for estimand, target in TARGETS.items():
            yield f"weighted_{estimand}", f"Weights: {target}", partial(self._weighted, estimand)
        for estimand in ("ate", "att"):
            label = f"Entropy balancing: {TARGETS[estimand]}"
            yield f"entropy_{estimand}", label, partial(self._weighted, estimand, "entropy")
        yield "matched", "Matched pairs", self._matched
        yield "doubly_robust", "Doubly robust (AIPW)", self._doubly_robust

    def _weighted(self, estimand: str, method: str = "logistic") -> tuple[Estimate, ...]:
        return self.weights(estimand, method).estimates(OUTCOME, level=self.asked.level)

    def _matched(self) -> tuple[Estimate, ...]:
        found = propensity_match(self.formula, self.data, cluster=self.cluster)
        return found.estimates(OUTCOME, level=self.asked.level)

    def _doubly_robust(self) -> tuple[Estimate, ...]:
        found = doubly_robust(
            OUTCOME, self.formula, self.data, cluster=self.cluster, seed=self.asked.seed
        )
        return found.estimates(level=self.asked.level)


# --- tables, figures, checks ---------------------------------------------------------------


def no_overlap(none: NoOverlap) -> Check:
    return Check(
        "positivity", "caution",
        (f"By {none.columns} a propensity of exactly 0 or 1 is fitted for ",
         Share(none.people, none.n), " people, who have nobody in the other group to be compared "
         "with: no weights exist, and the main result rests on its model for them."),
    )  # fmt: skip


def _balance_table(asked: Asked, balance: pd.DataFrame) -> Table:
    heads = (("smd_before", "SMD"), ("smd_after", "SMD weighted"),
             ("variance_ratio_before", "Variance ratio"),
             ("variance_ratio_after", "Variance ratio weighted"))  # fmt: skip
    rows = tuple(
        Row(str(r["term"]), str(r["label"]), tuple(_number(float(r[k]), k) for k, _ in heads))
        for _, r in balance.iterrows()
    )
    notes = (
        f"Weighted to {TARGETS[asked.weighting]}, among the people analysed. SMD: standardised "
        "mean difference, the compared group minus the usual one, over the unweighted spread.",
    )
    columns = tuple(Column(k, label) for k, label in heads)
    return Table("weighted_balance", "Balance after weighting", columns, rows, notes)


def _number(value: float, key: str) -> Cell:
    if not np.isfinite(value):
        return None
    if key.startswith("variance"):
        return Quantity(value, "ratio")
    return Quantity(0.0 if abs(value) < ROUNDING else value)


def _love(asked: Asked, balance: pd.DataFrame) -> LoveFigure:
    before, after = (
        tuple(np.round(balance[k].abs().to_numpy(float), 6).tolist())
        for k in ("smd_before", "smd_after")
    )
    return LoveFigure(
        "love_weighted", f"Balance before and after weighting to {TARGETS[asked.weighting]}",
        tuple(balance["label"]), before, after, ALIKE,
    )  # fmt: skip


def _overlap(main: PropensityWeights, names: tuple[str, str]) -> LineFigure:
    """The propensity by its percentile in each group; an end that few people make is withheld."""
    series = []
    for arm in (1, 0):
        e = main.fit.mu[main.arm == arm]
        n = tuple(int(len(e) * min(q, 100 - q) / 100) for q in PERCENTILES)
        y = tuple(np.percentile(e, PERCENTILES).tolist())
        series.append(Series(names[arm], tuple(map(float, PERCENTILES)), y, n_at=n))
    return LineFigure(
        "propensity", "Overlap of the two groups in their propensity",
        "Percentile of the group", f"Chance of “{names[1]}” given the covariates", tuple(series),
        notes=("Where the lines share no heights, the groups do not overlap. Percentiles with few "
               "people beyond them are not shown.",),
    )  # fmt: skip


def _tipping(effects: Sequence[Estimate]) -> Iterator[Table]:
    """How strongly a confounder must go with the outcome, given how it goes with the arm."""
    ratio = next((e for e in effects if e.name == "risk_ratio"), None)
    if ratio is None:
        return
    nearer = ratio.low if ratio.value >= 1 else ratio.high
    covers = ratio.low <= 1 <= ratio.high
    rows = tuple(
        Row(f"tip_{x:g}", f"goes with the arm by a risk ratio of {x:g}",
            (_needed(ratio.value, x), Quantity(1.0, "ratio") if covers else _needed(nearer, x)))
        for x in WITH_ARM
    )  # fmt: skip
    notes = (
        "The bias formula of Ding and VanderWeele (2016). Empty: no such confounder is strong "
        "enough. 1: the interval covers no difference already.",
    )
    columns = (Column("estimate", "Risk ratio with the outcome that explains the estimate away"),
               Column("limit", "… that moves the interval to none"))  # fmt: skip
    yield Table("tipping", "Tipping points: a confounder that …", columns, rows, notes)


def _needed(observed: float, with_arm: float) -> Cell:
    value = needed_ratio(observed, with_arm)
    return Quantity(value, "ratio") if np.isfinite(value) else None
