"""Two tables of people, one of a part of the other: nobody can count those who left."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from recovery_stats.core.cell import Count, Hidden, Quantity, Share, Shown
from recovery_stats.core.document import (
    Column,
    Document,
    LoveFigure,
    Paragraph,
    Row,
    Table,
    Total,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import PROFILES
from recovery_stats.report.disclose import disclose
from tests.report.test_attack import LEAST_POSSIBLE, extreme

CMS = PROFILES["cms"]


def people(name: str, counts: np.ndarray) -> Table:
    """Categories by groups under their sum, as the tables of the reports are."""
    full = np.column_stack([counts.sum(axis=1), counts]) if counts.shape[1] > 1 else counts
    keys = ["all", *(f"g{j}" for j in range(full.shape[1] - 1))]
    bases = full.sum(axis=0)
    rows = [Row("n", "People", tuple(Count(int(n)) for n in bases)), Row("educ", "Education")]
    for i, line in enumerate(full):
        shares = (Share(int(n), int(of)) for n, of in zip(line, bases, strict=True))
        rows.append(Row(f"educ.{i}", f"E{i}", tuple(shares), 1))
    totals = (Total("all", tuple(keys[1:]), "columns"),) if len(keys) > 1 else ()
    heads = tuple(Column(key, key) for key in keys)
    return Table(name, name, heads, tuple(rows), totals=totals)


def told(*blocks, estimates=()):
    return disclose(Document("a", "T", "REAL", blocks, estimates), CMS)


def unknowns(before: Table, after: Table, inner: np.ndarray) -> tuple[np.ndarray, ...]:
    """Bounds and sums of the cells of `after` and, behind them, of those who left each category."""
    (k, width), size = inner.shape, inner.size
    low, high = np.zeros(size + k), np.full(size + k, np.inf)
    for at, (i, j) in enumerate(product(range(k), range(width))):
        cell = after.rows[i + 2].cells[j]
        if isinstance(cell, Share):
            low[at] = high[at] = cell.n
        elif isinstance(cell, Hidden) and cell.below:
            low[at], high[at] = 1, cell.below - 1
    sums = [
        (np.arange(size + k) % width == j) & (np.arange(size + k) < size)
        for j in range(width)
        if isinstance(after.rows[0].cells[j], Count)
    ]
    ends = [cell.n for cell in after.rows[0].cells if isinstance(cell, Count)]
    for i in range(k):
        line, both = np.zeros(size + k), np.zeros(size + k)
        line[i * width : (i + 1) * width] = [-1, *[1] * (width - 1)] if width > 1 else 0
        both[[i * width, size + i]] = 1
        sums.append(line)
        ends.append(0)
        if isinstance(cell := before.rows[i + 2].cells[0], Share):
            sums.append(both)
            ends.append(cell.n)
    return low, high, np.array(sums, float), np.array(ends, float)


@pytest.mark.parametrize("seed", range(40))
def test_those_who_left_between_two_tables_keep_several_possible_numbers(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    k, groups = draw.randint(2, 5), draw.randint(1, 3)
    part = np.array([[draw.choice([4, 12, 30, 60]) for _ in range(groups)] for _ in range(k)])
    left = np.array([60, *(draw.choice([0, 2, 5, 9, 12, 40]) for _ in range(k - 1))])
    whole = part.sum(axis=1) + left
    before, after = told(people("b", whole[:, None]), people("p", part)).blocks
    inner = part if groups == 1 else np.column_stack([part.sum(axis=1), part])
    low, high, sums, ends = unknowns(before, after, inner)
    for i in np.flatnonzero((left > 0) & (left < CMS.minimum)):
        place = inner.size + int(i)
        least, most = (extreme(place, sign, sums, ends, low, high) for sign in (1, -1))
        assert most - least + 1 >= LEAST_POSSIBLE


def test_the_others_who_left_are_no_small_number_either() -> None:
    """Of 100 who left 97 were employed: three were not."""
    whole, part = people("b", np.array([[200], [203]])), people("p", np.array([[103], [200]]))
    only = [replace(t, rows=(t.rows[0], t.rows[2])) for t in (whole, part)]
    before, after = told(*only).blocks
    assert before == only[0]
    assert isinstance(after.rows[1].cells[0], Hidden)


def test_tables_of_the_same_people_and_of_many_who_left_stay() -> None:
    whole, part = people("b", np.array([[60], [90]])), people("p", np.array([[30], [70]]))
    assert told(whole, part).blocks == (whole, part)
    assert told(whole, whole).blocks == (whole, whole)


def test_one_difference_of_all_categories_does_not_tell_the_hidden_ones() -> None:
    """With sums known one number is free, and each value of it has a difference of its own."""
    table = people("t", np.array([[63, 35], [78, 69], [46, 40], [23, 23], [12, 4]]))
    heads = (*table.columns, Column("smd", "SMD"))
    rows = (replace(table.rows[0], cells=(*table.rows[0].cells, None)),
            replace(table.rows[1], cells=(None, None, None, Quantity(0.2644))),
            *(replace(r, cells=(*r.cells, None)) for r in table.rows[2:]),
            Row("age", "Age", (None, None, None, Quantity(0.0912))))  # fmt: skip
    love = LoveFigure("love", "Balance", ("Education", "Age"), (0.2644, 0.0912), ())
    said = Paragraph((Quantity(0.2644),))
    safe, plot, words = told(replace(table, columns=heads, rows=rows), love, said).blocks
    assert any(isinstance(c, Hidden) for r in safe.rows[2:7] for c in r.cells)
    assert safe.rows[1].cells[3] == Hidden(0)
    assert safe.rows[7].cells[3] == Quantity(0.0912)
    assert plot.before[0] != plot.before[0]  # nan
    assert plot.before[1] == 0.0912
    assert words.parts == (Hidden(0),)


def test_a_reference_of_one_is_no_ratio_of_two_shares() -> None:
    """Two hidden shares that are alike have the ratio 1, and so has a group against itself."""
    table = people("t", np.array([[5, 5], [60, 60]]))
    same = Estimate("ref", "none", 1.0, 1.0, 1.0, scale="ratio")
    seen = Estimate("rr", "seen", 1.0, 0.3, 3.3, scale="ratio")
    safe = told(table, Paragraph((Shown(same), Shown(seen))), estimates=(same, seen))
    assert safe.blocks[1].parts == (Shown(same), Hidden(0))
