"""SPSS seconds since 14 October 1582 and calendar dates.

Proleptic Gregorian throughout, as SPSS counts; no time zone. Times of day and durations stay
seconds: they may exceed 24 hours or be negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SECONDS_TO_1970 = 141_428 * 86_400  # 14 October 1582 to 1 January 1970
FIRST = 86_400.0  # 15 October 1582, the first day of the Gregorian calendar
END = float((np.datetime64("10000-01-01") - np.datetime64("1582-10-14")).astype(int) * 86_400)


def datetimes(seconds: Any) -> Any:
    """Turn SPSS seconds (n,) into datetime64[us]; NaT outside 15 October 1582 to 9999."""
    possible = (seconds >= FIRST) & (seconds < END)
    whole = np.where(possible, seconds, 0.0)
    stamps = (np.round(whole * 1e6).astype(np.int64) - SECONDS_TO_1970 * 1_000_000).astype(
        "datetime64[us]"
    )
    stamps[~possible] = np.datetime64("NaT")
    return stamps


def seconds(stamps: Any) -> Any:
    """Turn datetime64 (n,) into SPSS seconds; NaT becomes NaN."""
    stamps = stamps.astype("datetime64[us]")
    absent = np.isnat(stamps)
    whole, micro = np.divmod(np.where(absent, 0, stamps.astype(np.int64)), 1_000_000)
    # the whole part is exact, so the sum is rounded once
    return np.where(absent, np.nan, (whole + SECONDS_TO_1970) + micro / 1e6)
