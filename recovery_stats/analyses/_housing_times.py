"""Time to relapse by arm and by residence on the day, for `collaborative_housing`."""

from __future__ import annotations

from recovery_stats.analyses._housing_case import ARM, STRATUM, Asked, rank_of_times
from recovery_stats.analyses._housing_people import complete, need_both_arms, strata_of
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import NotEstimable
from recovery_stats.models.comparison import Clusters, clusters_of
from recovery_stats.models.level import join, separating_levels
from recovery_stats.models.outcome import Reading
from recovery_stats.models.residence import Times, compare_residence, compare_times


def answer_times(asked: Asked, everyone: Dataset, arms: Reading) -> tuple[Times, Clusters]:
    """Time to relapse by arm."""
    assert asked.time is not None
    assert asked.event is not None
    data = complete(everyone, asked.timed)
    need_both_arms(asked, data, len(everyone))
    clusters = clusters_of(data, asked.cluster, data.frame[ARM].to_numpy(dtype=float))
    _events_in_both(asked, data, arms)
    data = join(data, separating_levels(data, asked.event, asked.adjust, constants=(0.0,)))
    strata = strata_of(asked, data, clusters)
    if strata is not None:
        data = data.with_column(Variable(STRATUM, "stratum"), strata.astype(float))
    columns = asked.times(None if strata is None else STRATUM)
    found = compare_times(data, columns, clusters, level=asked.level, rank=rank_of_times(asked))
    return found, clusters


def _events_in_both(asked: Asked, data: Dataset, arms: Reading) -> None:
    """NotEstimable when nobody in an arm had the event."""
    label = data.label(str(asked.arm))
    said = "" if label == asked.arm else f" ({label})"
    for arm, name in ((0.0, arms.other), (1.0, arms.counted)):
        if not (data.frame.loc[data.frame[ARM] == arm, asked.event] == 1).any():
            raise NotEstimable(
                f"Event {asked.event!r} did not occur where column {asked.arm!r}{said} is "
                f"{name!r}, so that the hazard ratio is 0 or infinite and no interval holds."
            )


def answer_residence(asked: Asked, found: Times, clusters: Clusters, stays: Dataset) -> Times:
    """Add residence on the day to the comparison of arms."""
    assert asked.stays is not None
    assert asked.person is not None
    key, start, stop = asked.stays
    if key != asked.person:
        stays = stays.with_frame(stays.frame.rename(columns={key: asked.person}))
    strata = STRATUM if STRATUM in found.data.frame.columns else None
    return compare_residence(
        found, asked.times(strata), clusters, stays, person=asked.person, start=start, stop=stop,
        level=asked.level,
    )  # fmt: skip
