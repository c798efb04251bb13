"""Compute what is true in each preset where no closed form tells it, and store it.

python scripts/truth.py [PRESET ...] [--people 1000000] [--seed 20250101] [--only PART ...]

For every preset it writes recovery_stats/data/synthetic/truth/PRESET.toml with

* relapse risk at 12 and 24 months if everyone attended k = 0 … 7 meetings a week, on evenly
  spaced days (first meeting on the day of entry) and on random days, with death, incarceration
  and loss prevented: each person's risk is 1 - exp(-cumulative hazard), so only people are
  sampled, not events;
* 24-month outcomes if everyone were in the collaborative-house arm, and if no one were: the
  same people twice; and their marginal hazard ratio and restricted mean time;
* relapse risk at 24 weeks and 12 months under the sustained strategies of meeting_frequency
  (scripts/sustained_truth.py), death and incarceration competing;
* what models without frailty converge to: a Cox model of the natural course with the true
  kernel, and one with the meetings of the last seven days;
* the slope on the observed person mean of satisfaction.

The Monte Carlo error of each value is the spread of its blocks over the root of their number.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

import sustained_truth  # noqa: E402

from recovery_stats.data.synthetic import cohort, course, person, sheet, stay, toml, wave  # noqa: E402
from recovery_stats.data.synthetic.mess import NO_MESS, REALISTIC, Mess  # noqa: E402
from recovery_stats.data.synthetic.preset import (  # noqa: E402
    HORIZON_DAYS,
    PRESETS,
    Preset,
)
from recovery_stats.data.synthetic.protection import Protection  # noqa: E402

Array = NDArray[np.float64]
Values = dict[str, float]
Sections = Mapping[str, Mapping[str, Any]]
STORE = ROOT / "recovery_stats" / "data" / "synthetic" / "truth"
WEEKLY = np.arange(8)
BLOCK = 10_000
YEAR = 365
SUSTAINED_BLOCK = 50_000  # enough that everyone has someone much like them
RANDOM_SHARE = 5  # random spacing needs a draw a person-day: done on a fifth of the people
SURVIVAL_SHARE = 4
COX_PEOPLE = 20_000
COX_BLOCKS = 10
WAVE_BLOCKS = 20
SITES, HOUSES = 400, 2_000  # a block: enough that the draw of places adds little error
DROPOUT_ONLY = replace(NO_MESS, dropout=True, returns=REALISTIC.returns)


@dataclass(frozen=True)
class Estimates:
    """Values of every block; rows are blocks."""

    names: tuple[str, ...]
    rows: Array

    def summary(self) -> tuple[Values, Values]:
        """Mean over blocks, and its Monte Carlo error."""
        error = self.rows.std(axis=0, ddof=1) / np.sqrt(len(self.rows))
        mean = self.rows.mean(axis=0)
        return (
            dict(zip(self.names, mean.tolist(), strict=True)),
            dict(zip(self.names, error.tolist(), strict=True)),
        )


def blocks(people: int, size: int) -> int:
    """Blocks of `size` that hold `people`; at least two, for the Monte Carlo error."""
    return max(people // size, 2)


def place_anew(preset: Preset, mess: Mess, seed: int, number: int) -> cohort.Cohort:
    """A cohort with its own sites and houses, so that the error of a block includes theirs."""
    wide = replace(preset, sites=SITES, houses=HOUSES)
    return cohort.begin(wide, mess, BLOCK, 10_000 * seed + number)


def collect(count: int, one: Callable[[int], Values]) -> Estimates:
    """Run `one` for each block."""
    found = [one(number) for number in range(count)]
    return Estimates(tuple(found[0]), np.array([list(v.values()) for v in found]))


# --- meetings: forced strategies -----------------------------------------------------------


def strategies(preset: Preset, people: int, seed: int) -> Estimates:
    """Relapse risk under k evenly spaced meetings a week."""
    return collect(blocks(people, BLOCK), partial(_strategy_block, preset, seed, spacing="even"))


def random_strategies(preset: Preset, people: int, seed: int) -> Estimates:
    """Relapse risk under a meeting with probability k/7 every day."""
    count = blocks(people // RANDOM_SHARE, BLOCK)
    return collect(count, partial(_strategy_block, preset, seed, spacing="random"))


def attends(day: int, k: int) -> bool:
    """Whether the evenly spaced strategy of `k` meetings a week meets on `day`: 0 first."""
    return (day * k) % 7 < k


def _strategy_block(preset: Preset, seed: int, number: int, *, spacing: str) -> Values:
    plan, rng = place_anew(preset, NO_MESS, seed, number), np.random.default_rng([seed, number])
    people = person.draw(preset, NO_MESS, plan.places, BLOCK, rng)
    stays = stay.plan(preset, NO_MESS, plan.places, people, rng)
    at = {YEAR - preset.prodrome_days: "12m", HORIZON_DAYS - preset.prodrome_days: "24m"}
    risks: Values = {}
    for day, cumulative in _cumulative_hazards(plan, people, stays, spacing, rng):
        if day in at:
            risk = -np.expm1(-cumulative).mean(axis=1)
            risks |= _risks(risk, at[day], "" if spacing == "even" else "_random")
    return risks


def _cumulative_hazards(
    plan: cohort.Cohort,
    people: person.People,
    stays: stay.Stays,
    spacing: str,
    rng: np.random.Generator,
) -> Any:
    """Yield each day with the cumulative hazard (8, n) if no one had relapsed before."""
    preset = plan.preset
    residence = course.residence(preset, plan.places, people, stays)
    constant = np.exp(course.constant_log_hazard(preset, plan.places, people))
    baseline = course.baseline(preset)
    shape = (len(WEEKLY), BLOCK if spacing == "random" else 1)
    protection = Protection(preset.kernel, preset.half_life_days, shape)
    met_this_week = np.zeros(shape)
    drift = np.zeros((len(WEEKLY), BLOCK)) if preset.motivation_gain else np.zeros((8, 1))
    cumulative = np.zeros((len(WEEKLY), BLOCK))
    for day in range(HORIZON_DAYS + 1):
        if day:
            factor = np.exp(-preset.theta * protection.left + preset.b_motivation * drift)
            common = constant * residence.factor(day) * baseline[day]
            cumulative += factor * common
            yield day, cumulative
        if preset.motivation_gain and day and day % 7 == 0:
            noise = course.DRIFT_SD * rng.standard_normal(BLOCK)
            gain = preset.motivation_gain * (met_this_week - course.MEETINGS_NEUTRAL)
            drift = np.round(course.MEMORY_PER_WEEK * drift + gain + noise, 2)
            met_this_week = np.zeros(shape)
        if spacing == "random":
            met = rng.random(BLOCK) < (WEEKLY / 7)[:, None]
        else:
            met = np.array([[attends(day, int(k))] for k in WEEKLY])
        met_this_week = met_this_week + met
        protection.meet(met)


def _risks(risk: Array, when: str, suffix: str) -> Values:
    values = {f"risk_{when}{suffix}_k{k}": float(risk[k]) for k in WEEKLY}
    values[f"risk_difference_{when}{suffix}_3v1"] = float(risk[3] - risk[1])
    values[f"risk_ratio_{when}{suffix}_3v1"] = float(risk[3] / risk[1])
    return values


def sustained(preset: Preset, people: int, seed: int) -> Estimates:
    """Relapse risk under the strategies that meeting_frequency emulates."""
    return collect(blocks(people, SUSTAINED_BLOCK), partial(_sustained_block, preset, seed))


def _sustained_block(preset: Preset, seed: int, number: int) -> Values:
    plan = place_anew(preset, NO_MESS, seed, number)
    return sustained_truth.risks(plan, SUSTAINED_BLOCK, 10_000 * seed + number)


# --- houses: forced arms -------------------------------------------------------------------


def arms(preset: Preset, people: int, seed: int) -> Estimates:
    """24-month outcomes with everyone in the house arm against everyone in usual after-care."""
    return collect(blocks(people, BLOCK), partial(_arm_block, preset, seed))


def _arm_block(preset: Preset, seed: int, number: int) -> Values:
    plan = place_anew(preset, NO_MESS, seed, number)
    means = [_arm_means(plan, arm) for arm in (0, 1)]
    usual, house = means
    values: Values = {}
    for name in usual:
        values[f"{name}_usual"], values[f"{name}_house"] = usual[name], house[name]
        values[f"{name}_difference"] = house[name] - usual[name]
        if name != "income24":
            values[f"{name}_ratio"] = house[name] / usual[name]
            values[f"{name}_odds_ratio"] = _odds(house[name]) / _odds(usual[name])
    return values


def _odds(p: float) -> float:
    return p / (1 - p)


def _arm_means(plan: cohort.Cohort, arm: int) -> Values:
    block = cohort.draw_block(plan, 0, arm=arm, size=BLOCK)
    o = block.outcomes
    alive, free = ~o.dead, ~o.dead & ~o.in_jail
    relapse = block.course.first_cause == course.RELAPSE
    return {
        "use90_24": float(o.used[free].mean()),
        "employ24": float(o.employed[free].mean()),
        "jail24": float(o.jailed[alive].mean()),
        "income24": float(o.income[free].mean()),
        "relapse_24m": float(relapse.mean()),
        "dead_24m": float(o.dead.mean()),
    }


def survival_of_arms(preset: Preset, people: int, seed: int) -> Estimates:
    """Marginal hazard ratio and restricted mean time to relapse of the two forced arms."""
    count = blocks(people // SURVIVAL_SHARE, BLOCK)
    return collect(count, partial(_survival_block, preset, seed))


def _survival_block(preset: Preset, seed: int, number: int) -> Values:
    plan = place_anew(preset, NO_MESS, seed, number)
    at_risk, relapsed = np.zeros((2, HORIZON_DAYS)), np.zeros((2, HORIZON_DAYS))
    for arm in (0, 1):
        c = cohort.draw_block(plan, 0, arm=arm, size=BLOCK).course
        ends = np.bincount(c.first_day, minlength=HORIZON_DAYS + 1)[1:]
        at_risk[arm] = ends[::-1].cumsum()[::-1]
        relapse = c.first_day[c.first_cause == course.RELAPSE]
        relapsed[arm] = np.bincount(relapse, minlength=HORIZON_DAYS + 1)[1:]
    free = np.cumprod(1 - relapsed / at_risk, axis=1)
    mean_days = 1 + free[:, :-1].sum(axis=1)
    return {
        "arm_log_hazard_ratio": _two_group_cox(at_risk, relapsed),
        "arm_rmst_730_difference": float(mean_days[1] - mean_days[0]),
        "arm_risk_730_difference": float(free[0, -1] - free[1, -1]),
    }


def _two_group_cox(at_risk: Array, relapsed: Array) -> float:
    """Efron's log hazard ratio of group 1 from counts (2, days), by Newton's method."""
    total = relapsed.sum(axis=0).astype(int)
    day = np.repeat(np.arange(len(total)), total)
    share = np.concatenate([np.arange(d) / d for d in total if d])
    left = at_risk[:, day] - share * relapsed[:, day]
    beta = 0.0
    for _ in range(25):
        p = left[1] * np.exp(beta) / (left[0] + left[1] * np.exp(beta))
        step = (relapsed[1].sum() - p.sum()) / (p * (1 - p)).sum()
        beta += float(step)
        if abs(step) < 1e-9:
            return beta
    raise RuntimeError("Newton's method did not converge")


# --- models of the natural course ----------------------------------------------------------


def models(preset: Preset, people: int, seed: int) -> Estimates:
    """Limits of Cox models without frailty, and the share relapsed by 90 to 730 days."""
    count = min(COX_BLOCKS, blocks(people, COX_PEOPLE))
    return collect(count, partial(_model_block, preset, seed))


def _model_block(preset: Preset, seed: int, number: int) -> Values:
    plan = place_anew(preset, NO_MESS, seed, number)
    block = cohort.draw_block(plan, 0, size=COX_PEOPLE)
    c, people = block.course, block.people
    relapse = c.first_cause == course.RELAPSE
    values = {
        f"relapsed_{day}d": float((relapse & (c.first_day <= day)).mean())
        for day in (90, 180, 365, 730)
    }
    strength = _strength(preset, c.met)
    recent = _last_seven(c.met)
    fixed = np.column_stack([people.severity, people.motivation])
    names = ("house", "sev_z", "motiv")
    kernel = _cox(block, strength, fixed)
    values |= {f"cox_kernel_{n}": b for n, b in zip(("P", *names), kernel, strict=True)}
    weekly = _cox(block, recent, fixed)
    values |= {f"cox_week_{n}": b for n, b in zip(("meetings", *names), weekly, strict=True)}
    return values


def _strength(preset: Preset, met: NDArray[np.bool_]) -> NDArray[Any]:
    """Protection left on each day; (731, n)."""
    protection = Protection(preset.kernel, preset.half_life_days, met.shape[1:])
    strength = np.zeros(met.shape, dtype=np.float32)
    for day in range(1, len(met)):
        protection.meet(met[day - 1])
        strength[day] = protection.left
    return np.asarray(strength)


def _last_seven(met: NDArray[np.bool_]) -> NDArray[Any]:
    """Meetings on the seven days before each day; (731, n)."""
    total = np.vstack([np.zeros((1, met.shape[1]), np.int16), np.cumsum(met, 0, dtype=np.int16)])
    days = np.arange(len(met))
    return total[days] - total[np.maximum(days - 7, 0)]


def _cox(block: Any, exposure: NDArray[Any], fixed: Array) -> list[float]:
    """Cox coefficients of exposure, residence and `fixed`, Efron ties, by Newton's method."""
    beta = np.zeros(2 + fixed.shape[1])
    for _ in range(25):
        score, information = _cox_derivatives(block, exposure, fixed, beta)
        step = np.linalg.solve(information, score)
        beta += step
        if np.abs(step).max() < 1e-7:
            return [float(b) for b in beta]
    raise RuntimeError("Newton's method did not converge")


def _cox_derivatives(block: Any, exposure: Array, fixed: Array, beta: Array) -> tuple[Array, Array]:
    c = block.course
    relapse = c.first_cause == course.RELAPSE
    score, information = np.zeros(len(beta)), np.zeros((len(beta), len(beta)))
    for day in range(1, HORIZON_DAYS + 1):
        at_risk = np.flatnonzero(c.first_day >= day)
        failed = relapse[at_risk] & (c.first_day[at_risk] == day)
        if not failed.any():
            continue
        s = c.stays
        resident = (s.in_day[at_risk] < day) & (day <= s.out_day[at_risk])
        x = np.column_stack([exposure[day][at_risk], resident, fixed[at_risk]]).astype(float)
        risk = np.exp(x @ beta)
        share = np.arange(failed.sum()) / failed.sum()
        xw, xf, wf = x * risk[:, None], x[failed], risk[failed]
        s0 = risk.sum() - share * wf.sum()
        s1 = xw.sum(axis=0) - share[:, None] * (xf * wf[:, None]).sum(axis=0)
        inverse = 1 / s0
        mean = s1 * inverse[:, None]
        score += xf.sum(axis=0) - mean.sum(axis=0)
        second, second_failed = xw.T @ x, (xf * wf[:, None]).T @ xf
        information += second * inverse.sum() - second_failed * (share * inverse).sum()
        information -= mean.T @ mean
    return score, information


# --- waves ---------------------------------------------------------------------------------


def slopes(preset: Preset, people: int, seed: int) -> Estimates:
    """Slopes of craving on the observed person mean and the deviation from it, and means at 24.

    Partnered waves that a realistic dropout leaves; generalised least squares with the
    variances of the generator: the limit of the mixed model with random intercept and slope.
    """
    count = min(WAVE_BLOCKS, blocks(people, BLOCK))
    return collect(count, partial(_slope_block, preset, seed))


def _slope_block(preset: Preset, seed: int, number: int) -> Values:
    plan = place_anew(preset, DROPOUT_ONLY, seed, number)
    block = cohort.draw_block(plan, 0, size=BLOCK)
    w = block.waves
    use = w.seen & w.partnered
    alive = w.day[-1] < block.course.death_day
    values = {
        "pacs_mean_24m": float(w.craving[-1][alive].mean()),
        "whoqol_ps_mean_24m": float(w.quality_of_life[-1][alive].mean()),
        "pda_mean_24m": float(w.percent_days_abstinent[-1][alive].mean()),
    }
    within, between = _split_slopes(preset, block, use)
    return values | {"pacs_within_observed": within, "pacs_between_observed": between}


def _split_slopes(preset: Preset, block: Any, use: NDArray[np.bool_]) -> tuple[float, float]:
    w, people = block.waves, block.people
    count = use.sum(axis=0)
    mean = np.where(use, w.satisfaction, 0).sum(axis=0) / np.maximum(count, 1)
    noise = (preset.craving.between - preset.craving.within) ** 2
    spare = noise * wave.SD_PERSON**2 * (1 - 1 / (1 + wave.SD_OCCASION**2 / wave.SD_PERSON**2 / 3))
    normal, right = np.zeros((6, 6)), np.zeros(6)
    for pattern in range(1, 2**wave.WAVES):
        waves = np.flatnonzero([pattern >> k & 1 for k in range(wave.WAVES)])
        who = np.flatnonzero((use == np.isin(np.arange(wave.WAVES), waves)[:, None]).all(axis=0))
        if not len(who):
            continue
        years = w.day[np.ix_(waves, who)] / 365.25
        r = w.satisfaction[np.ix_(waves, who)]
        x = np.stack(np.broadcast_arrays(
            1.0, years, r - mean[who], mean[who], people.severity[who], people.motivation[who]
        ))  # fmt: skip
        typical = years.mean(axis=1)
        variance = (
            wave.SD_CRAVING_WAVE**2 * np.eye(len(waves))
            + wave.SD_CRAVING_PERSON**2
            + spare
            + wave.SD_CRAVING_SLOPE**2 * np.outer(typical, typical)
        )
        weight = np.linalg.inv(variance)
        xv = np.einsum("ajn,jk->akn", x, weight)
        normal += np.einsum("akn,bkn->ab", xv, x)
        right += np.einsum("akn,kn->a", xv, w.craving[np.ix_(waves, who)])
    beta = np.linalg.solve(normal, right)
    return float(beta[2]), float(beta[3])


# --- store ---------------------------------------------------------------------------------


PARTS: Mapping[str, Callable[[Preset, int, int], Estimates]] = {
    "even": strategies,
    "random": random_strategies,
    "arms": arms,
    "models": models,
    "slopes": slopes,
    "survival": survival_of_arms,
    "sustained": sustained,
}


def compute(preset: Preset, parts: Collection[str], people: int, seed: int) -> Sections:
    """The simulated truths of `parts` and their Monte Carlo errors."""
    values: Values = {}
    errors: Values = {}
    for number, (part, estimate) in enumerate(PARTS.items()):
        if part in parts:
            found, error = estimate(preset, people, seed + number).summary()
            values |= found
            errors |= error
    made = {"seed": seed, **{f"people_{part}": people for part in PARTS if part in parts}}
    return {"made_with": made, "value": values, "monte_carlo_error": errors}


def merged(old: Sections, new: Sections) -> Sections:
    """The stored sections with the new ones over them."""
    return {name: {**old.get(name, {}), **section} for name, section in new.items()}


def text(sections: Sections) -> str:
    """The stored file."""
    lines = ["# Written by scripts/truth.py; do not edit."]
    for section, entries in sections.items():
        lines += ["", f"[{section}]", *toml.pairs(entries)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compute and store the truths of the presets named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=", ".join(PRESETS))
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=20250101)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="add these to what is stored")
    parser.add_argument("-o", "--output", type=Path, default=STORE)
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)
    done: dict[Preset, Sections] = {}
    for name in options.presets or PRESETS:
        began = time.perf_counter()
        process = replace(PRESETS[name], name="", says="")  # aliases share their results
        if process not in done:
            done[process] = compute(process, options.only or PARTS, options.people, options.seed)
        old = sheet.stored(name) if options.only else {}
        (options.output / f"{name}.toml").write_text(
            text(merged(old, done[process])), encoding="utf-8"
        )
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
