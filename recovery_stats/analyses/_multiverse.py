"""What many answers to one question make together: a specification curve, shares, failures.

It knows only what each specification brought back; how they were answered, the study knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Source
from recovery_stats.core.document import (
    Cell,
    Column,
    Count,
    Quantity,
    Ref,
    Row,
    SpecificationFigure,
    Table,
)
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result

UNIT = "specifications"
DIMENSIONS = ("What is measured", "Missed screens are read")
MORE, LESS = "more recovery", "less recovery"


@dataclass(frozen=True, slots=True)
class Specification:
    """One definition of the endpoint under one rule for missed screens, and what came of it.

    missing: how missed screens are read, by `rule`. measure: "time", "share", "visits" or
    "points". more_is_recovery: of the endpoint itself.
    estimate: of the analysis, None where it failed; why: then the reason, without a number.
    """

    name: str
    endpoint: str
    kind: str
    missing: str
    rule: str
    citation: str
    measure: str
    more_is_recovery: bool
    estimate: Estimate | None = None
    why: str = ""
    estimand: Estimand | None = None

    @property
    def turned(self) -> Estimate | None:
        """The estimate so that it speaks of recovery: of the share without relapse, not with.

        A ratio of hazards stays the ratio of the event.
        """
        e = self.estimate
        if e is None or self.measure == "time" or self.more_is_recovery or e.scale != "difference":
            return e
        return replace(e, value=-e.value, low=-e.high, high=-e.low)

    @property
    def side(self) -> int:
        """1 on the side of recovery, -1 on the other, 0 on neither or without an estimate."""
        return self.side_of(None if self.turned is None else self.turned.value)

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out no difference."""
        e = self.turned
        return e is not None and (e.low > self.null or e.high < self.null)

    @property
    def null(self) -> float:
        return 1.0 if self.estimate and self.estimate.scale == "ratio" else 0.0

    def side_of(self, value: float | None) -> int:
        """The side on which a turned estimate of `value` would lie."""
        if value is None or self.estimate is None or not math.isfinite(value):
            return 0
        sign = int(np.sign(value - self.null))
        if self.estimate.scale != "ratio":
            return sign
        return sign if self.measure != "time" and self.more_is_recovery else -sign


Panel = tuple[str, str]  # scale of the estimate, measure of the endpoint

PANELS: dict[Panel, tuple[str, str]] = {
    ("ratio", "time"): ("Hazard ratio", "times to relapse, first use or dropout"),
    ("time", "time"): ("Difference in days", "times to relapse, first use or dropout"),
    ("difference", "share"): (
        "Difference in shares",
        "shares: of people abstinent or without relapse, of screens without use",
    ),
    ("ratio", "share"): ("Ratio of shares", "shares of people or of screens"),
    ("difference", "visits"): ("Difference in screens", "numbers of screens"),
    ("difference", "points"): ("Difference in points", "an index from 0 (worst) to 120 (best)"),
}


def answer(
    specifications: Sequence[Specification],
    *,
    of: str,
    title: str,
    sources: tuple[Source, ...] = (),
    synthetic: bool = False,
) -> Result:
    """One Result of all specifications; those without an estimate are listed with the reason."""
    told = [s for s in specifications if s.turned is not None]
    estimand = _estimand(told)
    figures = {f.name: f for f in _figures(told)}
    failed = [s for s in specifications if s.estimate is None]
    return Result(
        analysis="multiverse",
        estimand=estimand,
        estimates=tuple(_estimate(s) for s in told),
        checks=tuple(_checks(specifications, failed)),
        facts=_facts(specifications, told, of, title, estimand),
        said=frozenset(_said(told, failed)),
        tables={t.name: t for t in _tables(told, failed)},
        figures=figures,
        sources=sources,
        synthetic=synthetic,
    )


def _estimate(s: Specification) -> Estimate:
    assert s.turned is not None
    return replace(s.turned, name=s.name, label=_label(s), level="sensitivity")


def _label(s: Specification) -> str:
    return f"{s.endpoint} ({s.kind.lower()}; missed screens {s.missing})"


def _estimand(told: Sequence[Specification]) -> Estimand:
    first = next((s.estimand for s in told if s.estimand), Estimand("", "", "", "", ""))
    return replace(
        first,
        endpoint="each of the definitions below in turn, over the same screens",
        summary="the primary estimate of the analysis under each definition",
    )


def _facts(
    everything: Sequence[Specification],
    told: Sequence[Specification],
    of: str,
    title: str,
    estimand: Estimand,
) -> dict[str, Cell]:
    more, less = ([s for s in told if s.side == side] for side in (1, -1))
    facts: dict[str, Cell] = {
        "of": of,
        "title": title,
        "treatment": estimand.treatment,
        "specifications": Count(len(everything), UNIT),
        "estimated": Count(len(told), UNIT),
        "definitions": Quantity(len({s.endpoint for s in everything}), "whole"),
        "distinct": Quantity(_distinct(told), "whole"),
        "failed": Count(len(everything) - len(told), UNIT),
    }
    for name, some in (("more", more), ("less", less)):
        clear = sum(s.clear for s in some)
        facts[name] = Quantity(len(some), "whole")
        facts[f"{name}_share"] = Quantity(len(some) / max(len(told), 1), "percent")
        facts[f"{name}_clear"] = Quantity(clear, "whole")
        facts[f"{name}_clear_share"] = Quantity(clear / max(len(told), 1), "percent")
    return facts


def _distinct(told: Sequence[Specification]) -> int:
    """How many different estimates there are: some definitions say the same in other words."""
    found = {
        (s.estimate.scale, s.turned.value, s.turned.low) for s in told if s.estimate and s.turned
    }
    return len(found)


def _said(told: Sequence[Specification], failed: Sequence[Specification]) -> Iterable[str]:
    sides = {s.side for s in told}
    clear = {s.side for s in told if s.clear}
    if not told:
        yield "nothing"
    elif sides <= {1} or sides <= {-1}:
        yield "one_side"
    else:
        yield "both_sides"
    if clear == {1, -1}:
        yield "contradict"
    if failed:
        yield "failures"
    yield from (f"panel_{i}" for i, _ in enumerate(_panels(told), 1))


# --- figures -------------------------------------------------------------------------------


def _panels(told: Sequence[Specification]) -> dict[Panel, list[Specification]]:
    """Specifications by what their estimates are counted in, in the order of PANELS."""
    found: dict[Panel, list[Specification]] = {}
    for s in told:
        assert s.estimate is not None
        found.setdefault((s.estimate.scale, s.measure), []).append(s)
    known = [p for p in PANELS if p in found]
    return {p: found[p] for p in (*known, *(p for p in found if p not in PANELS))}


def _figures(told: Sequence[Specification]) -> Iterable[SpecificationFigure]:
    for i, (panel, members) in enumerate(_panels(told).items(), 1):
        scale, measure = panel
        name, what = PANELS.get(panel, (scale.capitalize(), measure))
        order = sorted(members, key=lambda s: (_value(s), s.name))
        up = order[0].side_of(order[0].null + 1.0) == 1
        yield SpecificationFigure(
            name=f"curve_{i}",
            caption=f"Specification curve of {what}",
            x_label=name,
            rows=tuple(Ref(s.name, "interval") for s in order),
            null=order[0].null,
            log_x=scale == "ratio",
            dimensions=DIMENSIONS,
            choices=tuple((s.name, (s.kind, s.missing)) for s in order),
            ids=tuple((s.name, s.name) for s in order),
            good_below=not up,
            above=MORE if up else LESS,
            below=LESS if up else MORE,
            notes=(
                "Filled points: the interval leaves out no difference. Each column of the grid "
                "is one specification.",
            ),
        )


def _value(s: Specification) -> float:
    return s.turned.value if s.turned is not None else math.nan


# --- tables --------------------------------------------------------------------------------


def _tables(told: Sequence[Specification], failed: Sequence[Specification]) -> Iterable[Table]:
    if told:
        yield _sides(told)
        yield _each(told)
    if failed:
        yield Table(
            "failures",
            "Specifications without an estimate",
            (Column("kind", DIMENSIONS[0]), Column("missing", DIMENSIONS[1]), Column("why", "Why")),
            tuple(Row(s.name, s.name, (s.kind, s.missing, s.why)) for s in failed),
            stub="Specification",
        )


def _sides(told: Sequence[Specification]) -> Table:
    columns = (
        Column("n", "Specifications"),
        Column("more", "On this side", "More recovery"),
        Column("more_share", "Share", "More recovery"),
        Column("more_clear", "Interval beyond no difference", "More recovery"),
        Column("less", "On this side", "Less recovery"),
        Column("less_share", "Share", "Less recovery"),
        Column("less_clear", "Interval beyond no difference", "Less recovery"),
        Column("median", "Median estimate"),
    )
    rows = [
        _side_row(f"panel {i}", PANELS.get(panel, panel)[0], members)
        for i, (panel, members) in enumerate(_panels(told).items(), 1)
    ]
    whole = _side_row("all", "All", told)
    whole = replace(whole, cells=(*whole.cells[:-1], None))
    return Table(
        "sides",
        "Specifications on each side of no difference",
        columns,
        (*rows, whole) if len(rows) > 1 else tuple(rows),
        notes=(
            "Specifications share people and screens: their number is no sample size, and the "
            "shares are no test.",
        ),
    )


def _side_row(key: str, label: str, members: Sequence[Specification]) -> Row:
    cells: list[Cell] = [Quantity(len(members), "whole")]
    for side in (1, -1):
        some = [s for s in members if s.side == side]
        cells += [
            Quantity(len(some), "whole"),
            Quantity(len(some) / len(members), "percent"),
            Quantity(sum(s.clear for s in some), "whole"),
        ]
    ratio = members[0].null == 1.0
    median = float(np.median([_value(s) for s in members]))
    return Row(key, label, (*cells, Quantity(median, "ratio" if ratio else "plain")))


def _each(told: Sequence[Specification]) -> Table:
    columns = (
        Column("kind", DIMENSIONS[0]),
        Column("missing", DIMENSIONS[1]),
        Column("citation", "Published by"),
        Column("people", "People"),
        Column("estimate", "Estimate with interval"),
        Column("p", "p"),
        Column("side", "Side"),
    )
    rows: list[Row] = []
    for i, (panel, members) in enumerate(_panels(told).items(), 1):
        rows.append(Row(f"panel {i}", PANELS.get(panel, panel)[0]))
        rows += [_each_row(s) for s in sorted(members, key=lambda s: (_value(s), s.name))]
    return Table(
        "specifications",
        "Each specification",
        columns,
        tuple(rows),
        notes=(
            "Differences speak of recovery: of relapse endpoints, of the share without relapse.",
        ),
        stub="Specification",
    )


def _each_row(s: Specification) -> Row:
    assert s.estimate is not None
    people: Cell = Count(s.estimate.n) if s.estimate.n is not None else None
    side = {1: MORE, -1: LESS, 0: "neither"}[s.side]
    interval, p = Ref(s.name, "interval"), Ref(s.name, "p")
    cells = (s.kind, s.missing, s.citation, people, interval, p, side)
    return Row(s.name, s.name, cells, depth=1)


def _checks(
    everything: Sequence[Specification], failed: Sequence[Specification]
) -> Iterable[Check]:
    """What to know before a share of specifications is quoted."""
    yield Check(
        "specifications estimated",
        "caution" if failed else "ok",
        (
            Quantity(len(everything) - len(failed), "whole"),
            " of ",
            Count(len(everything), UNIT),
            " specifications have an estimate",
            "; the others are listed with the reason." if failed else ".",
        ),
    )
