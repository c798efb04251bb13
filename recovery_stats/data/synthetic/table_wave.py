"""The table of waves: interviews as they reach the file, satisfaction with its items."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.data.synthetic.codebook import (
    CONTROLLED,
    NOT_APPLICABLE,
    NOT_ASKED,
    REFUSED,
)
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.preset import WAVE_MONTHS
from recovery_stats.data.synthetic.table import Block, house_id, refuse
from recovery_stats.data.synthetic.wave import ITEMS, REVERSED_ITEMS, Waves

Array = NDArray[np.float64]
Index = NDArray[np.int64]
ITEMS_NEEDED = 6
HEAPS = np.array([0, 1, 4, 14, 30])


def waves(block: Block, mess: Mess, rng: np.random.Generator) -> pd.DataFrame:
    """One row an interview that took place; rows of a person in the order of the waves."""
    w = block.waves
    person, wave = np.nonzero(w.seen.T)
    items, score = _satisfaction(w, wave, person, mess, rng)
    jailed = w.in_jail[wave, person]
    month = np.asarray(WAVE_MONTHS)[wave]
    frame = pd.DataFrame(
        {
            "pid": block.pid[person],
            "site_id": 1 + block.people.site[person],
            "wave": month,
            "day_int": w.day[wave, person],
            "house_id": house_id(w.house[wave, person]),
            "mode": w.mode[wave, person],
            "in_ctrl": jailed,
            "partner": w.partnered[wave, person],
            **{f"ras{k + 1}": items[:, k] for k in range(ITEMS)},
            "ras": score,
            "pss": w.stress[wave, person],
            "pacs": w.craving[wave, person],
            "abst30": _heap(w.days_abstinent_30[wave, person], mess, rng),
            "pda": w.percent_days_abstinent[wave, person],
            "whoqol_ps": w.quality_of_life[wave, person],
            "employed": w.employed[wave, person],
        }
    ).astype(float)
    frame.loc[jailed, ["abst30", "pda"]] = CONTROLLED
    for column in ("pss", "pacs", "whoqol_ps", "employed"):
        refuse(frame, column, mess.refused, rng)
    return frame


def _satisfaction(
    w: Waves, wave: Index, person: Index, mess: Mess, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Items and score as they reach the file; the score is the mean of 6 or 7 valid items."""
    items = w.items[wave, person].astype(float)
    n = len(items)
    untouched = np.ones(n, dtype=bool)
    straight = rng.random(n) < mess.straight_line
    items[straight] = rng.integers(2, 5, n)[straight, None]
    wrong = rng.random(items.shape) < mess.miskeyed
    items[wrong] = rng.choice([0, 6, 33, 44, 55], items.shape)[wrong]
    items[rng.random(items.shape) < mess.item_skip] = NOT_ASKED
    items[rng.random(n) < mess.page_skip] = NOT_ASKED
    refused = rng.random(n) < mess.refused
    items[refused] = REFUSED
    valid = np.where((items >= 1) & (items <= 5), items, np.nan)
    valid[:, REVERSED_ITEMS] = 6 - valid[:, REVERSED_ITEMS]
    count = np.isfinite(valid).sum(axis=1)
    untouched = (count == ITEMS) & ~straight
    mean = np.nansum(valid, axis=1) / np.maximum(count, 1)
    score = np.where(count >= ITEMS_NEEDED, np.round(mean, 2), NOT_ASKED)
    score = np.where(untouched, w.satisfaction[wave, person], score)
    score[refused] = REFUSED
    single = ~w.partnered[wave, person]
    items[single] = score[single] = NOT_APPLICABLE
    return items, score


def _heap(days: Index, mess: Mess, rng: np.random.Generator) -> NDArray[np.float64]:
    """Some people round a number of days to the nearest of 0, 1, 4, 14 and 30."""
    rounds = rng.random(len(days)) < mess.heaped
    nearest = HEAPS[np.argmin(np.abs(days[:, None] - HEAPS), axis=1)]
    return np.where(rounds, nearest, days).astype(float)
