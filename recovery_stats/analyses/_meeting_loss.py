"""What if those lost to follow-up relapsed more often than those in view?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from recovery_stats.analyses._meeting_curves import Groups
from recovery_stats.analyses._meeting_people import EVENT, TIME
from recovery_stats.core.estimate import Estimate
from recovery_stats.models.lost import free_after_loss
from recovery_stats.models.percentile import percentile_limits

DELTAS = (0.0, 1.0, 1.5, 2.0, 3.0, inf)
BOUNDS = {
    "loss[lowest]": ("Worst: those lost of the first group alone relapse", inf, 0.0),
    "loss[highest]": (
        "Best: those lost of the other group alone relapse",
        0.0,
        inf,
    ),
}
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
    pairs = [(name_of(d), label_of(d), d, d) for d in DELTAS]
    pairs += [(name, label, most, least) for name, (label, most, least) in BOUNDS.items()]
    for name, label, most, least in pairs:
        i, j = DELTAS.index(most), DELTAS.index(least)
        drawn = draws[0][:, i] - draws[1][:, j]
        value = float(free[0][i] - free[1][j])
        low, high = percentile_limits(drawn[:, None], q.level)
        yield Estimate(
            name, label, value, float(min(low[0], value)), float(max(high[0], value)),
            float(drawn.std(ddof=1)), scale="difference", level="sensitivity",
            method=f"Kaplan–Meier, {DRAWS} bootstrap draws of people", confidence=q.level,
            n=min(people),
        )  # fmt: skip


def name_of(delta: float) -> str:
    return "loss[as relapse]" if delta == inf else f"loss[{delta:g}]"


def label_of(delta: float) -> str:
    if delta == inf:
        return "Missing = relapse: each loss one at once"
    if delta == 0:
        return "No relapse after loss: last state carried forward"
    return f"Hazard after loss times {delta:g}"
