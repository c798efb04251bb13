"""The synthetic cohort: the same for a seed, calibrated, coherent, and true to its truth."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from filecmp import cmpfiles
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from recovery_stats.core.study import Study
from recovery_stats.data.sav import read_spss
from recovery_stats.data.synthetic import (
    DIRTY,
    NO_MESS,
    PRESETS,
    REALISTIC,
    cohort,
    course,
    sheet,
    synthetic_study,
    write,
    write_cohort,
)
from recovery_stats.data.synthetic.preset import WAVE_MONTHS, find
from recovery_stats.errors import UsageError
from tests.tolerance import CLOSED_FORM, MONTE_CARLO_SES

ROOT = Path(__file__).resolve().parent.parent.parent
Array = NDArray[np.float64]
TABLES = {"sites", "houses", "persons", "waves", "meetings", "stays", "events"}


@cache
def study(preset: str = "plain", persons: int = 4000, *, mess: bool = False) -> Study:
    return synthetic_study(preset, persons, seed=11, mess=mess, with_truth=True)


def same(a: Study, b: Study) -> bool:
    return all(
        a[name].frame.equals(b[name].frame)
        and a[name].missing.keys() == b[name].missing.keys()
        and all(a[name].missing[c].equals(b[name].missing[c]) for c in b[name].missing)
        for name in b.tables
    )


# --- the same every time -------------------------------------------------------------------


def test_one_seed_gives_one_study_and_another_seed_another() -> None:
    assert same(synthetic_study("plain", 60, 5), synthetic_study("plain", 60, 5))
    assert not same(synthetic_study("plain", 60, 5), synthetic_study("plain", 60, 6))


def test_a_block_does_not_depend_on_which_others_are_drawn(monkeypatch: Any) -> None:
    monkeypatch.setattr(cohort, "BLOCK", 50)
    plan = cohort.begin(find("plain"), REALISTIC, 130, 3)
    whole = list(cohort.stream(plan))
    alone = cohort.frames(plan, 2)
    assert [len(part["persons"]) for part in whole] == [50, 50, 30]
    assert all(whole[2][name].equals(alone[name]) for name in alone)


def test_streamed_files_have_the_bytes_of_whole_ones(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(cohort, "BLOCK", 37)
    write(synthetic_study("feedback", 100, 4), tmp_path / "whole")
    write_cohort("feedback", tmp_path / "streamed", 100, 4)
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    same_bytes, *_ = cmpfiles(tmp_path / "whole", tmp_path / "streamed", names, shallow=False)
    assert same_bytes == names
    assert "weeks.sav" in names


def test_the_committed_demo_is_what_its_seed_gives(tmp_path: Path) -> None:
    write_cohort("plain", tmp_path, 400, 1)
    committed = sorted(p.name for p in (ROOT / "synthetic_data").iterdir())
    assert committed == sorted(p.name for p in tmp_path.iterdir())
    same_bytes, *_ = cmpfiles(ROOT / "synthetic_data", tmp_path, committed, shallow=False)
    assert same_bytes == committed


def test_files_read_back_as_the_study_that_was_written(tmp_path: Path) -> None:
    made = synthetic_study("plain", 80, 2)
    write(made, tmp_path)
    for name, data in made.tables.items():
        back = read_spss(tmp_path / f"{name}.sav")
        assert back.frame.equals(data.frame)
        assert back.codebook.variables == data.codebook.variables
        assert all(back.reasons(c) == data.reasons(c) for c in data.missing)


# --- what may be asked for -----------------------------------------------------------------


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="plain"):
        synthetic_study("plane")


@pytest.mark.parametrize("persons", [0, 19, 1_000_001])
def test_impossible_sizes_are_refused(persons: int) -> None:
    with pytest.raises(UsageError, match="20 to 1000000"):
        synthetic_study("plain", persons)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_gives_every_table_and_a_truth(preset: str) -> None:
    made = synthetic_study(preset, 40)
    assert made.tables.keys() >= TABLES
    assert ("weeks" in made) == (preset == "feedback")
    assert ("motiv" in made["persons"].frame) == (preset != "unmeasured")
    assert made.truth["theta"] == PRESETS[preset].theta
    assert made.protocol.synthetic
    for table, spec in made.protocol.tables.items():
        columns = [c for role in spec.roles for c in made.roles(table, role)]
        made[table].require(*columns, *spec.key, table=table)


def test_a_preset_of_ones_own_has_no_stored_truth() -> None:
    own = replace(PRESETS["plain"], theta=0.3)
    truth = synthetic_study(own, 30).truth
    assert truth["theta"] == 0.3
    assert "risk_12m_k3" not in truth


# --- codes, labels, keys -------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(TABLES))
def test_names_labels_and_codes_are_fit_for_spss(table: str) -> None:
    data = study(mess=True)[table]
    for name, variable in data.codebook.variables.items():
        assert len(name) <= 12
        assert name == name.lower()
        assert variable.label
        assert variable.measure != "unknown"
        values = data.frame[name].dropna()
        assert not any(variable.missing.covers(v) for v in values.unique()[:50])
        real = [code for code in variable.values if not variable.missing.covers(code)]
        if real and not variable.label.startswith("RAS item"):  # items hold keying errors
            assert set(values.unique()) <= set(real)
    for name, codes in data.missing.items():
        assert data.frame.loc[codes.index, name].isna().all()
        assert set(codes.unique()) <= {-96, -97, -98, -99}
        assert set(codes.unique()) <= set(data.variable(name).values)


def test_keys_are_unique_and_known() -> None:
    made = study(mess=True)
    persons = set(made["persons"].frame["pid"])
    assert len(persons) == len(made["persons"])
    assert not made["waves"].frame.duplicated(["pid", "wave"]).any()
    assert not made["meetings"].frame.duplicated(["pid", "mday"]).any()
    for table in ("waves", "meetings", "stays", "events"):
        assert set(made[table].frame["pid"]) <= persons
    houses = made["houses"].frame
    assert set(made["stays"].frame["house_id"]) <= set(houses["house_id"])
    assert set(houses["site_id"]) <= set(made["sites"].frame["site_id"])


# --- coherence of the tables ---------------------------------------------------------------


def by_person(made: Study, table: str) -> pd.DataFrame:
    return made[table].frame.merge(made["persons"].frame, on="pid", suffixes=("", "_p"))


@pytest.mark.parametrize("mess", [False, True])
def test_meetings_lie_within_the_diary(mess: bool) -> None:
    diary = by_person(study(mess=mess), "meetings")
    assert (diary["mday"] >= diary["diary_from"]).all()
    assert (diary["mday"] <= diary["diary_to"]).all()


@pytest.mark.parametrize("mess", [False, True])
def test_stays_follow_one_another_within_observation(mess: bool) -> None:
    stays = by_person(study(mess=mess), "stays")
    assert (stays["out_day"] >= stays["in_day"]).all()
    before = stays.groupby("pid")["out_day"].shift()
    assert (stays["in_day"] >= before)[before.notna()].all()
    assert (stays["out_day"] <= stays["diary_to"]).all()
    first = stays.groupby("pid").first()
    assert (first["house_id"] == first["house_id_p"]).all()


@pytest.mark.parametrize("mess", [False, True])
def test_the_first_event_agrees_with_the_log_of_events(mess: bool) -> None:
    made = study(mess=mess)
    persons = made["persons"].frame.set_index("pid")
    first = made["events"].frame.sort_values(["eday", "etype"]).groupby("pid").first()
    first = first.reindex(persons.index)
    assert (first["eday"] == persons["t_first"]).all()
    assert (first["etype"].replace(5, 0) == persons["cause"]).all()
    assert ((persons["cause"] == 1) == (persons["relapse"] == 1)).all()
    assert (persons["t_relapse"] > persons["entry"]).all()
    assert (persons["t_relapse"] <= persons["diary_to"]).all()


def test_satisfaction_is_the_mean_of_its_items_with_two_reversed() -> None:
    waves = study()["waves"].frame
    items = waves[[f"ras{k}" for k in range(1, 8)]].copy()
    items[["ras4", "ras7"]] = 6 - items[["ras4", "ras7"]]
    known = waves["ras"].notna()
    assert (known == (waves["partner"] == 1)).all()
    mean = items.mean(axis=1).round(2)
    assert np.allclose(mean[known], waves["ras"][known], atol=0.0051)


def test_housing_arms_are_constant_where_houses_are_randomised() -> None:
    made = study("house-randomised", 800)
    arms = made["persons"].frame.groupby("house_id")["arm_house"].nunique()
    assert (arms == 1).all()
    assert made["persons"].frame["house_id"].notna().all()


def test_housing_arms_are_balanced_within_sites_where_people_are_randomised() -> None:
    arms = study("site-randomised", 800)["persons"].frame.groupby("site_id")["arm_house"]
    assert ((arms.sum() - arms.count() / 2).abs() <= 0.5).all()


# --- calibration ---------------------------------------------------------------------------


def test_relapse_follows_the_published_curve() -> None:
    """Bands are those of the domain text, widened by Monte Carlo error and rounding."""
    persons = study()["persons"].frame
    relapsed = persons["t_relapse"].where(persons["relapse"] == 1, np.inf)
    for day, share in {90: 0.37, 180: 0.50, 365: 0.64, 730: 0.76}.items():
        found = (relapsed <= day).mean()
        error = np.sqrt(share * (1 - share) / len(persons))
        assert abs(found - share) < MONTE_CARLO_SES * error + 0.02


def test_attendance_careers_have_their_yearly_counts() -> None:
    plan = cohort.begin(find("null"), NO_MESS, 2000, 1)
    block = cohort.draw_block(plan, 0)
    never_used = ~(block.course.using | block.course.jailed).any(axis=0)
    alive = block.course.death_day > 730
    in_year = block.course.met[1:366].sum(axis=0)
    for career, expected in enumerate([8, 152.5, 61.25, 203.75]):
        counts = in_year[never_used & alive & (block.people.career == career)]
        error = counts.std() / np.sqrt(len(counts))
        assert abs(counts.mean() - expected) < MONTE_CARLO_SES * error


def test_missed_waves_grow_and_are_not_monotone() -> None:
    made = study(mess=True)
    seen = pd.crosstab(made["waves"].frame["pid"], made["waves"].frame["wave"]) > 0
    share = seen.mean()
    assert share[0] == 1
    assert share.is_monotonic_decreasing
    assert 0.5 < share[24] < 0.7
    assert (~seen[12.0] & seen[18.0]).any()


def test_craving_is_hardly_ever_at_its_limits() -> None:
    """Clipping would bend the straight line that is the truth of the slope."""
    craving = study()["waves"].frame["pacs"]
    assert ((craving == 0) | (craving == 30)).mean() < 0.002


# --- truth: relapse ------------------------------------------------------------------------


def person_days(made: Study, half_life: float) -> tuple[Array, NDArray[np.bool_]]:
    """Design of the relapse hazard, one row a day at risk, rebuilt from the released tables."""
    persons = made["persons"].frame
    position = pd.Series(np.arange(len(persons)), index=persons["pid"])
    days = np.arange(731)
    met = np.zeros((len(persons), 731), dtype=bool)
    diary = made["meetings"].frame
    met[position[diary["pid"]], diary["mday"].astype(int)] = True
    inside = np.zeros_like(met)
    for pid, start, stop in made["stays"].frame[["pid", "in_day", "out_day"]].astype(int).values:
        inside[position[pid], start + 1 : stop + 1] = True
    last = np.maximum.accumulate(np.where(met, days, -(10**6)), axis=1)
    lag = np.full(met.shape, 10.0**6)
    lag[:, 1:] = days[1:] - last[:, :-1]
    time = persons["t_relapse"].to_numpy()[:, None]
    who, day = np.nonzero((days > 0) & (days <= time))
    happened = (day == time[who, 0]) & (persons["relapse"].to_numpy()[who] == 1)
    columns = (
        np.ones(len(who)),
        -np.log1p(day / 30),
        persons["sev_z"].to_numpy()[who],
        persons["motiv"].to_numpy()[who],
        inside[who, day],
        -(2 ** (-lag[who, day] / half_life)),
    )
    return np.column_stack(columns), happened


def complementary_log_log(X: Array, y: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Maximum likelihood of Pr(y) = 1 - exp(-exp(x'b)) by Newton's method, with standard errors."""
    b = np.zeros(X.shape[1])
    b[0] = np.log(y.mean())
    for _ in range(30):
        h = np.exp(X @ b)
        odds = h / np.expm1(h)
        slope = np.where(y, odds, -h)
        bend = np.where(y, odds * (1 - h - odds), -h)
        information = -(X * bend[:, None]).T @ X
        step = np.linalg.solve(information, X.T @ slope)
        b += step
        if np.abs(step).max() < CLOSED_FORM:
            return b, np.sqrt(np.diag(np.linalg.inv(information)))
    raise AssertionError("Newton's method did not converge")


@cache
def recovered(preset: str) -> tuple[Array, Array]:
    made = synthetic_study(preset, 4000, seed=21, mess=False)
    return complementary_log_log(*person_days(made, 2.0))


def test_the_likelihood_of_the_process_recovers_its_parameters() -> None:
    preset = PRESETS["plain-without-frailty"]
    truth = [
        np.log(preset.base_rate),
        preset.base_decay,
        preset.b_severity,
        preset.b_motivation,
        preset.b_house,
        preset.theta,
    ]
    b, se = recovered("plain-without-frailty")
    assert (np.abs(b - truth) < MONTE_CARLO_SES * se).all()
    assert (se < 0.1).all()


def test_in_null_neither_meetings_nor_houses_do_anything() -> None:
    b, se = recovered("null")
    assert (np.abs(b[4:]) < MONTE_CARLO_SES * se[4:]).all()


def test_in_null_the_naive_comparisons_find_large_effects() -> None:
    """The false positives that the analyses must not repeat: attendance and stays over the whole
    follow-up, as if known at entry. Person-time rates stand in for hazard ratios."""
    made = study("null")
    persons = made["persons"].frame
    diary = made["meetings"].frame.groupby("pid").size().reindex(persons["pid"], fill_value=0)
    often = diary.to_numpy() / (730 / 7) >= 2
    stays = made["stays"].frame
    nights = (stays["out_day"] - stays["in_day"]).groupby(stays["pid"]).sum()
    nights = nights.reindex(persons["pid"], fill_value=0).to_numpy()

    def rate(who: Any) -> float:
        return float(persons["relapse"][who].sum() / persons["t_relapse"][who].sum())

    def group(rows: Any) -> Any:
        return pd.Series(rows, index=persons.index)

    assert rate(group(often)) / rate(group(~often)) < 0.80
    resident = nights > 0
    assert rate(group(nights >= 180)) / rate(group(resident & (nights < 180))) < 0.45


def test_prodrome_lowers_attendance_before_relapse_and_plain_does_not() -> None:
    def ratio(preset: str) -> float:
        persons = study(preset)["persons"].frame
        relapsed = persons[(persons["relapse"] == 1) & (persons["t_relapse"] > 60)]
        diary = study(preset)["meetings"].frame.merge(relapsed[["pid", "t_relapse"]], on="pid")
        before = diary["t_relapse"] - diary["mday"]
        return float(before.between(1, 14).sum() / before.between(29, 42).sum())

    assert ratio("prodrome") < 0.5
    assert ratio("plain") > 0.75


# --- truth: waves --------------------------------------------------------------------------


def within_slope(made: Study, outcome: str) -> tuple[float, float]:
    """Slope on satisfaction and time with a level for every person, errors by person."""
    waves = made["waves"].frame.dropna(subset=["ras", outcome])
    values = waves[[outcome, "ras", "day_int"]] - waves.groupby("pid")[
        [outcome, "ras", "day_int"]
    ].transform("mean")
    X, y = values[["ras", "day_int"]].to_numpy(), values[outcome].to_numpy()
    bread = np.linalg.inv(X.T @ X)
    beta = bread @ X.T @ y
    scores = pd.DataFrame(X * (y - X @ beta)[:, None]).groupby(waves["pid"].to_numpy()).sum()
    variance = bread @ (scores.T @ scores).to_numpy() @ bread
    return float(beta[0]), float(np.sqrt(variance[0, 0]))


@pytest.mark.parametrize("outcome", ["pacs", "pss", "whoqol_ps"])
@pytest.mark.parametrize("preset", ["plain", "null"])
def test_the_within_person_slope_is_the_truth(preset: str, outcome: str) -> None:
    slope, se = within_slope(study(preset), outcome)
    assert abs(slope - study(preset).truth[f"{outcome}_within"]) < MONTE_CARLO_SES * se


def test_dropout_at_random_leaves_the_within_slope() -> None:
    mess = replace(NO_MESS, dropout=True, returns=REALISTIC.returns, lost_per_year=0.05)
    made = synthetic_study("plain", 4000, 31, mess=mess)
    slope, se = within_slope(made, "pacs")
    assert abs(slope - made.truth["pacs_within"]) < MONTE_CARLO_SES * se


# --- truth: stored -------------------------------------------------------------------------


def stored(preset: str) -> Mapping[str, Any]:
    found = sheet.stored(preset)
    if not found:
        pytest.skip(f"no stored truth for {preset}")
    return found


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_stored_truths_are_coherent(preset: str) -> None:
    value, error = stored(preset)["value"], stored(preset)["monte_carlo_error"]
    assert value.keys() == error.keys()
    risks = [value[f"risk_12m_k{k}"] for k in range(8)]
    assert value["risk_difference_12m_3v1"] == pytest.approx(risks[3] - risks[1], abs=1e-5)
    if PRESETS[preset].theta:
        assert all(a > b for a, b in pairwise(risks))
    assert all(error[f"risk_12m_k{k}"] < 0.002 for k in range(8))


def test_stored_truths_of_null_are_zero() -> None:
    value = stored("null")["value"]
    assert value["risk_difference_12m_3v1"] == pytest.approx(0, abs=CLOSED_FORM)
    assert value["risk_difference_24m_random_3v1"] == pytest.approx(0, abs=CLOSED_FORM)
    error = stored("null")["monte_carlo_error"]
    for name in ("use90_24_difference", "employ24_difference", "relapse_24m_difference"):
        assert abs(value[name]) <= MONTE_CARLO_SES * error[name]


def test_models_of_plain_without_frailty_converge_to_the_parameters() -> None:
    preset = PRESETS["plain-without-frailty"]
    value, error = stored(preset.name)["value"], stored(preset.name)["monte_carlo_error"]
    for name, truth in {
        "cox_kernel_P": -preset.theta,
        "cox_kernel_house": preset.b_house,
        "cox_kernel_sev_z": preset.b_severity,
        "cox_kernel_motiv": preset.b_motivation,
        "pacs_within_observed": preset.craving.within,
    }.items():
        assert abs(value[name] - truth) < MONTE_CARLO_SES * error[name]


def test_the_slope_on_the_observed_mean_lies_between_the_two_slopes() -> None:
    value, slopes = stored("plain")["value"], PRESETS["plain"].craving
    assert slopes.between < value["pacs_between_observed"] < slopes.within


def test_stored_risks_of_null_are_an_integral_over_one_normal() -> None:
    """Without effects the log hazard of people is normal around the baseline."""
    preset = PRESETS["null"]
    parts = ("b_severity", "b_motivation", "b_display", "sd_site", "sd_frailty")
    sd = np.sqrt(sum(getattr(preset, part) ** 2 for part in parts))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    value, error = stored("null")["value"], stored("null")["monte_carlo_error"]
    for name, days in {"12m": 365, "24m": 730}.items():
        total = course.baseline(preset)[1 : days + 1].sum()
        risk = weights @ -np.expm1(-total * np.exp(sd * nodes)) / weights.sum()
        for k in (0, 5):
            key = f"risk_{name}_k{k}"
            assert abs(value[key] - risk) < MONTE_CARLO_SES * error[key]


def test_share_below_half_follows_the_spacing_formula() -> None:
    """max(0, 1 - kH/7) where meetings can be evenly spaced on whole days."""
    assert sheet.below_half(0, 2.0) == 1
    assert sheet.below_half(1, 2.0) == pytest.approx(5 / 7)
    assert sheet.below_half(2, 2.0) == pytest.approx(3 / 7)
    assert sheet.below_half(3, 2.0) == pytest.approx(1 / 7)
    assert sheet.below_half(4, 2.0) == 0


def test_truth_file_is_toml_with_the_values(tmp_path: Path) -> None:
    made = synthetic_study("plain", 40)
    write(made, tmp_path)
    truth = tomllib.loads((tmp_path / "truth.toml").read_text(encoding="utf-8"))
    assert truth["theta"] == 1.0
    assert truth["pacs_within"] == -1.2
    assert truth["mess"]["heaped"] == REALISTIC.heaped
    assert "day m + 1" in truth["conventions"]["meeting"]


# --- mess ----------------------------------------------------------------------------------


def test_without_mess_nothing_is_missing_but_what_does_not_apply() -> None:
    made = study()
    for table in ("persons", "waves"):
        for column in made[table].missing:
            codes = set(made[table].missing[column].unique())
            assert codes <= {-97.0, -96.0}
    living = len(made["persons"]) - (made["events"].frame["etype"] == 2).sum()
    assert (made["waves"].frame["wave"] == WAVE_MONTHS[0]).sum() == len(made["persons"])
    assert (made["waves"].frame["wave"] == WAVE_MONTHS[-1]).sum() >= living


def test_the_dirty_file_repeats_people_and_turns_stays_round() -> None:
    made = synthetic_study("plain", 4000, 1, mess=DIRTY)
    persons, stays = made["persons"].frame, made["stays"].frame
    assert persons["pid"].duplicated().any()
    assert (stays["out_day"] < stays["in_day"]).any()
    weekly = persons["t_relapse"][persons["relapse"] == 1] % 7 == 0
    assert 0.40 < weekly.mean() < 0.60
    relapsed = persons[persons["relapse"] == 1]
    assert (relapsed["t_known"] < relapsed["t_relapse"]).all()


def test_days_of_thirty_are_heaped_at_the_published_spikes() -> None:
    heaped = study(mess=True)["waves"].frame["abst30"].dropna()
    plain = study()["waves"].frame["abst30"].dropna()
    for spike in (4, 14, 30):
        assert (heaped == spike).mean() > (plain == spike).mean()
