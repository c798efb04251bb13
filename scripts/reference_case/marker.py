"""Concordance of markers in the vocabulary of the reference cases.

Which columns are markers, in this order: the model names them; its formula's right side; words of
the description; else every number that no row misses. A marker is taken in the direction that
the model says (`reverse`), else in the one in which its concordance is above 1/2.

Which marker the counts without a name are of: the only marker; the one that the description names
after "counts of"; else the first named marker that R takes as it is, for which a higher value is
a later event. Without any names: that of the markers with more than two values, where it is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import recovery_stats as rs
from recovery_stats.models.token import quote

from .case import Case, Values, where_offered
from .naming import short

PAIRS = ("concordant", "discordant", "tied_x", "tied_y", "tied_xy")
COUNT_BY = ("n", "S", "S/G", "n/G2", "I")
UNTIL = re.compile(r"(?:truncated|restricted) (?:at|to|until) (\d+(?:\.\d+)?)|ymax\W+(\d+\.?\d*)")
FEWEST = 3  # letters of a word that may stand for a column


def markers(case: Case) -> Values:
    """Harrell's and Uno's C of each marker; of a Cox model where the formula has several terms."""
    if "formula" in case.model and "+" in case.formula.partition("~")[2]:
        return _of_predictor(case)
    named = _named(case)
    columns = list(dict.fromkeys([*named, *([] if "formula" in case.model else _complete(case))]))
    values: Values = {}
    counts: dict[str, Values] = {}
    turned: dict[str, bool] = {}
    for column in columns:
        found, pairs, turned[column] = _of_marker(case, column)
        name = short(column, columns)
        values |= {f"c_{name}": found["c"], f"c_{name}_se": found["se"]}
        values[f"uno_{name}"] = found["uno"]
        values |= {f"{kind}[{name}]": value for kind, value in pairs.items()}
        counts[column] = pairs
        if len(named or columns) == 1 and column in (named or columns):
            values |= {"concordance": found["c"], "concordance_se": found["se"]}
            values |= {"c": found["c"], "c_se": found["se"], "uno": found["uno"]}
            values |= {f"c[{k}]": v for k, v in found.items() if k in COUNT_BY}
    chosen = _counted(case, named, turned)
    return values | (counts[chosen] if chosen else {})


def _of_marker(case: Case, column: str) -> tuple[Values, Values, bool]:
    ask = partial(
        rs.concordance, _left(case, quote(column)), case.frame,
        weights=case.option("weights"), cluster=case.option("cluster", "id"),
    )  # fmt: skip
    said = case.option("reverse")
    reverse = bool(said) if said is not None else ask().tidy()["estimate"].iloc[0] < 0.5
    row = ask(reverse=reverse).tidy().iloc[0]
    until = _until(case)
    uno = ask(reverse=reverse, count_by="n/G2", until=until).tidy()["estimate"].iloc[0]
    found: Values = {"c": row["estimate"], "se": row["std_error"], "uno": uno}
    for way in COUNT_BY:
        found |= where_offered(partial(_counted_by, ask, way, reverse, until))
    return found, {kind: row[kind] for kind in PAIRS}, reverse


def _counted_by(ask: Callable[..., Any], way: str, reverse: bool, until: float | None) -> Values:
    row = ask(reverse=reverse, count_by=way, until=until).tidy().iloc[0]
    return {way: row["estimate"]}


def _of_predictor(case: Case) -> Values:
    """Concordance of a Cox model's linear predictor, counted in every way."""
    fit = rs.cox(case.formula, case.frame, weights=case.option("weights"))
    rows = case.frame.assign(**{"(predictor)": fit.predict(case.frame)})
    left = case.formula.partition("~")[0]
    values: Values = {}
    for way in COUNT_BY:
        row = rs.concordance(
            f"{left} ~ `(predictor)`", rows, reverse=True, until=_until(case),
            count_by=way, weights=case.option("weights"),  # type: ignore[arg-type]
        ).tidy().iloc[0]  # fmt: skip
        values |= {f"c[{way}]": row["estimate"], f"c_se[{way}]": row["std_error"]}
        if way == "n":
            values |= {"concordance": row["estimate"], "concordance_se": row["std_error"]}
            values |= {"c_lp": row["estimate"], "c_lp_se": row["std_error"]}
            values |= {kind: row[kind] for kind in PAIRS}
        if way == "n/G2":
            values |= {"uno": row["estimate"], "uno_lp": row["estimate"]}
    return values


def _left(case: Case, marker: str) -> str:
    if "formula" in case.model:
        return f"{case.formula.partition('~')[0]} ~ {marker}"
    return case.survival([marker])


def _until(case: Case) -> float | None:
    given, told = case.option("ymax", "until", "tau"), UNTIL.search(case.description)
    return float(given) if given else float(told[1] or told[2]) if told else None


def _used(case: Case) -> set[str]:
    """The columns of time and event."""
    if "formula" in case.model:
        return set(re.findall(r"[\w.]+", case.formula.partition("~")[0]))
    return {str(case.model["time"]), re.split(r"\W*==", str(case.model["event"]))[0].strip()}


def _named(case: Case) -> list[str]:
    asked = case.option("marker", "markers", "x", "predictor", "score")
    if asked:
        return [
            str(a) for a in (re.split(r"\s*[/,]\s*", asked) if isinstance(asked, str) else asked)
        ]
    if "formula" in case.model:
        return [case.formula.partition("~")[2].strip().strip("`")]
    free = [c for c in case.frame.select_dtypes("number") if c not in _used(case)]
    places = {c: _mention(case.description, c, free) for c in free}
    return sorted((c for c in free if places[c] >= 0), key=lambda c: places[c])


def _complete(case: Case) -> list[str]:
    """Columns with empty cells are no markers: a case's rows are those observed on its markers."""
    whole = case.frame.dropna(axis=1).select_dtypes("number").columns
    return [c for c in whole if c not in _used(case)]


def _mention(text: str, column: str, among: Sequence[str]) -> int:
    """Where a text names a column, in full or as `Karnofsky` names `karno`; -1 if nowhere."""
    name = short(column, among).casefold()
    words = ((m.start(), m[0].rstrip(".").casefold()) for m in re.finditer(r"[A-Za-z][\w.]*", text))
    for at, word in words:
        if word in (column.casefold(), name) or (len(name) > FEWEST and word.startswith(name)):
            return at
    return -1


def _counted(case: Case, named: Sequence[str], turned: dict[str, bool]) -> str | None:
    """The marker whose counts go without its name."""
    if len(turned) == 1 or len(named) == 1:
        return (named or list(turned))[0]
    after = re.search(r"\b(?:counts?|pairs) (?:of|for) (.*)", case.description)
    told = [c for c in named if after and _mention(after[1], c, named) >= 0]
    as_is = [c for c in named if not turned[c]]
    if named:
        return (told or as_is or [None])[0]
    plain = [c for c in turned if not turned[c] and case.frame[c].nunique() > 2]
    return plain[0] if len(plain) == 1 else None
