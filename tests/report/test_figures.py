"""Labels and beginnings of figures."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from recovery_stats.core.bar import Bar, BarFigure, CellOf
from recovery_stats.core.cell import Count, Hidden, Share, Shown
from recovery_stats.core.document import (
    CurveFigure,
    Flow,
    FlowLine,
    ForestFigure,
    LineFigure,
    LoveFigure,
    Row,
    Series,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.panel import PanelFigure
from recovery_stats.core.study import PROFILES
from recovery_stats.report import figure_data, figures, flow_box, style
from recovery_stats.report.figures.bitmap import encode
from recovery_stats.report.figures.panel import distinct, stacked
from recovery_stats.report.privacy.curve import coarsen


@pytest.mark.parametrize(
    "names",
    [
        ("Stable living arrangement at baseline: No", "Stable living arrangement at baseline: Yes"),
        ("a" * 100 + "x" + "b" * 100, "a" * 100 + "y" + "b" * 100),
        ("one " * 60, "two " * 60),
        ("same", "same"),
    ],
)
def test_no_label_is_cut_so_that_two_become_the_same(names: tuple[str, str]) -> None:
    for made in (distinct(names), stacked(names)):
        assert len(set(made)) == len(set(names))
        assert all(len(line) <= 30 for text in made for line in text.split("\n"))
    assert all(text.count("\n") < 3 for text in stacked(names))


def test_a_label_of_two_lines_is_whole() -> None:
    made = stacked(["Stable living arrangement at baseline: Yes"])
    assert made == ["Stable living arrangement at\nbaseline: Yes"]


def landmark() -> CurveFigure:
    """A hundred people from day 28, two relapses a day for thirty days."""
    days = tuple(float(d) for d in range(29, 59))
    at_risk = tuple(100 - 2 * i for i in range(30))
    y = tuple(1 - (i + 1) / 50 for i in range(30))
    series = Series("all", days, y, y, y, at_risk, (2,) * 30, (0,) * 30)
    return CurveFigure("c", "Curve", "Days", "Free", (series,), (28.0, 40.0, 50.0))


def test_a_curve_with_a_delayed_start_begins_there() -> None:
    drawn = coarsen(landmark(), PROFILES["cms"]).series[0]
    assert (drawn.x[0], drawn.y[0]) == (28.0, 1.0)
    raw = figures.draw(landmark()).axes[0].lines[0].get_xydata()
    assert tuple(raw[0]) == (28.0, 1.0)


def test_competing_events_share_one_row_of_the_risk_table_and_the_rare_are_named() -> None:
    days = tuple(float(d) for d in range(1, 41))
    at_risk = tuple(100 - 2 * i for i in range(40))
    y = tuple((i + 1) / 100 for i in range(40))
    often = Series("Relapse", days, y, y, y, at_risk, (1,) * 40, (1,) * 40)
    rare = Series("Death", days, y, y, y, at_risk, (0,) * 39 + (3,), (2,) * 39 + (0,))
    figure = CurveFigure("c", "C", "Days", "F", (often, rare), (0.0, 20.0), competing=True)
    safe = coarsen(figure, PROFILES["cms"])
    assert "Too rare to be drawn: Death." in safe.notes
    assert safe.series[0].x
    assert not safe.series[1].x
    assert figure_data.risk_rows(safe) == [("All people", (Count(100), Count(60)))]
    (axes,) = figures.draw(safe).axes
    told = [t.get_text() for t in axes.texts]
    assert told.count("All people") == told.count("100") == told.count("60") == 1
    assert "Relapse" in figure_data.alt_text(safe)


def test_an_event_that_happened_to_nobody_has_an_axis() -> None:
    flat = Series("none", (0.0, 9.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    (axes,) = figures.draw(CurveFigure("c", "C", "Days", "F", (flat,))).axes
    assert axes.get_ylim() == (0.0, 1.0)


def test_one_point_has_its_interval() -> None:
    one = Series("one", (1.0,), (0.5,), (0.3,), (0.7,))
    (axes,) = figures.draw(LineFigure("l", "Line", "x", "y", (one,))).axes
    assert [tuple(map(float, p)) for p in axes.collections[0].get_segments()[0]] == [
        (1.0, 0.3),
        (1.0, 0.7),
    ]


def test_a_bitmap_keeps_its_colours_and_its_resolution() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 13, 4), np.uint8)
    with Image.open(BytesIO(encode(pixels, 200))) as read:
        read.load()
        assert read.info["dpi"] == pytest.approx((200, 200), abs=0.01)
        assert np.array_equal(np.asarray(read), pixels[:, :, :3])


LONG = "No relapse after loss to follow-up: the last state carried on until the end ({})"


def crowded(drawn: figures.Canvas) -> list[str]:
    """Texts of a drawing that meet another text (if none is tilted) or leave the page."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    found: list[Text] = list(drawn.texts)
    for axes in drawn.axes:
        key = axes.get_legend()
        found += [
            *axes.texts,
            *(key.get_texts() if key else ()),
            axes.yaxis.label,
            axes.xaxis.label,
            *axes.get_xticklabels(),
            *axes.get_yticklabels(),
        ]
    found = [t for t in found if t.get_text()]
    boxes = [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in found]
    straight = [b for t, b in zip(found, boxes, strict=True) if t.get_rotation() in (0, 90)]
    met = [a for (a, p), (_, q) in combinations(straight, 2) if p.padded(-1).overlaps(q)]
    page = drawn.bbox.padded(1)
    out = [a for a, box in boxes if not (page.contains(*box.min) and page.contains(*box.max))]
    return met + out


@pytest.mark.parametrize("width", [style.WIDTH_INCHES, style.NARROW_INCHES])
def test_long_labels_of_a_forest_are_whole_and_meet_nothing(width: float) -> None:
    rows = [Estimate(f"e{i}", LONG.format(i), 0.1 * i, -0.123 - i, 0.946 + i) for i in range(4)]
    figure = ForestFigure(
        "f", "F", "Difference", tuple(map(Shown, rows)), groups=((0, LONG), (2, "Others"))
    )
    drawn = figures.draw(figure, width)
    told = {" ".join(t.get_text().split()) for t in drawn.axes[0].texts}
    assert {e.label for e in rows} | {LONG, "Others"} <= told
    assert crowded(drawn) == []


def test_long_names_of_covariates_are_whole_and_meet_nothing() -> None:
    labels = tuple(LONG.format(i) for i in range(4))
    drawn = figures.draw(LoveFigure("l", "L", labels, (0.1, 0.2, 0.3, 0.1), (0.0, 0.1, 0.1, 0.2)))
    assert set(labels) <= {" ".join(t.get_text().split()) for t in drawn.axes[0].texts}
    assert crowded(drawn) == []


@pytest.mark.parametrize("width", [style.WIDTH_INCHES, style.NARROW_INCHES])
def test_panels_are_lettered_and_meet_nothing(width: float) -> None:
    points = Series("Mean", (10.0, 12.0, 18.0), (-0.2, 0.1, 0.3), (-0.4,) * 3, (0.5,) * 3)
    panel = LineFigure(
        "", "Residuals along the fit", "Predicted by the fixed effects", "Mean residual, SD",
        (points,), horizontal=0.0, points=True, joined=False, expected=points,
    )  # fmt: skip
    figure = PanelFigure("p", "Panels", (panel,) * 5)
    drawn = figures.draw(figure, width)
    assert [t.get_text()[:2] for t in drawn.texts] == ["A.", "B.", "C.", "D.", "E."]
    assert crowded(drawn) == []
    assert len(figure_data.table(figure).rows) == 5 * (1 + 2 * 3)


def test_bars_say_every_part_and_withheld_parts_are_outlines() -> None:
    place = CellOf("t", "r", "c")
    rows = (
        Row("h", LONG),
        Row("a", "Baseline", (Share(22, 346), Hidden(11), Count(346)), 1),
        Row("b", "Month 6", (Hidden(0), Share(0, 295), Count(295)), 1),
    )
    figure = BarFigure(
        "b", "Missing", "Share of rows", (Bar("x", (place,), place),), ("Lost", LONG), (), rows
    )
    drawn = figures.draw(figure)
    assert crowded(drawn) == []
    known, small = (p.get_width() for p in drawn.axes[0].patches[:2])
    assert (known, small) == (22 / 346, 10 / 346)
    assert "Baseline: Lost 22 (6.4%)" in figure_data.alt_text(figure)


def trial() -> Flow:
    """Two arms; a name and reasons longer than a column."""
    step = ("Any use in the ninety days before the visit at 24 months observed", Count(342), None)
    steps = (("People in the file", Count(450), None), ("Randomised", Count(400), Count(50)), step)
    arms = ((), ((Count(200), None),) * 2, ((Count(166), Count(34)), (Count(176), Count(24))))
    why = FlowLine("Neither found nor heard of at any of three addresses", (Count(58),) * 3)
    return Flow(steps, (), ("Collaborative house", "Usual"), arms, ((), (), (why,)))


@pytest.mark.parametrize("flow", [trial(), Flow((("In the file", Count(9), None),))])
def test_the_words_of_a_flow_stay_in_their_boxes(flow: Flow) -> None:
    drawn = figures.canvas(flow)
    (axes,) = drawn.axes
    pen = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [p.get_window_extent(pen) for p in axes.patches if isinstance(p, Rectangle)]
    inside = 0
    for text in axes.texts:
        area = text.get_window_extent(pen)
        if not text.get_text():
            continue
        assert area.x1 <= drawn.bbox.x1
        assert area.y0 >= drawn.bbox.y0
        holding = [b for b in boxes if b.y0 <= (area.y0 + area.y1) / 2 <= b.y1 and b.x0 <= area.x0]
        inside += any(area.x1 <= b.x1 and area.y0 >= b.y0 and area.y1 <= b.y1 for b in holding)
    said = [box for a in range(len(flow.arms)) for box in flow_box.arm(flow, a)]
    assert inside >= len(flow_box.trunk(flow)) * 2 + sum(1 + len(box.said) for box in said)
    assert "Allocated to" not in flow_box.alt_text(flow) or "34 left out" in flow_box.alt_text(flow)


@pytest.mark.parametrize(("width", "tilt"), [(style.WIDTH_INCHES, 0), (style.NARROW_INCHES, 40)])
def test_names_of_waves_tilt_where_they_would_run_into_each_other(width: float, tilt: int) -> None:
    ticks = tuple((float(i), f"{6 * i} months") for i in range(5))
    line = Series("Observed mean", tuple(x for x, _ in ticks), (5.0, 4.0, 3.0, 2.0, 1.0))
    drawn = figures.draw(LineFigure("l", "L", "Wave", "y", (line,), x_ticks=ticks), width)
    labels = drawn.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {tilt}
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    lowest = min(t.get_window_extent(canvas.get_renderer()).y0 for t in labels)
    below = drawn.axes[0].xaxis.label.get_window_extent(canvas.get_renderer())
    assert 0 <= below.y0 < below.y1 <= lowest


def test_where_an_axis_has_names_its_table_has_no_other_points() -> None:
    """A logarithm between two names would be read as the quantity that they are names of."""
    ticks = ((-1.0, "1/2"), (0.0, "1"), (1.0, "2"))
    x = (-1.0, -0.5, 0.0, 0.5, 1.0)
    line = LineFigure("l", "L", "Odds", "y", (Series("Both", x, x),), x_ticks=ticks)
    points = [row.cells for row in figure_data.table(line).rows if row.depth]
    assert [cells[0] for cells in points] == ["1/2", "1", "2"]
    bare = replace(line, x_ticks=((9.0, "far"),))
    assert len([row for row in figure_data.table(bare).rows if row.depth]) == len(x)


def test_bars_of_two_lines_at_one_place_do_not_hide_each_other() -> None:
    waves = tuple((float(i), f"Wave {i}") for i in range(3))
    arms = [
        Series(name, (0.0, 1.0, 2.0), (0.5, 0.4, 0.3), (0.4, 0.3, 0.2), (0.6, 0.5, 0.4))
        for name in ("House", "Usual")
    ]
    plain = Series("Fitted", (0.0, 2.0), (0.5, 0.3))
    figure = LineFigure("l", "L", "Wave", "y", (plain, *arms), points=True, x_ticks=waves)
    (axes,) = figures.canvas(figure).axes
    places = [line.get_transform().transform(line.get_xydata())[-1, 0] for line in axes.lines]
    bars = [
        c.get_transform().transform(c.get_segments()[-1])[0, 0]  # type: ignore[attr-defined]
        for c in axes.collections
    ]
    assert np.diff(bars) == pytest.approx([5.0])  # at 72 dots an inch
    assert places[1:] == pytest.approx(bars)
    assert places[0] == pytest.approx(np.mean(bars))
    assert all(tuple(line.get_xdata())[-1] == 2.0 for line in axes.lines)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < 0
    assert right > 2
    assert low < 0.2
    assert high > 0.6


def test_an_axis_of_shares_is_whole() -> None:
    line = Series("House", (0.0, 9.0), (0.8, 0.4))
    (axes,) = figures.draw(LineFigure("l", "L", "Worth", "Share", (line,), share=True)).axes
    assert axes.get_ylim() == (0.0, 1.0)
