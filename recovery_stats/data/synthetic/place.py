"""Sites and houses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, Preset

Array = NDArray[np.float64]
Index = NDArray[np.int64]
NEVER = 10**6


@dataclass(frozen=True, slots=True)
class Places:
    """Sites (s,) and houses (h,); houses are sorted by site and numbered from 0 in the arrays.

    site_share: probability of a person's site. site_effect, house_effect: log hazards of
    relapse. arm: the housing arm of a house where houses are randomised. closed_day: the last
    day a house was open. first, count: the houses of a site are first, first + 1, ….
    """

    site_share: Array
    site_effect: Array
    site_craving: Array
    medication: Index
    urban: Index
    beds: Index
    house_site: Index
    house_effect: Array
    house_craving: Array
    house_satisfaction: Array
    kind: Index
    sex: Index
    size: Index
    rule: Index
    density: Array
    arm: Index
    closed_day: Index
    first: Index
    count: Index


def build(preset: Preset, mess: Mess, persons: int, rng: np.random.Generator) -> Places:
    """Draw the sites and houses of a cohort of `persons` people."""
    s = preset.sites or int(np.clip(round(persons / 50), 8, 40))
    h = max(preset.houses or int(np.clip(round(persons / 20), 20, 2000)), 2)
    s = min(s, h)
    share = rng.gamma(10.0, 0.1, s)
    house_site = np.sort(np.concatenate([np.arange(s), rng.integers(0, s, h - s)]))
    first = np.searchsorted(house_site, np.arange(s))
    size = np.clip(np.round(rng.normal(9, 2.5, h)), 6, 18).astype(np.int64)
    closes = rng.random(h) < mess.houses_closed
    return Places(
        site_share=share / share.sum(),
        site_effect=preset.sd_site * rng.standard_normal(s),
        site_craving=0.4 * rng.standard_normal(s),
        medication=(rng.random(s) < 0.6).astype(np.int64),
        urban=rng.integers(1, 4, s),
        beds=rng.integers(20, 121, s),
        house_site=house_site,
        house_effect=preset.sd_house * rng.standard_normal(h),
        house_craving=0.6 * rng.standard_normal(h),
        house_satisfaction=0.10 * rng.standard_normal(h),
        kind=rng.integers(1, 4, h),
        sex=rng.choice([1, 2, 3], h, p=[0.55, 0.3, 0.15]),
        size=size,
        rule=(rng.random(h) < 0.5).astype(np.int64),
        density=np.round(rng.beta(3, 3, h), 2),
        arm=_halves(h, rng),
        closed_day=np.where(closes, rng.integers(90, HORIZON_DAYS, h), NEVER),
        first=first,
        count=np.diff(np.append(first, h)),
    )


def _halves(n: int, rng: np.random.Generator) -> Index:
    """Randomise `n` units to 0 and 1, as evenly as n allows."""
    return rng.permutation(np.arange(n) % 2).astype(np.int64)
