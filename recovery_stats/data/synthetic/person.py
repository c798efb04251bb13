"""Who the people are at baseline, and which arm they come into."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.odds import logistic
from recovery_stats.data.synthetic.place import Places
from recovery_stats.data.synthetic.preset import Preset

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Meetings a year at day 0 and at day 730: low, declining, medium, high (Kaskutas 2005's careers).
CAREER_START = np.array([8.0, 190.0, 60.0, 210.0])
CAREER_END = np.array([8.0, 40.0, 65.0, 185.0])
CAREER_INTERCEPT = np.log([0.36, 0.24, 0.22, 0.18])
CAREER_MOTIVATION = np.array([-0.5, 0.0, 0.2, 0.5])


@dataclass(frozen=True, slots=True)
class People:
    """Baseline of n people; every field is (n,). Latent fields are in no released column."""

    site: Index
    arm: Index
    enrol_day: Index
    age: Index
    sex: Index
    race: Index
    education: Index
    employed: Index
    marital: Index
    partner: Index
    income: Array
    substance: Index
    severity: Array
    motivation: Array
    prior_treatments: Index
    justice: Index
    adversity: Index
    shame: Array
    programme: Index
    medication: Index
    relational: Index
    entry_day: Index
    display: Array
    frailty: Array
    career: Index
    assigned_house: Index

    def __len__(self) -> int:
        return len(self.site)


def draw(preset: Preset, mess: Mess, places: Places, n: int, rng: np.random.Generator) -> People:
    """Draw n people; recorded scores are rounded before anything depends on them."""
    severity = np.round(rng.standard_normal(n), 2)
    motivation = np.round(rng.standard_normal(n), 2)
    site = rng.choice(len(places.site_share), n, p=places.site_share)
    assigned = _house_in_site(places, site, rng)
    sex = rng.choice([1, 2, 3], n, p=[0.62, 0.36, 0.02])
    age = np.clip(np.round(rng.normal(38, 10, n)), 18, 75).astype(np.int64)
    marital = _marital(age, rng)
    employed = (rng.random(n) < logistic(-0.3 - 0.3 * severity)).astype(np.int64)
    late = rng.random(n) < mess.late_entry
    return People(
        site=site,
        arm=_arm(preset, places, site, assigned, severity, motivation, rng),
        enrol_day=rng.integers(0, 365, n),
        age=age,
        sex=np.full(n, 2) if preset.women_only else sex,
        race=rng.choice([1, 2, 3, 4, 5], n, p=[0.55, 0.22, 0.15, 0.03, 0.05]),
        education=rng.choice([1, 2, 3, 4, 5], n, p=[0.22, 0.38, 0.25, 0.11, 0.04]),
        employed=employed,
        marital=marital,
        partner=(rng.random(n) < np.where(marital == 2, 0.92, 0.32)).astype(np.int64),
        income=np.round(employed * rng.lognormal(7.1, 0.5, n) + rng.gamma(1.0, 150, n), -1),
        substance=rng.choice([1, 2, 3, 4, 5], n, p=[0.42, 0.28, 0.18, 0.08, 0.04]),
        severity=severity,
        motivation=motivation,
        prior_treatments=rng.poisson(np.exp(0.7 + 0.2 * severity)),
        justice=(rng.random(n) < logistic(-0.2 + 0.4 * severity)).astype(np.int64),
        adversity=rng.binomial(10, logistic(-0.8 + 0.6 * rng.standard_normal(n))),
        shame=np.round(rng.standard_normal(n), 2),
        programme=rng.integers(1, 5, n),
        medication=rng.integers(0, 2, n),
        relational=rng.integers(0, 2, n),
        entry_day=np.where(late, 1 + rng.integers(0, 60, n), 0),
        display=rng.standard_normal(n),
        frailty=preset.sd_frailty * rng.standard_normal(n),
        career=_career(motivation, rng),
        assigned_house=assigned,
    )


def force_arm(people: People, arm: int) -> People:
    """The same people, all of them in one housing arm."""
    return replace(people, arm=np.full(len(people), arm))


def meetings_per_year(day: Array | Index) -> Array:
    """Attendance careers: meetings a year by career (4,) on each day; shape (4, days)."""
    share = np.asarray(day, dtype=float) / 730
    slope = CAREER_END - CAREER_START
    return np.asarray(CAREER_START[:, None] + slope[:, None] * share)


def _house_in_site(places: Places, site: Index, rng: np.random.Generator) -> Index:
    return np.asarray(
        places.first[site] + (rng.random(len(site)) * places.count[site]).astype(np.int64)
    )


def _arm(
    preset: Preset,
    places: Places,
    site: Index,
    house: Index,
    severity: Array,
    motivation: Array,
    rng: np.random.Generator,
) -> Index:
    u = rng.random(len(site))
    if preset.design == "house":
        return places.arm[house]
    if preset.design == "site":
        return _alternate_within(site, u)
    chooses = u < logistic(-0.2 + 0.45 * motivation - 0.30 * severity)
    return np.asarray(chooses, dtype=np.int64)


def _alternate_within(site: Index, u: Array) -> Index:
    """Randomise within site with sizes that differ by one at most: odd ranks of `u` get 1."""
    order = np.lexsort((u, site))
    sorted_site = site[order]
    rank = np.arange(len(site)) - np.searchsorted(sorted_site, sorted_site)
    arm = np.empty(len(site), dtype=np.int64)
    arm[order] = rank % 2
    return arm


def _marital(age: Index, rng: np.random.Generator) -> Index:
    older = age >= 40
    u = rng.random(len(age))
    young = np.searchsorted([0.55, 0.80, 0.99], u)
    old = np.searchsorted([0.25, 0.55, 0.94], u)
    return 1 + np.where(older, old, young)


def _career(motivation: Array, rng: np.random.Generator) -> Index:
    score = CAREER_INTERCEPT + CAREER_MOTIVATION * motivation[:, None]
    share = np.cumsum(np.exp(score), axis=1)
    u = rng.random(len(motivation))[:, None]
    return np.asarray((u * share[:, -1:] > share).sum(axis=1), dtype=np.int64)
