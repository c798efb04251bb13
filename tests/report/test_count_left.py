"""What is left printed must not tell what was hidden: near-all counts, totals, love plots."""

from __future__ import annotations

import math
import re

import pytest

from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share, Spread
from recovery_stats.core.document import (
    Block,
    Column,
    Document,
    Flow,
    LoveFigure,
    Paragraph,
    Row,
    Table,
    Total,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Privacy
from recovery_stats.report import render
from recovery_stats.report.disclose import disclose
from recovery_stats.report.privacy.sums import runs

RULES = Privacy()  # counts below 11


def table(*rows: tuple[Cell, ...], columns: int = 1) -> Table:
    heads = tuple(Column(f"c{j}", f"C{j}") for j in range(columns))
    return Table("t", "T", heads, tuple(Row(f"r{i}", f"R{i}", r) for i, r in enumerate(rows)))


def disclosed(*blocks: Block) -> tuple[Block, ...]:
    return disclose(Document("a", "T", "REAL", blocks), RULES).blocks


def column(block: Block) -> list[Cell]:
    assert isinstance(block, Table)
    return [row.cells[0] for row in block.rows]


def test_a_count_a_few_short_of_all_is_hidden_with_its_gap() -> None:
    """Of 100 people 95 answered: five did not, and a reader of the flow would know."""
    flow = Flow((("Analysed", Count(100), Count(0)),))
    few, far = (disclosed(flow, table((Count(n),)))[1] for n in (95, 80))
    assert isinstance(column(few)[0], Hidden)
    assert column(far) == [Count(80)]


def test_a_column_of_two_parts_and_their_undeclared_total() -> None:
    """5 is hidden; 40 and 45 must not both stand, or it is their difference."""
    shown = column(disclosed(table((Count(5),), (Count(40),), (Count(45),)))[0])
    assert isinstance(shown[0], Hidden)
    assert sum(isinstance(cell, Hidden) for cell in shown) >= 2


def test_two_equal_counts_are_no_total_of_each_other() -> None:
    shown = column(disclosed(table((Count(20),), (Count(20),)))[0])
    assert shown == [Count(20), Count(20)]
    assert list(runs(table((Count(20),), (Count(20),)), 0))


def test_a_love_plot_loses_what_its_table_hides() -> None:
    """A standardised difference beside a hidden count can be solved for the count."""
    rows = ((Count(5), Quantity(0.31)), (Count(60), Quantity(0.10)))
    plot = LoveFigure("love", "Balance", ("Rare", "Common"), (-0.31, 0.10), (0.04, 0.02))
    _, left = disclosed(table(*rows, columns=2), plot)
    assert isinstance(left, LoveFigure)
    assert math.isnan(left.before[0])
    assert math.isnan(left.after[0])
    assert (left.before[1], left.after[1]) == (0.10, 0.02)


def outcome_of_two_arms() -> Table:
    """45 of 400 have no outcome, 5 of them in one arm: the others' 40 must not stand anywhere."""
    rows = (
        (Count(196), Share(77, 156), Count(40)),
        (Count(204), Share(56, 199), Count(5)),
        (Count(400), Share(133, 355), Count(45)),
    )
    heads = tuple(Column(k, k) for k in ("people", "outcome", "missing"))
    lines = tuple(Row(f"r{i}", f"R{i}", cells) for i, cells in enumerate(rows))
    return Table("arms", "T", heads, lines, totals=(Total("r2", ("r0", "r1")),))


def test_a_hidden_count_is_no_share_of_its_row_elsewhere() -> None:
    said = Paragraph((Share(40, 196), Share(156, 196), Share(40, 350)))
    _, words = disclosed(outcome_of_two_arms(), said)
    assert isinstance(words, Paragraph)
    assert [type(part) for part in words.parts] == [Hidden, Hidden, Share]


def test_a_raw_estimate_is_no_fraction_of_a_withheld_base() -> None:
    """77/156 and 56/199 at full precision have no other denominators below 400."""
    risks = [
        Estimate("a", "A", 77 / 156, 0.41, 0.57, 0.0400267),
        Estimate("b", "B", 56 / 199, 0, 1),
    ]
    other = Estimate("c", "C", 0.4935897, 0.41, 0.57)
    both = Estimate("d", "D", 56 / 199 - 77 / 156, -0.3, -0.1)
    draft = Document("a", "T", "REAL", (outcome_of_two_arms(),), (*risks, other, both))
    safe = {e.name: e for e in disclose(draft, RULES).estimates}
    assert [safe[k].value for k in "abd"] == [0.49, 0.28, -0.21]
    assert safe["a"].se == 0.04
    assert safe["c"] == other
    rows = disclosed(outcome_of_two_arms())[0].rows  # type: ignore[union-attr]
    assert [row.cells[1] for row in rows] == [
        Quantity(0.49, "whole_percent"), Quantity(0.28, "whole_percent"), Share(133, 355),
    ]  # fmt: skip
    page = render(Document("a", "T", "REAL", disclosed(outcome_of_two_arms())), "md").decode()
    assert re.findall(r"[\d.]+%", page) == ["49%", "28%", "37.5%"]


def test_a_mean_of_few_people_is_not_called_a_small_number() -> None:
    """Three people of mean 12 hidden as "< 11" would read as a mean below 11."""
    row = Row("a", "A", (Count(3), Spread(12.0, 2.0, 3), Quantity(12.5, n=3)))
    heads = tuple(Column(k, k) for k in ("n", "mean", "median"))
    (safe,) = disclosed(Table("t", "T", heads, (row,)))
    assert isinstance(safe, Table)
    assert safe.rows[0].cells == (Hidden(11), Hidden(0), Hidden(0))


@pytest.mark.parametrize(
    ("n", "told"),
    [(0, "0%"), (11, "withheld"), (40, "2%"), (2000, "80%"), (2484, "withheld")],
)
def test_a_share_without_its_base_is_never_none_or_all_of_some(n: int, told: str) -> None:
    """Five of 2,500 lack it, which their base would tell. Who is told 0% takes it for nobody."""
    rows = (
        Row("n", "People", (Count(2500),)),
        Row("sex", "Sex"),
        Row("sex.1", "A", (Share(n, 2495),), 1),
        Row("sex.missing", "missing", (Share(5, 2500),), 1),
    )
    safe = disclosed(Table("t", "T", (Column("all", "All"),), rows))
    lines = render(Document("a", "T", "REAL", safe), "md").decode().splitlines()
    (line,) = (x for x in lines if x.split("|")[1:2] and x.split("|")[1].endswith("A "))
    assert line.split("|")[2].strip() == told


def test_a_share_of_those_with_an_event_does_not_print_the_events_that_a_table_hides() -> None:
    """310 relapses, 191 and 55 of them shown: 54 in a house would leave 10, a small number."""
    states = {"never": 191, "in_house": 54, "recently": 10, "earlier": 55, "all": 310}
    rows = tuple(Row(key, key, (Count(n, "events"),)) for key, n in states.items())
    total = Total("all", ("never", "in_house", "recently", "earlier"))
    table = Table("t", "T", (Column("n", "Relapses"),), rows, totals=(total,))
    told, words = disclosed(table, Paragraph(("Of them ", Share(34, 54), " left.")))
    assert isinstance(told, Table)
    assert [type(row.cells[0]) for row in told.rows[1:3]] == [Hidden, Hidden]
    assert isinstance(words, Paragraph)
    assert words.parts[1] == Quantity(0.63, "whole_percent")
