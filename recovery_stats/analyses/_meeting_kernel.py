"""How long the protection of a meeting lasts, and what that means for k meetings a week."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

from recovery_stats.analyses._meeting_people import Asked
from recovery_stats.analyses._meeting_rows import diary_columns, model_formula
from recovery_stats.core.cell import Cell, Quantity
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset
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
