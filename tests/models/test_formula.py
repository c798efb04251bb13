"""The grammar: what it reads, what it refuses, and that nothing is ever evaluated."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery_stats.errors import FormulaError, UsageError
from recovery_stats.models.formula import (
    Cbind,
    Column,
    Event,
    Frailty,
    Surv,
    Variable,
    parse,
    quote,
)


def terms(text: str) -> list[str]:
    return [str(t) for t in parse("y ~ " + text).terms]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", ["Intercept", "x"]),
        ("1", ["Intercept"]),
        ("0 + x", ["x"]),
        ("x - 1", ["x"]),
        ("x + 0", ["x"]),
        ("-1 + x", ["x"]),
        ("a * b", ["Intercept", "a", "b", "a:b"]),
        ("a * b - a", ["Intercept", "b", "a:b"]),
        ("a:b + c", ["Intercept", "c", "a:b"]),
        ("a:b + b:a", ["Intercept", "a:b"]),
        ("a / b", ["Intercept", "a", "a:b"]),
        ("(a + b) / c", ["Intercept", "a", "b", "a:b:c"]),
        ("(a + b) * c", ["Intercept", "a", "b", "c", "a:c", "b:c"]),
        ("(a + b + c)^2", ["Intercept", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("a + a + a:a", ["Intercept", "a"]),
        ("a * b * c - a:b:c", ["Intercept", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("`a b` + x", ["Intercept", "a b", "x"]),
        ("C(x) + log(x) + sqrt(x)", ["Intercept", "C(x)", "log(x)", "sqrt(x)"]),
        ("I(x^2) + I(a*(b-1)/2)", ["Intercept", "I(x^2)", "I(a * (b - 1)/2)"]),
        ("I(-x) + I(2**x)", ["Intercept", "I(-x)", "I(2^x)"]),
        ("poly(x,2) + ns(x, df=3) + rcs(x, 4)",
         ["Intercept", "poly(x, 2)", "ns(x, 3)", "rcs(x, 4)"]),
        ("C(x, ref='b')", ["Intercept", "C(x)"]),
        ("log( x + 1 )", ["Intercept", "log(x + 1)"]),
    ],
)  # fmt: skip
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(1 | g)", [(["Intercept"], ("g",), True)]),
        ("(x | g)", [(["Intercept", "x"], ("g",), True)]),
        ("(1 + x || g)", [(["Intercept", "x"], ("g",), False)]),
        ("(0 + f | g)", [(["f"], ("g",), True)]),
        ("(1 | a:b)", [(["Intercept"], ("a", "b"), True)]),
        ("(1 | a/b)", [(["Intercept"], ("a",), True), (["Intercept"], ("a", "b"), True)]),
        ("(1 | g) + (0 + x | g)", [(["Intercept"], ("g",), True), (["x"], ("g",), True)]),
        ("((1 + x) | `a b`)", [(["Intercept", "x"], ("a b",), True)]),
    ],
)
def test_random_terms(text: str, expected: list[object]) -> None:
    found = [
        ([str(t) for t in r.terms], r.group, r.correlated) for r in parse("y ~ x + " + text).random
    ]
    assert found == expected


def test_responses() -> None:
    assert parse("y ~ 1").response == Column(Variable("y"))
    assert parse("~ x").response is None
    two = parse("Surv(time, event) ~ x").response
    assert two == Surv(None, Variable("time"), Event("event"), "right")
    three = parse("Surv(start, stop, cause == 2) ~ x").response
    assert three == Surv(Variable("start"), Variable("stop"), Event("cause", 2.0), "counting")
    named = parse("Surv(time, status == 'relapse') ~ x").response
    assert isinstance(named, Surv)
    assert named.event == Event("status", "relapse")
    negative = parse("Surv(time, status == -1) ~ x").response
    assert isinstance(negative, Surv)
    assert negative.event == Event("status", -1.0)
    interval = parse('Surv(low, high, type = "interval2") ~ x').response
    assert interval == Surv(Variable("low"), Variable("high"), None, "interval2")
    coded = parse('Surv(t, t2, code, type = "interval") ~ x').response
    assert coded == Surv(Variable("t"), Variable("t2"), Event("code"), "interval")
    left = parse('Surv(t, seen == 1, type = "left") ~ x').response
    assert left == Surv(None, Variable("t"), Event("seen", 1.0), "left")
    counts = parse("cbind(a, n - a) ~ x").response
    assert isinstance(counts, Cbind)
    assert str(counts.failures) == "n - a"


def test_specials_stay_out_of_the_design() -> None:
    formula = parse(
        "Surv(t, e) ~ x + strata(site, arm) + frailty(id, distribution='gaussian')"
        " + cluster(house) + offset(log(n))"
    )
    assert [str(t) for t in formula.terms] == ["Intercept", "x"]
    assert formula.strata == ("site", "arm")
    assert formula.frailty == Frailty("id", "gaussian")
    assert formula.cluster == "house"
    assert [str(o) for o in formula.offsets] == ["log(n)"]
    assert formula.columns() == ("t", "e", "x", "n", "site", "arm", "id", "house")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found the end"),
        ("y", "expected '~'"),
        ("y ~", "found the end"),
        ("y ~ (x", "expected ')'"),
        ("y ~ x)", "expected an operator"),
        ("y ~ x + + + z", "found '+'"),
        ("y ~ x $ z", "'$' has no meaning"),
        ("y ~ {x}", "'{' has no meaning"),
        ("y ~ 2 * x", "a number in a formula is 0 or 1"),
        ("y ~ 0:x", "0 cannot stand beside ':'"),
        ("y ~ x | g", "found '|'"),
        ("y ~ (1 | g) * x", "expected an operator"),
        ("y ~ x:(1 | g)", "expected ')'"),
        ("y ~ - (1 | g)", "cannot be removed"),
        ("y ~ (1 | 3)", "name of a grouping column"),
        ("y ~ (0 | g)", "needs an effect"),
        ("y ~ foo(x)", "No formula function named 'foo'"),
        ("y ~ Log(x)", "Did you mean 'log'"),
        ("y ~ log(x, 2)", "does not take 2"),
        ("y ~ log()", "does not take 0"),
        ("y ~ poly(x)", "whole number"),
        ("y ~ poly(x, 2.5)", "whole number"),
        ("y ~ rcs(x, 99)", "from 3 to 7"),
        ("y ~ ns(x, knots=3)", "No option of ns() named 'knots'"),
        ("y ~ x:strata(s)", "needs strata(s) by itself too"),
        ("y ~ x * strata(s, t)", "make one column of their combinations"),
        ("y ~ x:frailty(s)", "stands alone"),
        ("y ~ (1 + offset(x) | g)", "cannot vary over groups"),
        ("y ~ strata(x + 1)", "takes columns by name"),
        ("y ~ C(log(x))", "takes columns by name"),
        ("y ~ I(poly(x, 2))", "cannot stand inside arithmetic"),
        ("y ~ (a + b)^9", "from 1 to 6"),
        ("y ~ (a + 0) + b", "outside parentheses"),
        ("Surv(a, b, c, d) ~ x", "Surv() takes"),
        ("Surv(t, e == f) ~ x", "a number or a text in quotes"),
        ("Surv(t, e, type='lost') ~ x", "No type of Surv named"),
        ("Surv(a, t, e, type='left') ~ x", "takes one time"),
        ("Surv(t, e, type='interval') ~ x", "takes two times and a code"),
        ("y ~ `a b", "has no meaning"),
    ],
)
def test_what_it_does_not_read(text: str, words: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "y ~ x + __import__('os').system('touch {0}')",
        "y ~ I(__import__('os').system('touch {0}'))",
        "y ~ {{open('{0}', 'w')}}",
        "y ~ log(open('{0}', 'w'))",
        "y ~ `__import__('os').system('touch {0}')`(1)",
        "open('{0}', 'w') ~ x",
        "y ~ x.__class__.__init__('{0}')",
        'y ~ eval(\'open("{0}", "w")\')',
    ],
)
def test_nothing_is_executed(text: str, tmp_path: Path) -> None:
    marker = tmp_path / "PWNED_MARKER"
    with pytest.raises(FormulaError):
        parse(text.format(marker))
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "y ~ " + "(" * 5_000,
        "y ~ " + "(" * 2_000 + "x" + ")" * 2_000,
        "y ~ I(" + "-" * 5_000 + "x)",
        "y ~ I(" + "x^" * 5_000 + "x)",
        "y ~ " + "log(" * 3_000 + "x" + ")" * 3_000,
        "y ~ " + "*".join(f"x{i}" for i in range(40)),
        "y ~ (" + "+".join(f"x{i}" for i in range(60)) + ")^6",
        "y ~ " + ":".join(f"(a{i} + b{i})" for i in range(300)),
        "y ~ " + "x + " * 100_000 + "x",
    ],
    ids=range(9),
)
def test_hostile_size_is_refused_at_once(text: str) -> None:
    with pytest.raises(FormulaError):
        parse(text)


def test_long_but_honest_formulas_are_read() -> None:
    wide = "y ~ " + " + ".join(f"x{i}" for i in range(1_000))
    assert len(parse(wide).terms) == 1_001
    assert sys.getrecursionlimit() >= 1_000


names = st.text(min_size=1, max_size=12).filter(lambda s: "\x00" not in s)


@given(names, names)
def test_any_name_survives_quoting(one: str, two: str) -> None:
    formula = parse(f"{quote(one)} ~ {quote(two)} + (1 + {quote(two)} | {quote(one)})")
    assert formula.response == Column(Variable(one))
    assert [str(t) for t in formula.terms] == ["Intercept", two]
    assert formula.random[0].group == (one,)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(FormulaError):
        parse(text)


@given(st.text(alphabet="xyzab01+-*/:^()|~,=`'\" CSurv", max_size=40))
def test_texts_near_the_grammar_are_read_or_refused(text: str) -> None:
    try:
        formula = parse("y ~ " + text)
    except FormulaError:
        return
    assert len(set(formula.terms)) == len(formula.terms)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y ~ x + (1 | " + "g/" * 2000 + "g)", "'g' stands twice in one random term"),
        ("y ~ x + (1 | g:g)", "'g' stands twice in one random term"),
        ("y ~ x + (1 | a/b:a)", "'a' stands twice in one random term"),
        ("y ~ C(a) + x + C(a, ref='b')", "C(a) stands twice, with different options"),
        ("y ~ x + (0 + C(a) + C(a, ref='b') | g)", "C(a) stands twice, with different options"),
        ("y ~ " + "1" * 5000, "a number in a formula is 0 or 1, not 1111"),
        ("y ~ x " + "z" * 5000, "expected an operator, found 'zzzz"),
    ],
)
def test_what_says_nothing_is_refused_at_once_and_shortly(text: str, words: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 250
