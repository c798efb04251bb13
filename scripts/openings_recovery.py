"""What is recovered where houses open one after another; writes openings_recovery.md beside itself.

python scripts/openings_recovery.py [STUDIES]        200 studies a row by default, a few minutes

Sites of ten people, six waves; a house opens at wave 2, 3 or 4, or never. Days used fall faster
where people are less severe, and those live where houses open. A house takes 4 days off, half as
much more with each wave. In the last rows the places where houses open also improve by 0.3 days a
wave more than others of the same severity, so that trends are not parallel.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import recovery_stats as rs
from recovery_stats.models.staggered_fit import Staggered

STUDIES, LEVEL, EFFECT, WAVES, PEOPLE = 200, 0.95, -4.0, 6, 10
HERE = Path(__file__).resolve().parent
SMALL = 20  # sites
ROWS = ((SMALL, 0.0), (60, 0.0), (120, 0.0), (60, -0.3))
NAMES = {
    "adjusted": "group-time effects, doubly robust",
    "crude": "group-time effects, unadjusted",
    "two_way": "two-way fixed effects",
    "band": "every time of the event study inside its band",
    "relative": "relative magnitudes, once the largest deviation before",
    "smooth": "smoothness, straight deviations",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One answer: its distance from the truth (nan: interval alone); whether it covers."""

    name: str
    error: float
    covers: bool


def effect(since: np.ndarray) -> np.ndarray:
    return np.where(since >= 0, EFFECT * (1 + 0.5 * np.maximum(since, 0)), 0.0)


def study(sites: int, drift: float, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of people and waves."""
    opened = rng.permutation(np.resize([np.nan, np.nan, 2.0, 2.0, 3.0, 4.0], sites))
    site = np.repeat(np.arange(sites), PEOPLE)
    first = opened[site]
    severity = rng.normal(size=site.size) - 0.5 * np.isfinite(first)
    own, shared = rng.normal(0, 3, site.size), rng.normal(0, 0.8, (sites, WAVES))
    parts = []
    for wave in range(WAVES):
        trend = (0.8 * severity - 0.5 + drift * np.isfinite(first)) * wave
        used = 20 + own + trend + shared[site, wave] + rng.normal(0, 3, site.size)
        used = used + effect(np.nan_to_num(wave - first, nan=-1.0))
        parts.append(
            pd.DataFrame(
                {"pid": np.arange(site.size), "site": site, "wave": wave, "first": first,
                 "severity": severity, "used": used}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def fit(data: pd.DataFrame, adjust: tuple[str, ...]) -> Staggered:
    return rs.difference_in_differences(
        "used", data, unit="pid", time="wave", first="first", adjust=adjust, cluster="site",
        replicates=999,
    )  # fmt: skip


def truth(found: Staggered) -> float:
    """The mean over people treated of their mean effect since the start."""
    means = [effect(np.arange(WAVES - g)).mean() for g in found.panel.groups]
    return float(np.average(means, weights=found.panel.shares))


def answers(data: pd.DataFrame) -> Iterator[Found]:
    adjusted = fit(data, ("severity",))
    value = truth(adjusted)
    for name, found in (("adjusted", adjusted), ("crude", fit(data, ()))):
        e = found.overall()
        yield Found(name, e.value - value, e.low <= value <= e.high)
    plain = adjusted.two_way()
    yield Found("two_way", plain.value - value, abs(plain.value - value) <= 1.96 * plain.se)
    event = adjusted.event_study()
    own = effect(event["since"].to_numpy())
    inside = (event["band_low"] <= own) & (own <= event["band_high"])
    yield Found("band", float("nan"), bool(inside.all()))
    mean = float(effect(event.loc[event["since"] >= 0, "since"].to_numpy()).mean())
    for name, kind, most in (("relative", "relative", 1.0), ("smooth", "smooth", 0.0)):
        low, high = adjusted.bounds([most], kind=kind)[["conf_low", "conf_high"]].iloc[0]  # type: ignore[arg-type]
        yield Found(name, float("nan"), bool(low <= mean <= high))


def row(sites: int, drift: float, studies: int) -> Iterator[str]:
    rng = np.random.default_rng([sites, int(drift != 0)])
    found = [a for _ in range(studies) for a in answers(study(sites, drift, rng))]
    for name, label in NAMES.items():
        own = [f for f in found if f.name == name]
        errors = np.array([f.error for f in own])
        share = float(np.mean([f.covers for f in own]))
        error = (
            "–" if np.isnan(errors).all()
            else f"{errors.mean():+.3f} ± {errors.std(ddof=1) / np.sqrt(len(own)):.3f}"
        )  # fmt: skip
        spread = 100 * np.sqrt(share * (1 - share) / len(own))
        trends = "parallel" if drift == 0 else "not parallel"
        yield f"| {sites} | {trends} | {label} | {error} | {100 * share:.1f} ± {spread:.1f} |"


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    lines = [
        "# Houses that open one after another: what is recovered",
        "",
        f"{studies:,} simulated studies a row: sites of {PEOPLE} people, {WAVES} waves, a known "
        "effect that grows. Mean error in days, and per cent of 95 % intervals that hold the "
        "truth, ± their Monte Carlo standard errors. Parallel: given severity. Made "
        "by scripts/openings_recovery.py.",
        "",
        "With 20 sites, where groups have 3 to 7, errors leave each site out in turn (the default "
        "there); with more they come from influence functions. Bands have Welch's degrees of "
        "freedom, by the sites of each group. Relative magnitudes are wide where trends are "
        "parallel: chance deviations before are taken for real ones.",
        "",
        "| sites | trends | answer | mean error | coverage |",
        "|---|---|---|---|---|",
    ]
    for sites, drift in ROWS:
        lines += row(sites, drift, studies)
    (HERE / "openings_recovery.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
