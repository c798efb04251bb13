"""Tables and figures of fading protection: k meetings a week, shapes, windows, single days."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

from recovery_stats.analyses._meeting_kernel import SHAPES, WEEKLY, Kernels
from recovery_stats.analyses._wording import opening, plural
from recovery_stats.core.cell import Cell, Quantity, Ref
from recovery_stats.core.document import Column, LineFigure, Row, Series, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.policy import STEPS

SPACINGS = {
    "even": ("Evenly spaced", ("weekly_ratio", "weekly_risk")),
    "random": ("On days at random", ("random_ratio", "random_risk")),
}


def kernel_tables(found: Kernels, named: dict[str, Estimate]) -> Iterator[Table]:
    """k meetings a week; every shape; windows of lags."""
    if found.shown:
        yield _weekly_table(found, named)
    if len(found.fits) > 1:
        yield _shape_table(found)
    if found.windows is not None:
        yield _window_table(found, named)


def _weekly_table(found: Kernels, named: dict[str, Estimate]) -> Table:
    """One block of rows for each spacing: side by side they are wider than a page."""
    assert found.main is not None
    below = found.main.below_half().set_index("weekly")["estimate"]
    rows: list[Row] = []
    for spacing, (head, names) in SPACINGS.items():
        rows.append(Row(f"head[{spacing}]", head))
        for k in WEEKLY:
            share: Cell = Quantity(float(below.loc[k]), "percent") if spacing == "even" else None
            cells = (Ref(f"{n}_{k}", "interval") for n in names if f"{n}_{k}" in named)
            rows.append(Row(f"{spacing}[{k}]", str(k), (*cells, share), 1))
    name = found.asked.q.meeting_name
    return Table(
        "weekly",
        f"What k {plural(name)} a week would mean",
        (
            Column("ratio", "Mean HR"),
            Column("risk", f"Risk by day {found.asked.q.horizon}"),
            Column("below", "Days below half"),
        ),
        tuple(rows),
        (
            "Mean HR: over the days of a week, against never attending. Risk: standardised over "
            "the people analysed, other events held off. Days below half: share of an evenly "
            "spaced week with less than half of the protection left.",
        ),
        (),
        f"{opening(plural(name))} a week",
    )


def _window_table(found: Kernels, named: dict[str, Estimate]) -> Table:
    names = [f"window[{last}]" for last in STEPS if f"window[{last}]" in named]
    return Table(
        "windows",
        f"Hazard ratio of one {found.asked.q.meeting_name} by when it was",
        (Column("ratio", "HR"),),
        tuple(Row(n, named[n].label, (Ref(n, "interval"),)) for n in names),
        ("Each window counts by itself, the others held; no shape is assumed over them.",),
        (),
        "When",
    )


def _shape_table(found: Kernels) -> Table:
    rows = []
    for shape, fit in found.fits.items():
        tested = Quantity(fit.no_effect.p, "p")
        half = fit.half_life()
        told = fit.no_effect.p < 1 - fit.level
        cells = (
            Quantity(half.value, "days") if told else "not told",
            ("below " if half.open_low else "from ") if told else "",
        )
        rows.append(
            Row(
                f"shape[{shape}]",
                SHAPES[shape],
                (
                    cells[0],
                    _bound(half.low, half.open_low, told),
                    _bound(half.high, half.open_high, told),
                    Quantity(fit.best.loglik - next(iter(found.fits.values())).best.loglik),
                    tested,
                ),
            )
        )
    return Table(
        "shapes",
        "Shapes of fading protection",
        (
            Column("half_life", "Half-life, days"),
            Column("low", "From"),
            Column("high", "To"),
            Column("loglik", "Log-likelihood"),
            Column("p", "No effect, p"),
        ),
        tuple(rows),
        (
            "The first shape was named before the run; the others are told beside it, and the "
            "likelihood never chooses. Log-likelihood: above that of the first. No limit: the "
            "interval goes on beyond the half-lives looked at (half a day to 60 days); whole-day "
            "diaries cannot tell one below half a day.",
        ),
        (),
        "Shape",
    )


def _bound(value: float, is_open: bool, told: bool) -> Cell:
    if not told:
        return ""
    return "no limit" if is_open else Quantity(value, "days")


def kernel_figures(found: Kernels) -> Iterator[LineFigure]:
    """The risk by k, and what a meeting contributes by how many days ago it was."""
    name = found.asked.q.meeting_name
    if found.main is not None and found.shown:
        risks = found.main.risks(WEEKLY, found.asked.q.horizon)
        yield LineFigure(
            "weekly_risk",
            f"Risk of relapse by the horizon under k evenly spaced {plural(name)} a week",
            f"{opening(plural(name))} a week",
            "Risk of relapse",
            (_series("Evenly spaced", risks, "weekly"),),
        )
        yield _profile(found)
    if found.lags is not None:
        yield LineFigure(
            "lags",
            f"Hazard ratio of one {name} by how long ago it was",
            f"Days since the {name}",
            "Hazard ratio of relapse",
            (_series("Smooth curve", found.lags.curve(), "lag"),),
            horizontal=1.0,
            log_y=True,
            notes=("A cubic spline over the 28 days before, which ends at 1.",),
        )


def _profile(found: Kernels) -> LineFigure:
    """How fast the likelihood falls on either side of each shape's best half-life."""
    level = found.asked.q.level
    drawn = []
    for shape, fit in found.fits.items():
        table = fit.profile()
        at, below = (tuple(map(float, table[c])) for c in ("half_life", "below_maximum"))
        drawn.append(Series(SHAPES[shape], at, tuple(-b for b in below)))
    return LineFigure(
        "half_life_profile",
        "Profile likelihood of the half-life",
        "Half-life, days",
        "Log-likelihood, from its maximum",
        tuple(drawn),
        horizontal=-(NormalDist().inv_cdf((1 + level) / 2) ** 2) / 2,
        log_x=True,
        notes=(
            "Each shape from its own maximum; its interval is where its line lies above the level "
            "line.",
        ),
    )


def _series(name: str, table: Any, x: str) -> Series:
    at, value, low, high = (
        tuple(map(float, table[c])) for c in (x, "estimate", "conf_low", "conf_high")
    )
    return Series(name, at, value, low, high)
