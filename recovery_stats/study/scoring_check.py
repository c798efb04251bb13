"""What is examined before the scores of a questionnaire are believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Cell, Count, Quantity, Share
from recovery_stats.core.check import Check, Verdict
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.estimate import Estimate
from recovery_stats.core.study import Derived, Study
from recovery_stats.data.derive_score import scores_of
from recovery_stats.data.instruments.scale import Scale, Score
from recovery_stats.data.instruments.scorer import Scores
from recovery_stats.errors import NotEstimable

if TYPE_CHECKING:
    from recovery_stats.data.instruments.scorer import Account

LOW_RELIABILITY = 0.7
MUCH_PRORATED = 0.1
MUCH_LEFT_OUT = 0.05
AT_AN_END = 0.15  # of the scores at one end, from which a floor or ceiling is spoken of
CONSISTENT = 0.75  # of the choices of a person, under which k is not to be trusted
MOST_DECIMALS = 6
MANY = 100  # rows from which a coefficient says nothing of single people


def scoring_checks(study: Study) -> Iterator[Check]:
    """The checks of every column that the study file scores, about `table.column`."""
    for name, spec in study.protocol.tables.items():
        for derived in spec.derive:
            if derived.scoring and name in study:
                yield from _of_column(study, derived, name)


def _of_column(study: Study, spec: Derived, table: str) -> Iterator[Check]:
    about, data = f"{table}.{spec.name}", study[table]
    scores = scores_of(data, spec, table)
    person = _people_in_time(study, table)
    yield from checks_of(scores, about, spec.scoring.score if spec.scoring else None, person)
    if spec.scoring and spec.scoring.against:
        yield _against_check(data, spec, spec.scoring.against, about)


def _people_in_time(study: Study, table: str) -> pd.Series[Any] | None:
    """Whose row it is, where people have several, in the order of waves or days."""
    person, frame = study.role(table, "person"), study[table].frame
    if person not in frame or not frame[person].duplicated().any():
        return None
    clock = next((c for r in ("wave", "day") if (c := study.role(table, r)) in frame), None)
    ordered = frame.sort_values(clock, kind="stable") if clock else frame
    people: pd.Series[Any] = ordered[person]
    return people


def _against_check(data: Dataset, spec: Derived, total: str, about: str) -> Check:
    """Whether a total of the file is what its items give, to the decimals it was stored with."""
    made, given = data.frame[spec.name], data.frame[total]
    both = made.notna() & given.notna()
    apart = both & ((made - given).abs() > 0.5 * 10.0 ** -_decimals(given) + 1e-9)
    one = made.notna() ^ given.notna()
    parts: tuple[Cell, ...] = (
        f"The column {total!r} of the file and the score of its items differ in ",
        Share(int(apart.sum()), max(int(both.sum()), 1)),
        " of the rows that have both; ",
        Count(int(one.sum()), "rows"),
        " rows have one of them only.",
    )
    return Check("item totals", _verdict(bool(apart.any() or one.any())), parts, about)


def _decimals(values: pd.Series[float]) -> int:
    """How many decimals the values were rounded to."""
    known = values.dropna().to_numpy(dtype=float)
    for places in range(MOST_DECIMALS):
        if np.allclose(known, np.round(known, places), rtol=0, atol=1e-9):
            return places
    return MOST_DECIMALS


def item_rest_of(scores: Scores) -> pd.Series[float]:
    """Each item's correlation with the sum of the others."""
    from recovery_stats.models.reliability import item_rest

    return item_rest(scores.keyed.frame)


def distinct(scale: Scale) -> list[Score]:
    """One score for each set of items: a sum and a mean of the same are as reliable."""
    found: dict[tuple[int, ...], Score] = {}
    for s in scale.scores:
        found.setdefault(s.items, s)
    return list(found.values())


def coefficient_or_none(coefficient: Any, items: pd.DataFrame, **how: Any) -> Estimate | None:
    """An estimate, or None where it does not exist on these rows."""
    try:
        found: Estimate = coefficient(items, **how)
    except NotEstimable:
        return None
    return found


def checks_of(
    scores: Scores,
    about: str = "",
    score: str | None = None,
    person: pd.Series[Any] | None = None,
) -> Iterator[Check]:
    """The checks of a scale, or of the one `score` that a study asks for; `about` table.column.

    person: whose row it is, in the order of time; reliability is then that of people.
    """
    yield _rule_check(scores, about)
    yield _range_check(scores, about)
    if scores.scale.choices:
        for account in scores.accounts:
            yield _missing_check(scores, account, about)
            yield _ends_check(scores, account, about)
        yield _consistency_check(scores, about)
        return
    wanted = [s for s in distinct(scores.scale) if score in (None, s.name)]
    if score and not wanted:  # its items are those of another score
        items = next(s.items for s in scores.scale.scores if s.name == score)
        wanted = [s for s in distinct(scores.scale) if s.items == items]
    for account in scores.accounts:
        if account.score in {s.name for s in wanted}:
            yield _missing_check(scores, account, about)
            yield _ends_check(scores, account, about)
    yield from _direction_check(scores, about)
    for s in wanted:
        yield from _reliability_check(scores, s, about, person)


def _verdict(caution: bool) -> Verdict:
    return "caution" if caution else "ok"


def _rule_check(scores: Scores, about: str) -> Check:
    scale = scores.scale
    turned = ", ".join(map(str, sorted(scale.reversed)))
    reversals = f"items {turned} reversed" if turned else "no item reversed"
    words = (
        f"{scale.name} ({scale.original}): {scale.items} items, {reversals}; missing items: "
        f"{scores.rule.says}."
    )
    if not about:  # who scores a file by hand is told what others got wrong
        words = f"{words} {scale.trap}".strip()
    return Check("scoring key", "ok", (words,), about)


def _range_check(scores: Scores, about: str) -> Check:
    keyed = scores.keyed
    wrong = [(c, n) for c, n in zip(keyed.columns, keyed.outside, strict=True) if n]
    if not wrong:
        return Check(
            "item range", "ok", (f"Every answer to {scores.scale.name} is one it has.",), about
        )
    parts: list[Cell] = [f"Answers that {scores.scale.name} does not have were emptied: "]
    for i, (column, n) in enumerate(wrong):
        parts += [", " if i else "", Count(n, "rows"), f" in {column}"]
    return Check("item range", "caution", (*parts, "."), about)


def _missing_check(scores: Scores, account: Account, about: str) -> Check:
    begun = account.scored + account.left_out
    much = begun and (
        account.prorated > MUCH_PRORATED * max(account.scored, 1)
        or account.left_out > MUCH_LEFT_OUT * begun
    )
    parts: tuple[Cell, ...] = (
        f"{scores.scale.name} {account.score}: ",
        Share(account.prorated, max(account.scored, 1)),
        " of the scores rest on fewer items than there are (filled with the person's own level); ",
        Share(account.left_out, max(begun, 1)),
        " of those who answered any item have no score.",
    )
    return Check("missing items", _verdict(bool(much)), parts, about)


def _ends_check(scores: Scores, account: Account, about: str) -> Check:
    of = max(account.scored, 1)
    much = max(account.floor, account.ceiling) >= AT_AN_END * of and account.scored > 0
    parts: tuple[Cell, ...] = (
        f"{scores.scale.name} {account.score}: ",
        Share(account.floor, of),
        " at the lowest and ",
        Share(account.ceiling, of),
        " at the highest score possible",
        "; change beyond that end cannot be seen." if much else ".",
    )
    return Check("floor and ceiling", _verdict(much), parts, about)


def _direction_check(scores: Scores, about: str) -> Iterator[Check]:
    """Items against the rest of a one-score scale; parts of a scale may well disagree."""
    if len(distinct(scores.scale)) > 1:
        return
    rest = item_rest_of(scores)
    against = [scores.keyed.columns[i - 1] for i in rest.index[rest < 0]]
    if against:
        goes = "go" if len(against) > 1 else "goes"
        words = (
            f"{', '.join(against)} {goes} against the other items of {scores.scale.name}: reversed "
            "before (reversed_already), or the key of another version?"
        )
        yield Check("item direction", "caution", (words,), about)
    else:
        words = f"Every item of {scores.scale.name} goes with the others."
        yield Check("item direction", "ok", (words,), about)


def _reliability_check(
    scores: Scores, score: Score, about: str, person: pd.Series[Any] | None
) -> Iterator[Check]:
    """alpha and omega: of people, each at the first row with every item, where people are known."""
    from recovery_stats.models.reliability import alpha, omega_total

    items = scores.keyed.frame[list(score.items)]
    first = items if person is None else _first_of_each(items, person)
    found = [f for f in (coefficient_or_none(c, first) for c in (alpha, omega_total)) if f]
    title = f"{scores.scale.name} {score.name}"
    if not found:
        words = f"{title}: cannot be told; too few answered every item, or an item is constant."
        yield Check("reliability", "caution", (words,), about)
        return
    parts: list[Cell] = [f"{title}: "]
    for i, e in enumerate(found):
        parts += ["; " if i else "", f"{e.label} ", *_with_limits(e)]
    rows = Count(int(found[0].n or 0), "rows")
    told: tuple[Cell, ...] = (", on ", rows, " rows with every item.")
    # How many people is left out: beside those analysed it would tell how few answered in part.
    parts += told if person is None else (", each person at the first row with every item.",)
    within = None
    if person is not None:
        within = coefficient_or_none(omega_total, items, person=person)
    if within:
        parts += [
            " Omega of a person's deviations from their own mean: ",
            *_with_limits(within),
            ".",
        ]
    low = min(e.value for e in (found[-1], within) if e) < LOW_RELIABILITY
    yield Check("reliability", _verdict(low), tuple(parts), about)


def _with_limits(e: Estimate) -> list[Cell]:
    n = e.n if (e.n or 0) < MANY else None
    value, low, high = (Quantity(x, n=n) for x in (e.value, e.low, e.high))
    return [value, " (", low, " to ", high, ")"]


def _first_of_each(items: pd.DataFrame, person: pd.Series[Any]) -> pd.DataFrame:
    """The first complete row of each person, in the order of `person`."""
    whole = items.loc[person.index].dropna()
    return whole[~person.loc[whole.index].duplicated()]


def _consistency_check(scores: Scores, about: str) -> Check:
    values = scores.frame[scores.column("overall_consistency")].dropna()
    low = int((values < CONSISTENT).sum())
    parts: tuple[Cell, ...] = (
        Share(low, max(len(values), 1)),
        " of the people made fewer than 75% of their choices as their k predicts; look at what k "
        "does without them.",
    )
    return Check("consistency of choices", _verdict(low > 0), parts, about)
