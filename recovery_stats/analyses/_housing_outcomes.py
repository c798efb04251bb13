"""What a study declares beyond its primary difference: subgroups, a margin, an expected effect.

Nothing here appears unless the study file asked for it before the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from recovery_stats.analyses._housing_case import ARM, OUTCOME, Asked, OutcomeAnswer, drawn_within
from recovery_stats.analyses._housing_cost import cost_and_benefit
from recovery_stats.analyses._housing_kind import by_kind
from recovery_stats.analyses._housing_secondary import secondary_outcomes
from recovery_stats.analyses._part import Part, joined
from recovery_stats.analyses._refusal import CONSTANT, why
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Column, ForestFigure, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.errors import NotEstimable, UsageError
from recovery_stats.models.evidence import bayes_factor, equivalence
from recovery_stats.models.multiplicity import adjust_p
from recovery_stats.models.subgroup import Moderation, Subgroups, subgroups

if TYPE_CHECKING:
    from recovery_stats.analyses._housing_question import Question

BEFOREHAND = {"subgroups", "subgroups_refused", "equivalence", "bayes", "secondary_outcomes"}
Better = Literal["higher", "lower"]
VERDICTS = {
    "shown": "Shown: the interval lies within the margin.",
    "not shown": "Equivalence not shown: the interval reaches beyond the margin.",
    "refuted": "Refuted: the interval lies beyond the margin.",
}
SAYS = {"effect": "for an effect", "none": "for none", "undecided": "undecided"}


def outcome_parts(
    q: Question, asked: Asked, everyone: Dataset, outcome: OutcomeAnswer | None
) -> Part:
    """Everything that the study declared beyond its primary difference.

    The names of its tables are conditions of the sentences about them.
    """
    found = joined(
        (
            by_kind(q, asked, outcome) if outcome else Part(),
            declared(q, outcome, asked),
            secondary_outcomes(q, asked, everyone),
            cost_and_benefit(q, asked, everyone),
        )
    )
    names = {t.name for t in found.tables}
    head = {"declared"} if names & BEFOREHAND else set()
    return replace(found, said=found.said | names | head)


def declared(question: Question, outcome: OutcomeAnswer | None, given: Asked) -> Part:
    """Everything declared about a yes-no outcome or a number; nothing without an outcome.

    Raises UsageError for a margin without its reason, or without an outcome to have one of.
    """
    asked = bool(question.subgroup) or (question.margin, question.expected) != (None, None)
    if outcome is None:
        if asked:
            raise UsageError("subgroup, margin and expected go with an outcome; name one.")
        return Part()
    main = next(e for e in outcome.estimates if e.level == "primary")
    found, refused = _subgroups(question, outcome, given)
    tables = [
        *([_subgroup_table(found), _interaction_table(found, len(refused))] if found else []),
        *([_refusals(outcome.data, refused)] if refused else []),
        *_equivalence_table(question, main),
        *([] if question.expected is None else [_bayes_table(main, question.expected)]),
    ]
    return Part(
        tuple(_effects(found)) if found else (),
        (*(found.checks() if found else ()), *_told(len(question.subgroup), len(refused))),
        tuple(tables), (_forest(found),) if found else (),
    )  # fmt: skip


def _subgroups(
    question: Question, outcome: OutcomeAnswer, given: Asked
) -> tuple[Subgroups | None, tuple[str, ...]]:
    """The declared subgroups that have an answer, and the columns of those that have none."""
    real = given.cluster if outcome.clusters.structure != "none" else None
    within = drawn_within(given, outcome.data, outcome.clusters)
    found: list[Moderation] = []
    refused: list[str] = []
    for column in question.subgroup:
        try:
            found += subgroups(
                outcome.data, OUTCOME, ARM, [column], adjust=question.adjust, cluster=real,
                strata=within, weights=question.weights, level=question.level,
            ).found  # fmt: skip
        except NotEstimable:
            refused.append(column)
    return Subgroups(tuple(found), question.level) if found else None, tuple(refused)


def _told(asked: int, refused: int) -> Iterator[Check]:
    if refused:
        parts = (Count(refused, "variables"), " of ", Count(asked, "variables"),
                 " declared subgroups have no answer; a table says why.")  # fmt: skip
        yield Check("declared subgroups", "caution", parts)


def _refusals(data: Dataset, refused: tuple[str, ...]) -> Table:
    rows = tuple(Row(f"refused[{c}]", data.label(c), (_why(data, c),)) for c in refused)
    return Table("subgroups_refused", "Subgroups without an answer", (Column("why", "Why"),), rows)


def _why(data: Dataset, column: str) -> str:
    reason = why(data, column)
    return reason if reason == CONSTANT else "a level has people of one arm only, or is a cluster"


def _effects(found: Subgroups) -> Iterator[Estimate]:
    for m in found.found:
        for i, e in enumerate(m.effects):
            yield replace(
                e, name=f"subgroup[{m.by},{i}]", label=f"{m.label}: {e.label}", level="secondary"
            )


def _subgroup_table(found: Subgroups) -> Table:
    rows = []
    for m in found.found:
        rows.append(Row(f"head[{m.by}]", m.label))
        for i, e in enumerate(m.effects):
            cells: tuple[Cell, ...] = (Ref(f"subgroup[{m.by},{i}]", "interval"),)
            rows.append(Row(f"level[{m.by},{i}]", e.label, cells, 1))
    return Table(
        "subgroups", "The difference in declared subgroups",
        (Column("interval", "Difference [CI]"),), tuple(rows),
        ("Linear model, one interaction at a time, within strata where the main result is. A "
         "number is shown at its mean and one standard deviation to either side.",),
    )  # fmt: skip


def _interaction_table(found: Subgroups, refused: int) -> Table:
    """One row a subgroup; those without an answer stay in the family, with p = 1."""
    family = adjust_p([*(m.p for m in found.found), *[1.0] * refused], "holm").tolist()
    rows = [
        Row(f"interaction[{m.by}]", m.label,
            (Quantity(m.statistic), Quantity(m.num_df, "df"), Quantity(m.den_df, "df"),
             Quantity(m.p, "p"), Quantity(holm, "p")))
        for m, holm in zip(found.found, family, strict=False)
    ]  # fmt: skip
    columns = (("f", "F"), ("num_df", "df"), ("den_df", "df within"), ("p", "p"),
               ("holm", "Holm's p"))  # fmt: skip
    return Table(
        "interactions", "Does the difference differ?",
        tuple(Column(k, label) for k, label in columns), tuple(rows),
        ("Whether effects differ is told by these tests alone. Holm's p holds for all of them "
         "together.",),
    )  # fmt: skip


def _forest(found: Subgroups) -> ForestFigure:
    names = [f"subgroup[{m.by},{i}]" for m in found.found for i in range(len(m.effects))]
    return ForestFigure(
        "subgroup_forest", "The difference in declared subgroups", "Difference",
        tuple(Ref(n) for n in names),
    )  # fmt: skip


def _equivalence_table(question: Question, main: Estimate) -> Sequence[Table]:
    if question.margin is None:
        return ()
    better: Better = "higher" if question.better == "higher" else "lower"
    aim: Literal["equivalence", "non-inferiority"] = (
        "non-inferiority" if question.margin_aim == "non-inferiority" else "equivalence"
    )
    found = equivalence(
        main, question.margin, reason=question.margin_reason, aim=aim, better=better,
        alpha=1 - question.level,
    )  # fmt: skip
    rows: list[tuple[str, str, Cell]] = [
        ("margin", "Margin, on the scale of the difference", Quantity(found.margin)),
        ("reason", "Reason declared", found.reason),
        ("low", "Interval that decides, from", Quantity(found.low)),
        ("high", "to", Quantity(found.high)),
        ("p", "p of the larger one-sided test", Quantity(found.p, "p")),
        ("verdict", aim.capitalize(), VERDICTS[found.verdict]),
    ]
    return (Table(
        "equivalence", f"{aim.capitalize()} within the margin declared",
        (Column("value", ""),), tuple(Row(k, label, (cell,)) for k, label, cell in rows),
    ),)  # fmt: skip


def _bayes_table(main: Estimate, expected: float) -> Table:
    rows = tuple(
        Row(f"bf[{row.times_expected:g}]", label,
            (Quantity(row.prior_scale), Quantity(row.bf10, "ratio"), SAYS[row.says]))
        for row, label in zip(
            bayes_factor(main, expected).itertuples(),
            ("Half the expected effect", "The expected effect", "Twice the expected effect"),
            strict=True,
        )
    )  # fmt: skip
    return Table(
        "bayes", "Evidence for the declared effect against none",
        (Column("scale", "Scale of the prior"), Column("bf10", "Bayes factor"),
         Column("says", "Evidence")),
        rows,
        ("The prior under an effect is half a normal in the declared direction with the scale "
         "shown as its standard deviation. Above 3 is evidence for an effect, below a third for "
         "none; between, the data do not tell.",),
    )  # fmt: skip
