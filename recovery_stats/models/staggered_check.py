"""What to know before group-time effects are believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from recovery_stats.core.cell import Count, Quantity
from recovery_stats.core.check import Check
from recovery_stats.errors import NotEstimable

if TYPE_CHECKING:
    from recovery_stats.models.staggered_fit import Staggered

FEW, VERY_FEW = 40, 10  # clusters


def staggered_checks(fit: Staggered) -> tuple[Check, ...]:
    """Clusters, cells without an answer, deviations before the start, weights of the comparator."""
    return (*_clusters(fit), *_cells(fit), *_before(fit), *_two_way(fit))


def _clusters(fit: Staggered) -> Iterator[Check]:
    treated = len(np.unique(fit.clusters[np.isfinite(fit.panel.start)]))
    few = fit.count < FEW or fit.fewest < VERY_FEW
    yield Check(
        "clusters of staggered starts",
        "caution" if few else "ok",
        (
            Count(fit.count, "clusters"), ", of which ", Count(treated, "clusters"),
            " began treatment; the smallest group that starts together has ",
            Count(fit.fewest, "clusters"),
            _told(fit) if few else ".",
        ),
        fit.cluster,
    )  # fmt: skip


def _told(fit: Staggered) -> str:
    if fit.fewest == 1:
        return ". A group of one has no error that counts how they differ: its intervals are void."
    if fit.jackknifed:
        return (
            ". Errors come from leaving each out in turn, and bands have the degrees of freedom of "
            "the groups, which is better with few; bounds are still too narrow."
        )
    return ". Standard errors rest on many in each group; with few they are too small."


def _cells(fit: Staggered) -> Iterator[Check]:
    without = [c for c in fit.cells if c.after and not np.isfinite(c.value)]
    total = sum(c.after for c in fit.cells)
    if not without:
        return
    reasons = "; ".join(sorted({c.why for c in without}))
    yield Check(
        "comparison left",
        "caution",
        (
            Count(len(without), "groups"), " of ", Count(total, "groups"),
            f" of a group and a time after its start have no effect that can be told ({reasons}). "
            "They take no part in any sum.",
        ),
    )  # fmt: skip


def _before(fit: Staggered) -> Iterator[Check]:
    """Effects before the start, taken together; and how much deviation the answer bears."""
    table = fit.event_study()
    before = table[(table["since"] < -fit.design.anticipation) & (table["std_error"] > 0)]
    if before.empty:
        yield Check(
            "trends before the start",
            "caution",
            ("No period before the reference period: parallel trends cannot be looked at.",),
        )
        return
    outside = (before["band_low"] > 0) | (before["band_high"] < 0)
    parts: tuple[str | Count | Quantity, ...] = (
        Count(int(outside.sum()), "waves"), " of ", Count(len(before), "waves"),
        " before the start differ from the reference period by more than their simultaneous band. "
        "That none does is no proof of parallel trends.",
    )  # fmt: skip
    try:
        most = fit.breakdown()
    except NotEstimable:
        most = float("nan")
    if np.isfinite(most) and most > 0:
        parts = (
            *parts, " The interval of the effect reaches zero where trends deviate after the start "
            "by ", Quantity(most), " times the largest deviation before it.",
        )  # fmt: skip
    yield Check("trends before the start", "caution" if outside.any() else "ok", parts)


def _two_way(fit: Staggered) -> Iterator[Check]:
    try:
        plain = fit.two_way()
    except NotEstimable:
        return
    if plain.negative_cells:
        yield Check(
            "negative weights",
            "caution",
            (
                "A regression with effects of unit and time would weigh ",
                Count(plain.negative_cells, "groups"), " of ", Count(len(plain.weight), "groups"),
                " negatively (", Quantity(plain.negative), " together), because it takes units "
                "already treated as comparison; it is shown beside, not as an answer.",
            ),
        )  # fmt: skip
