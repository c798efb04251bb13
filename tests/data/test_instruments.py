"""Scoring keys and the one scorer: ends, reversals, rules, ranges, names; published traps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data.instruments.registry import find, scales
from recovery_stats.data.instruments.scorer import score_items
from recovery_stats.errors import DataError, UsageError
from tests.tolerance import CLOSED_FORM, PRINTED_6

LIKERT = [s for s in scales().values() if not s.choices]
# The totals as their authors print them, not as the keys would have them.
PRINTED = {
    "RAS": {"total": (7, 35), "mean": (1, 5)},
    "CSI-32": {"total": (0, 161)},
    "CSI-16": {"total": (0, 81)},
    "CSI-4": {"total": (0, 21)},
    "DAS-32": {
        "total": (0, 151),
        "consensus": (0, 65),
        "satisfaction": (0, 50),
        "cohesion": (0, 24),
        "affection": (0, 12),
    },
    "PACS": {"total": (0, 30)},
    "OCDS": {"total": (0, 56)},
    "WAI-SR": {"total": (12, 60), "task": (4, 20), "bond": (4, 20), "goal": (4, 20)},
    "ECR-R": {"anxiety": (1, 7), "avoidance": (1, 7)},
    "ECR-S": {"anxiety_sum": (6, 42), "avoidance_sum": (6, 42)},
    "DERS-36": {"total": (36, 180)},
    "DERS-18": {"total": (18, 90), "awareness": (3, 15)},
    "DERS-16": {"total": (16, 80)},
    "BARC-10": {"total": (10, 60)},
    "PSS-10": {"total": (0, 40)},
    "PSS-14": {"total": (0, 56)},
    "PSS-4": {"total": (0, 16)},
    "BHS": {"total": (0, 20)},
    "UCLA-20": {"total": (20, 80)},
    "UCLA-3-item": {"total": (3, 9)},
    "GCQ-S": {"engaged": (0, 6)},
    "GCS-7": {"total": (7, 35)},
    "WHOQOL-BREF": {"physical": (4, 20), "social_100": (0, 100)},
    "AUDIT": {"total": (0, 40), "consumption": (0, 12)},
    "DAST-10": {"total": (0, 10)},
    "PHQ-9": {"total": (0, 27)},
    "GAD-7": {"total": (0, 21)},
    "COWS": {"total": (0, 48)},
    "CIWA-Ar": {"total": (0, 67)},
}


def frame(scale, rows):
    """Rows of answers under the names that the scale is recognised by."""
    names = [f"{scale.prefixes[0]}_{i}" for i in range(1, scale.items + 1)]
    return Dataset(pd.DataFrame(rows, columns=names, dtype=float))


def ends(scale, *, high):
    """The answers that give the highest (or lowest) score: reversed items at the other end."""
    return [
        a.high if high is not ((i + 1) in scale.reversed) else a.low
        for i, a in enumerate(scale.answers)
    ]


def scored(name, rows, **how):
    scale = find(name)
    scores = score_items(frame(scale, rows), scale, **how)
    return scores.frame.rename(columns=lambda c: c.partition("_")[2])


@pytest.mark.parametrize("scale", LIKERT, ids=lambda s: s.name)
def test_lowest_and_highest_are_the_printed_ones(scale):
    found = scored(scale.name, [ends(scale, high=False), ends(scale, high=True)])
    for name, (low, high) in PRINTED[scale.name].items():
        assert found[name].tolist() == pytest.approx([low, high], abs=CLOSED_FORM)


def test_every_scale_has_its_printed_totals():
    assert set(PRINTED) == {s.name for s in LIKERT}


@pytest.mark.parametrize("scale", LIKERT, ids=lambda s: s.name)
def test_all_middle_is_the_middle_whatever_is_reversed(scale):
    if any(a.values for a in scale.answers):
        pytest.skip("has gaps between its values")
    middle = [(a.low + a.high) / 2 for a in scale.answers]
    found = scored(scale.name, [middle])
    for score in scale.scores:
        low, high = scale.range_of(score)
        assert found[score.name][0] == pytest.approx((low + high) / 2, abs=CLOSED_FORM)


@pytest.mark.parametrize(
    ("scale", "item"),
    [pytest.param(s, i, id=f"{s.name}-{i}") for s in LIKERT for i in range(1, s.items + 1)],
)
def test_one_item_moves_its_own_scores_its_own_way(scale, item):
    low = [a.low for a in scale.answers]
    moved = [a.high if i + 1 == item else a.low for i, a in enumerate(scale.answers)]
    found = scored(scale.name, [low, moved])
    answers = scale.answers[item - 1]
    way = -1 if item in scale.reversed else 1
    for score in scale.scores:
        share = 1 if score.method == "sum" else 1 / len(score.items)
        step = way * (answers.high - answers.low) * share * score.factor
        expected = step if item in score.items else 0
        assert found[score.name].diff()[1] == pytest.approx(expected, abs=CLOSED_FORM)


@pytest.mark.parametrize("scale", LIKERT, ids=lambda s: s.name)
def test_parts_of_a_scale_are_made_of_its_items(scale):
    assert scale.reversed <= set(range(1, scale.items + 1))
    for score in scale.scores:
        assert set(score.items) <= set(range(1, scale.items + 1))
        assert len(set(score.items)) == len(score.items)
    assert scale.original
    assert scale.seen


@pytest.mark.parametrize("scale", LIKERT, ids=lambda s: s.name)
def test_exactly_as_many_missing_as_the_rule_allows_and_one_more(scale):
    rule = scale.rules[-2]  # 80 per cent
    middle = [(a.low + a.high) / 2 if not a.values else a.low for a in scale.answers]
    for score in scale.scores:
        allowed = len(score.items) - int(np.ceil(0.8 * len(score.items)))
        rows = []
        for gaps in (allowed, allowed + 1):
            row = list(middle)
            for i in score.items[:gaps]:
                row[i - 1] = np.nan
            rows.append(row)
        found = scored(scale.name, rows, rule=rule.name)[score.name]
        assert np.isfinite(found[0])
        assert np.isnan(found[1])


# --- missing items ---------------------------------------------------------------------------


def test_a_left_out_item_takes_the_persons_own_mean():
    found = scored("PACS", [[6, 4, 5, 5, np.nan]])
    assert found["total"][0] == pytest.approx(25)


def test_where_ranges_differ_it_takes_the_persons_share_of_the_range():
    # CSI-4: item 1 runs to 6, the others to 5; all answered at 40% of their range
    found = score_items(frame(find("CSI-4"), [[np.nan, 2, 2, 2], [2.4, 2, 2, 2]]), "CSI-4",
                        rule="80 per cent")  # fmt: skip
    assert np.isnan(found.frame["csi4_total"][0])  # 3 of 4 are fewer than 80%
    found = score_items(frame(find("CSI-16"), [[np.nan] + [2] * 15]), "CSI-16")
    assert found.frame["csi16_total"][0] == pytest.approx(0.4 * 81)


def test_whoqol_text_and_syntax_disagree_as_published():
    scale = find("WHOQOL-BREF")
    full = [3.0] * 26
    cases = {"one of seven": [3], "two of seven": [3, 4], "three of seven": [3, 4, 10],
             "one of three": [20], "two of three": [20, 21], "two of six": [5, 6]}  # fmt: skip
    rows = [[np.nan if i + 1 in gaps else v for i, v in enumerate(full)] for gaps in cases.values()]
    found = {r: scored("WHOQOL-BREF", rows, rule=r).notna() for r in ("syntax", "text")}
    assert found["syntax"]["physical"].tolist() == [True, False, False, True, True, True]
    assert found["text"]["physical"].tolist() == [True, True, False, True, True, True]
    assert found["syntax"]["social"].tolist() == [True, True, True, True, False, True]
    assert found["text"]["social"].tolist() == [True, True, True, True, False, True]
    assert found["syntax"]["psychological"].tolist() == [True, True, True, True, True, False]
    assert found["text"]["psychological"].tolist() == [True] * 6
    assert scale.rules[0].name == "syntax"


def test_whoqol_leaves_out_people_by_how_many_answers_they_gave():
    # gaps only outside the physical and psychological domains, and in items 1 and 2
    gaps = [1, 2, 8, 9, 20]
    rows = [[np.nan if i + 1 in gaps[:n] else 3.0 for i in range(26)] for n in (4, 5)]
    assert scored("WHOQOL-BREF", rows, rule="syntax")["physical"].notna().tolist() == [True, False]
    assert scored("WHOQOL-BREF", rows, rule="text")["physical"].notna().tolist() == [True, True]
    six = [[np.nan if i + 1 in [*gaps, 12] else 3.0 for i in range(26)]]
    assert scored("WHOQOL-BREF", six, rule="text")["physical"].isna().all()


def test_whoqol_domains_run_from_4_to_20_and_0_to_100():
    rows = [[2.0] * 26]
    found = scored("WHOQOL-BREF", rows).loc[0]
    # items 3, 4 reversed: five 2s and two 4s -> mean 18/7
    assert found["physical"] == pytest.approx(4 * 18 / 7)
    assert found["physical_100"] == pytest.approx((4 * 18 / 7 - 4) * 100 / 16)


def test_group_climate_divides_by_the_items_rated_and_knows_an_invalid_form():
    row = [6, 6, np.nan, 6, np.nan, 0, 0, 6, np.nan, 0, 6, 0]
    found = scored("GCQ-S", [row, [np.nan, *row[1:6], np.nan, *row[7:]]])
    assert found.loc[0, ["engaged", "conflict"]].tolist() == [6, 0]
    assert np.isnan(found.loc[0, "avoiding"])
    assert found.loc[1].isna().all()  # five of twelve unrated


def test_a_rule_that_is_not_there_is_named_with_those_there_are():
    with pytest.raises(UsageError, match="Did you mean 'syntax'"):
        scored("WHOQOL-BREF", [[3] * 26], rule="sintax")


# --- range and coding ------------------------------------------------------------------------


def test_an_answer_out_of_range_is_emptied_and_counted_by_item_never_clipped():
    rows = [[1, 2, 3, 4, 5, 4, 3]] * 100 + [[1, 2, 3, 33, 5, 4, 3]]
    scores = score_items(frame(find("RAS"), rows), "RAS")
    assert scores.keyed.outside == (0, 0, 0, 1, 0, 0, 0)
    # without item 4: the other six, item 7 reversed, 1 + 2 + 3 + 5 + 4 + 3 = 18
    assert scores.frame["ras_total"].iloc[-1] == pytest.approx(18 / 6 * 7)
    assert scores.accounts[0].prorated == 1


def test_a_value_in_a_gap_is_out_of_range():
    scores = score_items(frame(find("COWS"), [[0] * 11] * 60 + [[3] + [0] * 10]), "COWS")
    assert scores.keyed.outside[0] == 1  # a pulse scores 0, 1, 2 or 4


def test_items_typed_from_1_on_are_refused_with_the_cure():
    rng = np.random.default_rng(1)
    rows = rng.integers(1, 6, (50, 10))  # a 0-to-4 scale as 1 to 5
    with pytest.raises(DataError, match="coded_from = 1") as refusal:
        scored("PSS-10", rows)
    assert "0 to 4" in str(refusal.value)
    shifted = scored("PSS-10", rows, coded_from=1)
    assert shifted["total"].equals(scored("PSS-10", rows - 1)["total"])


def test_barc_from_0_to_6_is_not_its_coding():
    """Trap: a public page prints 0 to 6 for the BARC-10, whose answers run from 1 to 6."""
    rng = np.random.default_rng(2)
    with pytest.raises(DataError, match="1 to 6"):
        scored("BARC-10", rng.integers(0, 6, (40, 10)))


def test_yes_1_no_2_is_to_be_recoded_not_shifted():
    rng = np.random.default_rng(3)
    with pytest.raises(DataError, match="Recode them to 0 and 1"):
        scored("DAST-10", rng.integers(1, 3, (40, 10)))


def test_choices_coded_now_1_later_2_say_so():
    rng = np.random.default_rng(3)
    rows = rng.integers(1, 3, (40, 27))
    with pytest.raises(DataError, match="coded_from = 1"):
        scored("MCQ-27", rows)
    assert scored("MCQ-27", rows, coded_from=1)["k"].notna().all()


def test_items_reversed_before_are_not_turned_again():
    rows = np.array([[5, 5, 5, 1, 5, 5, 1], [2, 2, 2, 4, 2, 2, 4]])
    before = rows.copy()
    before[:, [3, 6]] = 6 - before[:, [3, 6]]
    assert scored("RAS", before, reversed_already=True).equals(scored("RAS", rows))


def test_text_items_are_refused_by_name():
    data = frame(find("RAS"), [[1] * 7]).frame.astype({"ras_2": str})
    with pytest.raises(DataError, match="text in ras_2"):
        score_items(Dataset(data), "RAS")


def test_no_message_tells_a_persons_value():
    rows = [[1, 2, 3, 4, 5, 4, 987.0]] * 5
    with pytest.raises(DataError) as refusal:
        scored("RAS", rows, rule="complete", coded_from=2)
    assert "987" not in str(refusal.value)


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", ["ras{}", "RAS_{}", "ras0{}", "Ras{}", "ras_q{}", "RAS.{}", "ras_item_0{}", "RAS-{}"]
)
def test_spss_like_names_are_recognised(form):
    names = [form.format(i) for i in range(1, 8)]
    data = pd.DataFrame([[1, 2, 3, 4, 5, 4, 3.0]], columns=names)
    assert score_items(Dataset(data), "RAS").keyed.columns == tuple(names)


def test_a_longer_prefix_wins_and_neighbours_do_not_disturb():
    names = [f"pss10_{i}" for i in range(1, 11)]
    data = pd.DataFrame([[1.0] * 13], columns=[*names, "pss", "pss_total", "stress1"])
    assert score_items(Dataset(data), "PSS-10").keyed.columns == tuple(names)


def test_waves_side_by_side_are_reached_by_a_pattern():
    names = [f"ras{i}_w{w}" for w, i in product((1, 2), range(1, 8))]
    data = Dataset(pd.DataFrame([np.r_[[1.0] * 7, [3.0] * 7]], columns=names))
    found = [score_items(data, "RAS", items=f"ras{{}}_w{w}").frame["ras_total"][0] for w in (1, 2)]
    assert found == [5 * 1 + 2 * 5, 21]
    with pytest.raises(DataError, match=r"ras\{\}_w2"):
        score_items(data, "RAS")


@pytest.mark.parametrize("name", ["PSS", "pss", "CSI", "DERS", "ECR", "UCLA", "UCLA-3"])
def test_a_name_of_several_versions_is_refused_with_the_choices(name):
    with pytest.raises(UsageError, match="which version") as refusal:
        find(name)
    versions = [s.name for s in scales().values() if name.upper() in s.family]
    assert len(versions) > 1
    assert all(v in str(refusal.value) for v in versions)


@pytest.mark.parametrize("name", ["pss 10", "PSS10", "Pss-10", "whoqol", "barc", "mcq27"])
def test_case_hyphens_and_spaces_do_not_matter(name):
    assert find(name)


def test_an_unknown_scale_gets_the_nearest_name():
    with pytest.raises(UsageError, match="Did you mean 'PHQ-9'"):
        find("PHQ-8")


def test_a_missing_item_column_is_named():
    data = frame(find("RAS"), [[1] * 7]).frame.drop(columns=["ras_3", "ras_6"])
    with pytest.raises(DataError, match="items 3, 6"):
        score_items(Dataset(data), "RAS")


def test_more_columns_than_items_means_another_version():
    data = frame(find("DERS-36"), [[1] * 36]).frame.rename(columns=lambda c: "ders" + c[7:])
    with pytest.raises(DataError, match="Other versions: DERS-18") as refusal:
        score_items(Dataset(data), "DERS-16")
    assert "DERS-36 (36 items)" in str(refusal.value)


def test_two_columns_for_one_item_are_refused():
    data = frame(find("RAS"), [[1] * 7]).frame.assign(RAS03=1.0)
    with pytest.raises(DataError, match="ras_3, RAS03"):
        score_items(Dataset(data), "RAS")


@pytest.mark.parametrize(
    ("items", "error", "words"),
    [
        (["a", "b"], UsageError, "7 items; 2 columns"),
        (["ras_1", "ras_2", "ras_3", "ras_4", "ras_5", "ras_6", "rass_7"], DataError, "ras_7"),
        (["ras_1"] * 7, UsageError, "Named twice"),
        ("ras", UsageError, "once for their number"),
    ],
)
def test_columns_named_wrongly_are_told(items, error, words):
    with pytest.raises(error, match=words):
        score_items(frame(find("RAS"), [[1] * 7]), "RAS", items=items)


# --- reasons of missing ----------------------------------------------------------------------


def test_a_question_that_does_not_apply_stays_so_in_the_score():
    names = [f"ras{i}" for i in range(1, 8)]
    values = {-97.0: "Not applicable", -98.0: "Refused"}
    book = Codebook(
        {n: Variable(n, values=values, missing=MissingRule((-97.0, -98.0))) for n in names}
    )
    answers = pd.DataFrame(np.full((3, 7), np.nan), columns=names)
    missing = {n: pd.Series([-97.0, -98.0 if n == "ras1" else -97.0], index=[0, 1]) for n in names}
    data = score_items(Dataset(answers, book, missing), "RAS").added_to(
        Dataset(answers, book, missing)
    )
    assert data.reasons("ras_total") == {"Not applicable": 1, "system-missing": 2}


# --- published traps -------------------------------------------------------------------------


def test_the_page_that_reverses_item_6_of_the_ras_is_not_followed():
    """Trap: a live page reverses item 6 instead of 4 and 7."""
    row = [[1, 1, 1, 1, 1, 5, 1]]
    trap = 1 + 1 + 1 + 1 + 1 + (6 - 5) + 1
    assert scored("RAS", row)["total"][0] == 1 + 1 + 1 + 5 + 1 + 5 + 5 != trap


def test_the_csi_does_not_run_from_2_to_158():
    assert find("CSI-32").range_of(find("CSI-32").scores[0]) == (0, 161)


def test_pacs_is_no_mean_of_four_items():
    """Trap: a calculator averages four items and prints 0 to 7."""
    assert scored("PACS", [[6] * 5])["total"][0] == 30


def test_positive_items_of_the_pss_are_the_reversed_ones():
    """Trap: a page labels them the wrong way round."""
    negative = [1, 2, 3, 6, 9, 10]
    row = [[4.0 if i in negative else 0.0 for i in range(1, 11)]]
    assert scored("PSS-10", row)["total"][0] == 40


def test_nine_items_of_the_bhs_count_when_answered_false():
    """Trap: a page says that none are keyed false."""
    assert scored("BHS", [[1] * 20, [0] * 20])["total"].tolist() == [11, 9]


def test_the_wai_sr_has_five_answers_and_no_reversal():
    """Trap: a page gives 7 points to every version."""
    scale = find("WAI-SR")
    assert {a.high for a in scale.answers} == {5}
    assert not scale.reversed


def test_awareness_is_the_only_reversed_part_of_the_ders_18():
    scale = find("DERS-18")
    assert scale.reversed == set(next(s for s in scale.scores if s.name == "awareness").items)


# --- discounting -----------------------------------------------------------------------------


def choices(*delayed):
    return [1.0 if i in delayed else 0.0 for i in range(1, 28)]


def test_the_worked_example_of_beezdiscounting():
    found = scored("MCQ-27", [choices(4, 5, 7, 8, 11, 19, 27)]).loc[0]
    printed = {
        "overall_k": 0.065212, "small_k": 0.025565, "medium_k": 0.063690, "large_k": 0.064947,
        "k": 0.047289, "overall_consistency": 0.962963, "small_consistency": 1,
        "overall_delayed": 0.259259, "small_delayed": 0.333333, "large_delayed": 0.222222,
    }  # fmt: skip
    for name, value in printed.items():
        assert found[name] == pytest.approx(value, abs=PRINTED_6)
    assert found["ln_k"] == pytest.approx(np.log(found["k"]))


def test_k_at_indifference_has_nine_levels_of_three():
    levels = [0.00016, 0.0004, 0.001, 0.0025, 0.006, 0.016, 0.041, 0.10, 0.25]
    ladder = find("MCQ-27").choices
    for place, choice in enumerate(ladder):
        assert choice.k == pytest.approx(levels[place // 3], rel=0.035)
    assert sorted(c.item for c in ladder) == list(range(1, 28))
    assert [c.size for c in ladder[:3]] == ["small", "medium", "large"]


def test_who_always_and_who_never_waits_stands_at_the_ends():
    found = scored("MCQ-27", [choices(*range(1, 28)), choices()])
    assert found.loc[0, "small_k"] == pytest.approx(0.000158128, abs=1e-9)
    assert found.loc[1, "small_k"] == pytest.approx((30 / 11 - 1) / 7)


def test_the_most_consistent_k_is_found_by_brute_force():
    rng = np.random.default_rng(8)
    rows = rng.integers(0, 2, (40, 27)).astype(float)
    found = scored("MCQ-27", rows)
    ladder = [c for c in find("MCQ-27").choices if c.size == "medium"]
    for i, row in enumerate(rows):
        waits = [row[c.item - 1] for c in ladder]
        hits = [sum(w == (place >= cut) for place, w in enumerate(waits)) for cut in range(10)]
        k = [c.k for c in ladder]
        steps = [np.sqrt(a * b) for a, b in zip([k[0], *k], [*k, k[-1]], strict=True)]
        best = [s for s, h in zip(steps, hits, strict=True) if h == max(hits)]
        assert found.loc[i, "medium_k"] == pytest.approx(np.exp(np.mean(np.log(best))))
        assert found.loc[i, "medium_consistency"] == pytest.approx(max(hits) / 9)


def test_a_left_out_choice_leaves_out_its_own_ladder_only():
    row = choices(4, 5, 7)
    row[12] = np.nan  # item 13 is of a small reward
    found = scored("MCQ-27", [row]).loc[0]
    assert np.isnan(found[["small_k", "overall_k", "k"]]).all()
    assert found[["medium_k", "large_k"]].notna().all()


# --- the demo --------------------------------------------------------------------------------


def test_the_totals_of_the_demo_are_what_its_items_give():
    for mess in (True, False):
        waves = rs.synthetic_study("plain", persons=120, seed=5, mess=mess)["waves"]
        made = score_items(waves, "RAS").frame["ras_mean"].round(2)
        given = waves.frame["ras"]
        assert made.isna().equals(given.isna())
        assert np.allclose(made, given, rtol=0, atol=1e-9, equal_nan=True)
