"""The description of missing values as a document: tables by reason, wave and arm, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from recovery_stats.core.cell import Cell, Count, Quantity, Share
from recovery_stats.core.document import (
    Block,
    Checks,
    Column,
    Document,
    Heading,
    LineFigure,
    Paragraph,
    Row,
    Series,
    Table,
    Total,
)
from recovery_stats.errors import NotEstimable

if TYPE_CHECKING:
    from recovery_stats.models.missingness import Missing

MOST_PATTERNS = 20
MOST_LINES = 6


def describe(found: Missing) -> Document:
    """Tables and figures of `found`; small counts are hidden when it is disclosed."""
    unit = "person-waves" if found.waves else "rows"
    opening: tuple[Cell, ...] = (
        "Missing values of ", Count(len(found.states), "rows"), f" {unit}. A question that does "
        "not apply is not missing; an interview that was not held is, at its wave.",
    )  # fmt: skip
    blocks: list[Block] = [Paragraph(opening), Checks(found.checks()), Heading("By reason")]
    blocks.append(reasons_table(found))
    for by in ("wave", "arm"):
        if by in found.keys and (by != "wave" or found.waves):
            blocks += [Heading(f"By {by}"), share_table(found, by)]
    blocks += [Heading("Patterns"), *_patterns(found)]
    blocks += figures(found)
    return Document("missing", "What is missing", "", tuple(blocks))


def reasons_table(found: Missing) -> Table:
    """Each variable with its reasons under it."""
    totals = found.tidy().set_index("variable")
    reasons = found.reasons()
    rows: list[Row] = []
    sums = []
    for column in found.states.columns:
        total = totals.loc[column]
        rows.append(Row(str(column), str(total["label"]), (_share(total),)))
        parts = []
        for i, reason in enumerate(reasons[reasons["variable"] == column].itertuples(), 1):
            cell = Count(int(reason.cells), "rows")
            rows.append(Row(f"{column}.{i}", str(reason.reason), (cell,), depth=1))
            parts += [f"{column}.{i}"] if reason.reason not in found.outside else []
        sums += [Total(str(column), tuple(parts))] if parts else []
    heads = (Column("missing", "Missing"),)
    note = "Shares are of the cells to which the question applies."
    caption = "Missing values by reason"
    return Table("missing_reasons", caption, heads, tuple(rows), (note,), tuple(sums))


def share_table(found: Missing, by: str) -> Table:
    """The share missing of each variable in each wave or arm."""
    table = found.tidy(by="wave" if by == "wave" else "arm")
    whole = found.tidy().set_index("variable")
    levels = list(dict.fromkeys(table[by]))
    rows = []
    for column in found.states.columns:
        of = table[table["variable"] == column].set_index(by)
        cells = (_share(whole.loc[column]), *(_share(of.loc[x]) for x in levels))
        rows.append(Row(str(column), found.data.label(column), cells))
    heads = tuple(Column(f"{by}_{i}", str(level)) for i, level in enumerate(levels, 1))
    total = Total("all", tuple(head.key for head in heads), "columns")
    heads = (Column("all", "All"), *heads)
    caption = f"Missing values by {by}"
    return Table(f"missing_{by}", caption, heads, tuple(rows), totals=(total,))


def _share(tally: pd.Series[float]) -> Cell:
    return Share(int(tally["missing"]), int(tally["cells"])) if tally["cells"] else None


def _patterns(found: Missing) -> list[Block]:
    blocks: list[Block] = [_pattern_table(found, None)]
    if found.waves:
        blocks.append(_kinds(found))
        blocks += [_pattern_table(found, str(c)) for c in found.states.columns][:MOST_LINES]
        blocks.append(_little(found))
    return blocks


def _pattern_table(found: Missing, variable: str | None) -> Table:
    whole = found.patterns(variable)
    unit = "people" if variable else "rows"
    told = [(str(p), int(n)) for p, n in zip(whole["pattern"], whole["n"], strict=True)]
    others = sum(n for _, n in told[MOST_PATTERNS:])
    told = told[:MOST_PATTERNS] + ([("Others", others)] if others else [])
    parts = [Row(f"pattern_{i}", p, (Count(n, unit),)) for i, (p, n) in enumerate(told, 1)]
    rows = (*parts, Row("all", "All", (Count(int(whole["n"].sum()), unit),)))
    total = Total("all", tuple(row.key for row in parts))
    of = found.data.label(variable) if variable else "all variables together"
    columns = ", ".join(map(str, found.states.columns))
    note = "+ observed, o missing, _ not applicable; " + (
        "in the order of the waves." if variable else f"in this order: {columns}."
    )
    name = f"patterns_{variable}" if variable else "patterns"
    head = (Column("n", unit.capitalize()),)
    return Table(name, f"Patterns of {of}", head, rows, (note,), (total,), "Pattern")


def _kinds(found: Missing) -> Table:
    table = found.monotone()
    kinds = list(dict.fromkeys(table["kind"]))
    rows = []
    for column in found.states.columns:
        of = table[table["variable"] == column].set_index("kind")
        cells = tuple(Share(int(of.loc[k, "people"]), max(int(of.loc[k, "of"]), 1)) for k in kinds)
        rows.append(Row(str(column), found.data.label(column), cells))
    heads = ("Always seen", "Lost for good", "Came and went", "Never seen")
    columns = tuple(Column(k, h) for k, h in zip(kinds, heads, strict=True))
    return Table("monotone", "People over the waves", columns, tuple(rows))


def _little(found: Missing) -> Table:
    """Little's test of each variable over the waves; a variable it cannot test is left out."""
    rows = []
    for column in map(str, found.states.columns):
        try:
            test = found.little(column).iloc[0]
        except NotEstimable:
            continue
        cells = (
            Quantity(float(test["statistic"])), Quantity(float(test["df"]), "df"),
            Quantity(float(test["p_value"]), "p"),
        )  # fmt: skip
        rows.append(Row(column, found.data.label(column), cells))
    heads = (Column("statistic", "Statistic"), Column("df", "df"), Column("p", "p"))
    note = (
        "Little's test that values are missing completely at random, over the waves. A large p "
        "does not show that they are; a loss that depends on the lost value cannot be seen."
    )
    return Table("little", "Little's test", heads, tuple(rows), (note,))


def figures(found: Missing) -> list[Block]:
    """The share observed at each wave: a line a variable, or an arm."""
    if not found.waves:
        return []
    blocks: list[Block] = [_lines(found, list(map(str, found.states.columns))[:MOST_LINES])]
    if "arm" in found.keys:
        blocks += [_lines_by_arm(found, str(c)) for c in found.states.columns][:MOST_LINES]
    return blocks


def _lines(found: Missing, columns: list[str]) -> LineFigure:
    table = found.tidy(by="wave")
    series = tuple(_series(found.data.label(c), table[table["variable"] == c]) for c in columns)
    return _figure(found, "observed_by_wave", "Share observed at each wave", series)


def _lines_by_arm(found: Missing, column: str) -> LineFigure:
    from dataclasses import replace

    arms = found.data.variable(found.keys.attrs["arm"])
    series = []
    for arm in sorted(found.keys["arm"].dropna().unique()):
        rows = found.keys["arm"] == arm
        part = replace(found, keys=found.keys[rows], states=found.states[rows])
        table = part.tidy(by="wave")
        series.append(_series(arms.level(arm), table[table["variable"] == column]))
    caption = f"{found.data.label(column)}: share observed at each wave, by arm"
    return _figure(found, f"observed_{column}_by_arm", caption, tuple(series))


def _series(name: str, table: pd.DataFrame) -> Series:
    known = table[table["cells"] > 0]
    x = tuple(float(i) for i in known.reset_index(drop=True).index)
    seen = tuple(float(1 - s) for s in known["share"])
    lost = known["missing"].to_numpy()
    cells = known["cells"].to_numpy()
    # a point speaks of those seen and of those missing: the fewer decide what may be shown
    n_at = tuple(int(min(a, b - a) or max(a, b - a)) for a, b in zip(lost, cells, strict=True))
    return Series(name, x, seen, n_at=n_at)


def _figure(found: Missing, name: str, caption: str, series: tuple[Series, ...]) -> LineFigure:
    level = found.data.variable(found.keys.attrs["wave"]).level
    ticks = tuple((float(i), level(wave)) for i, wave in enumerate(found.waves))
    return LineFigure(name, caption, "Wave", "Share observed", series, points=True, x_ticks=ticks)
