"""Secondary outcomes declared beforehand: one family, judged together by Holm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from recovery_stats.analyses._housing_case import ARM, Asked, drawn_within, had
from recovery_stats.analyses._housing_people import complete
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._refusal import why
from recovery_stats.analyses._wording import short
from recovery_stats.core.cell import Count, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.arms import compare_arms
from recovery_stats.models.comparison import clusters_of
from recovery_stats.models.multiplicity import adjust_p

if TYPE_CHECKING:
    from recovery_stats.analyses._housing_question import Question


def secondary_outcomes(q: Question, asked: Asked, everyone: Dataset) -> Part:
    """The difference in each declared outcome, its p and Holm's; nothing where none is declared.

    Raises UsageError for an outcome that is the primary one or a covariate.
    """
    names = tuple(dict.fromkeys(q.secondary))
    taken = set(names) & {asked.outcome, asked.arm, *asked.adjust}
    if taken:
        raise UsageError(
            f"Column {min(map(str, taken))!r} is secondary outcome and something else; an outcome "
            "has one place."
        )
    if not names:
        return Part()
    everyone.require(*names, table="persons")
    found = {name: _attempt(asked, everyone, name) for name in names}
    made = tuple(e for e in found.values() if isinstance(e, Estimate))
    return Part(made, tuple(_checks(len(found), len(made))), tables=(_table(everyone, found),))


def _checks(asked: int, made: int) -> Iterator[Check]:
    if made < asked:
        parts = (Count(asked - made, "variables"), " of ", Count(asked, "variables"),
                 " declared secondary outcomes have no estimate; their rows say why.")  # fmt: skip
        yield Check("secondary outcomes", "caution", parts)


def _attempt(asked: Asked, everyone: Dataset, column: str) -> Estimate | str:
    """The difference, or why there is none."""
    try:
        return _difference(asked, everyone, column)
    except NotEstimable:
        return why(everyone, column)


def _difference(asked: Asked, everyone: Dataset, column: str) -> Estimate:
    """Adjusted, clustered and within strata as the primary difference is."""
    whole = complete(everyone, tuple(c for c in (column, *asked.adjust, asked.weights) if c))
    clusters = clusters_of(whole, asked.cluster, whole.frame[ARM].to_numpy(float))
    within = drawn_within(asked, whole, clusters)
    fit = compare_arms(
        everyone, column, ARM, adjust=asked.adjust, cluster=asked.cluster, strata=within,
        weights=asked.weights, level=asked.level,
    )  # fmt: skip
    label = everyone.label(column)
    label = had(label, fit.outcome) if fit.outcome.binary else short(label)
    return replace(fit.estimates()[0], name=f"secondary[{column}]", label=label, level="secondary")


def _table(everyone: Dataset, found: dict[str, Estimate | str]) -> Table:
    """One row a declared outcome; one without an estimate stays in the family, with p = 1."""
    ps = [e.p if isinstance(e, Estimate) else 1.0 for e in found.values()]
    holm = adjust_p(ps, "holm").tolist()
    rows = tuple(
        Row(e.name, e.label, (Count(e.n or 0), Ref(e.name, "interval"), Ref(e.name, "p"),
                              Quantity(h, "p")))
        if isinstance(e, Estimate)
        else Row(f"secondary[{name}]", short(everyone.label(name)),
                 (None, f"no estimate: {e}", None, None))
        for (name, e), h in zip(found.items(), holm, strict=True)
    )  # fmt: skip
    return Table(
        "secondary_outcomes", "Secondary outcomes declared beforehand",
        (Column("people", "People"), Column("interval", "Difference [CI]"), Column("p", "p"),
         Column("holm", "Holm's p")), rows,
        ("Difference in risk or in means, each on the people who have the outcome. Holm's p holds "
         "for all of them together, one without an estimate counted as p = 1; the intervals are "
         "those of each alone.",),
    )  # fmt: skip
