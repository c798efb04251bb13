"""The participant flow drawn: a column of boxes, and of a trial a column for each arm below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from recovery_stats.core.document import Flow
from recovery_stats.report import flow_box, style
from recovery_stats.report.figures.panel import CHARACTER_INCHES
from recovery_stats.report.flow_box import FlowBox
from recovery_stats.report.words import clean

# inches
LINE = 0.165
PADDING = 0.09
MARGIN = 0.05
GAP = 0.25  # between two arms
ARROW_AT = 0.3  # from the left of a box
BESIDE = 0.14  # from an arrow to what is said of those who left
LEAST_ARROW = 0.3
TRUNK_INCHES = 3.6
FILL, EDGE = "#f8f9fa", "#6b7782"


def flow(figure: Flow) -> Canvas:
    """Boxes with their arrows; the boxes of a step stand at one height in all arms."""
    trunk = flow_box.trunk(figure)
    arms = [flow_box.arm(figure, a) for a in range(len(figure.arms))]
    rows = [_Row([box], TRUNK_INCHES) for box in trunk]
    width = (style.WIDTH_INCHES - 2 * MARGIN - GAP * (len(arms) - 1)) / max(len(arms), 1)
    rows += [_Row(boxes, width) for boxes in zip(*arms, strict=True)]
    height = sum(row.arrow + row.box for row in rows) - rows[0].arrow + 2 * MARGIN
    canvas = Canvas(figsize=(style.WIDTH_INCHES, height))
    axes = canvas.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, style.WIDTH_INCHES), ylim=(height, 0))
    axes.set_axis_off()
    top = MARGIN - rows[0].arrow
    for i, row in enumerate(rows):
        row.draw(axes, top, first=i == 0, splits=bool(arms) and i == len(trunk))
        top += row.arrow + row.box
    return canvas


@dataclass(frozen=True, slots=True)
class _Row:
    """Boxes at one height, each `width` wide, with the arrows that lead to them."""

    boxes: Sequence[FlowBox]
    width: float

    @property
    def said(self) -> list[list[str]]:
        return [_wrapped(box.said, self.width - 2 * PADDING) for box in self.boxes]

    @property
    def gone(self) -> list[list[str]]:
        return [_wrapped(box.gone, self.width - ARROW_AT - BESIDE) for box in self.boxes]

    @property
    def arrow(self) -> float:
        """The height of the arrows."""
        return max(LEAST_ARROW, LINE * max(map(len, self.gone)) + 2 * PADDING)

    @property
    def box(self) -> float:
        """The height of the boxes."""
        return LINE * (1 + max(map(len, self.said))) + 2 * PADDING

    def draw(self, axes: Any, top: float, *, first: bool, splits: bool) -> None:
        """From `top` down, arrows before boxes; splits: one line comes in for all of them."""
        for a, box in enumerate(self.boxes):
            left = MARGIN + a * (self.width + GAP)
            if not first:
                self._draw_arrow(axes, left + ARROW_AT, top, self.gone[a], stem=not (splits and a))
            self._draw_box(axes, left, top + self.arrow, box.number, self.said[a])
        if splits:
            ends = [MARGIN + a * (self.width + GAP) + ARROW_AT for a in (0, len(self.boxes) - 1)]
            axes.plot(
                ends, [top + self.arrow / 2] * 2, color=EDGE, linewidth=1.0, solid_capstyle="butt"
            )

    def _draw_arrow(
        self, axes: Any, x: float, top: float, gone: Sequence[str], *, stem: bool
    ) -> None:
        start = top if stem else top + self.arrow / 2
        axes.annotate(
            "", (x, top + self.arrow), (x, start),
            arrowprops={"arrowstyle": "-|>", "color": EDGE, "linewidth": 1.0,
                        "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        for k, line in enumerate(gone):
            y = top + PADDING + LINE * (k + 0.5)
            axes.text(x + BESIDE, y, line, va="center", color=style.FAINT)

    def _draw_box(
        self, axes: Any, left: float, top: float, number: str, said: Sequence[str]
    ) -> None:
        axes.add_patch(Rectangle((left, top), self.width, self.box, facecolor=FILL, edgecolor=EDGE))
        for k, line in enumerate((clean(number), *said)):
            y = top + PADDING + LINE * (k + 0.5)
            weight = "normal" if k else "bold"
            axes.text(left + PADDING, y, line, va="center", fontweight=weight)


def _wrapped(texts: Iterable[str], inches: float) -> list[str]:
    """The texts in lines that fit."""
    longest = max(int(inches / CHARACTER_INCHES), 8)
    return [line for text in texts for line in wrap(clean(text), longest)]
