"""A column of the study file that is the score of a questionnaire.

satisfaction = { scale = "RAS", score = "mean", against = "ras" }
stress = { scale = "PSS-10", items = "pss{}_w2", coded_from = 1, rule = "complete" }
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import Derived, Scoring
from recovery_stats.data.instruments.column import item_columns
from recovery_stats.data.instruments.registry import find
from recovery_stats.data.instruments.scale import Scale
from recovery_stats.data.instruments.scorer import Scores, score_items, score_names
from recovery_stats.errors import DataError, UsageError, unknown

SCORING_KEYS = (
    "scale", "score", "items", "rule", "coded_from", "reversed_already", "against",
)  # fmt: skip
WORDS = ("scale", "score", "rule", "against", "label")


def scored(name: str, body: Mapping[str, Any]) -> tuple[Derived | None, list[str]]:
    """Read one entry with `scale`: the column it makes, or what is wrong with it."""
    stray = [k for k in body if k not in (*SCORING_KEYS, "label")]
    faults = [f"{k} has no meaning beside scale." for k in stray]
    try:
        scale = find(str(body["scale"]))
    except UsageError as error:
        return None, [*faults, str(error)]
    faults += _faults(scale, body)
    if faults:
        return None, faults
    items = body.get("items")
    scoring = Scoring(
        scale.name,
        str(body.get("score", score_names(scale)[0])),
        tuple(items) if isinstance(items, list) else items,
        body.get("rule"),
        float(body["coded_from"]) if "coded_from" in body else None,
        bool(body.get("reversed_already", False)),
        str(body.get("against", "")),
    )
    columns = scoring.items if isinstance(scoring.items, tuple) else ()
    if scoring.against:
        columns = (*columns, scoring.against)
    return Derived(name, columns, label=str(body.get("label", "")), scoring=scoring), []


def _faults(scale: Scale, body: Mapping[str, Any]) -> list[str]:
    faults = []
    names = score_names(scale)
    if "score" in body and body["score"] not in names:
        faults.append(unknown(f"score of {scale.name}", str(body["score"]), names))
    rules = [rule.name for rule in scale.rules]
    if "rule" in body and body["rule"] not in rules:
        faults.append(unknown(f"rule for missing items of {scale.name}", str(body["rule"]), rules))
    items = body.get("items")
    if isinstance(items, list) and len(items) != scale.items:
        faults.append(f"{scale.name} has {scale.items} items; {len(items)} columns were named.")
    if isinstance(items, str) and items.count("{}") != 1:
        faults.append(
            "items is a list of columns, or a pattern with {} for the number of the item."
        )
    return faults


def scores_of(data: Dataset, spec: Derived, table: str = "") -> Scores:
    """Score the scale that `spec` names from its items in `data`."""
    how = spec.scoring
    if how is None:
        raise UsageError(f"Column {spec.name!r} is not scored from a questionnaire.")
    return score_items(
        data, how.scale, items=how.items, rule=how.rule, coded_from=how.coded_from,
        reversed_already=how.reversed_already, table=table,
    )  # fmt: skip


def score_column(data: Dataset, spec: Derived, table: str = "") -> Dataset:
    """`data` with the score of `spec` as a column."""
    scores = scores_of(data, spec, table)
    column = scores.column(spec.scoring.score if spec.scoring else "")
    variable = scores.variable(column, spec.name)
    label = spec.label or variable.label
    return scores.add(data, column, replace(variable, label=label))


def items_among(columns: Iterable[str], specs: Iterable[Derived]) -> frozenset[str]:
    """The columns that the scores of `specs` are made of; none where they cannot be told."""
    there = list(columns)
    found: set[str] = set()
    for how in (spec.scoring for spec in specs if spec.scoring):
        try:
            found.update(item_columns(there, find(how.scale), how.items))
        except (DataError, UsageError):  # told when the table is scored, with all columns known
            return frozenset(there)
    return frozenset(found)
