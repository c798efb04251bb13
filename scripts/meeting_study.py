"""A part of scripts/meeting_recovery.py: one simulated study, and what the methods say of it.

Every part takes a seed and a number of people and returns answers by name. An answer is
(estimate, standard error, lower limit, upper limit, p-value), nan where it was not estimable.
Half-lives and ratios are told as logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from statistics import fmean

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

import recovery_stats as rs
from recovery_stats.core.codebook import Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data.synthetic import PRESETS, Preset
from recovery_stats.engines.kernel import Shape
from recovery_stats.engines.kernel_cox import maximise
from recovery_stats.errors import ConvergenceError, NotEstimable
from recovery_stats.models.kernel import KernelFit, kernel_cox
from recovery_stats.models.percentile import percentile_limits
from recovery_stats.models.policy import STEPS, lag_cox, marginal_structural, one_more_meeting
from recovery_stats.models.reshape import naive_frequency, person_days
from recovery_stats.models.strategy import Courses, Strategy, courses, sustained
from recovery_stats.models.tipping import needed_difference

Answer = tuple[float, float, float, float, float]
Answers = dict[str, Answer]
NOTHING: Answer = (math.nan,) * 5
SURVIVAL = "Surv(start, stop, event) ~ "
HIDDEN = f"{SURVIVAL}sev_z + in_house + strata(site_id)"  # as if motivation were in no column
FORMULA = f"{SURVIVAL}sev_z + motiv + in_house + strata(site_id)"
DIARY = {"meeting_person": "pid", "meeting_day": "mday"}
STAYS = {"stay_person": "pid", "stay_start": "in_day", "stay_stop": "out_day"}
COVERED = {"diary_from": "diary_from", "diary_to": "diary_to"}
ASKED = (Strategy("three", 12, 28), Strategy("one", 2, 6))
LAGS = (0, 7, 14, 30)
DIFFERENCE_SEED = 1_000_000  # no study of the proof has it
MOTIVATION = (0.9, 0.8, 0.67, 0.5, 0.33)  # the hazard ratios of the analysis' tipping table
Z = float(norm.isf(0.025))

ALIKE = {"b_display": 0.0, "sd_site": 0.0, "sd_house": 0.0, "sd_frailty": 0.0}
PRODROME_ONLY = replace(PRESETS["null"], name="null with a prodrome", prodrome_days=14)
SEEN = replace(PRESETS["unmeasured"], name="unmeasured, seen", hide_motivation=False)
SEEN_ALONE = replace(SEEN, name="unmeasured, seen, nothing works", theta=0.0, b_house=0.0, **ALIKE)
ALONE = {
    shape: replace(PRESETS[f"{shape}-kernel"], name=f"{shape}-kernel without frailty", **ALIKE)
    for shape in ("sum", "saturating")
}


def draw(preset: str | Preset, persons: int, seed: int):
    return rs.synthetic_study(preset, persons=persons, seed=seed)


def days(study, windows: Sequence[int] = (7,)) -> Dataset:
    """Person-days before which the diary covers the longest of the windows."""
    rows = person_days(
        study["persons"], person="pid", stop="t_relapse", event="relapse", start="entry",
        meetings=study["meetings"], stays=study["stays"], windows=windows, half_life=2.0,
        keep=("sev_z", "motiv", "site_id"),
        **DIARY, **STAYS, **COVERED,
    )  # fmt: skip
    return rows.with_frame(rows.frame[rows.frame[f"meetings_last{max(windows)}"].notna()])


def with_events(rows: Dataset) -> Dataset:
    """The days on which someone of the same site had the event: no other enters a Cox model."""
    site, day = rows.frame["site_id"].to_numpy(), rows.frame["stop"].to_numpy()
    place = site.astype(np.intp) * 1000 + day.astype(np.intp)
    seen = np.zeros(int(place.max()) + 1, dtype=bool)
    seen[place[rows.frame["event"].to_numpy() > 0]] = True
    return rows.with_frame(rows.frame[seen[place]])


def blocks(study, **changes) -> Courses:
    return courses(
        study["persons"], person="pid", stop="t_first", event="relapse", cause="cause",
        competing=(2, 3), lost=(4,), start="entry", meetings=study["meetings"],
        stays=study["stays"], **DIARY, **STAYS, **COVERED,
        **{"baseline": ("sev_z", "motiv")} | changes,
    )  # fmt: skip


def wald(value: float, se: float) -> Answer:
    return value, se, value - Z * se, value + Z * se, float(2 * norm.sf(abs(value) / se))


def of_term(fit, term: str) -> Answer:
    row = fit.tidy().set_index("term").loc[term]
    return tuple(
        float(row[c]) for c in ("estimate", "std_error", "conf_low", "conf_high", "p_value")
    )


def of_row(row, p: float = math.nan) -> Answer:
    low, high = float(row["conf_low"]), float(row["conf_high"])
    return float(row["estimate"]), float(row["std_error"]), low, high, float(p)


def of_window(formula: str, rows: Dataset, diary: Dataset, lag: int = 0, window: int = 7) -> Answer:
    """Log hazard per meeting of the days of a window that ended `lag` days before yesterday."""
    late = diary.with_frame(diary.frame.assign(mday=diary.frame["mday"] + lag))
    fit = lag_cox(formula, rows, meetings=late, steps=(window,), **DIARY)
    return wald(float(fit.coefficient[0]), float(np.sqrt(fit.covariance[0, 0])))


# --- how long it lasts ----------------------------------------------------------------------


def of_kernel(fit: KernelFit) -> Answers:
    """Full exposure, and log half-life with its profile interval, open ends at infinity."""
    half = fit.half_life()
    name = "log(half_life)"
    se = math.sqrt(max(float(fit.covariance().loc[name, name]), 0.0))
    low = -math.inf if half.open_low else math.log(half.low)
    high = math.inf if half.open_high else math.log(half.high)
    p = float(fit.test()["p_value"].iloc[0])
    return {
        "theta": of_term(fit, "meeting"),
        "house": of_term(fit, "in_house"),
        "day_after": day_after(fit),
        "half_life": (math.log(half.value), se, low, high, p),
    }


def day_after(fit: KernelFit) -> Answer:
    """Log hazard ratio on the day after a meeting: theta 2^(-1/H), by the delta method."""
    theta, half = fit.best.theta, fit.best.half_life
    left = 2.0 ** (-1.0 / half)
    slope = np.array([left, theta * left * math.log(2.0) / half])
    names = ["meeting", "log(half_life)"]
    V = fit.covariance().loc[names, names].to_numpy()
    return wald(theta * left, math.sqrt(float(slope @ V @ slope)))


def kernel(persons: int, seed: int) -> Answers:
    """The last meeting's kernel on its own truth."""
    study = draw("plain-without-frailty", persons, seed)
    rows = with_events(days(study))
    return of_kernel(kernel_cox(FORMULA, rows, meetings=study["meetings"], **DIARY))


def kernel_risks(preset: str, persons: int, seed: int) -> Answers:
    """The last meeting's kernel, and risks at every frequency."""
    study = draw(preset, persons, seed)
    rows, diary = days(study), study["meetings"]
    fit = kernel_cox(FORMULA, rows, meetings=diary, **DIARY)
    found = of_kernel(fit)
    for spacing in ("even", "random"):
        table = fit.risks(spacing=spacing).set_index("weekly")
        found |= {f"{spacing}_{k}": of_row(table.loc[k]) for k in range(8)}
        row = fit.risk_difference(3, 1, spacing=spacing).iloc[0]
        found[f"{spacing}_difference"] = of_row(row, row["p_value"])
    return found | {"weekly": of_window(FORMULA, rows, diary)}


def kernel_wrong(persons: int, seed: int) -> Answers:
    """The sum where only the last meeting protects."""
    study = draw("plain-without-frailty", persons, seed)
    return of_kernel(
        kernel_cox(FORMULA, days(study), meetings=study["meetings"], shape="sum", **DIARY)
    )


def kernel_of(shape: Shape, persons: int, seed: int) -> Answers:
    """The sum over past meetings, or the saturating sum, on its own truth."""
    study = draw(ALONE[shape], persons, seed)
    rows = with_events(days(study))
    return of_kernel(kernel_cox(FORMULA, rows, meetings=study["meetings"], shape=shape, **DIARY))


# --- no effect --------------------------------------------------------------------------------


def null(persons: int, seed: int) -> Answers:
    """Every test where nothing works."""
    study = draw("null", persons, seed)
    rows, diary = days(study, (7, 14, 28)), study["meetings"]
    fit = kernel_cox(FORMULA, rows, meetings=diary, **DIARY)
    p = float(fit.test()["p_value"].iloc[0])
    _, without = maximise(fit.days, np.empty((0, len(fit.days.weight))))
    best = float(chi2.sf(2 * (fit.best.loglik - without.loglik), 1))
    return {
        **{f"window_{w}": of_window(FORMULA, rows, diary, window=w) for w in (7, 14, 28)},
        "threshold": threshold(rows),
        "spline": only_p(curved(rows)),
        **beside(rows),
        "kernel": only_p(p),
        "best": only_p(best),
        "steps": only_p(of_lags(rows, diary, STEPS)),
        "curve": only_p(of_lags(rows, diary, None)),
        "house": of_term(fit, "in_house"),
        "marginal": of_term(marginal_structural(blocks(study)), "weekly"),
        "naive": naive(study),
    }


def only_p(p: float) -> Answer:
    return (*NOTHING[:4], p)


def curved(rows: Dataset) -> float:
    """p of no dose–response: all terms of a restricted cubic spline of the last 28 days."""
    fit = rs.cox(f"{FORMULA} + rcs(meetings_last28, 4)", rows)
    at = [i for i, term in enumerate(fit.terms) if term.startswith("rcs(")]
    b, V = fit.beta[at], fit.covariance().to_numpy()[np.ix_(at, at)]
    return float(chi2.sf(b @ np.linalg.solve(V, b), len(at)))


def beside(rows: Dataset) -> Answers:
    """How often and how long ago in one model."""
    fit = rs.cox(f"{FORMULA} + meetings_last7 + recency", rows)
    return {"often": of_term(fit, "meetings_last7"), "recent": of_term(fit, "recency")}


def of_lags(rows: Dataset, diary: Dataset, steps: Sequence[int] | None) -> float:
    """p of no effect at any lag: step windows, or a curve of weighted cumulative exposure."""
    fit = lag_cox(FORMULA, rows, meetings=diary, steps=steps, **DIARY)
    return float(fit.test()["p_value"].iloc[0])


def threshold(rows: Dataset) -> Answer:
    """Three or four meetings in the week before, against one or two."""
    met = rows.frame["meetings_last7"]
    for name, inside in (
        ("none", met < 1), ("three", met.between(3, 4)), ("five", met >= 5)
    ):  # fmt: skip
        rows = rows.with_column(Variable(name, name), inside.astype(float))
    return of_term(rs.cox(f"{FORMULA} + none + three + five", rows), "three")


def naive(study) -> Answer:
    """Attendance over the whole follow-up as if it had been known at entry."""
    people = naive_frequency(
        study["persons"], person="pid", stop="t_relapse", start="entry",
        meetings=study["meetings"], **DIARY,
    )  # fmt: skip
    right = "sev_z + motiv + meetings_total + strata(site_id)"
    return of_term(rs.cox(f"Surv(entry, t_relapse, relapse) ~ {right}", people), "meetings_total")


def policy(persons: int, seed: int, draws: int) -> Answers:
    """One more meeting a week where nothing works."""
    rows = days(draw("null", persons, seed))
    found = one_more_meeting(FORMULA, rows, replicates=draws, seed=seed)
    drawn = found.draws[:, 1] - found.draws[:, 0]
    low, high = percentile_limits(drawn, 0.95)
    value, se = found.difference, float(drawn.std(ddof=1))
    return {"difference": (value, se, float(low), float(high), float(2 * norm.sf(abs(value) / se)))}


# --- strategies ---------------------------------------------------------------------------------


def of_strategies(people: Courses, seed: int, draws: int) -> Answers:
    """Both risks and their difference; `followed`: the least effective number in any block."""
    fit = sustained(people, ASKED, replicates=draws, seed=seed, least=0.0)
    rows = [of_row(row, row["p_value"]) for _, row in fit.tidy().iterrows()]
    ratio, se, low, high, p = rows[3]
    least = float(fit.adherence()["effective"].min())
    return {
        "three": rows[0],
        "one": rows[1],
        "difference": rows[2],
        "ratio": (math.log(ratio), se, math.log(low), math.log(high), p),
        "days_free": rows[4],
        "followed": (least, *NOTHING[1:]),
    }


def strategies(preset: str, persons: int, seed: int, draws: int) -> Answers:
    return of_strategies(blocks(draw(preset, persons, seed)), seed, draws)


def feedback(persons: int, seed: int, draws: int) -> Answers:
    """Motivation is a common cause and an effect of attendance: strategies and Cox models."""
    study = draw("feedback", persons, seed)
    weeks = study["weeks"]
    changing = weeks.with_frame(weeks.frame.assign(day=weeks.frame["week"] * 7.0))
    people = blocks(
        study, changing=changing, changing_person="pid", changing_day="day",
        changing_columns=("motiv_w",),
    )  # fmt: skip
    found = of_strategies(people, seed, draws)
    rows = with_weekly(days(study), weeks.frame)
    for name, formula in (
        ("cox_entry", FORMULA),
        ("cox_weekly", FORMULA.replace("motiv", "motiv_w")),
    ):
        fit = kernel_cox(formula, rows, meetings=study["meetings"], **DIARY)
        row = fit.risk_difference(3, 1).iloc[0]
        found[name] = of_row(row, row["p_value"])
    return found


def with_weekly(rows: Dataset, weeks: pd.DataFrame) -> Dataset:
    """Motivation of the week as it was on the day before each day at risk."""
    known = weeks.set_index(["pid", "week"])["motiv_w"]
    week = (np.ceil(rows.frame["stop"]) - 1) // 7
    at = pd.MultiIndex.from_arrays([rows.frame["person"], week])
    values = known.reindex(at).to_numpy(dtype=float)
    return rows.with_column(Variable("motiv_w", "Motivation of the week"), values)


# --- sensitivity ----------------------------------------------------------------------------------


def lagged(preset: str | Preset, persons: int, seed: int) -> Answers:
    """Attendance of a week, 0 to 30 days earlier."""
    study = draw(preset, persons, seed)
    rows = days(study)
    return {f"lag_{lag}": of_window(FORMULA, rows, study["meetings"], lag) for lag in LAGS}


def unmeasured(preset: Preset, persons: int, seed: int) -> Answers:
    """What the analysis tells of a motivation in no column, by one who can see it.

    The hazard ratio of three meetings in the last week against one, without motivation; how far
    apart motivation would have to be to make all of it (the analysis' tipping point, at the true
    strength), how far apart it is; and what is left once that is taken out.
    """
    study = draw(preset, persons, seed)
    rows = days(study)
    log_ratio, se, *_ = (2.0 * x for x in of_window(HIDDEN, rows, study["meetings"]))
    apart = true_difference(preset)
    strength = preset.b_motivation
    needed = needed_difference(math.exp(log_ratio), math.exp(strength), "normal")
    moved = [log_ratio - apart * math.log(ratio) for ratio in (1.0, *MOTIVATION)]
    return {
        "hidden": wald(log_ratio, se),
        "needed": wald(needed - apart, se / abs(strength)),
        "apart": (2.0 * confounder_slope(rows), *NOTHING[1:]),
        "moved": wald(log_ratio - apart * strength, se),
        "range": (log_ratio, se, min(moved) - Z * se, max(moved) + Z * se, math.nan),
    }


@cache
def true_difference(preset: Preset) -> float:
    """Mean difference in motivation between three meetings a week and one, of many people."""
    many = range(DIFFERENCE_SEED, DIFFERENCE_SEED + 25)
    return 2.0 * fmean(confounder_slope(days(draw(preset, 4000, seed))) for seed in many)


def confounder_slope(rows: Dataset) -> float:
    """Mean difference of true motivation per meeting of the week, given the covariates."""
    frame = rows.frame
    X = np.column_stack(
        [np.ones(len(frame)), frame["meetings_last7"], frame["sev_z"], frame["in_house"]]
    )
    return float(np.linalg.lstsq(X, frame["motiv"].to_numpy(), rcond=None)[0][1])


@dataclass(frozen=True, slots=True)
class Part:
    """One set of studies: how many, how large, and the questions; bootstraps have `draws`."""

    name: str
    title: str
    ask: Callable[..., Answers]
    replicates: int
    persons: int
    draws: int = 0

    def study(self, persons: int, draws: int, seed: int) -> Answers:
        """The answers of one study; empty where a method said that it could not be estimated."""
        extra: Mapping[str, int] = {"draws": draws} if self.draws else {}
        try:
            return self.ask(persons=persons, seed=seed, **extra)
        except (NotEstimable, ConvergenceError):
            return {}


PARTS: Sequence[Part] = (
    Part("null", "No effect (null)", null, 1000, 1000),
    Part("kernel", "Fading protection of the last meeting (plain-without-frailty)", kernel, 1000,
         4000),
    Part("sum", "Protection that adds up (sum-kernel without frailty)", partial(kernel_of, "sum"),
         1000, 2000),
    Part("saturating", "Protection that saturates (saturating-kernel without frailty)",
         partial(kernel_of, "saturating"), 1000, 2000),
    Part("kernel_small", "The last meeting with a quarter of the people",
         partial(kernel_risks, "plain-without-frailty"), 400, 1000),
    Part("kernel_frailty", "The last meeting where people differ by what no column tells (plain)",
         partial(kernel_risks, "plain"), 400, 1000),
    Part("kernel_wrong", "A sum fitted where only the last meeting protects", kernel_wrong, 200,
         1000),
    Part("feedback", "Sustained strategies (feedback)", feedback, 200, 2000, 200),
    Part("strategies_null", "Sustained strategies where nothing works (null)",
         partial(strategies, "null"), 200, 3000, 200),
    Part("policy", "One more meeting a week where nothing works (null)", policy, 200, 1000, 200),
    Part("lag", "Lags without a prodrome (last-meeting)", partial(lagged, "last-meeting"), 200,
         1000),
    Part("lag_prodrome", "Lags with a prodrome of 14 days (prodrome)", partial(lagged, "prodrome"),
         200, 1000),
    Part("lag_only", "A prodrome of 14 days and no effect", partial(lagged, PRODROME_ONLY), 200,
         1000),
    Part("unmeasured", "Motivation in no column (unmeasured)", partial(unmeasured, SEEN), 500,
         1000),
    Part("unmeasured_null", "Motivation in no column, and nothing works",
         partial(unmeasured, SEEN_ALONE), 500, 1000),
)  # fmt: skip
