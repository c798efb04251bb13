"""What is true in a preset: closed forms here, the rest as stored by scripts/truth.py."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from recovery_stats.data.synthetic import wave
from recovery_stats.data.synthetic.mess import Mess
from recovery_stats.data.synthetic.preset import PRESETS, Preset

MEANING = {
    "theta": "log hazard of relapse is -theta P(d) on day d; P falls from 1 by half a half_life",
    "half_life": "days in which the protection of a meeting halves",
    "b_house": "conditional log hazard ratio on resident days, given every other cause",
    "b_arm": "conditional log hazard ratio of the housing arm itself, resident or not",
    "b_sev": "conditional log hazard ratio per unit of sev_z",
    "b_motiv": "conditional log hazard ratio per unit of motiv (of this week's, under feedback)",
    "b_shame": "conditional log hazard ratio per unit of self-reported shame: none",
    "below_half_kN": "share of days with P below a half under N evenly spaced meetings a week",
    "pacs_within": "slope of craving on satisfaction within a person, same wave, while partnered: "
    "exact for the deviation of the recorded score from any person-constant value",
    "pacs_between": "slope of craving on the person's long-run satisfaction",
    "pacs_between_observed": "slope on the observed mean over partnered waves, beside the "
    "deviation from it: a noisy long-run mean, so between pacs_within and pacs_between",
    "pacs_within_observed": "check of pacs_within by the same model",
    "pda_within": "log odds of a day abstinent per unit, given the person (beta-binomial)",
    "risk_12m_kN": "12-month risk of relapse if all attended N evenly spaced meetings a week from "
    "the day of entry; death, incarceration and loss prevented; housing as it was",
    "risk_12m_random_kN": "the same with a meeting on each day with probability N/7",
    "risk_difference_12m_3v1": "three against one meeting a week, evenly spaced",
    "sustained_12m_three": "12-month risk of relapse if everyone kept to at least 12 meetings in "
    "every 28-day block, one block out of range forgiven (scripts/sustained_truth.py); death and "
    "incarceration compete; _one: 2 to 6; _24w_: by day 168",
    "use90_24_difference": "everyone in the house arm against no one (marginal); among those alive "
    "and not in custody at 24 months; also employ24, income24; jail24 among those alive",
    "relapse_24m_difference": "first relapse within 24 months before death or incarceration",
    "cox_kernel_P": "limit of a Cox model with P(d), residence, sev_z and motiv, no frailty",
    "cox_week_meetings": "limit of the same model with the meetings of the last seven days for "
    "P(d): a log hazard ratio per meeting a week that averages over spacings",
    "relapsed_90d": "first event is relapse within 90 days, natural course",
    "pacs_mean_24m": "mean at 24 months over all alive, missed waves among them",
}
CONVENTIONS = {
    "day": "Day 0 is entry; the at-risk days are 1 to 730; time t is the row (t - 1, t].",
    "meeting": "A meeting on day m acts from day m + 1: P(d) = 2^(-(d - m)/half_life) for the last "
    "m < d; the sum over all m < d under kernel sum, and 1 less the product of 1 - "
    "2^(-(d - m)/half_life) under kernel saturating. Nobody attended before day 0.",
    "house": "A stay acts on days in_day < d <= out_day: it is the row (in_day, out_day].",
    "relapse": "Pr(relapse on d) = 1 - exp(-h(d)), h(d) = base_rate (1 + a/30)^-base_decay "
    "exp(b_sev sev_z + ... - theta P(d)), a days abstinent.",
    "scale": "ras is the mean of seven items after reversing items 4 and 7; unpartnered waves "
    "are not applicable.",
}
MECHANISM = {
    "dropout": "log odds of missing wave w = 1 to 4 after a wave seen: "
    f"{wave.DROPOUT} + {wave.DROPOUT_WAVE} w + {wave.DROPOUT_SEVERITY} sev_z "
    f"+ {wave.DROPOUT_EMPLOYED} employ0 + dropout_using (using on that day)",
    "loss": "exponential, lost_per_year exp(0.3 sev_z) a year, apart from relapse",
    "rest": "refusals, skips, heaping, moves, closures and late entry happen at random",
}


def compose(preset: Preset, mess: Mess) -> Mapping[str, Any]:
    """Estimand name to value; then monte_carlo_error, meaning, conventions, mess by section."""
    simulated = stored(preset.name) if PRESETS.get(preset.name) == preset else {}
    values = {"preset": preset.name, "says": preset.says, **closed_forms(preset)}
    return {
        **values,
        **simulated.get("value", {}),
        "monte_carlo_error": simulated.get("monte_carlo_error", {}),
        "meaning": MEANING,
        "conventions": CONVENTIONS,
        "mess": {**asdict(mess), **{f"{k}_mechanism": v for k, v in MECHANISM.items()}},
    }


def closed_forms(preset: Preset) -> dict[str, Any]:
    """Truths that are parameters of the process."""
    found: dict[str, Any] = {
        "kernel": preset.kernel,
        "design": preset.design,
        "theta": preset.theta,
        "half_life": preset.half_life_days,
        "b_house": preset.b_house,
        "b_arm": preset.b_arm,
        "b_carry": preset.b_carry,
        "b_sev": preset.b_severity,
        "b_motiv": preset.b_motivation,
        "b_shame": 0.0,
        "b_display": preset.b_display,
        "base_rate": preset.base_rate,
        "base_decay": preset.base_decay,
        "sd_site": preset.sd_site,
        "sd_house": preset.sd_house,
        "sd_frailty": preset.sd_frailty,
        "dropout_using": preset.dropout_using,
        "missing_shift": preset.missing_shift,
    }
    for name, slopes in (
        ("pacs", preset.craving),
        ("pss", preset.stress),
        ("pda", preset.abstinence),
        ("whoqol_ps", preset.quality_of_life),
    ):
        found[f"{name}_within"] = slopes.within
        found[f"{name}_between"] = slopes.between
    if preset.kernel == "last":
        for k in range(8):
            found[f"below_half_k{k}"] = below_half(k, preset.half_life_days)
    return found


def below_half(meetings_per_week: int, half_life_days: float) -> float:
    """Share of days whose last meeting is more than a half-life ago, evenly spaced meetings."""
    if meetings_per_week == 0:
        return 1.0
    days = [d for d in range(7) if d * meetings_per_week % 7 < meetings_per_week]
    gaps = [after - day for day, after in zip(days, [*days[1:], 7], strict=True)]
    below = sum(lag > half_life_days for gap in gaps for lag in range(1, gap + 1))
    return below / 7


def stored(name: str) -> Mapping[str, Any]:
    """The stored results of scripts/truth.py for a preset, empty where there are none."""
    file = files(__package__).joinpath("truth", f"{name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
