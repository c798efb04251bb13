"""The account of a scored questionnaire as a document: key, scores, items, checks."""

from __future__ import annotations

import pandas as pd

from recovery_stats.core.cell import Cell, Count, Quantity
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import (
    Block,
    Checks,
    Column,
    Document,
    Heading,
    Paragraph,
    Row,
    Table,
)
from recovery_stats.data.instruments.scorer import Scores
from recovery_stats.study.scoring_check import checks_of


def describe(
    given: Dataset, scores: Scores, items: pd.DataFrame, name: str, *reliable: pd.DataFrame
) -> Document:
    """Key, scores, items and checks of a scale scored from `name`; reliabilities by a column."""
    scale = scores.scale
    opening: tuple[Cell, ...] = (
        f"{scale.title} ({scale.name}), scored from {name}, which has ",
        Count(len(given), "rows"),
        f" rows. Source: {scale.original}. {scale.licence}".rstrip(),
    )
    blocks = (
        Paragraph(opening),
        Checks(tuple(checks_of(scores))),
        Heading("Scores"),
        _scores_table(scores),
        Heading("Items"),
        _items_table(items),
        *(block for found in reliable for block in _reliability(found)),
    )
    return Document("score", f"{scale.name} of {name}", "", blocks)


def _scores_table(scores: Scores) -> Table:
    heads = (
        Column("n", "Scored"), Column("mean", "Mean"), Column("sd", "SD"),
        Column("lowest", "Lowest possible"), Column("highest", "Highest possible"),
    )  # fmt: skip
    ranges = {s.name: scores.scale.range_of(s) for s in scores.scale.scores}
    rows = []
    for column in map(str, scores.frame.columns):
        values = scores.frame[column].dropna()
        n = len(values)
        ends = ranges.get(column.partition("_")[2])
        rows.append(
            Row(
                column,
                column,
                (
                    Count(n, "rows"),
                    Quantity(float(values.mean()), n=n) if n else None,
                    Quantity(float(values.std()), n=n) if n > 1 else None,
                    Quantity(ends[0]) if ends else None,
                    Quantity(ends[1]) if ends else None,
                ),
            )
        )
    return Table("scores", "Scores", heads, tuple(rows), stub="Column")


def _items_table(found: pd.DataFrame) -> Table:
    heads = [Column("answered", "Answered"), Column("out_of_range", "Out of range")]
    if "item_rest" in found:
        heads.append(Column("item_rest", "Correlation with the rest"))
    rows = []
    for item in found.itertuples(index=False):
        cells: list[Cell] = [
            Count(int(item.answered), "rows"),
            Count(int(item.out_of_range), "rows"),
        ]
        if "item_rest" in found:
            known = pd.notna(item.item_rest)
            n = int(item.answered)
            cells.append(Quantity(float(item.item_rest), n=n) if known else None)
        label = f"{item.item}{' (reversed)' if item.reversed else ''}"
        rows.append(Row(str(item.column), f"{item.column}: item {label}", tuple(cells)))
    return Table("items", "Items", tuple(heads), tuple(rows), stub="Item")


def _reliability(found: pd.DataFrame) -> tuple[Block, ...]:
    """alpha and omega by the levels of the first column."""
    by = str(found.columns[0])
    parts = ("alpha", "alpha_low", "alpha_high", "omega", "omega_low", "omega_high")
    heads = ("alpha", "from", "to", "omega", "from", "to")
    columns = (
        Column("n", "Rows"),
        *(Column(p, h) for p, h in zip(parts, heads, strict=True)),
    )
    rows = tuple(
        Row(
            f"{row[by]}.{row['score']}",
            f"{row[by]}: {row['score']}",
            (
                Count(int(row["n"]), "rows"),
                *(Quantity(float(row[p]), n=int(row["n"])) if pd.notna(row[p]) else None
                  for p in parts),
            ),
        )
        for row in found.to_dict("records")
    )  # fmt: skip
    note = "Rows with every item; a scale means the same at each level only if these are alike."
    table = Table("reliability", f"Reliability by {by}", columns, rows, (note,), stub=by)
    return (Heading("Reliability"), table)
