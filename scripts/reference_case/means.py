"""Marginal means and their differences, as emmeans prints them."""

from __future__ import annotations

import re
from functools import partial
from itertools import permutations, product
from typing import Any

import pandas as pd

from .case import Case, Values, where_offered

ASKED = re.compile(r"emm|marginal mean|least.squares mean|lsmean|pairwise|tukey|trend", re.I)
PAIRS = ("pairs", "con", "contrast", "pw", "tukey")
COLUMNS = {
    "est": "estimate", "SE": "std_error", "df": "df", "lower.CL": "conf_low",
    "upper.CL": "conf_high", "t.ratio": "statistic", "p.value": "p_value",
}  # fmt: skip


def asked_for(case: Case) -> bool:
    """Whether the case speaks of marginal means at all."""
    return ASKED.search(f"{case.description} {dict(case.model)}") is not None


def marginal_means(fit: Any) -> Values:
    """Means of every factor and of two together, pairs by Tukey, slopes by factor."""
    values: Values = {}
    factors = list(fit.grid.levels)
    crossed: list[tuple[str, ...]] = [(f,) for f in factors]
    crossed += list(permutations(factors, 2))
    for by in crossed:
        values |= where_offered(partial(_means, fit, by))
    for number, factor in product(fit.grid.means, factors):
        values |= where_offered(partial(_trends, fit, number, factor))
    return values


def _means(fit: Any, by: tuple[str, ...]) -> Values:
    values = _rows(fit.margins(list(by)), list(by), ("emm",))
    first, within = by[0], list(by[1:])
    table = fit.pairwise(first, within=within, adjust="tukey")
    return values | _rows(table, ["contrast", *within], PAIRS)


def _trends(fit: Any, number: str, factor: str) -> Values:
    values = _rows(fit.slopes(number, factor), [factor], ("trend", "emt", "slope"))
    table = fit.pairwise(factor, of=number, adjust="tukey")
    return values | _rows(table, ["contrast"], ("trend.pairs", "tpairs"))


def _rows(table: pd.DataFrame, labels: list[str], prefixes: tuple[str, ...]) -> Values:
    values: Values = {}
    for row in table.to_dict("records"):
        label = ",".join(str(row[c]) for c in labels)
        for prefix in prefixes:
            values |= {f"{prefix}.{k}[{label}]": row[c] for k, c in COLUMNS.items()}
    return values
