"""Cost against benefit, where the study declares a column of each and what a unit is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recovery_stats.analyses._housing_case import ARM, Asked
from recovery_stats.analyses._part import Part
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, LineFigure, Row, Series, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import UsageError
from recovery_stats.models.net_benefit import NetBenefit, net_benefit

if TYPE_CHECKING:
    from recovery_stats.analyses._housing_question import Question

TIMES = (0.0, 0.5, 1.0, 2.0)  # the declared worth of a unit, for net benefit
POINTS = 41  # of the acceptability curve, from nothing to twice the declared worth
IN_WORDS = ("Nothing", "A quarter", "A half", "Three quarters", "The declared worth",
            "One and a quarter", "One and a half", "One and three quarters", "Twice")  # fmt: skip


def cost_and_benefit(q: Question, asked: Asked, everyone: Dataset) -> Part:
    """Net benefit, cost per unit, acceptability and corners; nothing where no cost is declared.

    Raises UsageError where cost, benefit and willingness are not declared together.
    """
    if (q.cost, q.benefit, q.willingness) == (None, None, None):
        return Part()
    if q.cost is None or q.benefit is None or q.willingness is None or q.willingness <= 0:
        raise UsageError(
            "cost, benefit and willingness go together: the column of what each person cost, that "
            "of what they gained (more is better), and the money declared for a unit of it, "
            "above 0."
        )
    everyone.require(q.cost, q.benefit, table="persons")
    found = net_benefit(
        everyone, q.cost, q.benefit, ARM, cluster=asked.cluster, level=asked.level, seed=q.seed,
        willingness=[m * q.willingness for m in TIMES],
    )  # fmt: skip
    return Part(
        tuple(_estimates(found)), found.checks(),
        (_net_table(found), _corners(found), _curve_table(found)), (_curve(found),),
    )  # fmt: skip


def _name(i: int) -> str:
    return ("cost_difference", "benefit_difference", *(f"net_benefit[{m:g}]" for m in TIMES))[i]


def _estimates(found: NetBenefit) -> Iterator[Estimate]:
    for i, e in enumerate(found.estimates()):
        yield replace(e, name=_name(i), level="secondary")


def _net_table(found: NetBenefit) -> Table:
    worth: list[Cell] = [None, None, *(Quantity(w, "money") for w in found.willingness)]
    labels = ("Difference in cost", "Difference in benefit", *["Net benefit"] * len(TIMES))
    rows = [Row("people", "People with cost and benefit", (None, Count(found.n)))]
    rows += [
        Row(_name(i), label, (worth[i], Ref(_name(i), "interval")))
        for i, label in enumerate(labels)
    ]
    low, high = found.ratio_limits()
    if np.isfinite(low) and found.cost * found.effect > 0:
        rows += [
            Row("ratio", "Cost of a unit of benefit", (None, Quantity(found.ratio, "money"))),
            Row("ratio_low", "from (Fieller)", (None, Quantity(low, "money")), 1),
            Row("ratio_high", "to", (None, Quantity(high, "money")), 1),
        ]
    return Table(
        "net_benefit", "Cost and benefit a person",
        (Column("worth", "Worth of a unit"), Column("interval", "Difference [CI]")), tuple(rows),
        ("Net benefit is the benefit valued at the worth of a unit, less the cost: above 0 the "
         "compared arm is worth its cost. Neither adjusted nor weighted; people, or clusters, "
         "drawn anew within each arm.",),
    )  # fmt: skip


def _corners(found: NetBenefit) -> Table:
    rows = tuple(
        Row(f"corner[{c.corner}]", c.corner.capitalize(), (Quantity(float(c.share), "percent"),))
        for c in found.quadrants().itertuples()
    )
    return Table(
        "cost_corners", "Where the draws lie: cost against benefit",
        (Column("share", "Share of draws"),), rows,
    )  # fmt: skip


def _acceptable(found: NetBenefit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    curve = found.acceptability(np.linspace(0, found.willingness[-1], POINTS).tolist())
    return tuple(curve["willingness"]), tuple(curve["probability"])


def _curve_table(found: NetBenefit) -> Table:
    """The curve at each quarter of the declared worth."""
    step = POINTS // (len(IN_WORDS) - 1)
    points = list(zip(*_acceptable(found), strict=True))[::step]
    rows = tuple(
        Row(f"worth[{i}]", words, (Quantity(w, "money"), Quantity(p, "percent")))
        for i, (words, (w, p)) in enumerate(zip(IN_WORDS, points, strict=True))
    )
    return Table(
        "acceptability_points", "The curve of acceptability in numbers",
        (Column("worth", "Worth of a unit"), Column("probability", "Probability")), rows,
    )  # fmt: skip


def _curve(found: NetBenefit) -> LineFigure:
    worth, probability = _acceptable(found)
    return LineFigure(
        "acceptability", "How probable it is that the compared arm is worth its cost",
        "Worth of a unit of benefit", "Probability of being worth its cost",
        (Series(found.arms[1], worth, probability),), horizontal=0.5, share=True,
    )  # fmt: skip
