"""What a report says, before anyone decides how it looks.

Its cells (`core.cell`) keep their type (count, share, estimate, p) until a renderer prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from recovery_stats.core.bar import BarFigure
from recovery_stats.core.cell import Cell, Ref, Shown
from recovery_stats.core.check import Check
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.panel import PanelFigure

# --- tables ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `key` in results.json, heading, and an optional heading spanning several."""

    key: str
    label: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: `key` in results.json, label, cells; `depth` indents, a row without cells heads."""

    key: str
    label: str
    cells: tuple[Cell, ...] = ()
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Total:
    """Counts that add up: rows `parts` sum to row `whole` in every column (or columns, by key).

    Disclosure control reads these to hide a second cell where one hidden cell could be
    worked out from the others.
    """

    whole: str
    parts: tuple[str, ...]
    axis: Literal["rows", "columns"] = "rows"


@dataclass(frozen=True, slots=True)
class Table:
    """A table as data. `name` is its key; number and place are given by the composer."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    totals: tuple[Total, ...] = ()
    stub: str = ""


# --- figures -----------------------------------------------------------------------------

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a figure with its band; `x`, `y`, `low`, `high` of equal length.

    n_at: people behind each point (at risk, observed), for disclosure; empty: not needed.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()
    n_at: tuple[int, ...] = ()
    events_at: tuple[int, ...] = ()
    censored_at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """Step curves (Kaplan–Meier, cumulative incidence) with the risk table under the axis.

    Each Series carries, at every distinct time, the number at risk (`n_at`), events and
    censorings since the time before; disclosure coarsens the curve from these. `risk` is filled
    when the document is composed: one row a series, one cell for each of `risk_times`.
    competing: the series are events of the same people, of which the first ends observation; they
    share one row of the risk table. rounded: numbers at risk after the start are never told
    exactly, since they would give back events that compete.
    """

    name: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    risk_times: Numbers = ()
    marks: tuple[tuple[float, str], ...] = ()
    notes: tuple[str, ...] = ()
    risk: tuple[tuple[Cell, ...], ...] = ()
    competing: bool = False
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class LineFigure:
    """Smooth lines with bands: trajectories, marginal means, dose–response, profiles.

    points: at their values stand markers with bars, joined unless not `joined`. expected: where
    the points should lie, drawn behind them as a faint line with its band. share: the axis of
    the values is that of shares, from 0 to 1.
    """

    name: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    horizontal: float | None = None
    points: bool = False
    x_ticks: tuple[tuple[float, str], ...] = ()
    log_y: bool = False
    log_x: bool = False
    notes: tuple[str, ...] = ()
    joined: bool = True
    expected: Series | None = None
    share: bool = False


@dataclass(frozen=True, slots=True)
class ForestFigure:
    """Estimates by name, one row each, on one scale; `groups` heads runs of rows."""

    name: str
    caption: str
    x_label: str
    rows: tuple[Ref | Shown, ...]
    null: float = 0.0
    log_x: bool = False
    groups: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpecificationFigure(ForestFigure):
    """One question under many specifications: estimates in order over the choices of each.

    dimensions: what is chosen. choices: by name of an estimate, one word a dimension. ids: by
    name of an estimate, what stands under it. above, below: what lies on either side of `null`;
    good_below: the side below is the good one.
    """

    dimensions: tuple[str, ...] = ()
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ids: tuple[tuple[str, str], ...] = ()
    above: str = ""
    below: str = ""
    good_below: bool = False


@dataclass(frozen=True, slots=True)
class LoveFigure:
    """Standardised mean differences per covariate before and after weighting or adjustment."""

    name: str
    caption: str
    labels: tuple[str, ...]
    before: Numbers
    after: Numbers = ()
    threshold: float = 0.1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaterpillarFigure:
    """Ordered group effects with intervals, without naming any person.

    shares: where the values are shares with Wilson's limits at `confidence`, how many had it of
    how many, for disclosure.
    """

    name: str
    caption: str
    x_label: str
    value: Numbers
    low: Numbers
    high: Numbers
    n_at: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    shares: tuple[tuple[int, int], ...] = ()
    confidence: float = 0.95


Figure = (
    CurveFigure
    | LineFigure
    | PanelFigure
    | ForestFigure
    | LoveFigure
    | CaterpillarFigure
    | BarFigure
)


# --- blocks ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    depth: int = 2


ParagraphRole = Literal[
    "text", "question", "answer", "sure", "limits", "note", "warning", "references"
]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Prose with typed cells in it; `role` lets a renderer set the first screen apart."""

    parts: tuple[Cell, ...]
    role: ParagraphRole = "text"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; each item is a sentence with typed cells."""

    items: tuple[tuple[Cell, ...], ...]
    role: ParagraphRole = "text"


@dataclass(frozen=True, slots=True)
class FlowLine:
    """Some people of a step: a cell for all of them, then one for each arm."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """The participant flow, drawn by a renderer: (what happened, how many remained).

    people: the persons among what remained, where the steps count rows; else empty. arms: the
    names of the arms of a trial, or of the groups of exposure. by_arm: for each step, (remaining,
    lost) of each arm; empty before allocation. within: for each step who received what, or why
    people left. drawn: whether chance decided the arms.
    """

    steps: tuple[tuple[str, Cell, Cell], ...]  # label, remaining, lost at this step
    people: tuple[Cell, ...] = ()
    arms: tuple[str, ...] = ()
    by_arm: tuple[tuple[tuple[Cell, Cell], ...], ...] = ()
    within: tuple[tuple[FlowLine, ...], ...] = ()
    drawn: bool = False
    notes: tuple[str, ...] = ()

    @property
    def allocation(self) -> int:
        """The place of the step at which people came into the arms; beyond the last, if none."""
        return next((i for i, cells in enumerate(self.by_arm) if cells), len(self.steps))


@dataclass(frozen=True, slots=True)
class Checks:
    """Every assumption or data condition examined, one line each with its verdict."""

    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class EstimandBox:
    estimand: Estimand


@dataclass(frozen=True, slots=True)
class Provenance:
    """Pairs for the closing table: files and hashes, protocol hash, seed, privacy profile."""

    pairs: tuple[tuple[str, str], ...]


Block = Heading | Paragraph | Bullets | Table | Figure | Flow | Checks | EstimandBox | Provenance


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report. badge: "SYNTHETIC", "REAL" or nothing.

    `estimates` stand in the order of the Result; `references` are the keys of what is cited.
    """

    analysis: str
    title: str
    badge: str
    blocks: tuple[Block, ...]
    estimates: tuple[Estimate, ...] = ()
    language: str = "en"
    meta: tuple[tuple[str, str], ...] = field(default=())
    references: tuple[str, ...] = ()
