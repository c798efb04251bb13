"""Reasons for rows without a number: in words of the report, without counts, noughts or names."""

from __future__ import annotations

import pytest

from recovery_stats.analyses._missing_rows import Attempt, why_not
from recovery_stats.analyses._refusal import TOO_FEW, safe_words, safely
from recovery_stats.errors import NotEstimable
from recovery_stats.models.strategy import TooFewFollow

NO_ANSWER = "The model has no answer on these data."


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("The chains did not settle.", "The chains did not settle."),
        ("Column 'pid' has 3 observed values for 4 coefficients. Name fewer.", "Name fewer."),
        ("Nobody has every wave complete.", NO_ANSWER),
        ("One of the two arms has nobody with outcome and covariates.", NO_ANSWER),
        ("The diary covers the first block of days of nobody.", NO_ANSWER),
        ("Everybody in the model lacks a value: there are no two groups.", NO_ANSWER),
        ("Term 'weekly_7' (12 people): no variation among those at risk together, so nothing.",
         "It varies too little among those at risk together."),
        ("No event was observed, so no hazard ratio can be estimated.",
         "Too few events were observed."),
        ("Column 'relapse' has no relapse among 12 people.", "Too few relapses were observed."),
        ("the search ended, after 5 steps, at a boundary", "The search ended, at a boundary."),
    ],
)  # fmt: skip
def test_a_reason_tells_no_count_no_nought_and_no_column(message: str, told: str) -> None:
    assert safe_words(message) == told
    assert safely(NotEstimable(message)) == told


def test_a_strategy_that_few_keep_is_told_without_its_block() -> None:
    told = safely(TooFewFollow("more", 3, 6, 11.0))
    assert told.startswith(TOO_FEW)
    assert "more'" not in told
    assert not any(c.isdigit() for c in told)


def test_rows_with_one_reason_share_a_note() -> None:
    rows = [Attempt(str(i), label, reason=reason) for i, (label, reason) in enumerate(
        [("A, b", "X."), ("C", "Y."), ("D", "X.")])]  # fmt: skip
    assert why_not(rows) == ("A, b; D are not estimable. X.", "C is not estimable. Y.")
