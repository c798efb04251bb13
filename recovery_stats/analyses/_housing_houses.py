"""Whether the effect of living in a house depends on the kind of house, where that was declared.

Secondary throughout: houses are few, and nobody drew their size, type or rules by lot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from recovery_stats.analyses._housing_case import Asked, OutcomeAnswer
from recovery_stats.analyses._housing_question import Question
from recovery_stats.analyses._part import Part
from recovery_stats.analyses._wording import phrase
from recovery_stats.core.cell import Cell, Count, Quantity, Ref
from recovery_stats.core.document import Column, ForestFigure, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Study
from recovery_stats.errors import UsageError
from recovery_stats.models.house_moderation import FEWEST_DF, FEWEST_HOUSES, TooFewHouses
from recovery_stats.models.house_moderator import HouseModerators, Moderator, Refused, moderate


def kinds_of_houses(
    question: Question, asked: Asked, outcome: OutcomeAnswer | None, study: Study
) -> Part:
    """The part of the report on kinds of houses; nothing where none was declared.

    Raises UsageError without an outcome, with weights, or where nobody's house is known.
    """
    if not question.house_by:
        if question.cross_level:
            raise UsageError(
                "cross_level goes with characteristics of houses: name one with --house-by COLUMN; "
                "in the study file: characteristic under [roles.houses]."
            )
        return Part()
    house = question.house or study.role("persons", "house")
    key = study.role("houses", "house")
    _refuse(outcome, asked, house, key)
    assert outcome is not None
    assert house is not None
    assert key is not None
    found = moderate(
        outcome.data, study["houses"], house=house, key=key, by=question.house_by,
        cross_level=question.cross_level, adjust=asked.adjust, level=asked.level,
    )  # fmt: skip
    return Part(
        tuple(_estimates(found)), found.checks(), tuple(_tables(found)), tuple(_figures(found)),
        said=frozenset(_said(found)),
    )  # fmt: skip


def _refuse(
    outcome: OutcomeAnswer | None, asked: Asked, house: str | None, key: str | None
) -> None:
    if outcome is None:
        raise UsageError("house_by goes with an outcome; name one.")
    if asked.weights:
        raise UsageError(
            "Characteristics of houses are asked by a mixed model, which takes no weights: take "
            "'weights' or 'house_by' out."
        )
    for column, table in ((house, "persons"), (key, "houses")):
        if column is None:
            raise UsageError(
                "house_by needs the house of each person and of each row of houses: name it with "
                "--house COLUMN where both tables call it so; in the study file: house = "
                f'"COLUMN" under [roles.{table}].'
            )


def _name(m: Moderator, i: int) -> str:
    return f"slope_by[{m.by},{m.column},{i}]" if m.column else f"house_by[{m.by},{i}]"


def _whole(m: Moderator | Refused) -> str:
    return f"{m.across}, by {phrase(m.label)}" if m.across else m.label


def _estimates(found: HouseModerators) -> Iterator[Estimate]:
    for m in found.asked:
        for i, e in enumerate(m.found.effects):
            yield replace(e, name=_name(m, i), label=f"{_whole(m)}: {e.label}", level="secondary")


def _tables(found: HouseModerators) -> Iterator[Table]:
    differences = [m for m in found.asked if not m.column]
    slopes = [m for m in found.asked if m.column]
    if differences:
        yield _levels(
            differences, "house_kinds", "The difference by kind of house", "Difference [CI]"
        )
    if slopes:
        yield _levels(
            slopes, "house_slopes", "Slopes of people's covariates among residents, by kind of "
            "house", "Change of the outcome for one unit [CI]",
        )  # fmt: skip
    if found.asked:
        yield _tests(found)
    if found.refused:
        yield _refusals(found)


def _levels(asked: list[Moderator], name: str, caption: str, head: str) -> Table:
    rows = []
    for m in asked:
        rows.append(Row(f"head[{m.by},{m.column}]", _whole(m)))
        for i, e in enumerate(m.found.effects):
            rows.append(Row(_name(m, i), e.label, (Ref(_name(m, i), "interval"),
                                                   Ref(_name(m, i), "df")), 1))  # fmt: skip
    return Table(
        name, caption, (Column("interval", head), Column("df", "df")), tuple(rows),
        ("One characteristic at a time. A number is shown at the mean of the houses and one "
         "standard deviation of theirs to either side.",),
    )  # fmt: skip


def _tests(found: HouseModerators) -> Table:
    rows = [
        Row(f"test[{m.by},{m.column}]", _whole(m), _tested(m, holm))
        for m, holm in zip(found.asked, found.holm, strict=True)
    ]
    columns = (("houses", "Houses"), ("f", "F"), ("num_df", "df"), ("den_df", "df of houses"),
               ("p", "p"), ("holm", "Holm's p"), ("cr2", "p (CR2)"))  # fmt: skip
    return Table(
        "house_tests", "Does it depend on the kind of house?",
        tuple(Column(k, label) for k, label in columns), tuple(rows),
        ("Whether kinds of houses differ is told by these tests alone. Holm's p holds for all of "
         "them together. Degrees of freedom are never more than houses allow. p (CR2): the same "
         "hypothesis with errors by house.",),
    )  # fmt: skip


def _tested(m: Moderator, holm: float) -> tuple[Cell, ...]:
    t = m.found
    return (Count(t.houses, "houses"), Quantity(t.statistic), Quantity(t.num_df, "df"),
            Quantity(t.den_df, "df"), Quantity(t.p, "p"), Quantity(holm, "p"),
            Quantity(t.robust_p, "p"))  # fmt: skip


def _refusals(found: HouseModerators) -> Table:
    rows = tuple(Row(f"refused[{i}]", _whole(r), _why(r)) for i, r in enumerate(found.refused))
    return Table(
        "house_refused", "Not asked", (Column("houses", "Houses"), Column("why", "Why")), rows,
        (f"A kind needs {FEWEST_HOUSES} houses, because one house cannot be told from its kind; a "
         f"test needs {FEWEST_DF} degrees of freedom between houses, because below no method for "
         "few houses keeps its error rate.",),
    )  # fmt: skip


def _why(r: Refused) -> tuple[Cell, ...]:
    if not isinstance(r.why, TooFewHouses):
        return None, "the model has no answer on these data"
    if r.why.level:
        return None, f"too few houses of “{r.why.level}”{r.why.where}"
    return Count(r.why.houses, "houses"), f"too few houses {r.why.where}"


def _figures(found: HouseModerators) -> Iterator[ForestFigure]:
    names = [_name(m, i) for m in found.asked if not m.column for i in range(len(m.found.effects))]
    if names:
        yield ForestFigure(
            "house_forest", "The difference by kind of house", "Difference",
            tuple(Ref(n) for n in names),
        )  # fmt: skip


def _said(found: HouseModerators) -> Iterator[str]:
    yield "house_kinds"
    if found.asked:
        yield "house_one_arm" if found.one_arm else "house_both_arms"
    if any(m.column for m in found.asked):
        yield "house_slopes"
    if found.refused:
        yield "house_refused"
