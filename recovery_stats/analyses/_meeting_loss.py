"""What if those lost to follow-up relapsed more often than those in view?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from recovery_stats.analyses._meeting_curves import Groups
from recovery_stats.analyses._meeting_people import EVENT, TIME
from recovery_stats.core.document import Column, Ref, Row, Table
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.lost import free_after_loss
from recovery_stats.models.percentile import percentile_limits

DELTAS = (1.0, 1.5, 2.0, 3.0, inf)
DRAWS = 200


@dataclass(frozen=True, slots=True)
class Lost:
    """The groups of the curves, with the codes of the cause that mean loss."""

    groups: Groups
    codes: list[float]


def loss_estimates(lost: Lost, fewest: int) -> Iterator[Estimate]:
    """Difference in the share free at the horizon with the hazard after loss multiplied.

    Told where at least `fewest` were lost among the two groups compared.
    """
    groups, q = lost.groups, lost.groups.asked.q
    free, draws, people, gone = [], [], [], 0
    rng = np.random.default_rng([q.seed, 5])
    for label in (groups.most, groups.least):
        if label not in groups.labels:
            return
        frame = groups.of_group(label).frame
        time = frame[TIME].to_numpy(float) - groups.begin
        order = np.argsort(frame[groups.asked.person].to_numpy(), kind="stable")
        event = (frame[EVENT] == 1).to_numpy()
        away = frame[q.cause].isin(lost.codes).to_numpy() & ~event
        time, event, away = time[order], event[order], away[order]
        horizon = groups.horizon - groups.begin
        w = rng.multinomial(len(time), np.full(len(time), 1 / len(time)), DRAWS).astype(float)
        free.append(free_after_loss(time, event, away, np.ones(len(time)), DELTAS, horizon))
        draws.append(free_after_loss(time, event, away, w, DELTAS, horizon))
        people.append(len(time))
        gone += int(away.sum())
    if gone < fewest:
        return
    value, drawn = free[0] - free[1], draws[0] - draws[1]
    low, high = percentile_limits(drawn, q.level)
    for j, delta in enumerate(DELTAS):
        yield Estimate(
            name_of(delta), _label(delta), float(value[j]), float(min(low[j], value[j])),
            float(max(high[j], value[j])), float(drawn[:, j].std(ddof=1)), scale="difference",
            level="sensitivity", method=f"Kaplan–Meier, {DRAWS} bootstrap draws of people",
            confidence=q.level, n=min(people),
        )  # fmt: skip


def name_of(delta: float) -> str:
    return "loss[as relapse]" if delta == inf else f"loss[{delta:g}]"


def _label(delta: float) -> str:
    return "Each loss a relapse at once" if delta == inf else f"Hazard after loss times {delta:g}"


def loss_table(named: dict[str, Estimate], words: str) -> Table | None:
    rows = [
        Row(name_of(d), named[name_of(d)].label, (Ref(name_of(d), "interval"),))
        for d in DELTAS
        if name_of(d) in named
    ]
    if not rows:
        return None
    return Table(
        "loss",
        "If those lost to follow-up relapsed more often",
        (Column("difference", "Difference in the share free"),),
        tuple(rows),
        (
            f"{words} of attendance before the landmark, at the horizon. Times 1 is the "
            "Kaplan–Meier difference: those lost are taken to relapse like those in view.",
        ),
    )
