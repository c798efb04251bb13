"""Figures with long names, on a page and on a telephone: nothing leaves the drawing or is cut."""

from __future__ import annotations

import pytest

from recovery_stats.core.bar import Bar, BarFigure, CellOf
from recovery_stats.core.cell import Count, Share, Shown
from recovery_stats.core.document import (
    CaterpillarFigure,
    CurveFigure,
    Figure,
    ForestFigure,
    LineFigure,
    LoveFigure,
    Row,
    Series,
    SpecificationFigure,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.panel import PanelFigure
from recovery_stats.report import figures, style
from recovery_stats.report.figures.panel import short
from tests.report.test_figures import crowded

WIDTHS = [style.WIDTH_INCHES, style.NARROW_INCHES]
AXIS = "Odds among people without the outcome recorded, times those of people who are alike"
ARM = "Inpatient extended-release naltrexone with buprenorphine-naloxone afterwards ({})"
UP = "Chance of “Inpatient extended-release naltrexone” given the covariates at entry"
X, Y = (0.0, 20000.0, 40000.0), (0.2, 0.5, 0.4)


def series(i: int) -> Series:
    y = tuple(v + 0.02 * i for v in Y)
    return Series(ARM.format(i), X, y, tuple(v - 0.1 for v in y), tuple(v + 0.1 for v in y))


def rows(n: int) -> tuple[Estimate, ...]:
    return tuple(Estimate(f"e{i}", ARM.format(i), 0.1 * i, i - 1.1, i + 0.9) for i in range(n))


def kinds() -> dict[str, Figure]:
    lines = tuple(map(series, range(3)))
    risk = tuple((Count(120 - i), Count(90), Count(40)) for i in range(3))
    waves = tuple((x, f"{i} months after allocation") for i, x in enumerate(X))
    line = LineFigure("l", "Lines", AXIS, UP, lines, horizontal=0.3, points=True)
    some = rows(5)
    told = {f"e{i}": (f"Kept by {ARM.format(i)}", "as use until the first") for i in range(5)}
    labels = tuple(e.label for e in some)
    places = tuple(CellOf("t", "r", c) for c in "ab")
    missing = tuple(Row(f"r{i}", ARM.format(i), (Share(22, 346), Share(9, 346))) for i in range(3))
    drawn = (
        CurveFigure("curve", "C", AXIS, UP, lines, X, ((9000.0, "a"),), risk=risk),
        line,
        LineFigure("waves", "W", AXIS, UP, lines[:2], x_ticks=waves),
        LineFigure("money", "M", "Worth of a unit of benefit", UP, lines[:1]),
        PanelFigure("panels", "P", (LineFigure("", ARM, AXIS, UP, lines[:1]),) * 4),
        ForestFigure("forest", "F", AXIS, tuple(map(Shown, some)), groups=((0, UP),)),
        SpecificationFigure(
            "specification", "S", UP, tuple(map(Shown, some)), dimensions=("Measured", AXIS),
            choices=tuple(told.items()), ids=tuple((e.name, "Ab_schottenfeld_2005") for e in some),
            above="more recovery", below="less recovery",
        ),
        LoveFigure("love", "L", labels, (0.0, 0.1, 0.2, 0.3, 1.0), (0.0,) * 5),
        CaterpillarFigure("sites", "T", AXIS, Y, Y, Y),
        BarFigure("bars", "B", AXIS, (Bar("x", places, places[0]),), (ARM, UP), (), missing),
    )  # fmt: skip
    return {figure.name: figure for figure in drawn}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", kinds())
def test_no_word_leaves_the_drawing_or_meets_another(name: str, width: float) -> None:
    with figures._look():
        assert crowded(figures.draw(kinds()[name], width)) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", kinds())
def test_names_are_cut_between_words(name: str, width: float) -> None:
    figure = figures.draw(kinds()[name], width)
    texts = [*figure.texts, *(t for axes in figure.axes for t in axes.texts)]
    texts += [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    sources = [ARM.format(i) for i in range(5)] + [ARM, AXIS, UP, f"Kept by {ARM}"]
    for text in (" ".join(t.get_text().split()).replace("- ", "-") for t in texts):
        start, mark, end = (part.strip() for part in text.partition("…"))
        assert not mark or any(s.startswith(f"{start} ") for s in sources), text
        assert not end or any(s.endswith(f" {end}") for s in sources), text


def test_the_names_of_lines_and_axes_are_whole_on_a_telephone() -> None:
    figure = kinds()["curve"]
    (axes,) = figures.draw(figure, style.NARROW_INCHES).axes
    assert axes.get_ylabel().replace("\n", " ") == UP
    assert axes.get_xlabel().replace("\n", " ") == AXIS
    one = LineFigure("l", "L", AXIS, UP, (series(0),))
    (axes,) = figures.draw(one, style.NARROW_INCHES).axes
    assert " ".join(axes.texts[0].get_text().split()).replace("- ", "-") == ARM.format(0)


def test_a_label_is_cut_in_a_word_only_where_the_word_fills_it() -> None:
    assert short("extended release naltrexone", 20) == "extended release…"
    assert short("extended release", 16) == "extended release"
    assert short("a buprenorphinenaloxone", 12) == "a buprenorp…"


def test_ticks_thin_out_where_their_numbers_would_meet() -> None:
    figure = kinds()["money"]
    numbers = []
    for width in WIDTHS:
        (axes,) = figures.draw(figure, width).axes
        numbers.append([t.get_text() for t in axes.get_xticklabels()])
    assert len(numbers[1]) < len(numbers[0])
    assert all(len(found) > 1 and found[0] == "0" for found in numbers)
