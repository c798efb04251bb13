"""The housing question end to end: what it says, what it refuses, what it recovers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recovery_stats import analyses
from recovery_stats.analyses._housing_tables import round_times
from recovery_stats.analyses.collaborative_housing import Question, answer
from recovery_stats.core.cell import Count
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Flow, Paragraph
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models.mixed import lmm
from recovery_stats.models.residence import (
    EVENT,
    IN_HOUSE,
    START,
    STOP,
    TimeColumns,
    days_resident,
    residence_rows,
)
from recovery_stats.report import markdown
from recovery_stats.report.compose import compose
from recovery_stats.report.flow_box import alt_text
from recovery_stats.study.binding import bind
from tests.tolerance import CLOSED_FORM, CONVERGED

ARMS = {0.0: "Usual care", 1.0: "House"}


def study(n=240, seed=0, clusters=24, effect=-0.25, roles=None, **columns):
    """People in two arms; clusters nested in arms unless a column says otherwise."""
    rng = np.random.default_rng(seed)
    house = np.arange(n) % clusters
    arm = (house < clusters // 2).astype(float)
    sev = rng.normal(size=n)
    risk = np.clip(
        0.5 + effect * arm + 0.1 * sev + rng.normal(0, 0.08, clusters)[house], 0.02, 0.98
    )
    time = np.ceil(rng.exponential(200 * np.exp(0.5 * arm)))
    frame = pd.DataFrame(
        {
            "pid": np.arange(1.0, n + 1), "arm": arm, "house": house + 1.0, "sev": sev,
            "used": (rng.random(n) < risk).astype(float),
            "income": 900 + 100 * arm + 50 * sev + rng.normal(0, 200, n),
            "time": np.minimum(time, 365.0), "event": (time <= 365).astype(float),
        }
    )  # fmt: skip
    frame = frame.assign(**columns).set_axis(pd.RangeIndex(1, n + 1))
    codebook = Codebook(
        {
            "arm": Variable("arm", "Housing", ARMS, measure="nominal"),
            "used": Variable(
                "used", "Used drugs", {0.0: "No", 1.0: "Yes", -97.0: "Not applicable"},
                MissingRule((-97.0,)), measure="nominal",
            ),
            "house": Variable("house", "House", measure="nominal"),
        }
    )  # fmt: skip
    spec = TableSpec("persons", roles=roles or {})
    return Study(
        {"persons": Dataset(frame, codebook)},
        Protocol(tables={"persons": spec}, structural=(-97.0,)),
    )


def ask(data, **options):
    given = {"person": "pid", "arm": "arm", "cluster": "house", "adjust": ("sev",)} | options
    return answer(Question(**given), data)


def names(result):
    return [e.name for e in result.estimates]


def check(result, name):
    return next(c for c in result.checks if c.name == name)


def words(result):
    """The whole report composed, so that no hole, table or figure is left open."""
    analysis = analyses.get("collaborative_housing")
    return compose(result, analysis.title, analysis.template)


# --- what it finds -------------------------------------------------------------------------


def test_a_yes_no_outcome_has_one_primary_and_every_rival():
    result = ask(study(), outcome="used")
    assert [e.name for e in result.estimates if e.level == "primary"] == ["risk_difference"]
    for name in ("risk_ratio", "odds_ratio", "crude", "naive", "by_cluster", "summary", "mixed",
                 "left_out_low", "left_out_high"):  # fmt: skip
        assert name in names(result), name
    for e in result.estimates:
        assert e.low < e.value < e.high, e.name
    words(result)


def test_crude_difference_is_that_of_the_counts():
    data = study()
    frame = data["persons"].frame
    by_arm = frame.groupby("arm")["used"].mean()
    result = ask(data, outcome="used")
    assert result["crude"].value == pytest.approx(by_arm[1.0] - by_arm[0.0], rel=CLOSED_FORM)


def test_likeness_within_houses_widens_the_interval():
    rng = np.random.default_rng(3)
    house = np.arange(240) % 24
    alike = (rng.random(240) < np.where(rng.random(24) < 0.5, 0.2, 0.8)[house]).astype(float)
    result = ask(study(used=alike), outcome="used", adjust=())
    naive, main = result["naive"], result["risk_difference"]
    assert main.high - main.low > 1.3 * (naive.high - naive.low)
    assert main.df < 23
    assert {"clustered", "nested", "few", "by_clusters"} <= result.said


def test_an_interval_by_cluster_never_comes_out_shorter():
    """Houses more alike than chance allows: the error of independent people is reported."""
    used = np.tile([0.0, 1.0], 120)
    used = used[np.argsort(np.arange(240) % 24, kind="stable").argsort()]
    used[:3] = 1 - used[:3]
    result = ask(study(used=used), outcome="used", adjust=())
    assert result["by_cluster"].se < result["naive"].se
    assert result["risk_difference"].se == result["naive"].se
    assert "by_people" in result.said
    assert check(result, "cluster error ratio").verdict == "caution"


def test_people_without_a_house_are_clusters_of_one():
    data = study()
    frame = data["persons"].frame
    partial = data["persons"].with_frame(
        frame.assign(house=frame["house"].where(frame["arm"] == 1))
    )
    result = ask(replace(data, tables={"persons": partial}), outcome="used")
    assert {"partial", "nested"} <= result.said
    assert {step.kept for step in result.flow} == {240}  # nobody is lost for having no house
    words(result)


def test_arms_that_meet_in_a_site_are_compared_within_it_when_randomised():
    data = study(site=np.repeat(np.arange(8.0), 30))
    result = ask(data, outcome="used", cluster="site", design="randomised")
    assert {"stratified", "by_people", "crossed"} <= result.said
    assert result["risk_difference"].value == pytest.approx(result["within"].value, rel=1e-6)
    words(result)


def test_a_number_gets_a_difference_of_means_and_hedges_g():
    result = ask(study(), outcome="income")
    assert {"mean_difference", "hedges_g", "mean_usual", "mean_compared"} <= set(names(result))
    assert result["mean_difference"].value == pytest.approx(100, abs=100)
    assert "risk_ratio" not in names(result)
    words(result)


def test_times_alone_make_the_hazard_ratio_primary():
    result = ask(study(), outcome=None, time="time", event="event")
    assert [e.name for e in result.estimates if e.level == "primary"] == ["hazard_ratio"]
    assert result["hazard_ratio"].value < 1
    assert result["rmst_difference"].value > 0
    assert {"times_only", "lower"} <= result.said
    words(result)


def test_no_difference_is_never_claimed():
    result = ask(study(effect=0.0), outcome="used")
    assert "not_shown" in result.said
    text = " ".join(p for b in words(result).blocks for p in getattr(b, "parts", ())
                    if isinstance(p, str))  # fmt: skip
    assert "No difference shown" in text
    assert "no effect" not in text


def test_the_reference_can_be_turned_round():
    usual = ask(study(), outcome="used", adjust=())
    turned = ask(study(), outcome="used", adjust=(), reference="House")
    assert turned["risk_difference"].value == pytest.approx(-usual["risk_difference"].value)
    assert turned.facts["usual"] == "House"


def test_the_level_that_counts_can_be_named():
    yes = ask(study(), outcome="used", adjust=())
    no = ask(study(), outcome="used", adjust=(), outcome_level="No")
    assert no["risk_difference"].value == pytest.approx(-yes["risk_difference"].value)


def test_missing_outcomes_become_rows_and_not_zeros():
    data = study()
    used = data["persons"].frame["used"].copy()
    used.iloc[:30] = np.nan
    dead = pd.Series([-97.0] * 5, index=range(1, 6))
    persons = replace(
        data["persons"].with_frame(data["persons"].frame.assign(used=used)), missing={"used": dead}
    )
    result = ask(replace(data, tables={"persons": persons}), outcome="used")
    assert [s.kept for s in result.flow] == [240, 240, 235, 210]
    assert result.facts["lost"].n == 25
    low, high = sorted(e.value for e in result.estimates if e.name.startswith("missing_"))
    assert low < high
    words(result)


def test_the_flow_is_counted_by_arm_though_nobody_was_drawn():
    data = study()
    frame = data["persons"].frame
    used = frame["used"].mask(frame.index <= 40)
    coded = pd.Series([-99.0] * 40, index=range(1, 41))
    told = replace(data["persons"].variable("used"), missing=MissingRule((-97.0, -99.0)))
    told = replace(told, values={**told.values, -99.0: "Refused"})
    persons = data["persons"].with_frame(frame.assign(used=used))
    persons = replace(persons.with_column(told, used), missing={"used": coded})
    result = ask(replace(data, tables={"persons": persons}), outcome="used", sensitivity=False)
    known, analysed = result.flow[1:]
    sizes, left = frame["arm"].map(ARMS), frame["arm"][used.notna()].map(ARMS)
    assert known.reason == "Housing known"
    assert dict(known.arms) == sizes.value_counts().to_dict()
    assert dict(analysed.arms) == left.value_counts().to_dict()
    (why,) = analysed.details
    assert (why.label, why.n) == ("Refused", 40)
    drawn = ask(
        replace(data, tables={"persons": persons}),
        outcome="used",
        sensitivity=False,
        design="randomised",
    )
    for found, into in ((result, "In “House”"), (drawn, "Allocated to “House”")):
        (flow,) = (b for b in words(found).blocks if isinstance(b, Flow))
        assert into in alt_text(flow)


def test_characteristics_are_described_and_not_adjusted_for():
    data = study(age=np.arange(240.0), town=np.nan)
    plain = ask(data, outcome="used")
    told = ask(data, outcome="used", describe=("age", "sev", "town"))
    rows = [row.label for row in told.tables["table_one"].rows if not row.depth]
    assert rows == ["People", "sev", "age", "town"]
    assert [e.value for e in told.estimates] == [e.value for e in plain.estimates]
    assert told.flow == plain.flow
    with pytest.raises(DataError, match="'agee'"):
        ask(data, outcome="used", describe=("agee",))


def test_characteristics_of_people_are_none_of_houses():
    data = study(roles={"characteristic": "sev"}, n=60)
    asked = bind(analyses.get("collaborative_housing"), data, {"arm": "arm", "outcome": "used"})
    assert (asked.describe, asked.house_by) == (("sev",), ())


def test_without_characteristics_no_table_of_people_stands_and_the_cure_does():
    result = ask(study(), outcome="used", adjust=())
    assert "table_one" not in result.tables
    page = markdown.render(words(result)).decode()
    assert "--describe COLUMN" in page
    assert "14a. Characteristics of the people, exposures and confounders |  | all of it" in page
    assert "--describe COLUMN" not in markdown.render(words(ask(study(), outcome="used"))).decode()


# --- residence -----------------------------------------------------------------------------


STAYS = ("pid", "in_day", "out_day")


def stays_of(*rows):
    return Dataset(pd.DataFrame(rows, columns=["pid", "in_day", "out_day"], dtype=float))


def test_residence_rows_by_hand():
    """Enters on day 2, resident (5, 10] and (10, 12], event on day 20; another never resident."""
    people = Dataset(
        pd.DataFrame(
            {"pid": [1.0, 2.0], "entry": [2.0, 0.0], "time": [20.0, 7.0], "event": [1.0, 0.0]}
        )
    )
    stays = stays_of((1, 5, 10), (1, 10, 12), (1, 30, 40), (3, 1, 2))
    rows = residence_rows(people, TimeColumns("arm", "time", "event", "entry"), stays, *STAYS).frame
    found = rows[[START, STOP, IN_HOUSE, EVENT]].to_numpy().tolist()
    assert found == [[2, 5, 0, 0], [5, 12, 1, 0], [12, 20, 0, 1], [0, 7, 0, 0]]
    assert days_resident(stays, *STAYS).to_dict() == {1.0: 17.0, 3.0: 1.0}


def test_overlapping_and_open_stays():
    people = Dataset(pd.DataFrame({"pid": [1.0], "time": [50.0], "event": [1.0]}))
    stays = stays_of((1, 10, 30), (1, 20, np.nan))
    rows = residence_rows(people, TimeColumns("arm", "time", "event"), stays, *STAYS).frame
    assert (rows[STOP] - rows[START]).sum() == 50
    assert rows.loc[rows[IN_HOUSE] == 1, START].min() == 10
    assert rows[EVENT].tolist()[-1] == 1


def test_a_stay_that_ends_before_it_begins_is_refused_by_row():
    with pytest.raises(DataError, match=r"1 rows with 'out_day' before 'in_day': row 1"):
        days_resident(stays_of((1, 5, 10), (1, 9, 3)), *STAYS)


def test_six_months_known_later_looks_protective_where_nothing_is():
    """No effect of residence; eviction on relapse: the naive ratio is far below 1."""
    rng = np.random.default_rng(11)
    n = 600
    relapse = np.ceil(rng.exponential(250, n))
    leave = np.ceil(rng.exponential(300, n))
    out = np.minimum(relapse, leave)
    data = study(n, clusters=60, time=np.minimum(relapse, 730.0), event=(relapse <= 730) * 1.0)
    resident = rng.random(n) < 0.6
    stays = stays_of(*[(i + 1, 0, out[i]) for i in range(n) if resident[i]])
    both = replace(data, tables={**data.tables, "stays": stays})
    result = ask(both, time="time", event="event", stay_start="in_day", stay_stop="out_day")
    naive, now = result["stayed_six_months"], result["in_house"]
    assert naive.high < 0.7
    assert now.low < 1 < now.high
    assert naive.level == "naive"
    words(result)


# --- what it refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "options", "error", "says"),
    [
        ({"used": np.nan}, {}, DataError, "'used' has no value"),
        ({"used": 1.0}, {}, NotEstimable, "'used' has the same value"),
        ({"arm": 1.0}, {}, NotEstimable, "'arm' has 1 level among 240 rows"),
        ({"arm": np.arange(240) % 3.0}, {}, DataError, "'arm' has 3 levels"),
        ({"house": 1.0}, {}, NotEstimable, "'house' has one level"),
        ({"pid": 1.0}, {}, DataError, "239 rows whose 'pid' occurred before"),
        ({}, {"outcome": "usde"}, DataError, "Did you mean 'used'"),
        ({}, {"outcome": None}, UsageError, "--outcome"),
        ({}, {"adjust": ("used",)}, UsageError, "'used' is the outcome and a covariate"),
        ({}, {"reference": "Huose"}, UsageError, "Did you mean 'House'"),
        ({"word": np.resize(["a", "b", "c"], 240)}, {"outcome": "word"}, DataError, "3 levels"),
    ],
)
def test_bad_input_is_one_clear_message(columns, options, error, says):
    with pytest.raises(error, match=says):
        ask(study(**columns), **({"outcome": "used"} | options))


def test_nobody_with_the_outcome_in_an_arm_names_the_arm():
    data = study()
    frame = data["persons"].frame
    none = data["persons"].with_frame(
        frame.assign(used=frame["used"].where(frame["arm"] == 0, 0.0))
    )
    with pytest.raises(NotEstimable, match="Arm 'arm': nobody in 'House'"):
        ask(replace(data, tables={"persons": none}), outcome="used")


def test_one_arm_left_says_how_many_rows_went():
    data = study()
    frame = data["persons"].frame
    gone = data["persons"].with_frame(frame.assign(sev=frame["sev"].where(frame["arm"] == 0)))
    with pytest.raises(NotEstimable, match="'arm' has 1 level left: 120 of 240 rows were dropped"):
        ask(replace(data, tables={"persons": gone}), outcome="used")


def test_perfect_separation_names_the_column():
    data = study()
    frame = data["persons"].frame
    told = data["persons"].with_frame(frame.assign(urine=frame["used"] * 2 + frame["sev"] / 100))
    with pytest.raises(NotEstimable, match="separated by 'urine'"):
        ask(replace(data, tables={"persons": told}), outcome="used", adjust=("urine",))


def test_no_events_in_an_arm():
    data = study()
    frame = data["persons"].frame
    none = data["persons"].with_frame(
        frame.assign(event=frame["event"].where(frame["arm"] == 0, 0.0))
    )
    with pytest.raises(
        NotEstimable, match=r"'event' did not occur where column 'arm' .* is 'House'"
    ):
        ask(replace(data, tables={"persons": none}), outcome=None, time="time", event="event")


def test_without_clusters_people_are_independent():
    result = ask(study(), outcome="used", cluster=None)
    assert {"no_clusters", "by_people"} <= result.said
    assert check(result, "clusters").verdict == "caution"
    words(result)


def test_sensitivity_can_be_left_out_and_a_limitation_added():
    result = ask(study(), outcome="used", sensitivity=False, notes=("Housing was self-reported.",))
    assert not [e for e in result.estimates if e.level in ("sensitivity", "naive")]
    assert result.facts["notes"] == "Housing was self-reported."
    words(result)


def test_few_clusters_are_a_caution():
    data = study(clusters=6)
    assert check(ask(data, outcome="used"), "clusters").verdict == "caution"
    assert check(ask(study(), outcome="used"), "clusters").verdict == "ok"


def test_input_is_not_changed_and_order_does_not_matter():
    data = study()
    before = data["persons"].frame.copy(deep=True)
    one = ask(data, outcome="used")
    pd.testing.assert_frame_equal(before, data["persons"].frame)
    shuffled = data["persons"].with_frame(before.sample(frac=1, random_state=1))
    other = ask(replace(data, tables={"persons": shuffled}), outcome="used")
    for a, b in zip(one.estimates, other.estimates, strict=True):
        assert (a.value, a.low) == pytest.approx((b.value, b.low), rel=1e-7), a.name


def test_weights_reach_every_part():
    data = study(w=np.random.default_rng(4).uniform(0.5, 2, 240))
    result = ask(data, outcome="used", time="time", event="event", weights="w", level=0.9)
    frame = data["persons"].frame
    by_arm = {a: np.average(part["used"], weights=part["w"]) for a, part in frame.groupby("arm")}
    assert result["crude"].value == pytest.approx(by_arm[1.0] - by_arm[0.0], rel=CLOSED_FORM)
    assert "mixed" not in names(result)
    assert {e.confidence for e in result.estimates} == {0.9}
    words(result)


def test_text_arms_and_outcomes_are_read():
    arm = np.where(np.arange(240) % 24 < 12, "sober house", "usual")
    used = pd.array(np.where(np.arange(240) % 5 < 2, "yes", "no"), dtype="string")
    data = study(arm=arm, used=used)
    result = ask(data, outcome="used", reference="usual")
    assert result.facts["compared"] == "sober house"
    assert result["crude"].events == 96
    words(result)


def test_an_arm_called_yes_is_named_after_its_column():
    data = study()
    codebook = Codebook({"arm": Variable("arm", "Stable living", {0.0: "No", 1.0: "Yes"})})
    persons = replace(data["persons"], codebook=codebook)
    result = ask(replace(data, tables={"persons": persons}), outcome="used")
    assert result.facts["whole_compared"] == "Stable living: Yes"
    assert (result.facts["compared"], result.facts["usual"]) == ("Yes", "No")
    heads = result.tables["table_one"].columns
    assert [c.group for c in heads] == ["", "Stable living", "Stable living", ""]
    assert "“Yes”, “No”: Stable living." in result.tables["effects"].notes


def test_a_rare_level_that_separates_counts_as_the_usual_one():
    """Four people of a third sex who all used: the same fit as with their code changed."""
    place = np.arange(240)
    sex = np.where(place < 4, 3.0, np.where(place % 3 == 0, 1.0, 2.0))
    used = study()["persons"].frame["used"].to_numpy().copy()
    used[:4] = 1.0
    labels = Variable("sex", "Sex", {1.0: "Male", 2.0: "Female", 3.0: "Other"}, measure="nominal")

    def with_sex(values):
        data = study(used=used, sex=values)
        persons = data["persons"]
        book = persons.codebook.with_variables(labels)
        return replace(data, tables={"persons": replace(persons, codebook=book)})

    result = ask(with_sex(sex), outcome="used", adjust=("sex", "sev"))
    expected = ask(with_sex(np.where(sex == 3, 2.0, sex)), outcome="used", adjust=("sex", "sev"))
    assert result["risk_difference"] == expected["risk_difference"]
    rare = check(result, "rare level")
    assert "“Other”" in rare.parts[0]
    assert rare.parts[1] == Count(4)
    assert "“Female”" in rare.parts[2]
    assert "Other" in [row.label for row in result.tables["table_one"].rows]
    words(result)


def test_a_frequent_level_that_separates_is_refused():
    place = np.arange(240)
    sex = np.where(place < 40, 3.0, np.where(place % 3 == 0, 1.0, 2.0))
    used = study()["persons"].frame["used"].to_numpy().copy()
    used[:40] = 1.0
    data = study(used=used, sex=sex)
    book = data["persons"].codebook.with_variables(
        Variable("sex", "Sex", {1.0: "Male", 2.0: "Female", 3.0: "Other"}, measure="nominal")
    )
    persons = replace(data["persons"], codebook=book)
    with pytest.raises(NotEstimable, match="separated by 'sex"):
        ask(replace(data, tables={"persons": persons}), outcome="used", adjust=("sex",))


def test_a_thin_arm_is_a_warning_on_the_first_screen():
    arm = (np.arange(240) % 20 == 0).astype(float)
    result = ask(study(arm=arm, house=np.arange(240.0) // 12 + 1), outcome="income")
    assert {"thin", "thin_clusters"} <= result.said
    assert result.facts["small"] == Count(12)
    warned = [b for b in words(result).blocks if isinstance(b, Paragraph) and b.role == "warning"]
    assert any(Count(12) in p.parts for p in warned)


@pytest.mark.parametrize(
    ("last", "times"),
    [(175, (0, 30, 60, 90, 120, 150)), (365, (0, 90, 180, 270, 360)), (28, (0, 5, 10, 15, 20, 25))],
)
def test_round_times(last, times):
    assert round_times(last) == times


def test_table_one_describes_those_to_whom_the_outcome_applies():
    used = study()["persons"].frame["used"].to_numpy().copy()
    used[:7] = np.nan
    data = study(used=used)
    persons = replace(
        data["persons"], missing={"used": pd.Series(-97.0, index=pd.RangeIndex(1, 8))}
    )
    result = ask(replace(data, tables={"persons": persons}), outcome="used")
    assert result.tables["table_one"].rows[0].cells[0] == Count(233)
    assert result.tables["missing"].rows[0].cells[0] == Count(233, "rows")


def test_the_mixed_model_of_a_clustered_number_is_told_whole():
    """df, variances, likeness and R² are those of the model with Kenward and Roger's df."""
    data = study(roles={"outcome": "income"})
    result = ask(data, outcome="income")
    fit = lmm("income ~ arm + sev + (1 | house)", data["persons"].frame, df="kenward-roger")
    row = fit.tidy().set_index("term").loc["arm"]
    mixed = result["mixed"]
    assert [mixed.value, mixed.se, mixed.df, mixed.p] == pytest.approx(
        [row.estimate, row.std_error, row.df, row.p_value], rel=CONVERGED
    )
    told = {r.key: r.cells[0].value for r in result.tables["mixed"].rows}
    parts = fit.variance_components().covariance
    assert told == pytest.approx(
        {
            "df": row.df, "between": parts[0] ** 0.5, "residual": parts[1] ** 0.5,
            "icc": fit.icc(), "r2_marginal": fit.r2()["marginal"],
            "r2_conditional": fit.r2()["conditional"],
        },
        rel=1e-6, abs=1e-9,
    )  # fmt: skip
    told_checks = {c.name for c in result.checks if "mixed model" in c.about}
    assert {"singular", "groups for the method", "influential groups", "normal residuals"} <= (
        told_checks
    )
    assert "|" not in " ".join(str(p) for c in result.checks for p in (*c.parts, c.about))
    binary = {c.name for c in ask(study(), outcome="used").checks if "mixed model" in c.about}
    assert "singular" in binary
    assert "normal residuals" not in binary
