"""Read a reference case: its model, the levels of its factors, its data; never its values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.errors import RecoveryError
from recovery_stats.models.token import quote

Values = dict[str, float | None]
COMPARED = re.compile(r"\s*([\w.]+)\s*(==|!=|<=|>=|<|>)\s*[\"']?([^\"']+?)[\"']?\s*")
RELATIONS = {"==": eq, "!=": ne, "<=": le, ">=": ge, "<": lt, ">": gt}
EVENT_NOTE = re.compile(r"\s*([\w.]+)\s*(?:\(\s*([^=\s]+)\s*=.*\)|:\s*(.*))?\s*")
AS_FACTOR = re.compile(r"\b(as\.factor|factor)\(\s*([\w.]+)\s*\)")
TRUTH = re.compile(r"\bI\(\s*([\w.]+)\s*(==|!=|<=|>=|<|>)\s*([^()]+?)\s*\)")
COMPUTED = re.compile(r"\b(scale|log10|log2|log1p|exp|abs)\(\s*([\w.]+)\s*\)")
COMPUTE: Mapping[str, Callable[[Any], Any]] = {
    "scale": lambda x: (x - x.mean()) / x.std(),
    "log10": np.log10,
    "log2": np.log2,
    "log1p": np.log1p,
    "exp": np.exp,
    "abs": np.abs,
}
OF_PACKAGE = re.compile(r"\b(\w+)::(\w+\([^()]*\))")
COMPARED_EVENT = re.compile(r"(Surv\([^()]*,\s*)([\w.]+\s*(?:>=|<=|!=|>|<)\s*[^,()]+)(\s*[,)])")
STRATA = re.compile(r"strata\(([\w.]+)\)")
PLAIN_EVENT = re.compile(r"(Surv\([^()]*,\s*)([\w.]+)(\s*\))")


class CannotAnswer(Exception):  # noqa: N818 (a gap, not a fault)
    """The case asks for something that recovery_stats does not offer."""


def where_offered(find: Callable[[], Values]) -> Values:
    """A part of an answer; nothing where the model refuses it, so that the rest still stands."""
    try:
        return find()
    except RecoveryError:
        return {}


@dataclass(frozen=True)
class Case:
    """One case without its values.

    wrapped: R's name of a column or term of ours, where it is another: `factor(x)`,
    `I(week > 2)TRUE`, `splines::ns(x, 3)`; of strata(x), whose levels R calls `x=2`.
    """

    name: str
    topic: str
    description: str
    model: Mapping[str, Any]
    frame: pd.DataFrame
    wrapped: Mapping[str, str]

    @property
    def kind(self) -> str:
        return str(self.model.get("type", self.topic)).lower()

    @property
    def formula(self) -> str:
        """The model's formula in our grammar."""
        if "formula" not in self.model:
            raise CannotAnswer("the case has no formula")
        return _translated(str(self.model["formula"]), self.frame)

    def option(self, *names: str, default: Any = None) -> Any:
        """The first of these settings of the model that is given."""
        given = (self.model[n] for n in names if self.model.get(n) not in (None, "", [], {}))
        return next(given, default)

    def survival(self, predictors: Iterable[str] = ()) -> str:
        """A survival formula from the columns that the model names as time and event."""
        names = [str(self.model[k]) for k in ("start", "entry") if k in self.model]
        names.append(str(self.model["time"]))
        columns = ", ".join(quote(n) for n in names)
        right = " + ".join(predictors) or "1"
        return f"Surv({columns}, {event_of(str(self.model['event']), self.frame)}) ~ {right}"


def read_case(path: Path) -> Case:
    """Read NAME.json and the CSV that it names."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    model = raw.get("model") or {}
    model = {} if isinstance(model, list) else model
    factors = raw.get("factors") or {}
    factors = {} if isinstance(factors, list) else factors
    frame = _read_table(path.parent / raw.get("data", f"{path.stem}.csv"), factors)
    formula = str(model.get("formula", ""))
    wrapped = {m[2]: m[0] for m in AS_FACTOR.finditer(formula)}
    for column in wrapped:
        frame[column] = pd.Categorical(frame[column])
    for m in TRUTH.finditer(formula):
        frame[_truth(m)] = _chosen(f"{m[1]} {m[2]} {m[3]}", frame).astype(float)
        wrapped[_truth(m)] = f"{m[0]}TRUE"
    for m in COMPUTED.finditer(formula):
        frame[m[0]] = COMPUTE[m[1]](frame[m[2]].astype(float))
    wrapped |= {m[2]: m[0] for m in OF_PACKAGE.finditer(formula)}
    for m in STRATA.finditer(formula):
        if pd.api.types.is_numeric_dtype(frame[m[1]]):
            wrapped[m[0]] = f"{m[0]}{m[1]}="
    if "formula" in model:
        model = {**model, "formula": _with_columns(str(model["formula"]), frame)}
    if "subset" in model:
        frame = frame[_chosen(str(model["subset"]), frame)].reset_index(drop=True)
    return Case(
        raw.get("name", path.stem),
        raw.get("topic", ""),
        raw.get("description", ""),
        model,
        frame,
        wrapped,
    )


def event_of(text: str, frame: pd.DataFrame) -> str:
    """The event as Surv takes it: `status == 2`, `CENSOR (1 = relapse)`, or a column of codes."""
    compared = COMPARED.fullmatch(text)
    if compared and compared[2] == "==":
        value = compared[3]
        return f"{quote(compared[1])} == {value if _is_number(value) else repr(value)}"
    noted = EVENT_NOTE.fullmatch(text)
    if noted is None:
        raise CannotAnswer(f"the event {text!r} is not understood")
    if noted[2] and _is_number(noted[2]) and float(noted[2]) != 1:
        return f"{quote(noted[1])} == {noted[2]}"
    return _coded_event(noted[1], frame)


def causes_of(text: str) -> dict[int, str]:
    """Causes by code: `ev: 0 censored, 1 progression, 2 death`; without the censored."""
    found = re.findall(r"(\d+)\s*[=:]?\s*([^\W\d][\w.]*)", text.partition(":")[2])
    return {int(code): word for code, word in found if int(code) != 0}


def _coded_event(name: str, frame: pd.DataFrame) -> str:
    """R reads 1/2 as alive/dead, and TRUE as an event."""
    seen = set(frame[name].dropna().unique().tolist())
    return f"{quote(name)} == 2" if seen == {1, 2} else quote(name)


def _with_columns(formula: str, frame: pd.DataFrame) -> str:
    """The formula with columns (put into the frame) for what R computes inside it.

    `durable > 0` as an event.
    """
    compared = COMPARED_EVENT.search(formula)
    if compared:
        event = compared[2].strip()
        frame[event] = _chosen(event, frame).astype(int)
        formula = formula.replace(compared[0], f"{compared[1]}{quote(event)}{compared[3]}", 1)
    return formula


def _translated(formula: str, frame: pd.DataFrame) -> str:
    text = AS_FACTOR.sub(lambda m: m[2], OF_PACKAGE.sub(lambda m: m[2], formula))
    text = TRUTH.sub(lambda m: quote(_truth(m)), text)
    text = COMPUTED.sub(lambda m: quote(m[0]), text)
    return PLAIN_EVENT.sub(lambda m: m[1] + _coded_event(m[2], frame) + m[3], text)


def _truth(found: re.Match[str]) -> str:
    """The column that holds whether `I(column relation constant)` is true."""
    return f"{found[1]} {found[2]} {found[3]}"


def _read_table(path: Path, factors: Mapping[str, Sequence[str] | str]) -> pd.DataFrame:
    frame = pd.read_csv(
        path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(factors, str)
    )
    for name, levels in factors.items():
        order = [levels] if isinstance(levels, str) else list(levels)
        frame[name] = pd.Categorical(frame[name], categories=order)
    for name in frame.select_dtypes("bool").columns:
        frame[name] = frame[name].astype(int)
    return frame


def _chosen(condition: str, frame: pd.DataFrame) -> pd.Series[bool]:
    """Rows for which `column relation constant` holds."""
    found = COMPARED.fullmatch(condition)
    if found is None:
        raise CannotAnswer(f"the subset {condition!r} is not understood")
    value = float(found[3]) if _is_number(found[3]) else found[3]
    column = frame[found[1]]
    if isinstance(column.dtype, pd.CategoricalDtype):
        value, column = found[3], column.astype(str)
    return pd.Series(RELATIONS[found[2]](column, value))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d*)?([eE][+-]?\d+)?", text) is not None
