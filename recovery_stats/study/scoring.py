"""Scoring joined with its reliability: the scores of a scale, and whether they can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, as_dataset
from recovery_stats.core.document import Document
from recovery_stats.data.instruments.registry import scales
from recovery_stats.data.instruments.scale import Scale, Score
from recovery_stats.data.instruments.scorer import Scores, score_items
from recovery_stats.study.scoring_check import (
    checks_of,
    coefficient_or_none,
    distinct,
    item_rest_of,
)
from recovery_stats.study.scoring_table import describe

if TYPE_CHECKING:
    from recovery_stats.data.instruments.scorer import Account


def instruments() -> pd.DataFrame:
    """The scales that can be scored: a row each, with items, range, rules, source and traps."""
    return pd.DataFrame([_described(scale) for scale in scales().values()])


def score(
    data: Dataset | pd.DataFrame,
    scale: str,
    *,
    items: str | Sequence[str] | None = None,
    rule: str | None = None,
    coded_from: float | None = None,
    reversed_already: bool = False,
) -> Scored:
    """Score a questionnaire from its items.

        scored = rs.score(waves, "RAS")
        scored.frame             # ras_total, ras_mean, indexed as the data
        scored.data              # the data with these columns
        scored.checks()          # range, missing items, ends of the scale, reliability
        scored.reliability(by="wave")

    scale: a name of `instruments()`; a name that several versions share is refused. items: the
    columns in the order of the items, or a pattern such as "ras{}_w2"; by default they are
    recognised by name (ras1, RAS_01, ras_q1). rule: what to do with missing items: the default is
    the published rule where there is one, else 80% answered; "complete" asks for every item.
    coded_from: the code of the lowest answer where it is not the scale's own. reversed_already:
    reversed items were turned before. Raises UsageError or DataError, each with the cure.
    """
    table = as_dataset(data)
    scores = score_items(
        table, scale, items=items, rule=rule, coded_from=coded_from,
        reversed_already=reversed_already,
    )  # fmt: skip
    return Scored(table, scores)


def _described(scale: Scale) -> dict[str, Any]:
    first = scale.scores[0] if scale.scores else None
    low, high = scale.range_of(first) if first else (float("nan"), float("nan"))
    return {
        "name": scale.name,
        "title": scale.title,
        "measures": scale.measures,
        "items": scale.items,
        "scores": ", ".join(s.name for s in scale.scores) or "k by size of reward",
        "low": low,
        "high": high,
        "reversed": ", ".join(map(str, sorted(scale.reversed))),
        "rules": ", ".join(r.name for r in scale.rules),
        "source": scale.original,
        "seen": scale.seen,
        "licence": scale.licence,
        "trap": scale.trap,
    }


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one scale and the account of how they came about."""

    given: Dataset
    scores: Scores

    @property
    def frame(self) -> pd.DataFrame:
        """The scores, a column each, indexed as the data."""
        return self.scores.frame

    @property
    def data(self) -> Dataset:
        """The data with the scores as columns, labelled, their reasons of missing kept."""
        return self.scores.added_to(self.given)

    @property
    def scale(self) -> Scale:
        """The key that was used."""
        return self.scores.scale

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.frame.columns[:4]))
        return f"<{self.scale.name} scored: {names}; rule {self.scores.rule.name!r}>"

    def items(self) -> pd.DataFrame:
        """Each item: its column, rows answered, answers out of range, correlation with the rest."""
        keyed = self.scores.keyed
        columns = {
            "item": range(1, self.scale.items + 1),
            "column": keyed.columns,
            "reversed": [i in self.scale.reversed for i in range(1, self.scale.items + 1)],
            "answered": keyed.frame.notna().sum().to_numpy(),
            "out_of_range": keyed.outside,
        }
        rest = {} if self.scale.choices else {"item_rest": item_rest_of(self.scores).to_numpy()}
        return pd.DataFrame({**columns, **rest})

    def quality(self) -> pd.DataFrame:
        """Each score: rows scored, prorated and left out, and rows at its floor and ceiling."""
        return pd.DataFrame([_account_row(a) for a in self.scores.accounts])

    def reliability(
        self, by: str | None = None, *, within: str | None = None, level: float = 0.95
    ) -> pd.DataFrame:
        """alpha and omega total of each score, on the rows with every item; by a column's levels.

        within: the column that identifies a person, for the reliability of a person's deviations
        from their own mean (of change within people) instead of that of differences between rows.
        nan where a coefficient does not exist (too few rows or items, an item that never varies).
        """
        groups = {"all": self.given.frame.index}
        if by is not None:
            self.given.require(by)
            name = self.given.variable(by).level
            of = self.given.frame.groupby(by).groups
            groups = {name(value): rows for value, rows in of.items()}
        if within is not None:
            self.given.require(within)
        person = self.given.frame[within] if within else None
        rows = [
            {**({by: group} if by else {}), **_coefficients(self.scores, s, index, level, person)}
            for group, index in groups.items()
            for s in distinct(self.scale)
        ]
        return pd.DataFrame(rows)

    def checks(self) -> tuple[Check, ...]:
        """What was examined before believing the scores."""
        return tuple(checks_of(self.scores))

    def document(self, name: str = "data", by: str | None = None) -> Document:
        """The account as a document; counts in it are subject to disclosure control."""
        reliable = [self.reliability(by)] if by is not None and not self.scale.choices else []
        return describe(self.given, self.scores, self.items(), name, *reliable)


def _account_row(account: Account) -> dict[str, Any]:
    return {
        "score": account.score,
        "scored": account.scored,
        "prorated": account.prorated,
        "left_out": account.left_out,
        "floor": account.floor,
        "ceiling": account.ceiling,
    }


def _coefficients(
    scores: Scores, score: Score, rows: Any, level: float, person: pd.Series[Any] | None
) -> dict[str, Any]:
    from recovery_stats.models.reliability import alpha, omega_total

    items = scores.keyed.frame.loc[rows, list(score.items)]
    row: dict[str, Any] = {
        "score": score.name,
        "items": len(score.items),
        "n": int(items.notna().all(axis=1).sum()),
    }
    for name, coefficient in (("alpha", alpha), ("omega", omega_total)):
        found = coefficient_or_none(coefficient, items, level=level, person=person)
        for part in ("value", "low", "high"):
            key = name if part == "value" else f"{name}_{part}"
            row[key] = getattr(found, part) if found else float("nan")
    return row
