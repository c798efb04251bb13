"""What a column may hold by its role: numbers, event codes, counts, weights, missing codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from recovery_stats.core.cell import Count
from recovery_stats.core.study import AnalysisSpec
from recovery_stats.data.role import ROLES, roles_of
from recovery_stats.data.rule.bound import (
    Bound,
    Finding,
    Use,
    Values,
    blank,
    caution,
    is_text,
    rows_where,
)
from recovery_stats.data.suspicion import suspicious
from recovery_stats.errors import rows_phrase

NUMERIC = frozenset({"number", "time", "event", "count", "weight"})
VARYING = frozenset(r.name for r in ROLES if r.varies)
MANY_LEVELS = 12


def columns_have_values(bound: Bound) -> Iterator[Finding]:
    """A column without any value, or without variation where its role needs some."""
    for use in bound.uses:
        values = bound.values(use)
        if not len(values):
            continue
        levels = values[~blank(values)].nunique()
        if levels == 0:
            yield bound.problem(use, f"All {len(values)} values are missing.")
        elif levels == 1 and use.role in VARYING and use.role != "cluster":
            without = int(blank(values).sum())
            empty = f" ({without} of {len(values)} rows have none)" if without else ""
            message = f"Constant: the same value in every row that has one{empty}."
            cure = "Nothing can be compared with it: name another column, or leave it out."
            yield bound.unanswerable(use, message, cure)


def numbers_are_numbers(bound: Bound) -> Iterator[Finding]:
    """Text where the role needs numbers."""
    for use in bound.uses:
        values = bound.values(use)
        if use.nature not in NUMERIC or not is_text(values) or blank(values).all():
            continue
        if use.nature == "event":
            yield _text_event(bound, use)
            continue
        text = values.astype("string").str.strip()
        bad = ~blank(values) & pd.to_numeric(text, errors="coerce").isna()
        rows = rows_where(bad)
        found = f"text that is not a number in {rows_phrase(rows)}" if rows else "numbers as text"
        yield bound.problem(use, f"Needs numbers; holds {found}.", "Correct it in the file.")


def _text_event(bound: Bound, use: Use) -> Finding:
    levels = bound.values(use).nunique()
    return bound.problem(
        use,
        f"Holds text in {levels} spellings where 0 (censored) and 1 (relapse) are needed.",
        f'Recode it, or say which text means relapse: event_code = "…" in [tables.{use.table}].',
    )


def events_are_coded(bound: Bound) -> Iterator[Finding]:
    """Event codes are 0 and 1."""
    for use in bound.uses:
        values = bound.numbers(use) if use.nature == "event" else None
        if values is None:
            continue
        rows = rows_where(values.notna() & ~values.isin([0, 1]))
        if rows:
            message = (
                f"Codes other than 0 (censored) and 1 (relapse) in {bound.told(use.table, rows)}."
            )
            yield bound.problem(use, message, _event_cure(bound, use))


def _event_cure(bound: Bound, use: Use) -> str:
    labels = bound.variable(use).values
    codes = ", ".join(f"{code:g} {label!r}" for code, label in labels.items()
                      if not isinstance(code, str))  # fmt: skip
    declared = f" Declared codes: {codes}." if codes and len(labels) <= MANY_LEVELS else ""
    return f"Say which code means relapse: event_code = … in [tables.{use.table}].{declared}"


def counts_are_whole(bound: Bound) -> Iterator[Finding]:
    """Counts are whole and not negative; a frequency given as a number is not negative."""
    for use in bound.uses:
        values = bound.numbers(use)
        if values is not None and use.nature == "count":
            yield from _whole(bound, use, values)
        elif values is not None and use.role == "frequency":
            rows = rows_where(values < 0)
            if rows:
                message = f"Negative meetings a week in {rows_phrase(rows)}."
                yield bound.problem(use, message, _missing_cure(use))


def _whole(bound: Bound, use: Use, values: Values) -> Iterator[Finding]:
    rows = rows_where((values < 0) | (values.notna() & (values != np.floor(values))))
    if rows:
        message = f"Negative or not whole in {rows_phrase(rows)}, where counts are needed."
        yield bound.problem(use, message, _missing_cure(use))


def _missing_cure(use: Use) -> str:
    return f"Correct them; if a code means missing, declare it under [missing.codes.{use.table}]."


def weights_are_positive(bound: Bound) -> Iterator[Finding]:
    """Every weight is there, finite and above zero."""
    for use in bound.playing("weights"):
        values = bound.numbers(use)
        if values is None:
            continue
        rows = rows_where(~(np.isfinite(values) & (values > 0)))
        if rows:
            message = f"Negative, zero or missing weights in {rows_phrase(rows)}."
            cure = "A row without weight is left out by a filter (where), not by weight zero."
            yield bound.problem(use, message, cure)


def weight_is_decided(bound: Bound) -> Iterator[Finding]:
    """A weight that the SPSS file has switched on is used or refused, never overlooked.

    Without a study file there is nobody to decide: it is told that it was not applied.
    """
    protocol = bound.study.protocol
    for table, data in bound.study.tables.items():
        spec = protocol.tables.get(table)
        if spec is not None and spec.options.get("weight", "none") != "none":
            yield from _weight_is_usable(bound, table)
        if not data.weight or spec is None or "weight" in spec.options:
            continue
        if not protocol.file:
            words = f"The file of {table} is weighted by {data.weight}; it was not applied."
            yield caution("weights", table, words)
            continue
        yield bound.table_problem(
            table,
            f"The file is weighted by {data.weight!r}, and the study file does not say whether "
            "to use it.",
            f'Add weight = "none", "sampling" or "frequency" to [tables.{table}].',
        )


def _weight_is_usable(bound: Bound, table: str) -> Iterator[Finding]:
    """There is a weight where one is to be used; a frequency is whole, and told to be one."""
    at = f"tables.{table}.weight"
    use = bound.first(table, "weights")
    if "weights" not in roles_of(table):
        cure = 'Write weight = "none": analyses weight people and waves.'
        yield bound.table_problem(table, "No analysis uses a weight of this table.", cure, at)
    elif use is None:
        cure = f'Name its column: weights = "…" under [roles.{table}], or write weight = "none".'
        message = "A weight is to be used, but the file has none switched on and no role names one."
        yield bound.table_problem(table, message, cure, at)
    elif bound.study.protocol.tables[table].options["weight"] == "frequency":
        yield from _frequencies(bound, use)


def _frequencies(bound: Bound, use: Use) -> Iterator[Finding]:
    values = bound.numbers(use)
    if values is None:
        return
    rows = rows_where(values.notna() & (values != np.floor(values)))
    if rows:
        message = f"Not whole in {rows_phrase(rows)}, where frequencies are needed."
        yield bound.problem(use, message, 'Write weight = "sampling" if it is no frequency.')
    words = (
        f"{use.column} says how many people a row stands for; estimates use it, while counts in "
        "the report are counts of rows."
    )
    yield caution("weights", f"{use.table}.{use.column}", words)


def outcomes_fit_family(bound: Bound) -> Iterator[Finding]:
    """Counts for Poisson, 0 and 1 for binomial."""
    for number, analysis in enumerate(bound.study.protocol.analyses):
        for use in _outcomes(bound, number, analysis):
            values = bound.numbers(use)
            family = analysis.options.get("family")
            if values is not None and family in ("poisson", "negative-binomial"):
                yield from _whole(bound, use, values)
            elif values is not None and family == "binomial":
                rows = rows_where(values.notna() & ~values.isin([0, 1]))
                if rows:
                    message = f"Values other than 0 and 1 in {rows_phrase(rows)}."
                    yield bound.problem(use, message, "Binomial outcomes are 0 or 1.")


def _outcomes(bound: Bound, number: int, analysis: AnalysisSpec) -> Iterator[Use]:
    at = f"analysis.{number}.outcome"
    named = analysis.options.get("outcome")
    for use in bound.playing("outcome"):
        if named in (None, use.column) or (isinstance(named, tuple) and use.column in named):
            yield use
    if isinstance(named, str) and all(u.column != named for u in bound.playing("outcome")):
        tables = (t for t, d in bound.study.tables.items() if named in d.frame.columns)
        yield from (Use(table, "outcome", named, at) for table in list(tables)[:1])


def codes_are_declared(bound: Bound) -> Iterator[Finding]:
    """Isolated 9, 99, −9 … far outside the range, that the file does not declare as missing."""
    for table, data in bound.study.tables.items():
        used = {u.column for u in bound.uses if u.table == table and u.nature != "id"}
        for column, code, n in suspicious(data, skip={*data.frame.columns} - used):
            yield caution(
                "codes",
                f"{table}.{column}",
                Count(n, "rows"),
                f" of {column} hold {code:g}, far outside the range of the other values and not "
                f"declared as missing. If it means missing: [missing.codes.{table}].",
            )


RULES = (
    columns_have_values,
    numbers_are_numbers,
    events_are_coded,
    counts_are_whole,
    weights_are_positive,
    weight_is_decided,
    outcomes_fit_family,
    codes_are_declared,
)
