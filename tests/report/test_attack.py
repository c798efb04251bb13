"""Attacks on disclosed documents: what was hidden must not come back.

The attacker has everything printed and the rule itself. Tables are attacked by integer programs
(the least and the largest value of every hidden count under all sums that hold), flows by
subtraction, shares by percentages, curves by reading their steps.
"""

from __future__ import annotations

import csv
import json
import math
import random
import re
from io import BytesIO, StringIO
from itertools import pairwise
from zipfile import ZipFile

import docx
import numpy as np
import pandas as pd
import pytest
from docx.oxml.ns import qn
from scipy.optimize import Bounds, LinearConstraint, milp

import recovery_stats as rs
from recovery_stats.core.bar import Bar, BarFigure, CellOf
from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share, Shown, Spread
from recovery_stats.core.dataset import Step
from recovery_stats.core.document import (
    CaterpillarFigure,
    Column,
    CurveFigure,
    Document,
    Figure,
    Flow,
    LineFigure,
    Paragraph,
    Row,
    Series,
    Table,
    Total,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.panel import PanelFigure
from recovery_stats.core.study import PROFILES, Privacy
from recovery_stats.models.mixed_figure import diagnostic_figure
from recovery_stats.report import figure_data, figures, flow_table, render, words
from recovery_stats.report.compose import compose
from recovery_stats.report.disclose import disclose
from recovery_stats.report.privacy.visit import cells
from recovery_stats.report.words import clean
from tests.report import example

CMS = PROFILES["cms"]
LEAST_POSSIBLE = 3
NUMBER = r"([-\d.]+)"
BAR = rf'<path d="M {NUMBER} {NUMBER} \nL {NUMBER} {NUMBER} [^"]*" clip-path[^>]*style="([^"]*)"'


def document(*blocks: object, estimates: tuple[Estimate, ...] = ()) -> Document:
    return Document("attack", "Attack", "SYNTHETIC", tuple(blocks), estimates)  # type: ignore[arg-type]


# --- tables ------------------------------------------------------------------------------


def random_counts(draw: random.Random) -> np.ndarray:
    """Categories by groups with small cells, an empty one now and then."""
    shape = (draw.randint(2, 5), draw.randint(2, 4))
    sizes = [0, 2, 5, 9, 10, 11, 14, 30, 80, 240]
    counts = [[draw.choice(sizes) for _ in range(shape[1])] for _ in range(shape[0])]
    return np.array(counts)


def table_of(counts: np.ndarray, *, shares: bool, whole_row: bool, whole_column: bool) -> Table:
    full = counts
    if whole_column:
        full = np.column_stack([full, full.sum(axis=1)])
    bases = full.sum(axis=0)

    def cell(n: int, of: int) -> Cell:
        return Share(int(n), int(of)) if shares else Count(int(n))

    rows = [
        Row(f"r{i}", f"Category {i}", tuple(cell(n, of) for n, of in zip(line, bases, strict=True)))
        for i, line in enumerate(full)
    ]
    if whole_row:
        rows.append(Row("n", "People", tuple(Count(int(n)) for n in bases)))
    names = [f"g{j}" for j in range(counts.shape[1])]
    columns = [Column(name, name) for name in names] + [Column("all", "All")] * whole_column
    totals = [Total("n", tuple(f"r{i}" for i in range(len(counts))))] * whole_row
    totals += [Total("all", tuple(names), "columns")] * whole_column
    return Table("t", "Counts", tuple(columns), tuple(rows), totals=tuple(totals))


def attack(table: Table, counts: np.ndarray, *, known: bool, total: bool) -> None:
    """Bound every hidden inner count by integer programs over the sums that are known.

    known: the row below holds the column sums; total: the column at the right the row sums.
    """
    low, high = bounds_of(table, counts)
    matrix, ends = sums_of(table, counts, known=known, total=total)
    for k, (i, j) in enumerate(np.ndindex(*counts.shape)):
        if 0 < counts[i, j] < CMS.minimum:
            assert isinstance(table.rows[i].cells[j], Hidden)
            least, most = (extreme(k, sign, matrix, ends, low, high) for sign in (1, -1))
            assert most - least + 1 >= LEAST_POSSIBLE


def bounds_of(table: Table, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.zeros(counts.size), np.full(counts.size, np.inf)
    for k, (i, j) in enumerate(np.ndindex(*counts.shape)):
        cell = table.rows[i].cells[j]
        if isinstance(cell, Hidden):
            low[k], high[k] = (1, cell.below - 1) if cell.below else (0, np.inf)
        else:
            low[k] = high[k] = cell.n  # type: ignore[union-attr]
    return low, high


def sums_of(
    table: Table, counts: np.ndarray, *, known: bool, total: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Column sums from the row of totals or the base of any printed share; row sums."""
    rows, columns = counts.shape
    places = np.arange(counts.size).reshape(rows, columns)
    found = []
    for j in range(columns):
        cells_here = [table.rows[i].cells[j] for i in range(rows)]
        told = any(isinstance(cell, Share) for cell in cells_here)
        if told or (known and isinstance(table.rows[rows].cells[j], Count)):
            found.append((places[:, j], counts[:, j].sum()))
    found += [
        (places[i], counts[i].sum())
        for i in range(rows)
        if total and not isinstance(table.rows[i].cells[columns], Hidden)
    ]
    matrix = np.zeros((len(found), counts.size))
    for line, (where, _) in zip(matrix, found, strict=True):
        line[where] = 1
    return matrix, np.array([n for _, n in found], float)


def extreme(  # type: ignore[no-untyped-def]
    k: int, sign: int, matrix: np.ndarray, ends: np.ndarray, low: np.ndarray, high: np.ndarray
):
    """The least (sign 1) or largest (−1) value of count `k`; ∞ when nothing bounds it."""
    goal = sign * np.eye(low.size)[k]
    rules = [LinearConstraint(matrix, ends, ends)] if len(matrix) else []
    found = milp(goal, constraints=rules, bounds=Bounds(low, high), integrality=np.ones(low.size))
    return sign * found.fun if found.fun is not None else -sign * math.inf


@pytest.mark.parametrize("seed", range(60))
def test_hidden_counts_of_a_table_keep_several_possible_values(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    counts = random_counts(draw)
    shares, whole_row, whole_column = (draw.random() < 0.5 for _ in range(3))
    table = table_of(counts, shares=shares, whole_row=whole_row, whole_column=whole_column)
    if draw.random() < 0.5:  # sums that nobody declared hold all the same
        table = Table("t", "Counts", table.columns, table.rows)
    said = (counts.sum(), counts[:, 0].sum(), draw.choice(counts.ravel()))
    prose = Paragraph(tuple(Count(int(n)) for n in said))
    (safe, _) = disclose(document(table, prose), CMS).blocks
    assert isinstance(safe, Table)
    attack(safe, counts, known=whole_row, total=whole_column)


def test_undeclared_sums_are_found_too() -> None:
    counts = np.array([[7, 40, 60], [50, 45, 70], [90, 80, 99]])
    declared = table_of(counts, shares=True, whole_row=True, whole_column=True)
    bare = Table("t", "c", declared.columns, declared.rows)
    (safe,) = disclose(document(bare), CMS).blocks
    assert isinstance(safe, Table)
    attack(safe, counts, known=True, total=True)


def test_a_total_printed_in_prose_closes_the_sum() -> None:
    columns = (Column("a", "A"), Column("b", "B"), Column("c", "C"))
    table = Table("t", "Events", columns, (Row("e", "Events", (Count(7), Count(60), Count(80))),))
    said = Paragraph((Count(147), " relapsed."))
    safe = disclose(document(said, table), CMS)
    hidden = [c for c in cells(safe).values() if isinstance(c, Hidden)]
    assert len(hidden) >= 2


def test_a_run_of_small_counts_with_known_total_and_a_chance_number_stays_hidden() -> None:
    """Waves with 5, 5, 2, 4, 3 missing; 19 is printed, and 14 (the last four) by chance."""
    missing, outside, used = [5, 5, 2, 4, 3], [195, 170, 140, 134, 116], [200, 171, 153, 132, 115]
    columns = tuple(Column(key, key) for key in ("held", "outside", "missing", "used"))
    rows = tuple(
        Row(f"w{i}", f"Wave {i}", tuple(map(Count, (sum(line), *line))))
        for i, line in enumerate(zip(outside, missing, used, strict=True))
    )
    total = Total("held", ("outside", "missing", "used"), "columns")
    table = Table("t", "Waves", columns, rows, totals=(total,))
    safe = disclose(document(Paragraph((Share(19, 790), Count(14), Count(755))), table), CMS)
    waves = safe.blocks[1]
    assert isinstance(waves, Table)
    for row in waves.rows:
        assert isinstance(row.cells[2], Hidden)
        assert sum(isinstance(cell, Hidden) for cell in row.cells) >= 2


def test_means_of_a_small_group_do_not_follow_from_the_others() -> None:
    columns = (Column("a", "A"), Column("b", "B"), Column("all", "All"))
    rows = (
        Row("n", "People", (Count(7), Count(93), Count(100))),
        Row("age", "Age", (Spread(50.0, 9.0, 7), Spread(40.0, 9.0, 93), Spread(40.7, 9.0, 100))),
    )
    totals = (Total("all", ("a", "b"), "columns"),)
    (safe,) = disclose(document(Table("t", "c", columns, rows, totals=totals)), CMS).blocks
    assert isinstance(safe, Table)
    assert sum(isinstance(cell, Hidden) for cell in safe.rows[1].cells) >= 2


# --- the same number elsewhere -------------------------------------------------------------


def test_a_number_hidden_in_a_table_is_hidden_in_words_and_complements() -> None:
    counts = np.array([[7, 60], [112, 80]])
    table = table_of(counts, shares=True, whole_row=True, whole_column=True)
    said = Paragraph((Count(7), Count(112), Share(112, 119), Count(19, "sites")))
    safe = disclose(document(said, table), CMS)
    words = safe.blocks[0]
    assert isinstance(words, Paragraph)
    assert [type(part) for part in words.parts] == [Hidden, Hidden, Hidden, Count]


def test_shares_with_a_small_complement_or_base_are_hidden() -> None:
    said = Paragraph((Share(392, 400), Share(3, 9), Share(0, 400), Share(0, 9), Share(30, 400)))
    (safe,) = disclose(document(said), CMS).blocks
    assert isinstance(safe, Paragraph)
    assert [type(part) for part in safe.parts] == [Hidden, Hidden, Share, Hidden, Share]


def test_tests_beside_hidden_counts_and_their_love_plot_go_too() -> None:
    columns = (Column("a", "A"), Column("b", "B"), Column("smd", "SMD"))
    row = Row("x", "Rare", (Share(4, 200), Share(40, 200), Quantity(0.58)))
    (safe,) = disclose(document(Table("t", "c", columns, (row,))), CMS).blocks
    assert isinstance(safe, Table)
    assert isinstance(safe.rows[0].cells[2], Hidden)


def test_raw_contrasts_of_a_hidden_share_are_hidden_and_model_estimates_stay() -> None:
    columns = (Column("a", "A"), Column("b", "B"))
    table = Table("t", "c", columns, (Row("x", "Relapse", (Share(5, 100), Share(30, 100))),))
    raw = Estimate("rd", "RD", -0.25, -0.35, -0.15)
    ratio = Estimate("rr", "RR", 5 / 30, 0.07, 0.4, scale="ratio")
    model = Estimate("adjusted", "adjusted", -0.21, -0.3, -0.1, n=200, events=35)
    kept = disclose(document(table, Paragraph((Shown(raw),)), estimates=(raw, ratio, model)), CMS)
    assert [e.name for e in kept.estimates] == ["adjusted"]
    assert kept.estimates[0].n is None  # 200 stands nowhere on the page


def test_raw_proportions_that_are_small_counts_are_hidden() -> None:
    few = Estimate("p", "", 0.05, 0.02, 0.1, scale="probability", n=100)
    survival = Estimate(
        "s", "", 0.93, 0.9, 0.97, scale="probability", level="descriptive", n=120, events=8
    )
    many = Estimate("q", "", 0.583, 0.5, 0.66, scale="probability", n=261, events=104)
    assert [e.name for e in disclose(document(estimates=(few, survival, many)), CMS).estimates] == [
        "q"
    ]


# --- flow --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_no_step_of_the_flow_gives_a_small_loss(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    n, people, steps = 900, 300, []
    for i in range(6):
        steps.append(Step(f"step {i}", n, "rows", people))
        n -= draw.choice([0, 3, 8, 11, 40])
        people -= draw.choice([0, 0, 2, 12])
    result = example.result(flow=tuple(steps), facts={}, tables={}, figures={}, checks=())
    facts = Paragraph(tuple(Count(step.kept, "rows") for step in steps))
    draft = compose(result, "T", "# T\n\n[[flow]]")
    safe = disclose(Document("a", "T", "REAL", (*draft.blocks, facts)), CMS)
    flow, said = safe.blocks
    assert isinstance(flow, Flow)
    assert isinstance(said, Paragraph)
    kept = [cell.n for _, cell, _ in flow.steps if isinstance(cell, Count)]
    lost = [cell.n for _, _, cell in flow.steps if isinstance(cell, Count)]
    who = [cell.n for cell in flow.people if isinstance(cell, Count)]
    words = [cell.n for cell in said.parts if isinstance(cell, Count)]
    printed = sorted({*kept, *words}, reverse=True)
    for numbers in (printed, sorted(set(who), reverse=True)):
        assert all(a - b >= CMS.minimum for a, b in pairwise(numbers))
    assert all(not 0 < n < CMS.minimum for n in lost)
    assert flow.steps[-1][1] == Count(steps[-1].kept, "rows")


def test_a_sample_a_few_short_of_the_flow_is_hidden() -> None:
    flow = Flow((("in", Count(840), None), ("kept", Count(812), Count(28))))
    (_, said) = disclose(document(flow, Paragraph((Count(805), Count(700)))), CMS).blocks
    assert isinstance(said, Paragraph)
    assert [type(part) for part in said.parts] == [Hidden, Count]


# --- curves ------------------------------------------------------------------------------


def curve(people: int, seed: int, privacy: Privacy = CMS) -> tuple[CurveFigure, CurveFigure]:
    """One figure before and after disclosure."""
    series = example.curve("A", people, 0.002, seed)
    raw = CurveFigure("c", "c", "Days", "S", (series,), (0.0, 90.0, 180.0, 365.0))
    draft = compose(example.result(figures={"c": raw}), "T", "# T\n\n[[c]]")
    (safe,) = disclose(draft, privacy).blocks
    assert isinstance(safe, CurveFigure)
    return raw, safe


@pytest.mark.parametrize("people", [8, 15, 40, 120, 400])
@pytest.mark.parametrize("seed", range(4))
def test_a_curve_gives_back_no_small_number_of_events(people: int, seed: int) -> None:
    raw, safe = curve(people, seed)
    (before,), (after,) = raw.series, safe.series
    assert after.n_at == after.events_at == after.censored_at == ()
    if not after.x:  # nothing is drawn of so few
        return
    total = sum(before.events_at)
    told = [0]
    for time, y in zip(after.x[1:], after.y[1:], strict=True):
        # the attacker finds the points of the true curve that print alike, and counts events
        alike = [i for i, s in enumerate(before.y) if abs(round(s, 3) - y) < 1e-9]
        reach = [i for i in alike if before.x[i] <= time]
        told.append(sum(before.events_at[: reach[-1] + 1]) if reach else 0)
    steps = [b - a for a, b in pairwise([*told, total])]
    assert all(d == 0 or d >= CMS.grid_events for d in steps)
    days = {x for x, d in zip(before.x, before.events_at, strict=True) if d} - {before.x[-1]}
    regular = {t for t in after.x if t % 1 == 0 and (t % 5 == 0 or t in raw.risk_times)}
    assert set(after.x) <= regular | {before.x[-1]} | {t for t in after.x if t not in days}


def deaths_told(figure: CurveFigure) -> tuple[float, float]:
    """The fewest and the most deaths by day 90 that fit an incidence and its risk table.

    Nobody leaves from then to day 180, as the attacker has been told: who is at risk no longer has
    relapsed, and incidence rises by the share free of both, times relapses over those at risk.
    """
    (series,), (cells,) = figure.series, figure.risk
    at = dict(zip(series.x, series.y, strict=True))
    rise = at[180.0] - at[90.0]
    start, *numbers = (c.n for c in cells[:3] if isinstance(c, Count))
    unknown = 0 if numbers == [150, 75] else 5  # rounded to tens
    found = []
    for n, after in [(numbers[0] + i, numbers[1] + j) for i in (-unknown, unknown)
                     for j in (-unknown, unknown)]:  # fmt: skip
        free = [(rise + e) * n / (n - after) for e in (-0.001, 0.001)]
        found += [start * (1 - at[90.0] - s) for s in free]
    return min(found), max(found)


@pytest.mark.parametrize("rounded", [False, True])
def test_an_incidence_and_its_risk_table_do_not_tell_how_few_died(rounded: bool) -> None:
    """200 people: by day 90, 30 relapses, 4 deaths, 16 lost; by day 180, 75 relapses more."""
    day = [*range(10, 40), 20, 40, 60, 80, *[89] * 16, *range(91, 166), *[200] * 75]
    cause = [1] * 30 + [2] * 4 + [0] * 16 + [1] * 75 + [0] * 75
    frame = pd.DataFrame({"day": np.array(day, float), "cause": cause})
    curves = rs.cumulative_incidence("Surv(day, cause) ~ 1", frame).series("1")
    raw = CurveFigure("c", "c", "Days", "F", curves, (0.0, 90.0, 180.0), rounded=rounded)
    (safe,) = disclose(compose(example.result(figures={"c": raw}), "T", "# T\n\n[[c]]"), CMS).blocks
    assert isinstance(safe, CurveFigure)
    fewest, most = deaths_told(safe)
    assert fewest <= 4 <= most
    assert (most - fewest >= CMS.minimum) == rounded  # exact numbers at risk would give them back


@pytest.mark.parametrize("people", [40, 120, 400])
@pytest.mark.parametrize("seed", range(4))
def test_the_risk_table_gives_back_no_small_number_of_exits(people: int, seed: int) -> None:
    _, safe = curve(people, seed)
    (after,), (risk,) = safe.series, safe.risk
    rounded = any("rounded" in note for note in safe.notes)
    half = 5 if rounded else 0
    for (t, a), (u, b) in pairwise(zip(safe.risk_times, risk, strict=True)):
        if not (isinstance(a, Count) and isinstance(b, Count) and t in after.x and u in after.x):
            continue
        s, z = (after.y[after.x.index(x)] for x in (t, u))
        events = a.n * (1 - z / s)
        left = a.n - b.n - events
        assert half or abs(left) < 0.7 or left > CMS.minimum - 2
    assert all(not isinstance(c, Count) or c.n == 0 or c.n >= 10 for c in risk)


@pytest.mark.parametrize("seed", range(4))
def test_curves_of_competing_events_tell_neither_rare_events_nor_those_who_left(seed: int) -> None:
    """400 people: relapse, custody, few deaths; each curve is read back to its events."""
    draw = np.random.default_rng(seed)
    days = np.ceil(draw.exponential(250.0, 400))
    cause = draw.choice([1.0, 2.0], 400, p=[0.8, 0.2])
    cause[days > 365], days[days > 365] = 0.0, 365.0
    cause[np.flatnonzero(cause == 1)[:6]] = 3.0
    frame = pd.DataFrame({"days": days, "cause": cause})
    found = rs.cumulative_incidence("Surv(days, cause) ~ 1", frame)
    series = tuple(s for c in found.causes for s in found.series(c))
    assert [sum(s.events_at) for s in series] == [int((cause == k).sum()) for k in (1, 2, 3)]
    raw = CurveFigure("c", "c", "Days", "F", series, (0.0, 90.0, 180.0, 365.0), competing=True)
    (safe,) = disclose(compose(example.result(figures={"c": raw}), "T", "# T\n\n[[c]]"), CMS).blocks
    assert isinstance(safe, CurveFigure)
    assert not safe.series[2].x
    for before, after in zip(raw.series[:2], safe.series[:2], strict=True):
        told = [sum(before.events_at[: sum(x < t for x in before.x)]) for t in after.x[:-1]]
        steps = np.diff([*told, sum(before.events_at)])
        assert len(after.x) > 1
        assert all(d == 0 or d >= CMS.grid_events for d in steps)
    assert [len(row) for row in safe.risk] == [4, 0, 0]
    later = [cell.n for cell in safe.risk[0][1:] if isinstance(cell, Count)]
    assert all(n % 10 == 0 for n in later)


def test_nothing_rests_on_few_people_in_other_figures() -> None:
    safe = disclose(compose(example.result(), "T", example.TEMPLATE), CMS)
    line = next(b for b in safe.blocks if getattr(b, "name", "") == "curve_by_dose")
    sites = next(b for b in safe.blocks if getattr(b, "name", "") == "sites")
    assert len(line.series[0].x) == 7  # type: ignore[union-attr]
    assert line.series[0].n_at == ()  # type: ignore[union-attr]
    assert len(sites.value) == 3  # the one left out is not alone  # type: ignore[union-attr]


# --- means of whole numbers, intervals, small sums -------------------------------------------


def denominators(mean: float, most: int = 400) -> list[int]:
    """Numbers of people with which a full-precision mean of whole numbers is possible."""
    return [n for n in range(CMS.minimum, most) if abs(mean * n - round(mean * n)) < 1e-6]


def from_an_interval(sd: float, low: float, high: float) -> float:
    return (2 * 1.959964 * sd / (high - low)) ** 2


WAVES = {0: (195, 5, 200, 3090), 18: (134, 4, 132, 1786), 24: (116, 3, 115, 1411)}


def waves_table(columns: tuple[str, ...]) -> Table:
    """Held, outside, missing, used and a mean of whole numbers; `columns` are those printed."""
    rows = []
    for wave, (outside, missing, used, total) in WAVES.items():
        mean: Cell = Spread(total / used, 3.9, used)
        held = sum(n for n in (outside, missing, used)) if "outside" in columns else missing + used
        counts = {"held": held, "outside": outside, "missing": missing, "used": used}
        told = tuple(Count(counts[c]) for c in columns)
        rows.append(Row(f"w{wave}", f"Month {wave}", (*told, mean)))
    heads = (*(Column(c, c) for c in columns), Column("score", "Score"))
    return Table("waves", "c", heads, tuple(rows), totals=(Total("held", columns[1:], "columns"),))


def course() -> LineFigure:
    x = tuple(float(wave) for wave in WAVES)
    n = tuple(used for _, _, used, _ in WAVES.values())
    y = tuple(total / used for _, _, used, total in WAVES.values())
    half = [1.959964 * 3.9 / math.sqrt(size) for size in n]
    low = tuple(m - h for m, h in zip(y, half, strict=True))
    high = tuple(m + h for m, h in zip(y, half, strict=True))
    return LineFigure("course", "c", "Month", "Score", (Series("Mean", x, y, low, high, n),))


@pytest.mark.parametrize(
    "columns", [("held", "outside", "missing", "used"), ("held", "missing", "used")]
)
def test_a_mean_or_its_interval_does_not_give_back_a_hidden_number(
    columns: tuple[str, ...],
) -> None:
    """1786/132: beside such a mean a count protects nothing, and another one hides."""
    safe = disclose(document(waves_table(columns), course()), CMS)
    table, figure = safe.blocks
    assert isinstance(table, Table)
    assert isinstance(figure, LineFigure)
    (line,) = figure.series
    assert line.n_at == ()
    points = {round(x): i for i, x in enumerate(line.x)}
    for row, (wave, (_, missing, used, _)) in zip(table.rows, WAVES.items(), strict=True):
        cells_here = dict(zip((*columns, "score"), row.cells, strict=True))
        known = {k: c.n for k, c in cells_here.items() if isinstance(c, Count)}
        score = cells_here["score"]
        if isinstance(score, Spread) and denominators(score.mean)[:1] == [used]:
            known["used"] = used
        if wave in points:
            i = points[wave]
            known["used"] = round(from_an_interval(3.9, line.low[i], line.high[i]))
        assert isinstance(cells_here["missing"], Hidden)
        assert not known.keys() >= set(columns) - {"missing"}, f"{missing} follows"
    if "outside" in columns:  # nothing that tells is lost: another count was there to hide
        assert all(isinstance(row.cells[-1], Spread) for row in table.rows)
        assert len(line.x) == len(WAVES)


def test_a_mean_over_those_observed_does_not_tell_who_is_missing() -> None:
    """Table 1: people 400, missing < 11, and a mean of whole numbers over the other 391."""
    rows = (
        Row("n", "People", (Count(400),)),
        Row("days", "Days", (Spread(5503 / 391, 6.2, 391),)),
        Row("days.missing", "missing", (Count(9),), 1),
        Row("age", "Age", (Spread(15801 / 400, 11.0, 400),)),
    )
    (safe,) = disclose(document(Table("t", "c", (Column("all", "All"),), rows)), CMS).blocks
    assert isinstance(safe, Table)
    days, age = safe.rows[1].cells[0], safe.rows[3].cells[0]
    assert isinstance(days, Spread)
    able = [n for n in range(390, 400) if abs(round(days.mean * n) / n - days.mean) <= 0.005]
    assert len(able) >= LEAST_POSSIBLE
    assert 391 not in denominators(days.mean)
    assert age == rows[3].cells[0]  # all people are printed: nothing follows from the digits


def test_percentages_of_those_observed_do_not_tell_who_is_missing() -> None:
    """Table 1: people 200, missing < 11, and counts with their percentage of the other 195."""
    rows = (
        Row("n", "People", (Count(200),)),
        Row("sex", "Sex"),
        Row("sex.1", "A", (Share(93, 195),), 1),
        Row("sex.2", "B", (Share(102, 195),), 1),
        Row("sex.missing", "missing", (Share(5, 200),), 1),
        Row("work", "Works"),
        Row("work.1", "Yes", (Share(90, 200),), 1),
    )
    (safe,) = disclose(document(Table("t", "c", (Column("all", "All"),), rows)), CMS).blocks
    assert isinstance(safe, Table)
    levels = [row.cells[0] for row in safe.rows[2:4]]
    assert safe.rows[4].cells == (Hidden(CMS.minimum),)
    assert [c.value for c in levels if isinstance(c, Quantity)] == [0.48, 0.52]
    for share in (0.48, 0.52):  # every base of 190 to 199 people has a count that prints so
        bases = [n for n in range(190, 200) if round(round(share * n) / n, 2) == share]
        assert len(bases) >= LEAST_POSSIBLE
    assert safe.rows[6].cells == (Share(90, 200),)


def test_hidden_counts_of_a_sum_are_together_no_small_count() -> None:
    """393 − 342 − 41 = 10 people in two cells of "< 11"."""
    heads = tuple(Column(k, k) for k in ("all", "observed", "a", "b", "c"))
    row = Row("y", "Outcome", tuple(Count(n, "rows") for n in (393, 342, 4, 41, 6)))
    total = Total("all", ("observed", "a", "b", "c"), "columns")
    (safe,) = disclose(document(Table("m", "c", heads, (row,), totals=(total,))), CMS).blocks
    assert isinstance(safe, Table)
    printed = [c.n for c in safe.rows[0].cells[1:] if isinstance(c, Count)]
    assert 393 - sum(printed) >= CMS.minimum
    assert 342 in printed


@pytest.mark.parametrize("seed", range(30))
def test_no_row_or_column_leaves_a_small_remainder(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    counts = random_counts(draw)
    table = table_of(counts, shares=draw.random() < 0.5, whole_row=True, whole_column=True)
    (safe,) = disclose(document(table), CMS).blocks
    assert isinstance(safe, Table)
    lines = [[*row.cells] for row in safe.rows]
    for line in (*lines, *(list(column) for column in zip(*lines, strict=True))):
        *parts, whole = line
        if not isinstance(whole, Hidden):
            rest = whole.n - sum(c.n for c in parts if not isinstance(c, Hidden))  # type: ignore[union-attr]
            assert rest == 0 or rest >= CMS.minimum


# --- bars --------------------------------------------------------------------------------


def bars_of(table: Table, rows: int, columns: int) -> BarFigure:
    """Every count of `table_of` as a share of the whole of its row."""
    bars = tuple(
        Bar(f"Category {i}", tuple(CellOf("t", f"r{i}", f"g{j}") for j in range(columns)),
            CellOf("t", f"r{i}", "all"))
        for i in range(rows)
    )  # fmt: skip
    return BarFigure("b", "Bars", "Share", bars, tuple(f"g{j}" for j in range(columns)))


def lengths(figure: BarFigure) -> list[list[tuple[float, float]]]:
    """Start and length of each coloured bar, by row, as shares read from the SVG alone."""
    (axes,) = figures.draw(figure).axes
    inches, dots = axes.figure.get_figheight(), axes.figure.dpi
    inside = axes.transData.inverted().transform

    def read(x: str, y: str) -> tuple[float, float]:
        across, up = inside((float(x) * dots / 72, (72 * inches - float(y)) * dots / 72))
        return float(across), float(up)

    found: list[list[tuple[float, float]]] = [[] for _ in figure.rows]
    for x, y, end, _, look in re.findall(BAR, figures.svg(figure, "f")):
        (start, row), (stop, _) = read(x, y), read(end, y)
        if "fill: none" not in look and stop > start:
            found[round(row)].append((start, stop - start))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_bars_tell_no_count_that_their_table_withholds(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    counts = random_counts(draw)
    table = table_of(counts, shares=False, whole_row=True, whole_column=True)
    rows, columns = counts.shape
    safe, bars = disclose(document(table, bars_of(table, rows, columns)), CMS).blocks
    assert isinstance(safe, Table)
    assert isinstance(bars, BarFigure)
    attack(safe, counts, known=True, total=True)
    for i, read in enumerate(lengths(bars)):
        whole = safe.rows[i].cells[columns]
        known = [c.n for c in safe.rows[i].cells[:columns] if isinstance(c, Count) and c.n]
        if not isinstance(whole, Count):
            assert read == []
            continue
        # what is read are the printed counts, one after another without a gap for a hidden one
        assert [round(length * whole.n) for _, length in read] == known
        assert [start for start, _ in read] == pytest.approx(
            [sum(known[:k]) / whole.n for k in range(len(known))], abs=2e-3
        )
    again = figure_data.table(bars)
    assert not [c for row in again.rows for c in row.cells
                if isinstance(c, Share) and 0 < c.n < CMS.minimum]  # fmt: skip


# --- means of bins -----------------------------------------------------------------------


def test_a_panel_of_residuals_shows_no_person() -> None:
    """20 people of 20 rows each, told apart by their predictor: bins along it are one or two."""
    draw = np.random.default_rng(3)
    who = np.repeat(np.arange(20), 20)
    frame = pd.DataFrame({"x": who + 0.01 * draw.normal(size=400), "person": who})
    frame["y"] = frame["x"] + draw.normal(size=20)[who] + draw.normal(size=400)
    fit = rs.lmm("y ~ x + (1 | person)", frame)
    raw = diagnostic_figure(fit, who)
    assert raw is not None
    (safe,) = disclose(document(raw), CMS).blocks
    assert isinstance(safe, PanelFigure)
    assert all(max(p.series[0].n_at) < 3 for p in raw.panels[::2])
    assert [len(p.series[0].x) for p in safe.panels[::2]] == [0, 0]
    assert all(s.n_at == () for p in safe.panels for s in p.series)
    marks = re.findall(r"<use [^>]*#0072b2[^>]*>", figures.svg(safe, "f"))
    many = [n >= CMS.minimum for n in raw.panels[1].series[0].n_at]
    assert len(marks) == len(safe.panels[1].series[0].x) == sum(many)
    ranked = np.sort(fit.residuals("studentised").to_numpy()).reshape(20, 20)
    assert safe.panels[1].series[0].y == pytest.approx(ranked.mean(1)[many])


# --- groups in order, totals of other blocks ----------------------------------------------


def wilson(events: int, people: int) -> tuple[float, float, float]:
    z2 = 1.959964**2
    p = events / people
    middle, width = p + z2 / (2 * people), p * (1 - p) / people + z2 / (4 * people**2)
    half = math.sqrt(z2 * width)
    return p, *((middle + sign * half) / (1 + z2 / people) for sign in (-1, 1))


def counts_behind(value: float, low: float, high: float) -> tuple[int, int]:
    """The one pair of whole numbers that has this share and these Wilson limits."""
    pairs = ((round(value * n), n) for n in range(1, 400))
    fits = ((k, n) for k, n in pairs if max(map(_gap, wilson(k, n), (value, low, high))) < 1e-9)
    return next(fits)


def _gap(a: float, b: float) -> float:
    return abs(a - b)


@pytest.mark.parametrize(
    "groups",
    [
        [(12, 30), (15, 40), (9, 30), (14, 45), (40, 60)],
        [(12, 30), (15, 40), (2, 30), (3, 45), (40, 60)],
        [(12, 30), (15, 40), (20, 50)],
        [(28, 30), (15, 40), (20, 50), (13, 33)],
    ],
)
def test_shares_in_order_with_wilson_limits_leave_no_small_count(
    groups: list[tuple[int, int]],
) -> None:
    """Share and limits give every shown count back, and all events and people are printed."""
    drawn = [wilson(*group) for group in groups]
    value, low, high = zip(*drawn, strict=True)
    at = tuple(min(k, n - k) for k, n in groups)
    figure = CaterpillarFigure("sites", "c", "Share", value, low, high, at)
    (safe,) = disclose(document(figure), CMS).blocks
    assert isinstance(safe, CaterpillarFigure)
    assert safe.n_at == ()
    shown = [counts_behind(*x) for x in zip(safe.value, safe.low, safe.high, strict=True)]
    assert all(min(k, n - k) >= CMS.minimum for k, n in shown)
    events = sum(k for k, _ in groups) - sum(k for k, _ in shown)
    others = sum(n - k for k, n in groups) - sum(n - k for k, n in shown)
    left_out = len(groups) - len(shown)
    assert left_out != 1
    assert not left_out or min(events, others) >= CMS.minimum


@pytest.mark.parametrize(("at", "told"), [((40, 50, 60), False), ((4, 9, 60), True)])
def test_a_figure_of_groups_says_so_where_some_are_left_out(
    at: tuple[int, ...], told: bool
) -> None:
    value = (0.2, 0.5, 0.4)
    figure = CaterpillarFigure("sites", "c", "Share", value, value, value, at, ("A note.",))
    (safe,) = disclose(document(figure), CMS).blocks
    assert isinstance(safe, CaterpillarFigure)
    withheld = (f"Groups that rest on fewer than {CMS.minimum} are withheld.",)
    assert safe.notes == ("A note.", *(withheld if told else ()))


def test_totals_a_few_apart_in_two_blocks_are_not_both_printed() -> None:
    """310 relapses in all, 308 of them with attendance known: the two unknown would follow."""
    rows = (
        Row("low", "Low", (Count(170, "events"),)),
        Row("high", "High", (Count(138, "events"),)),
        Row("known", "Known", (Count(308, "events"),)),
        Row("unknown", "Unknown", (Count(2, "events"),)),
        Row("all", "All", (Count(310, "events"),)),
    )
    totals = (Total("known", ("low", "high")), Total("all", ("known", "unknown")))
    table = Table("t", "c", (Column("n", "Relapses"),), rows, totals=totals)
    hazard = Estimate("hr", "HR", 0.9, 0.8, 1.1, scale="ratio", n=400, events=308)
    said = Paragraph((Count(310, "events"), " relapses; ", Count(308, "events"), " in the model"))
    safe = disclose(document(table, said, estimates=(hazard,)), CMS)
    printed = [c.n for c in cells(safe).values() if isinstance(c, Count)]
    assert not {308, 310} <= set(printed)
    assert safe.estimates[0].events != 308
    body = [c.n for c in (row.cells[0] for row in safe.blocks[0].rows[:2]) if isinstance(c, Count)]  # type: ignore[union-attr]
    assert sum(body) != 308


# --- whole documents ---------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["cms", "acro", "opensafely", "ohdsi"])
def test_no_small_count_is_printed_in_any_format(profile: str) -> None:
    privacy = PROFILES[profile]
    safe = disclose(compose(example.result(), "T", example.TEMPLATE), privacy)
    rows = json.loads(render(safe, "json"))
    counts = [r["value"] for r in rows if r["statistic"] in ("count", "events")]
    sizes = [r["n"] for r in rows if r["n"] is not None]
    public = {14}  # the number of sites
    small = range(1, privacy.minimum)
    assert not [n for n in (*counts, *sizes) if n in small and n not in public]
    if privacy.round_to > 1:
        assert not [n for n in counts if n % privacy.round_to and n not in public]


@pytest.mark.parametrize("profile", ["cms", "acro", "opensafely", "ohdsi"])
def test_formats_to_take_away_print_no_cell_that_the_page_does_not(profile: str) -> None:
    """Every cell of the Word, LaTeX and CSV tables is one of the disclosed document's own."""
    safe = disclose(compose(example.result(), "T", example.TEMPLATE), PROFILES[profile])
    tables = [b if isinstance(b, Table) else figure_data.table(b)
              for b in safe.blocks if isinstance(b, Table | Figure)]  # fmt: skip
    flows = [flow_table.table(b) for b in safe.blocks if isinstance(b, Flow)]
    allowed = {clean(text) for t in (*tables, *flows) for row in words.printed(t) for text in row}
    with ZipFile(BytesIO(render(safe, "csv"))) as file:
        files = [file.read(n).decode("utf-8-sig") for n in file.namelist()]
    found = {c for f in files for line in list(csv.reader(StringIO(f)))[1:] for c in line[1:]}
    assert {c.replace("-", "−") for c in found} <= {c.replace("-", "−") for c in allowed}
    page = docx.Document(BytesIO(render(safe, "docx")))
    titles = [t for t in page.tables if len(t.columns) > 2 and t.cell(0, 0).text != "Step"]
    assert len(titles) == len([t for t in tables if len(t.columns) > 1])
    for table in titles:
        body = [r for r in table.rows if r._tr.find(".//" + qn("w:tblHeader")) is None]
        cells = {c.text.rstrip("\u2007\u2008") for row in body for c in row.cells[1:]}
        assert cells <= allowed


@pytest.mark.parametrize("format", ["docx", "csv", "tex"])
def test_a_hidden_count_is_in_no_member_of_a_file(format: str) -> None:
    """7 people behind one cell of a table of three: neither it nor what remains is in the bytes."""
    columns = (Column("a", "A"),)
    rows = (Row("x", "X", (Count(40009),)), Row("y", "Y", (Count(7),)), Row("z", "Z", (Count(31),)))
    total = Row("all", "All", (Count(40047),))
    table = Table("t", "T", columns, (*rows, total), totals=(Total("all", ("x", "y", "z")),))
    safe = disclose(Document("x", "T", "REAL", (table,)), CMS)
    content = render(safe, format)
    if format == "tex":
        text = content.decode()
    else:
        with ZipFile(BytesIO(content)) as file:
            wanted = [n for n in file.namelist() if "document.xml" in n or n.endswith(".csv")]
            text = " ".join(file.read(n).decode() for n in wanted)
    printed = set(re.findall(r"(?<![\w,.])\d[\d,]*(?![\w.])", re.sub(r"<[^>]*>", " ", text)))
    assert "7" not in printed
    assert not {"40,009", "31"} <= printed


def test_ages_above_89_are_one_category() -> None:
    columns = (Column("v", "Value"),)
    row = Row("age_max", "Age, oldest decile", (Quantity(93.0),))
    (safe,) = disclose(document(Table("t", "c", columns, (row,))), CMS).blocks
    assert isinstance(safe, Table)
    assert safe.rows[0].cells == ("90 or over",)


def test_no_privacy_changes_nothing() -> None:
    draft = compose(example.result(), "T", example.TEMPLATE)
    assert disclose(draft, PROFILES["none"]).blocks == draft.blocks


def test_disclosure_is_idempotent_on_tables() -> None:
    counts = np.array([[7, 60], [112, 80]])
    draft = document(table_of(counts, shares=True, whole_row=True, whole_column=True))
    once = disclose(draft, CMS)
    again = disclose(once, CMS)
    assert [row.cells for row in once.blocks[0].rows] == [  # type: ignore[union-attr]
        row.cells
        for row in again.blocks[0].rows  # type: ignore[union-attr]
    ]
