"""How visits are read: missed ones filled in, results standing for other weeks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recovery_stats.data.endpoint.measure import counted
from recovery_stats.data.endpoint.pattern import (
    MISSED,
    NEGATIVE,
    NO_VISIT,
    POSITIVE,
    Codes,
    Mask,
)


def where_coded(mask: Mask, code: int, codes: Codes) -> Codes:
    return np.where(mask, np.uint8(code), codes)


def bridged(codes: Codes) -> Codes:
    """Missed visits whose neighbours among the scheduled ones are both negative, as negative."""
    before, after = _neighbours(codes), _neighbours(codes[:, ::-1])[:, ::-1]
    alone = (codes == MISSED) & (before == NEGATIVE) & (after == NEGATIVE)
    return where_coded(alone, NEGATIVE, codes)


def _neighbours(codes: Codes) -> Codes:
    """The scheduled visit before each place; NO_VISIT before the first."""
    found = np.zeros_like(codes)
    latest = np.zeros(len(codes), dtype=codes.dtype)
    for place in range(codes.shape[1]):
        found[:, place] = latest
        latest = np.where(codes[:, place] != NO_VISIT, codes[:, place], latest)
    return found


def like_most(codes: Codes) -> Codes:
    mostly = counted(codes, "-") > counted(codes, "+*")
    found = np.where(mostly, np.uint8(NEGATIVE), np.uint8(POSITIVE))
    return np.where(codes == MISSED, found[:, np.newaxis], codes)


def standing_for_next(codes: Codes, weeks: Sequence[int]) -> Codes:
    found = codes.copy()
    for week in weeks:
        if week < codes.shape[1]:
            there = codes[:, week] != NO_VISIT
            found[there, week] = codes[there, week - 1]
    return found
