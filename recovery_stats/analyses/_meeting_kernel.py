"""How long the protection of a meeting lasts, and what that means for k meetings a week."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from recovery_stats.analyses._meeting_people import Asked
from recovery_stats.analyses._meeting_rows import diary_columns, model_formula
from recovery_stats.analyses._wording import opening, plural
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import (
    Cell,
    Column,
    LineFigure,
    Quantity,
    Ref,
    Row,
    Series,
    Table,
)
from recovery_stats.core.estimate import Estimate, Scale
from recovery_stats.core.study import Study
from recovery_stats.errors import ConvergenceError, DataError, NotEstimable
from recovery_stats.models.kernel import KernelFit, kernel_cox
from recovery_stats.models.policy import STEPS, LagFit, lag_cox

WEEKLY = tuple(range(8))
SHAPES = {"last": "Time since the last", "sum": "Sum over all", "saturating": "Saturating sum"}
SPACED = ("weekly_ratio", "weekly_risk", "random_ratio", "random_risk")
EVENLY = "Evenly spaced"


@dataclass(frozen=True, slots=True)
class Kernels:
    """The fits by shape, the primary shape first; `lags` is the curve over single days."""

    asked: Asked
    fits: dict[str, KernelFit]
    lags: LagFit | None
    windows: LagFit | None

    @property
    def main(self) -> KernelFit | None:
        return self.fits.get("last")

    @property
    def shown(self) -> bool:
        """Whether the test of no effect rejects, so that a half-life may be told."""
        return self.main is not None and self.main.no_effect.p < 1 - self.asked.q.level

    @classmethod
    def of(cls, asked: Asked, study: Study, known: Dataset) -> Kernels:
        """Fit every shape; one that cannot be fitted is left out."""
        formula, diary = model_formula(asked), diary_columns(asked, study)
        common = {"weights": asked.q.weights, "level": asked.q.level}
        fits: dict[str, KernelFit] = {}
        lags = windows = None
        if not asked.daily_diary:
            return cls(asked, {}, None, None)
        try:
            for shape in SHAPES if asked.q.sensitivity else ("last",):
                fits[shape] = kernel_cox(formula, known, shape=shape, **diary, **common)  # type: ignore[arg-type]
            if asked.q.sensitivity:
                lags = lag_cox(formula, known, steps=None, **diary, **common)
                windows = lag_cox(formula, known, **diary, **common)
        except (NotEstimable, ConvergenceError, DataError):
            pass
        return cls(asked, fits, lags, windows)


def kernel_estimates(found: Kernels) -> Iterator[Estimate]:
    """The day after a meeting, the half-life, and the risks under k meetings a week.

    The day after is the nearest that whole-day diaries see; the moment after is an extrapolation
    that runs away where the half-life is short.
    """
    fit = found.main
    if fit is None:
        return
    row = fit.hazard_ratios((7,)).iloc[0]  # a meeting every day: each day is the day after one
    yield _estimate(
        fit, "protection", "The day after one",
        (row["estimate"], row["conf_low"], row["conf_high"], row["std_error"], fit.no_effect.p),
        "ratio",
    )  # fmt: skip
    if not found.shown:
        return
    half = fit.half_life()
    low, high = (0.0 if half.open_low else half.low), (inf if half.open_high else half.high)
    yield _estimate(
        fit, "half_life", "Half-life of the protection", (half.value, low, high, _NAN, _NAN), "time"
    )
    horizon = found.asked.q.horizon
    for table, name, label, scale in (
        (fit.hazard_ratios(WEEKLY), "weekly_ratio", "Mean hazard ratio", "ratio"),
        (fit.risks(WEEKLY, horizon), "weekly_risk", "Risk by the horizon", "probability"),
        (
            fit.hazard_ratios(WEEKLY, "random"), "random_ratio",
            "Mean hazard ratio, days at random", "ratio",
        ),
        (
            fit.risks(WEEKLY, horizon, "random"), "random_risk",
            "Risk by the horizon, days at random", "probability",
        ),
    ):  # fmt: skip
        for r in table.itertuples(index=False):
            values = (r.estimate, r.conf_low, r.conf_high, r.std_error, _NAN)
            yield _estimate(fit, f"{name}_{r.weekly}", f"{label}, {r.weekly} a week", values, scale)
    d = fit.risk_difference(3, 1, horizon).iloc[0]
    values = (d["estimate"], d["conf_low"], d["conf_high"], d["std_error"], d["p_value"])
    yield _estimate(
        fit, "spaced_difference", "Risk difference, 3 minus 1 a week", values, "difference"
    )


_NAN = float("nan")


def _estimate(
    fit: KernelFit,
    name: str,
    label: str,
    values: tuple[float, float, float, float, float],
    scale: str,
) -> Estimate:
    value, low, high, se, p = map(float, values)
    kind: Scale = scale  # type: ignore[assignment]
    return Estimate(
        name, label, value, low, high, se, p, scale=kind, method=fit.method,
        confidence=fit.level, n=fit.people, events=fit.n_events,
    )  # fmt: skip


def kernel_facts(found: Kernels) -> dict[str, Cell]:
    """What the sentences need: the test, the claim of the literature, shares below half."""
    fit = found.main
    if fit is None:
        return {}
    facts: dict[str, Cell] = {
        "no_effect_p": Quantity(fit.no_effect.p, "p"),
    }
    if found.shown:
        share = fit.below_half().set_index("weekly")
        for k in (1, 3):
            for part, column in (("", "estimate"), ("_low", "conf_low"), ("_high", "conf_high")):
                facts[f"below_half_{k}{part}"] = Quantity(float(share.loc[k, column]), "percent")
    return facts


def kernel_said(found: Kernels) -> dict[str, bool]:
    """Conditions of the sentences."""
    fit = found.main
    half = fit.half_life() if fit is not None and found.shown else None
    claim = _claim(found) if half is not None else ""
    return {
        "kernel": fit is not None,
        "kernel_shown": found.shown,
        "kernel_not_shown": fit is not None and not found.shown,
        "half_life_bounded": half is not None and not (half.open_low or half.open_high),
        "half_life_at_most": half is not None and half.open_low and not half.open_high,
        "half_life_at_least": half is not None and half.open_high and not half.open_low,
        "half_life_unbounded": half is not None and half.open_low and half.open_high,
        "half_life_open_low": half is not None and half.open_low,
        "half_life_open_high": half is not None and half.open_high,
        "claim_fits": claim == "fits",
        "claim_contradicted": claim == "contradicted",
        "claim_undecided": claim == "undecided",
    }


def _claim(found: Kernels) -> str:
    """Once a week leaves most days below half, three cover the week: 7/6 < H < 7/2."""
    assert found.main is not None
    half = found.main.half_life()
    low = 0.0 if half.open_low else half.low
    high = inf if half.open_high else half.high
    shortest, longest = 7 / 6, 7 / 2
    if shortest < low and high < longest:
        return "fits"
    return "contradicted" if high < shortest or low > longest else "undecided"


def kernel_checks(found: Kernels) -> Iterator[Check]:
    if not found.asked.daily_diary:
        return
    if found.main is None:
        yield Check("half-life identified", "caution", ("The model of fading protection failed.",))
        return
    yield from found.main.checks()


def kernel_tables(found: Kernels, named: dict[str, Estimate]) -> Iterator[Table]:
    """k meetings a week; every shape; windows of lags."""
    if found.shown:
        yield _weekly_table(found, named)
    if len(found.fits) > 1:
        yield _shape_table(found)
    if found.windows is not None:
        yield _window_table(found, named)


def _weekly_table(found: Kernels, named: dict[str, Estimate]) -> Table:
    assert found.main is not None
    share = found.main.below_half().set_index("weekly")
    rows = []
    for k in WEEKLY:
        names = tuple(f"{n}_{k}" for n in SPACED)
        cells: tuple[Cell, ...] = tuple(Ref(n, "interval") for n in names if n in named)
        below = Quantity(float(share.loc[k, "estimate"]), "percent")
        rows.append(Row(f"weekly[{k}]", str(k), (below, *cells)))
    name = found.asked.q.meeting_name
    return Table(
        "weekly",
        f"What k {plural(name)} a week would mean, evenly spaced and on days at random",
        (
            Column("below", "Days below half", EVENLY),
            Column("ratio", "Mean HR", EVENLY),
            Column("risk", "Risk by the horizon", EVENLY),
            Column("random_ratio", "Mean HR", "Days at random"),
            Column("random_risk", "Risk by the horizon", "Days at random"),
        ),
        tuple(rows),
        (
            "Days below half: share of the week with less than half of the protection left. Mean "
            "HR: over the days of a week, against never attending. Risk: standardised over the "
            "people analysed, other events held off.",
        ),
        (),
        f"{opening(plural(name))} a week",
    )


def window_estimates(found: Kernels) -> Iterator[Estimate]:
    """The hazard ratio of one meeting by the window of days in which it lies."""
    if found.windows is None or found.main is None:
        return
    curve = found.windows.curve().set_index("lag")
    for first, last in zip((1, *(s + 1 for s in STEPS)), STEPS, strict=False):
        r = curve.loc[last]
        days = f"{first} days" if first == last else f"{first} to {last} days"
        made = _estimate(
            found.main, f"window[{last}]", f"{days} before".replace("1 days", "1 day", 1),
            (r["estimate"], r["conf_low"], r["conf_high"], r["std_error"], _NAN), "ratio",
        )  # fmt: skip
        yield replace(made, level="sensitivity", method="Cox model, windows of days")


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
                    tested,
                    cells[0],
                    _bound(half.low, half.open_low, told),
                    _bound(half.high, half.open_high, told),
                    Quantity(fit.best.loglik - next(iter(found.fits.values())).best.loglik),
                ),
            )
        )
    return Table(
        "shapes",
        "Shapes of fading protection",
        (
            Column("p", "No effect, p"),
            Column("half_life", "Half-life, days"),
            Column("low", "From"),
            Column("high", "To"),
            Column("loglik", "Log-likelihood"),
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
            (_series("All", risks, "weekly"),),
        )
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


def _series(name: str, table: Any, x: str) -> Series:
    at, value, low, high = (
        tuple(map(float, table[c])) for c in (x, "estimate", "conf_low", "conf_high")
    )
    return Series(name, at, value, low, high)
