"""Interviews at 0, 6, 12, 18 and 24 months: satisfaction, craving, days abstinent, quality of life.

Let r be the recorded satisfaction score (mean of seven items, 1 to 5) and mu_i the person's
long-run level. Every outcome is built on

    within (r - mu_i) + between (mu_i - 3.2)

so the coefficient of r's deviation from any person-constant quantity, the observed person
mean among them, is `within` exactly; the coefficient of the *observed* mean lies between the
two, because a mean of a few waves is a noisy mu_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recovery_stats.data.synthetic.course import Course
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.odds import logistic
from recovery_stats.data.synthetic.person import People
from recovery_stats.data.synthetic.place import NEVER, Places
from recovery_stats.data.synthetic.preset import HORIZON_DAYS, WAVE_DAYS, Preset, Slopes

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Bool = NDArray[np.bool_]

WAVES = len(WAVE_DAYS)
ITEMS = 7
REVERSED_ITEMS = (3, 6)  # items 4 and 7 of the scale, counted from 0
MEAN_SATISFACTION = 3.2
SD_PERSON, SD_GROWTH, COR_PERSON_GROWTH, SD_OCCASION, SD_ITEM = 0.55, 0.15, -0.2, 0.45, 0.60
GROWTH_PER_YEAR, GROWTH_RELATIONAL = 0.15, 0.20
SEPARATION, SEPARATION_USING, NEW_PARTNER = 0.10, 0.10, 0.12  # per half-year
BETA_BINOMIAL_RHO = 0.35
SD_CRAVING_PERSON, SD_CRAVING_SLOPE, SD_CRAVING_WAVE = 2.4, 0.7, 2.4
SD_STRESS_PERSON, SD_STRESS_WAVE = 3.0, 4.0
SD_QUALITY_PERSON, SD_QUALITY_WAVE = 9.0, 9.0
SD_ABSTINENCE_PERSON = 0.6
# One standard deviation of an outcome, for missed waves that differ from observed ones.
MISSING_CRAVING, MISSING_QUALITY, MISSING_ABSTINENCE = 4.0, 14.0, 1.6
DROPOUT, DROPOUT_WAVE, DROPOUT_SEVERITY, DROPOUT_EMPLOYED = -2.2, 0.3, 0.5, -0.3


@dataclass(frozen=True, slots=True)
class Waves:
    """Complete truth at every wave, before mess; arrays are (5, n), items (5, n, 7).

    seen: the interview took place. level: the person's long-run satisfaction mu_i (n,).
    """

    day: Index
    seen: Bool
    partnered: Bool
    items: Index
    satisfaction: Array
    level: Array
    craving: Array
    stress: Array
    days_abstinent_30: Index
    percent_days_abstinent: Array
    quality_of_life: Array
    employed: Bool
    mode: Index
    in_jail: Bool
    using: Bool
    house: Index


def interview(
    preset: Preset,
    mess: Mess,
    places: Places,
    people: People,
    course: Course,
    lost_day: Index,
    rng: np.random.Generator,
) -> Waves:
    """Draw what each person would say at each wave, and which waves take place."""
    n = len(people)
    day = _interview_days(people, rng)
    years = day / 365.25
    at = np.minimum(day, HORIZON_DAYS), np.arange(n)
    using, jailed = course.using[at], course.jailed[at]
    seen = _seen(preset, mess, people, using, rng) & (day < lost_day) & (day < course.death_day)
    partnered = _partnership(people, using, rng)
    level, satisfaction, items = _satisfaction(places, people, years, rng)
    shift = preset.missing_shift * ~seen

    def part(slopes: Slopes) -> Array:
        within = slopes.within * (satisfaction - level) * partnered
        return np.asarray(within + slopes.between * (level - MEAN_SATISFACTION))

    craving = _craving(places, people, years, rng) + part(preset.craving)
    stress = _stress(people, rng) + part(preset.stress)
    quality = _quality(people, years, rng) + part(preset.quality_of_life)
    log_odds = _abstinence(people, rng) + part(preset.abstinence) + MISSING_ABSTINENCE * shift
    share = _beta(logistic(log_odds), rng)
    return Waves(
        day=day,
        seen=seen,
        partnered=partnered,
        items=items,
        satisfaction=satisfaction,
        level=level,
        craving=np.clip(np.round(craving - MISSING_CRAVING * shift), 0, 30),
        stress=np.clip(np.round(stress), 0, 40),
        days_abstinent_30=rng.binomial(30, share),
        percent_days_abstinent=np.round(100 * rng.binomial(90, share) / 90, 1),
        quality_of_life=np.clip(np.round(quality + MISSING_QUALITY * shift, 1), 0, 100),
        employed=_employed(people, using, jailed, rng),
        mode=rng.choice([1, 2, 3], (WAVES, n), p=[0.62, 0.26, 0.12]),
        in_jail=jailed,
        using=using,
        house=_house_on(course, day),
    )


def _interview_days(people: People, rng: np.random.Generator) -> Index:
    """Baseline on the day of entry, later interviews around their target day."""
    n = len(people)
    jitter = np.clip(np.round(rng.normal(4, 7, (WAVES, n))), -14, 28).astype(np.int64)
    day = np.asarray(WAVE_DAYS)[:, None] + jitter
    day[0] = people.entry_day
    return day


def _seen(
    preset: Preset, mess: Mess, people: People, using: Bool, rng: np.random.Generator
) -> Bool:
    """Who is interviewed: missed waves depend on wave, severity and baseline work.

    After a missed wave a person comes back with probability `returns`: patterns are not
    monotone. Only preset mnar lets the state on the day itself decide.
    """
    n = len(people)
    u = rng.random((WAVES, n))
    seen = np.ones((WAVES, n), dtype=bool)
    if not mess.dropout:
        return seen
    for wave in range(1, WAVES):
        score = DROPOUT + DROPOUT_WAVE * wave + DROPOUT_SEVERITY * people.severity
        score = score + DROPOUT_EMPLOYED * people.employed + preset.dropout_using * using[wave]
        stays_in = u[wave] >= logistic(score)
        comes_back = u[wave] < mess.returns
        seen[wave] = np.where(seen[wave - 1], stays_in, comes_back)
    return seen


def _partnership(people: People, using: Bool, rng: np.random.Generator) -> Bool:
    """Who lives with a partner; separations are likelier while using."""
    partnered = np.empty((WAVES, len(people)), dtype=bool)
    partnered[0] = people.partner == 1
    for wave in range(1, WAVES):
        u = rng.random(len(people))
        stays = u >= SEPARATION + SEPARATION_USING * using[wave]
        partnered[wave] = np.where(partnered[wave - 1], stays, u < NEW_PARTNER)
    return partnered


def _satisfaction(
    places: Places, people: People, years: Array, rng: np.random.Generator
) -> tuple[Array, Array, Index]:
    """Long-run level (n,), recorded score (5, n) and raw items (5, n, 7)."""
    n = len(people)
    z = rng.standard_normal((2, n))
    person = SD_PERSON * z[0]
    growth = SD_GROWTH * (COR_PERSON_GROWTH * z[0] + np.sqrt(1 - COR_PERSON_GROWTH**2) * z[1])
    level = MEAN_SATISFACTION + person + places.house_satisfaction[people.assigned_house]
    trend = GROWTH_PER_YEAR + GROWTH_RELATIONAL * people.relational + growth
    occasion = SD_OCCASION * rng.standard_normal((WAVES, n))
    score = (level + trend * years + occasion)[:, :, None]
    straight = np.clip(np.round(score + SD_ITEM * rng.standard_normal((WAVES, n, ITEMS))), 1, 5)
    recorded = np.round(straight.mean(axis=2), 2)
    items = straight.astype(np.int64)
    items[:, :, REVERSED_ITEMS] = 6 - items[:, :, REVERSED_ITEMS]
    return level, recorded, items


def _craving(places: Places, people: People, years: Array, rng: np.random.Generator) -> Array:
    n = len(people)
    z = rng.standard_normal((2, n))
    person = SD_CRAVING_PERSON * z[0] + places.site_craving[people.site]
    person = person + places.house_craving[people.assigned_house] + 0.8 * people.severity
    slope = -1.0 + SD_CRAVING_SLOPE * z[1]
    return np.asarray(
        15.0 + person + slope * years + SD_CRAVING_WAVE * rng.standard_normal((WAVES, n))
    )


def _stress(people: People, rng: np.random.Generator) -> Array:
    n = len(people)
    person = 20.0 + people.severity + SD_STRESS_PERSON * rng.standard_normal(n)
    return np.asarray(person + SD_STRESS_WAVE * rng.standard_normal((WAVES, n)))


def _abstinence(people: People, rng: np.random.Generator) -> Array:
    """Log odds of a day abstinent, (n,)."""
    person = SD_ABSTINENCE_PERSON * rng.standard_normal(len(people))
    return np.asarray(1.4 + person - 0.35 * people.severity)


def _quality(people: People, years: Array, rng: np.random.Generator) -> Array:
    n = len(people)
    person = SD_QUALITY_PERSON * rng.standard_normal(n) - 3.0 * people.severity
    return np.asarray(
        54.0 + person + 2.0 * years + SD_QUALITY_WAVE * rng.standard_normal((WAVES, n))
    )


def _beta(mean: Array, rng: np.random.Generator) -> Array:
    """Shares of days with intra-class correlation rho: the mixing part of a beta-binomial."""
    precision = 1 / BETA_BINOMIAL_RHO - 1
    return rng.beta(mean * precision, (1 - mean) * precision)


def _employed(people: People, using: Bool, jailed: Bool, rng: np.random.Generator) -> Bool:
    score = -0.4 + 1.2 * people.employed - 0.3 * people.severity - 0.7 * using
    employed = rng.random(using.shape) < logistic(score + np.arange(WAVES)[:, None] * 0.12)
    employed[0] = people.employed == 1
    return np.asarray(employed & ~jailed)


def _house_on(course: Course, day: Index) -> Index:
    """House on the day of the interview, -1 for none; on the first day a new resident counts."""
    stays = course.stays
    resident = (stays.in_day <= day) & (day <= stays.out_day) & (stays.in_day < NEVER)
    house = np.where(stays.move_day < day, stays.second, stays.first)
    return np.where(resident, house, -1)
