"""The one scorer: answers in, scores out, with the account of what was wrong and what was filled.

A score is given where its rule is met. Items left out are filled with the person's own level in
the answered items, as a share of the range of each item; where all items have one range, this is
the mean of the items answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data.instruments.answer import Keyed, keyed, reasons
from recovery_stats.data.instruments.column import item_columns
from recovery_stats.data.instruments.discounting import CHOICE_SCORES, discounting
from recovery_stats.data.instruments.registry import find, squashed
from recovery_stats.data.instruments.scale import Rule, Scale, Score
from recovery_stats.errors import UsageError, unknown

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Account:
    """What became of one score: rows scored, filled (prorated) and left out though begun.

    floor, ceiling: rows at the lowest and the highest score possible.
    """

    score: str
    scored: int
    prorated: int
    left_out: int
    floor: int
    ceiling: int


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a scale, one row for each row of the data, named after the scale.

    keyed: the answers they were made of. reasons: for each column, the code of the rows in which
    every item had that user-missing code.
    """

    scale: Scale
    rule: Rule
    keyed: Keyed
    frame: pd.DataFrame
    accounts: tuple[Account, ...] = ()
    reasons: Mapping[str, pd.Series[Any]] = field(default_factory=dict)

    def column(self, score: str) -> str:
        """The column of `score` in `frame`; UsageError with the scores there are."""
        head = f"{stem(self.scale)}_"
        known = [str(c).removeprefix(head) for c in self.frame.columns]
        if score not in known:
            raise UsageError(unknown(f"score of {self.scale.name}", score, known))
        return head + score

    def variable(self, column: str, name: str = "") -> Variable:
        """The codebook's entry for a column, called `name` where given."""
        score = column.removeprefix(stem(self.scale) + "_").replace("_", " ")
        codes = tuple(sorted(set(self.reasons.get(column, ()))))
        return Variable(
            name or column,
            f"{self.scale.title}: {score}",
            measure="scale",
            spss_format="F8.2",
            missing=MissingRule(codes),
        )

    def added_to(self, data: Dataset) -> Dataset:
        """`data` with every score as a column."""
        for column in map(str, self.frame.columns):
            data = self.add(data, column)
        return data

    def add(self, data: Dataset, column: str, variable: Variable | None = None) -> Dataset:
        """`data` with one score, under the name and label of `variable` where given."""
        variable = variable or self.variable(column)
        labels = _labels_of(data, self.keyed.columns, variable.missing.codes)
        grown = data.with_column(replace(variable, values=labels), self.frame[column])
        codes = self.reasons.get(column)
        if codes is None or codes.empty:
            return grown
        return replace(grown, missing={**grown.missing, variable.name: codes})


def score_items(
    data: Dataset,
    scale: str | Scale,
    *,
    items: str | Sequence[str] | None = None,
    rule: str | None = None,
    coded_from: float | None = None,
    reversed_already: bool = False,
    table: str = "",
) -> Scores:
    """Score `scale` from its item columns in `data`.

    items: see `item_columns`; rule: one of the scale's rules for missing items (default: the
    published one, else 80%); coded_from, reversed_already: see `keyed`.
    Raises UsageError for a name or rule that is unknown or ambiguous, DataError for items that
    are missing or coded otherwise.
    """
    asked = scale if isinstance(scale, Scale) else find(scale)
    columns = item_columns(map(str, data.frame.columns), asked, items, table=table)
    answers = keyed(data, asked, columns, coded_from=coded_from, reversed_already=reversed_already)
    if asked.choices:
        return _of_choices(data, asked, answers, rule)
    return _of_items(data, asked, answers, _rule(asked, rule))


def stem(scale: Scale) -> str:
    """How the columns of a scale's scores begin: `ras`, `pss10`, `whoqolbref`."""
    return squashed(scale.name)


def score_names(scale: Scale) -> tuple[str, ...]:
    """What can be asked of a scale."""
    return tuple(s.name for s in scale.scores) or CHOICE_SCORES


def _rule(scale: Scale, name: str | None) -> Rule:
    known = {rule.name: rule for rule in scale.rules}
    if name is None:
        return scale.rules[0]
    if name not in known:
        raise UsageError(unknown(f"rule for missing items of {scale.name}", name, known))
    return known[name]


def _of_items(data: Dataset, scale: Scale, answers: Keyed, rule: Rule) -> Scores:
    columns, accounts = {}, []
    enough = (answers.answered >= rule.answered).to_numpy()
    for score in scale.scores:
        values, filled = _score(scale, score, answers, rule.need[score.name], enough)
        columns[f"{stem(scale)}_{score.name}"] = values
        accounts.append(_account(scale, score, answers, values, filled))
    frame = pd.DataFrame(columns, index=answers.frame.index)
    return Scores(scale, rule, answers, frame, tuple(accounts), _reasons(data, answers, frame))


def _score(
    scale: Scale, score: Score, answers: Keyed, need: int, enough: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_]]:
    """The values of one score, and which of them rest on fewer items than there are."""
    given = answers.frame[list(score.items)].to_numpy()
    low = np.array([scale.answers[i - 1].low for i in score.items])
    width = np.array([scale.answers[i - 1].high for i in score.items]) - low
    known = np.isfinite(given)
    count = known.sum(axis=1)
    with np.errstate(invalid="ignore"):
        level = np.where(known, given - low, 0.0).sum(axis=1) / (known @ width)
    whole = low.sum() + level * width.sum()
    exact = np.where(known, given, 0.0).sum(axis=1)
    total = np.where(known.all(axis=1), exact, whole)
    if score.method == "mean":
        total = total / len(score.items)
    valid = (count >= max(need, 1)) & enough
    values = np.where(valid, score.shift + score.factor * total, np.nan)
    return values, valid & (count < len(score.items))


def _account(
    scale: Scale, score: Score, answers: Keyed, values: Array, filled: NDArray[np.bool_]
) -> Account:
    begun = answers.frame[list(score.items)].notna().any(axis=1).to_numpy()
    low, high = scale.range_of(score)
    known = np.isfinite(values)
    return Account(
        score.name,
        scored=int(known.sum()),
        prorated=int(filled.sum()),
        left_out=int((begun & ~known).sum()),
        floor=int((known & np.isclose(values, low)).sum()),
        ceiling=int((known & np.isclose(values, high)).sum()),
    )


def _reasons(data: Dataset, answers: Keyed, frame: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    found = {str(c): reasons(data, answers.columns, frame[c].isna()) for c in frame.columns}
    return {column: codes for column, codes in found.items() if not codes.empty}


def _labels_of(
    data: Dataset, columns: Sequence[str], codes: Sequence[float | str]
) -> dict[float | str, str]:
    """What the items' codebook calls the user-missing codes that the score takes over."""
    known = data.variable(columns[0]).values
    return {code: known[code] for code in codes if code in known}


def _of_choices(data: Dataset, scale: Scale, answers: Keyed, rule: str | None) -> Scores:
    if rule not in (None, "complete"):
        raise UsageError(unknown(f"rule for missing items of {scale.name}", rule, ["complete"]))
    complete = next(r for r in scale.rules if r.name == "complete")
    found = discounting(answers.frame, scale.choices)
    frame = found.add_prefix(f"{stem(scale)}_")
    accounts = (_account_of_choices(answers.frame, found),)
    return Scores(scale, complete, answers, frame, accounts, _reasons(data, answers, frame))


def _account_of_choices(answers: pd.DataFrame, found: pd.DataFrame) -> Account:
    """Who has a k over all choices; it is lowest for who always waits, highest for who never does.

    A choice left out is never filled.
    """
    known, begun = found["k"].notna(), answers.notna().any(axis=1)
    waited = found.loc[known, "overall_delayed"]
    return Account(
        "k",
        scored=int(known.sum()),
        prorated=0,
        left_out=int((begun & ~known).sum()),
        floor=int((waited == 1).sum()),
        ceiling=int((waited == 0).sum()),
    )
