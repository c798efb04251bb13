"""Design matrices: formulaic's columns, R's bases, levels, references, rows, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.errors import DataError, NotEstimable, UsageError
from recovery_stats.models import basis
from recovery_stats.models.design import Outcome, Times, Trials, build_design
from tests.tolerance import CLOSED_FORM, EXACT

FROM_R = json.loads((Path(__file__).parent / "basis.json").read_text())


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "y": rng.normal(size=48),
            "x": rng.normal(size=48),
            "z": rng.uniform(1, 9, size=48),
            "a": list("pqr") * 16,
            "b": list("uuuvvv") * 8,
            "c": list("kl") * 12 + list("lk") * 12,
            "t": [True, False] * 24,
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "1 + a", "0 + a", "a * b", "0 + a:b", "a:b", "x:a", "a + x:a", "x + a:x", "0 + x:a",
        "a:x:z", "C(a)", "a*b - a", "0 + a + b", "b + a:b", "t", "x:a:b", "a:b + x:a:b",
        "a + b + a:b:x", "a*b*c", "a:b:c", "a + b:c", "a/b", "x*z*a", "a*c - 1", "b + b:c + a:b:c",
        "log(z)", "poly(z, 3)",
    ],
)  # fmt: skip
def test_columns_are_those_of_formulaic(text: str) -> None:
    formulaic = pytest.importorskip("formulaic")
    theirs = formulaic.model_matrix(text, frame())
    ours = build_design("y ~ " + text, frame())
    assert list(ours.names) == list(theirs.columns)
    expected = theirs.to_numpy(dtype=float)
    np.testing.assert_allclose(ours.X, expected, atol=CLOSED_FORM)


def test_polynomials_and_natural_splines_are_those_of_r() -> None:
    x, new = np.array(FROM_R["x"]), np.array(FROM_R["new"], dtype=float)
    for kind, size in (("poly", 3), ("ns", 4)):
        learned = basis.learn(kind, x, size)
        assert learned(x) == pytest.approx(np.array(FROM_R[kind]), abs=CLOSED_FORM)
        assert learned(new) == pytest.approx(np.array(FROM_R[kind + "_new"]), abs=1e-8)


def test_restricted_splines_are_straight_outside_the_knots() -> None:
    x = np.linspace(0, 1, 101)
    learned = basis.learn("rcs", x, 4)
    assert isinstance(learned, basis.RestrictedSpline)
    assert learned.knots == pytest.approx((0.05, 0.35, 0.65, 0.95))
    below, above = learned(np.array([-3.0, -2.0, -1.0])), learned(np.array([2.0, 3.0, 4.0]))
    assert below[:, 1:] == pytest.approx(0.0, abs=EXACT)
    assert np.diff(above, 2, axis=0) == pytest.approx(0.0, abs=1e-9)


def test_new_rows_are_coded_as_the_rows_analysed() -> None:
    design = build_design("y ~ a*x + poly(z, 2) + ns(z, 3)", frame())
    some = frame().iloc[[5, 2, 9]]
    assert design.recipe.matrix(some) == pytest.approx(design.X[[5, 2, 9]], abs=EXACT)
    one_level = frame().iloc[[1]]
    assert design.recipe.matrix(one_level) == pytest.approx(design.X[[1]], abs=EXACT)
    with pytest.raises(DataError, match="1 levels that the model never saw"):
        design.recipe.matrix(frame().assign(a="new"))


def test_levels_have_their_order() -> None:
    data = frame()
    ordered = data.assign(a=pd.Categorical(data.a, categories=["r", "p", "unused", "q"]))
    assert build_design("y ~ a", ordered).names == ("Intercept", "a[T.p]", "a[T.q]")
    numbers = data.assign(a=data.a.map({"p": 10, "q": 9, "r": 100}))
    assert build_design("y ~ a", numbers).names == ("Intercept", "a")
    assert build_design("y ~ C(a)", numbers).names == ("Intercept", "C(a)[T.10]", "C(a)[T.100]")
    by_ref = build_design("y ~ C(a, ref='10')", numbers)
    assert by_ref.names == ("Intercept", "C(a)[T.9]", "C(a)[T.100]")
    assert by_ref.labels[1] == "a: 9 vs 10"


def test_codebooks_decide_what_is_a_factor() -> None:
    data = frame().assign(g=[1.0, 2.0, 3.0] * 16)
    full = {1.0: "none", 2.0: "some", 3.0: "some"}
    book = Codebook({"g": Variable("g", "Group", full, measure="nominal")})
    names = build_design("y ~ g", Dataset(data, book)).names
    assert names == ("Intercept", "g[T.some (2)]", "g[T.some (3)]")
    scale = Codebook({"g": Variable("g", "Group", full, measure="scale")})
    assert build_design("y ~ g", Dataset(data, scale)).names == ("Intercept", "g")
    coded = build_design("g ~ y", Dataset(data, book)).response
    assert isinstance(coded, Outcome)
    assert set(coded.y) == {1.0, 2.0, 3.0}


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "float32", "int8", "object", "boolean"])
def test_numbers_of_every_dtype(dtype: str) -> None:
    data = frame().assign(k=[1, 0, 1, 0] * 12)
    data["k"] = data["k"].astype(dtype)
    if dtype in ("Int64", "Float64", "boolean"):
        data.loc[0, "k"] = pd.NA
    design = build_design("y ~ k", data)
    assert design.names == ("Intercept", "k")
    assert set(design.X[:, 1]) == {0.0, 1.0}


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_text_of_every_dtype(dtype: str) -> None:
    data = frame()
    data["a"] = data["a"].astype(dtype)
    assert build_design("y ~ a", data).names == ("Intercept", "a[T.q]", "a[T.r]")


def test_months_are_levels() -> None:
    data = frame().assign(a=pd.PeriodIndex(["2020-01", "2020-02"] * 24, freq="M"))
    assert build_design("y ~ a", data).names == ("Intercept", "a[T.2020-02]")


def test_rows_without_a_value_are_dropped_and_counted() -> None:
    data = frame()
    data.loc[[1, 4], "x"] = np.nan
    data.loc[[4, 7], "a"] = None
    design = build_design("y ~ x + a", data)
    assert design.lost == {"x": 2, "a": 1}
    assert len(design.X) == 45
    assert list(design.rows[:3]) == [0, 2, 3]


def test_cox_codes_factors_as_beside_an_intercept() -> None:
    data = frame().assign(time=1.0, event=1)
    design = build_design("Surv(time, event) ~ a*x", data, drop_intercept=True)
    assert design.names == ("a[T.q]", "a[T.r]", "x", "a[T.q]:x", "a[T.r]:x")
    assert design.terms == ("a", "x", "a:x")
    assert design.columns_of("a:x") == [3, 4]
    assert design.named("a") == [0, 1, 3, 4]


def test_responses_of_survival_and_counts() -> None:
    data = frame().assign(s=0.0, e=range(1, 49), cause=[0, 1, 2] * 16, n=5, k=2)
    times = build_design("Surv(s, e, cause == 2) ~ x", data).response
    assert isinstance(times, Times)
    assert times.event.sum() == 16
    raw = build_design("Surv(e, cause) ~ x", data).response
    assert isinstance(raw, Times)
    assert raw.start is None
    assert set(raw.event) == {0.0, 1.0, 2.0}
    named = data.assign(cause=data.cause.map({0: "kept", 1: "lost", 2: "relapse"}))
    by_name = build_design("Surv(e, cause == 'relapse') ~ x", named).response
    assert isinstance(by_name, Times)
    assert by_name.event.sum() == 16
    with pytest.raises(UsageError, match="Did you mean 'relapse'"):
        build_design("Surv(e, cause == 'relapsed') ~ x", named)
    trials = build_design("cbind(k, n - k) ~ x", data).response
    assert isinstance(trials, Trials)
    assert set(trials.failures) == {3.0}


def test_offsets_groups_and_numbers_come_along() -> None:
    data = frame().assign(w=2.0, pid=range(48))
    design = build_design(
        "y ~ x + offset(log(z)) + strata(a, b)", data, numbers=("w",), groups=("pid",)
    )
    assert design.offset == pytest.approx(np.log(data.z.to_numpy()))
    assert design.strata is not None
    assert design.strata.levels == ("p:u", "p:v", "q:u", "q:v", "r:u", "r:v")
    assert design.groups["pid"].size == 48
    assert design.numbers["w"].sum() == 96


@pytest.mark.parametrize(
    ("text", "change", "error", "words"),
    [
        ("y ~ nope", {}, DataError, "No column named 'nope'"),
        ("y ~ log(x)", {"x": 0.0}, DataError, "log(x) has no finite value in 48 rows"),
        ("y ~ I(1/x)", {"x": 0.0}, DataError, "I(1/x) has no finite value"),
        ("y ~ x", {"x": np.inf}, DataError, "48 infinite values"),
        ("y ~ x", {"x": 1e200}, DataError, "'x' has values above 1e+150; state it in larger"),
        ("Surv(z, t) ~ x + a", {"x": -1e200}, DataError, "'x' has values above 1e+150"),
        ("y ~ a", {"a": "p"}, NotEstimable, "'a' has the same level in all 48 rows"),
        ("y ~ log(a)", {}, DataError, "'a' holds text"),
        ("a ~ x", {}, DataError, "'a' holds text"),
        ("y ~ x", {"x": pd.Timestamp("2026-01-01")}, DataError, "holds dates"),
        ("y ~ x", {"x": pd.Timedelta("1h")}, DataError, "holds durations"),
        ("y ~ x", {"x": 1 + 2j}, DataError, "a number is needed"),
        ("y ~ log(y)", {}, UsageError, "'y' is the outcome and a predictor"),
        ("y ~ poly(x, 3)", {"x": 1.0}, NotEstimable, "needs 4 distinct values"),
        ("y ~ rcs(x, 5)", {"x": [0.0] * 44 + [1.0, 2.0, 3.0, 4.0]}, NotEstimable, "tied"),
    ],
)
def test_what_cannot_be_built_is_refused(
    text: str, change: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        build_design(text, frame().assign(**change))
    assert words in str(caught.value)


def test_references_must_exist() -> None:
    with pytest.raises(UsageError, match="No level of column 'a' named 'w'"):
        build_design("y ~ a", frame(), reference={"a": "w"})
    with pytest.raises(UsageError, match="No factor to take a reference level for"):
        build_design("y ~ x", frame(), reference={"x": "1"})


def test_repeated_column_names_are_refused() -> None:
    double = pd.concat([frame(), frame()[["x"]]], axis=1)
    with pytest.raises(DataError, match="'x' occurs 2 times"):
        build_design("y ~ x", double)


def test_no_rows_and_no_frame() -> None:
    with pytest.raises(NotEstimable, match="no rows"):
        build_design("y ~ x", frame().iloc[:0])
    with pytest.raises(DataError, match="a DataFrame or a Dataset, not list"):
        build_design("y ~ x", [1, 2])  # type: ignore[arg-type]


def test_rows_are_named_by_the_number_in_the_file() -> None:
    data = frame()
    data.index = pd.Index(range(1, 49))
    data.loc[5, "x"] = -1.0
    data = data.assign(x=data.x.abs().where(data.index != 5, -1.0))
    with pytest.raises(DataError, match="row 5"):
        build_design("y ~ log(x)", data.iloc[2:])
    with pytest.raises(DataError, match="row 5"):
        build_design("y ~ log(x)", data.reset_index(drop=True))
