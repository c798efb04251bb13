"""The hazard ratio of attendance over time, drawn beside the test that it stays the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from recovery_stats.analyses._wording import reworded
from recovery_stats.core.check import Check
from recovery_stats.core.document import Figure, LineFigure, Series
from recovery_stats.errors import NotEstimable
from recovery_stats.models.survival import CoxFit

MOST_LINES = 3  # more bands would cover each other


def shown(checks: Iterable[Check], words: Mapping[str, str]) -> Iterator[Check]:
    """The checks in the report's words, with the figure at the one that it shows."""
    for check in (reworded(c, words) for c in checks):
        named = check.name == "proportional hazards"
        yield replace(check, figures=("schoenfeld",)) if named else check


def schoenfeld_figure(fit: CoxFit, exposure: str, label: str) -> Iterator[Figure]:
    """One line for each coefficient of `exposure`, or nothing where the events are too few."""
    columns = fit.observation.design.columns_of(exposure)[:MOST_LINES]
    terms = [fit.terms[c] for c in columns]
    try:
        found = [fit.over_time(term) for term in terms]
    except NotEstimable:
        return
    lines = zip(terms, found, strict=True)
    yield LineFigure(
        "schoenfeld",
        "Hazard ratio over time",
        "Days since entry",
        "Hazard ratio",
        tuple(_series(_named(term, exposure, label), table) for term, table in lines),
        horizontal=1.0,
        log_y=True,
        notes=(
            "Scaled Schoenfeld residuals of the main model, smoothed by a natural spline with 4 "
            "degrees of freedom, between the 5th and the 95th centile of the times of relapse. "
            "A level line is what the model takes for granted.",
        ),
    )


def _named(term: str, exposure: str, label: str) -> str:
    """A level by its own name: group[T.3 or more] as "3 or more"."""
    level = term.removeprefix(exposure)
    return level[3:-1] if level.startswith("[T.") else label


def _series(name: str, table: pd.DataFrame) -> Series:
    parts = (table["time"], *(np.exp(table[k]) for k in ("estimate", "conf_low", "conf_high")))
    time, ratio, low, high = (tuple(map(float, part)) for part in parts)
    return Series(name, time, ratio, low, high)
