"""The panel on loss to follow-up: every difference under each assumption on those lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf

from recovery_stats.analyses._meeting_loss import BOUNDS, DELTAS, name_of
from recovery_stats.analyses._meeting_models import MAIN
from recovery_stats.analyses._meeting_rivals import LOSS
from recovery_stats.analyses._meeting_strategy import PRIMARY
from recovery_stats.analyses._meeting_strategy_rivals import DELTAS as OF_STRATEGIES
from recovery_stats.analyses._missing_rows import (
    NOT_TOLD,
    Attempt,
    Told,
    assumed_forest,
    assumed_table,
    refused,
)
from recovery_stats.core.document import ForestFigure, Table
from recovery_stats.core.estimate import Estimate

STRATEGIES = "Strategies: difference in risk"
HAZARD = "One more in the last 7 days: hazard ratio"
NONE = "Ways that do not apply"
AS_IN_VIEW = "Those lost relapse like those in view who are like them"
CAPTION = "The same answers under each assumption on those lost to follow-up"
WORDS = {
    0.0: "Nobody lost relapses up to the horizon.",
    inf: "Everybody lost relapses on the day of the loss.",
}


def missing_panel_table(
    named: Mapping[str, Estimate], failed: Mapping[str, Attempt], difference: str
) -> Table | None:
    """The panel; None where no row but the declared ones was asked for."""
    rows = _present(named, failed, difference)
    if not rows:
        return None
    declared = next((n for n in (PRIMARY, MAIN) if n in named and named[n].level == "primary"), "")
    return assumed_table(
        CAPTION, "Estimate", (*rows, *_without()), named, declared,
        (
            "Hazard after loss times 2: of people lost, against people like them in view. "
            "Where p is n/a, the interval is one of bootstrap percentiles alone. The data cannot "
            "tell which assumption holds.",
        ),
    )  # fmt: skip


def missing_figures(named: Mapping[str, Estimate], difference: str) -> Iterator[ForestFigure]:
    """The differences of the panel, and its hazard ratios on a scale of their own."""
    rows = _present(named, {}, difference)
    ratios = tuple(t for t in rows if named[t.name].scale == "ratio")
    if differences := tuple(t for t in rows if t not in ratios):
        yield assumed_forest(CAPTION, "Difference", differences)
    if ratios:
        figure = assumed_forest(CAPTION, "Hazard ratio", ratios, null=1.0, log_x=True)
        yield replace(figure, name="missing_hazards")


def _present(
    named: Mapping[str, Estimate], failed: Mapping[str, Attempt], difference: str
) -> tuple[Told, ...]:
    """The rows with a number or why there is none; none where only what was declared is told."""
    free = f"{difference}: difference in the share free at the horizon"
    every = (*_strategies(), *_hazard(), *_free(free))
    asked = [told for told in every if told.name in named or told.name in failed]
    if not {t.name for t in asked} - {PRIMARY, MAIN}:
        return ()
    rows = tuple(
        refused(t.label or failed[t.name].label, t.group, failed[t.name].reason)
        if t.name in failed else t
        for t in asked
    )  # fmt: skip
    return tuple(_paired(rows))


def _paired(rows: tuple[Told, ...]) -> Iterator[Told]:
    """The rows of groups that tell more than the declared number alone."""
    groups = [t.group for t in rows]
    yield from (t for t in rows if t.instead or groups.count(t.group) > 1)


def _after(delta: float) -> str:
    return WORDS.get(delta, f"Those lost relapse {delta:g} times as often as those in view.")


def _strategies() -> Iterator[Told]:
    told = f"{AS_IN_VIEW} in attendance, covariates and residence; weights for it."
    yield Told(PRIMARY, STRATEGIES, told, "Censored, with weights for loss")
    for delta in OF_STRATEGIES:
        yield Told(f"strategy[loss_{delta:g}]", STRATEGIES, _after(delta))
    yield Told("strategy[lost_relapse]", STRATEGIES, _after(inf))


def _hazard() -> Iterator[Told]:
    weighted, worst = LOSS
    told = f"{AS_IN_VIEW} on the same day: attendance and covariates."
    yield Told(MAIN, HAZARD, told, "Censored at loss")
    told = f"{AS_IN_VIEW}; people in view are weighted to stand for them."
    yield Told(weighted, HAZARD, told, "Censored, with weights for loss")
    yield Told(worst, HAZARD, _after(inf))


def _free(group: str) -> Iterator[Told]:
    for delta in DELTAS:
        censored = "Those lost relapse like those in view of their group."
        yield Told(
            name_of(delta), group, censored if delta == 1 else _after(delta),
            "Censored at loss" if delta == 1 else "",
        )  # fmt: skip
    for name in BOUNDS:
        yield Told(name, group, "The two groups were lost for opposite reasons.")


def _without() -> Iterator[Told]:
    why = "The outcome is one event in time: no later value is there to be drawn or modelled."
    yield Told("", NONE, why, "Mixed model of visits", NOT_TOLD)
    why = (
        "Times to relapse drawn from the hazard of those in view repeat the censored rows; the "
        "multiplied hazards are what shifted draws would give."
    )
    yield Told("", NONE, why, "Multiple imputation", NOT_TOLD)
    why = (
        "Nobody was drawn into a level of attendance: no reference arm shows how people lost "
        "would have gone on."
    )
    yield Told("", NONE, why, "Jump to reference, copy reference", NOT_TOLD)
