"""What the (start, stop] rows of people look like, where it bears on what was estimated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recovery_stats.core.cell import Count
from recovery_stats.core.check import Check
from recovery_stats.models.observation import Observation
from recovery_stats.models.time_check import overlapping

STRAY = 0.1  # share of clusters with overlapping rows up to which they look like people


def check_spells(seen: Observation) -> Iterator[Check]:
    """Rows after an event, gaps, and clusters that look like people observed twice at once."""
    if seen.start is None:
        return
    if seen.person is not None:
        yield from _rows_of_people(seen)
    elif seen.cluster is not None:
        yield from _stray_overlaps(seen)


def _rows_of_people(seen: Observation) -> Iterator[Check]:
    assert seen.person is not None
    assert seen.start is not None
    order = np.lexsort((seen.start, seen.person))
    who, begin, end = seen.person[order], seen.start[order], seen.stop[order]
    happened = seen.cause[order] > 0
    again = who[1:] == who[:-1]
    on = len(np.unique(who[1:][again & happened[:-1]]))
    if on:
        yield Check(
            "rows after an event",
            "caution",
            (
                Count(on, "people"),
                " people go on being at risk after an event, which is then one of several of the "
                "same kind; use rs.recurrent or rs.mean_cumulative for repeated relapse, or end "
                "follow-up at the first.",
            ),
        )
    gap = again & (begin[1:] > end[:-1])
    away = len(np.unique(who[1:][gap]))
    back = len(np.unique(who[1:][gap & happened[1:] & ~happened[:-1]]))
    if away:
        yield Check(
            "gaps in observation",
            "caution",
            (
                Count(away, "people"),
                " people are out of observation between two rows; ",
                Count(back, "people"),
                " of them have the event in the row after it. An event within a gap is not seen, "
                "so the gap must not depend on the hazard.",
            ),
        )


def _stray_overlaps(seen: Observation) -> Iterator[Check]:
    """A site's people overlap nearly always, a person's rows never should."""
    assert seen.cluster is not None
    assert seen.start is not None
    several = np.bincount(seen.cluster) > 1
    where, _ = overlapping(seen.cluster, seen.start, seen.stop, seen.cause.astype(float))
    strange = len(np.unique(seen.cluster[where]))
    if 0 < strange <= STRAY * several.sum():
        yield Check(
            "overlapping rows",
            "caution",
            (
                "Rows overlap in ",
                Count(strange, "clusters"),
                f" clusters of {seen.cluster_name}, and in no other: if they are people, some are "
                "at risk twice at one time. Name them by person= to have such rows refused.",
            ),
            seen.cluster_name,
        )
