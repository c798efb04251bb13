"""Numbers that would give back the counts which a profile rounds.

A share and its limits tell how many people there were, and then how many had it; so do the
difference and the ratio of two shares: where counts are rounded these are made of the rounded
counts (`plain`). A description that hangs on more than two counts, and a rate beside a count, are
told in steps of what `round_to` people change, limits outward, without their error. What comes
from a model, and every other number, keeps the digits that a page prints; degrees of freedom,
which count people, are rounded as they are. Attacked in tests/report/test_attack_rounded.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from recovery_stats.core.cell import Cell, Count, Hidden, Quantity, Share, Shown
from recovery_stats.core.document import (
    Block,
    CaterpillarFigure,
    Document,
    ForestFigure,
    LoveFigure,
    Numbers,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Privacy
from recovery_stats.report.digits import decimals_for, rounded
from recovery_stats.report.privacy.estimate import estimates, raw_share
from recovery_stats.report.privacy.plain import (
    FROM_ROUNDED,
    Contrasts,
    anew,
    rounded_pair,
    wilson,
)
from recovery_stats.report.privacy.value import behind
from recovery_stats.report.privacy.visit import Place, cells, map_cells

SAME = 1e-6
P_DECIMALS = 3
LOVE_DECIMALS = 2
RAW = "in steps of what {} people change"


def coarsened(document: Document, whole: Document, privacy: Privacy) -> Document:
    """`document` with coarse numbers; `whole`: the same with all of its shares."""
    told, counted = _teller(whole, privacy), _fewest(whole)

    def change(place: Place, cell: Cell) -> Cell:
        match cell:
            case Shown(estimate):
                return replace(cell, estimate=told(estimate))
            case Quantity(value, "plain") if (n := counted.get(place[:2])) and math.isfinite(value):
                return replace(cell, value=_to_step(value, nice(abs(value) * privacy.round_to / n)))
            case Quantity():
                return _quantity(cell, privacy)
            case _:
                return cell

    done = map_cells(document, change)
    return replace(
        done,
        blocks=tuple(_figure(block, told) for block in done.blocks),
        estimates=tuple(map(told, document.estimates)),
    )


def _fewest(document: Document) -> dict[tuple[int, int], int]:
    """The smallest count in each row of a table: a rate times its base would give it back."""
    found: dict[tuple[int, int], int] = {}
    for (b, i, _), cell in cells(document).items():
        counts = isinstance(document.blocks[b], Table) and isinstance(cell, Count)
        if counts and (n := behind(cell)):
            found[b, i] = min(n, found.get((b, i), n))
    return found


def _to_step(value: float, step: float) -> float:
    return rounded(step * round(value / step), 12)


def nice(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `step`."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next((m * power for m in (1, 2, 5) if m * power >= step * (1 - 1e-9)), 10 * power)


def notes(shown: Iterable[Estimate], privacy: Privacy) -> Iterator[str]:
    """What to say under a table of how these estimates are told."""
    methods = [e.method for e in shown]
    if any(m.endswith(FROM_ROUNDED) for m in methods):
        yield "Shares, their differences and ratios, and their limits are those of rounded counts."
    if any(m.endswith(RAW.format(privacy.round_to)) for m in methods):
        yield f"Other descriptions are told {RAW.format(privacy.round_to)}, limits outward."


# --- estimates ---------------------------------------------------------------------------


def _teller(document: Document, privacy: Privacy) -> Callable[[Estimate], Estimate]:
    """How to tell an estimate of `document`, whose shares are all there."""
    known = {(c.n, c.of) for c in cells(document).values() if isinstance(c, Share) and c.of}
    known |= {raw for e in estimates(document) if (raw := raw_share(e))}
    contrasts = Contrasts.of(known)

    def told(e: Estimate) -> Estimate:
        if made := anew(e, contrasts, privacy.round_to):
            return made
        step = _step(e, privacy.round_to)
        return _in_steps(e, step, privacy) if step else _as_printed(e, privacy)

    return told


def _step(e: Estimate, people: int) -> float:
    """By how much `people` move a description or a mean time; 0 where a model stands behind it."""
    if (e.level != "descriptive" and e.scale != "time") or not e.n:
        return 0.0
    size = max((abs(x) for x in (e.value, e.low, e.high) if math.isfinite(x)), default=0.0)
    share = e.scale == "probability" or (e.scale == "difference" and size <= 1)
    step = {"probability": 1.0, "difference": 1.0 if share else size, "time": size, "ratio": size}
    return nice(step[e.scale] * people / e.n) if step.get(e.scale) else 0.0


def _in_steps(e: Estimate, step: float, privacy: Privacy) -> Estimate:
    def at(x: float, whole: Callable[[float], float]) -> float:
        return rounded(step * whole(x / step), 12) if math.isfinite(x) else x

    return replace(
        e,
        value=at(e.value, round),
        low=at(e.low, math.floor),
        high=at(e.high, math.ceil),
        se=math.nan,
        p=float(f"{e.p:.0e}") if math.isfinite(e.p) else e.p,
        df=_df(e.df, privacy),
        method="; ".join(filter(None, (e.method, RAW.format(privacy.round_to)))),
    )


def _as_printed(e: Estimate, privacy: Privacy) -> Estimate:
    style = "ratio" if e.scale == "ratio" else "plain"
    three = (e.value, e.low, e.high)
    places = max(decimals_for(x, style) for x in three)
    value, low, high = (rounded(x, places) for x in three)
    se = rounded(e.se, decimals_for(e.se)) if math.isfinite(e.se) else e.se
    return replace(e, value=value, low=low, high=high, se=se, p=_p(e.p), df=_df(e.df, privacy))


def _p(p: float) -> float:
    """A p value as printed, one digit of a minute one."""
    return rounded(p, P_DECIMALS) if not p < 10**-P_DECIMALS else float(f"{p:.0e}")


def _df(df: float, privacy: Privacy) -> float:
    """Degrees of freedom, of many people to the multiple that counts are rounded to."""
    if not math.isfinite(df) or df < 2 * privacy.minimum:
        return rounded(df, 1)
    return float(privacy.round_to * round(df / privacy.round_to))


# --- cells and figures -------------------------------------------------------------------


def _quantity(cell: Quantity, privacy: Privacy) -> Quantity | Hidden:
    """A share of some that a step would make none, or all, is withheld."""
    value, style = cell.value, cell.style
    if not math.isfinite(value) or style in ("whole", "whole_percent"):
        return cell
    if style == "percent":
        step = nice(privacy.round_to / cell.n) if cell.n else 0.01
        told = _to_step(value, step)
        if told != value and told in (0.0, 1.0):
            return Hidden(0)
        return Quantity(told, "whole_percent" if step >= 0.01 else "percent", cell.n)
    if style == "df":
        return replace(cell, value=_df(value, privacy))
    told = _p(value) if style == "p" else rounded(value, decimals_for(value, style))
    return replace(cell, value=told)


def _figure(block: Block, told: Callable[[Estimate], Estimate]) -> Block:
    match block:
        case ForestFigure(rows=rows):
            done = (replace(r, estimate=told(r.estimate)) if isinstance(r, Shown) else r
                    for r in rows)  # fmt: skip
            return replace(block, rows=tuple(done))
        case LoveFigure(before=before, after=after):
            return replace(block, before=_places(before, LOVE_DECIMALS),
                           after=_places(after, LOVE_DECIMALS))  # fmt: skip
        case _:
            return block


def _places(numbers: Numbers, places: int) -> Numbers:
    return tuple(rounded(x, places) for x in numbers)


def coarse_line(series: Series, privacy: Privacy) -> Series:
    """Points as printed; shares of people in steps of what `round_to` of them make."""
    steps = [_share_step(y, n, privacy) for y, n in zip(series.y, series.n_at, strict=False)]

    def told(numbers: Numbers) -> Numbers:
        if len(steps) == len(numbers) and all(steps):
            return tuple(_to_step(x, s) for x, s in zip(numbers, steps, strict=True))
        return tuple(rounded(x, decimals_for(x)) for x in numbers)

    return replace(series, y=told(series.y), low=told(series.low), high=told(series.high))


def _share_step(y: float, least: int, privacy: Privacy) -> float:
    """The step of a share whose smaller part are `least` people; 0 where it is none."""
    if y in (0.0, 1.0):
        return nice(privacy.round_to / least) if least else 0.0
    people = least / min(y, 1 - y) if 0 < y < 1 else math.nan
    whole = math.isfinite(people) and abs(people - round(people)) < SAME * people
    return nice(privacy.round_to / people) if whole and people else 0.0


def coarse_groups(figure: CaterpillarFigure, privacy: Privacy) -> CaterpillarFigure:
    """Shares with Wilson's limits from rounded counts, in their order; else as printed."""
    three = (figure.value, figure.low, figure.high)
    if not figure.shares:
        value, low, high = (tuple(rounded(x, decimals_for(x)) for x in part) for part in three)
        return replace(figure, value=value, low=low, high=high)
    pairs = [rounded_pair(pair, privacy.round_to) for pair in figure.shares]
    rows = sorted(wilson(n, of, figure.confidence) for n, of in pairs)
    value, low, high = (tuple(part) for part in zip(*rows, strict=True)) if rows else ((), (), ())
    words = f"Shares and limits are those of counts rounded to the nearest {privacy.round_to}."
    return replace(
        figure, value=value, low=low, high=high, shares=(), notes=(*figure.notes, words)
    )  # fmt: skip
