"""Beside the strategies, and less to ask of people: one more a week, and a marginal model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from recovery_stats.analyses._meeting_people import Asked
from recovery_stats.analyses._meeting_rows import model_formula
from recovery_stats.core.cell import Quantity, Ref
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import ConvergenceError, DataError, NotEstimable
from recovery_stats.models.percentile import percentile_limits
from recovery_stats.models.policy import PolicyRisk, marginal_structural, one_more_meeting
from recovery_stats.models.strategy import Courses
from recovery_stats.models.survival import CoxFit

DRAWS = 200  # of the policy's bootstrap: percentiles need more than an error does


@dataclass(frozen=True, slots=True)
class Policies:
    """Risk with one more a week, and the marginal model; None where not estimable."""

    asked: Asked
    people: int
    risk: PolicyRisk | None
    marginal: CoxFit | None

    @classmethod
    def of(cls, asked: Asked, rows: Dataset, people: Courses | None) -> Policies:
        q, n = asked.q, int(rows.frame["person"].nunique())
        risk = marginal = None
        with suppress(NotEstimable, ConvergenceError, DataError):
            risk = one_more_meeting(
                model_formula(asked), rows, horizon=q.strategy_days, weights=q.weights,
                replicates=min(DRAWS, q.replicates), seed=q.seed,
            )  # fmt: skip
        with suppress(NotEstimable, ConvergenceError, DataError):
            if people is not None:
                marginal = marginal_structural(people, truncate=q.truncate)
        return cls(asked, n, risk, marginal)


def policy_estimates(found: Policies) -> Iterator[Estimate]:
    """Risks as it was and with one more a week, their difference, and the marginal hazard ratio."""
    if found.risk is not None:
        yield from _risks(found, found.risk)
    if found.marginal is not None:
        made = found.marginal.estimate(
            {"weekly": 1.0}, name="marginal", label="One more a week, the block before",
            level=found.asked.q.level,
        )  # fmt: skip
        yield replace(made, method=f"marginal structural {made.method}")


def _risks(found: Policies, risk: PolicyRisk) -> Iterator[Estimate]:
    drawn = np.column_stack([risk.draws, risk.draws[:, 1] - risk.draws[:, 0]])
    low, high = percentile_limits(drawn, found.asked.q.level)
    se = drawn.std(axis=0, ddof=1)
    for j, (name, label, value) in enumerate(
        (
            ("policy_natural", "Risk as people attended", risk.natural),
            ("policy_risk", "Risk with one more a week", risk.policy),
            ("policy_difference", "Risk difference, one more a week", risk.difference),
        )
    ):
        told = name == "policy_difference" and se[j] > 0
        yield Estimate(
            name, label, float(value), float(min(low[j], value)), float(max(high[j], value)),
            float(se[j]), _two_sided(value / se[j]) if told else float("nan"),
            scale="difference" if name == "policy_difference" else "probability",
            level="secondary", confidence=found.asked.q.level, n=found.people,
            method=f"modified treatment policy, {len(risk.draws)} bootstrap draws of people",
        )  # fmt: skip


def _two_sided(z: float) -> float:
    return float(2 * NormalDist().cdf(-abs(z)))


def policy_tables(found: Policies, named: dict[str, Estimate]) -> Iterator[Table]:
    """The estimates, and how the weights of the marginal model are spread."""
    rows = [
        Row(n, named[n].label, (Ref(n, "interval"),))
        for n in ("policy_natural", "policy_risk", "policy_difference", "marginal")
        if n in named
    ]
    if not rows:
        return
    yield Table(
        "policies",
        "Beside the strategies: questions that ask less of people",
        (Column("estimate", "Estimate"),),
        tuple(rows),
        (
            "Risks by the end of the strategies' time, other events held off, if everyone had "
            "kept their own course and attended once more a week. The last line is a hazard "
            "ratio: a marginal structural Cox model on attendance in the block before.",
        ),
    )
    if found.marginal is not None:
        yield _weights(found, found.marginal)


def _weights(found: Policies, fit: CoxFit) -> Table:
    seen = fit.observation
    w = np.asarray(seen.weights)
    largest = float(w.max())
    spread = {
        "mean": ("Mean", float(w.mean())),
        "median": ("Median", float(np.median(w))),
        "p99": ("99th percentile", float(np.quantile(w, 0.99))),
        "max": ("Largest", largest),
    }
    cells = tuple(Quantity(value, n=int(seen.people or 0)) for _, value in spread.values())
    return Table(
        "marginal_weights",
        "Stabilised weights of the marginal structural model",
        tuple(Column(key, label) for key, (label, _) in spread.items()),
        (Row("weights", "Person-blocks", cells),),
        (
            "Chance of the class of each earlier block's attendance given the class before and "
            "what was known at entry, over that given the whole history; the largest are cut as "
            "for the strategies.",
        ),
    )
