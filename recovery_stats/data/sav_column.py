"""One column of a Dataset made ready for a .sav file: checked, typed, codes put back."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Kind, Measure, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data import sav_format, sav_time
from recovery_stats.errors import DataError, rows_phrase

LONGEST_STRING = 32_767
LONGEST_CODE = 8  # bytes of a user-missing code of a string
LARGEST_INTEGER = 2**53
SYSTEM_MISSING = -sys.float_info.max


@dataclass(frozen=True, slots=True)
class Prepared:
    """A column as the file will hold it: doubles (n,), or byte strings as a list of length n."""

    variable: Variable
    numbers: Any = None
    texts: Sequence[bytes] = ()

    @property
    def width(self) -> int:
        """Bytes of a string, 0 for a number."""
        return self.variable.width


def prepare(dataset: Dataset, name: str) -> Prepared:
    """Check one column and put its missing codes back. Raises DataError naming the column."""
    series = dataset.frame[name]
    unknown = Variable(name, kind="string" if series.dtype == object else "number")
    variable = dataset.codebook.variables.get(name, unknown)
    if isinstance(series.dtype, pd.CategoricalDtype):
        variable, series = _uncategorised(variable, series)
    kind, values = _typed(variable, series)
    codes = _codes(dataset, name)
    if kind == "string":
        return _prepared_strings(variable, values, codes)
    return _prepared_numbers(_of_kind(variable, kind), values, codes)


def _refuse(name: str, why: str, rows: Any = None, index: Any = None) -> DataError:
    where = "" if rows is None else f" ({rows_phrase(list(index[rows]))})"
    return DataError(f"Column {name!r} cannot be written to an SPSS file: {why}{where}.")


# --- types -------------------------------------------------------------------------------


def _typed(variable: Variable, series: pd.Series[Any]) -> tuple[Kind, pd.Series[Any]]:
    """Say what kind of SPSS column `series` is and return it as str-or-None or as doubles."""
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        why = "its times carry a time zone, which SPSS has not. Use .dt.tz_localize(None) first"
        raise _refuse(variable.name, why)
    if series.dtype.kind == "M":
        stamps = series.to_numpy("datetime64[us]")
        return _date_kind(variable, stamps), _doubles(series, sav_time.seconds(stamps))
    if series.dtype.kind == "m":
        return "time", _doubles(series, series.dt.total_seconds().to_numpy(float))
    if pd.api.types.is_numeric_dtype(series.dtype) and series.dtype.kind != "c":
        return _number_kind(variable), _numbers(variable, series)
    return _objects(variable, series)


def _date_kind(variable: Variable, stamps: Any) -> Kind:
    if variable.kind in ("date", "datetime"):
        return variable.kind
    days = stamps.astype("datetime64[D]").astype(stamps.dtype)
    return "date" if bool(((days == stamps) | np.isnat(stamps)).all()) else "datetime"


def _number_kind(variable: Variable) -> Kind:
    return "number" if variable.kind == "string" else variable.kind


def _doubles(series: pd.Series[Any], numbers: Any) -> pd.Series[Any]:
    return pd.Series(numbers, index=series.index, dtype="float64")


def _numbers(variable: Variable, series: pd.Series[Any]) -> pd.Series[Any]:
    if series.dtype.kind in "iu":
        big = (
            ((series > LARGEST_INTEGER) | (series < -LARGEST_INTEGER)).fillna(False).to_numpy(bool)
        )
        if big.any():
            why = "whole numbers above 2^53 would be rounded; write them as text"
            raise _refuse(variable.name, why, big, series.index)
    return _doubles(series, series.to_numpy(dtype="float64", na_value=np.nan))


def _objects(variable: Variable, series: pd.Series[Any]) -> tuple[Kind, pd.Series[Any]]:
    values = series.astype(object).where(series.notna(), None)
    present = values[series.notna()]
    if all(isinstance(v, str) for v in present) and (len(present) or variable.kind != "number"):
        return "string", values
    if all(isinstance(v, int | float | np.number | np.bool_) for v in present):
        return _number_kind(variable), _numbers(variable, _tightest(values))
    odd = np.array([v is not None and not isinstance(v, str) for v in values])
    raise _refuse(variable.name, "it mixes text with other things", odd, series.index)


def _tightest(values: pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers stay integers here, so that large ones are noticed before they are rounded."""
    whole = all(v is None or isinstance(v, int | np.integer) for v in values)
    return values.astype("Int64" if whole and len(values) else "Float64")


def _uncategorised(variable: Variable, series: pd.Series[Any]) -> tuple[Variable, pd.Series[Any]]:
    """Turn a categorical into the codes its labels belong to, or number its levels from 1."""
    levels = list(series.cat.categories)
    if all(isinstance(level, int | float | np.number) for level in levels):
        return variable, series.astype("float64")
    if variable.kind == "string":
        return variable, series.astype(object)
    code_of = {label: code for code, label in variable.values.items()}
    if not set(levels) <= set(code_of):
        code_of = {str(level): float(i) for i, level in enumerate(levels, 1)}
        measure: Measure = "ordinal" if series.cat.ordered else "nominal"
        labels: dict[float | str, str] = {float(c): str(label) for label, c in code_of.items()}
        variable = replace(variable, values=labels, measure=measure)
    codes = np.array([*(float(code_of[str(level)]) for level in levels), np.nan])
    return variable, pd.Series(codes[series.cat.codes.to_numpy()], index=series.index)


def _of_kind(variable: Variable, kind: Kind) -> Variable:
    """Give the variable the kind its cells have, and a print format that fits."""
    form = variable.spss_format
    fits = sav_format.packed(form) is not None and sav_format.kind_of(form) == kind
    return replace(
        variable, kind=kind, width=0, spss_format=form if fits else sav_format.DEFAULTS[kind]
    )


# --- missing codes -----------------------------------------------------------------------


def _codes(dataset: Dataset, name: str) -> pd.Series[Any]:
    """The missing code of every row of the frame, None where it has none."""
    index = dataset.frame.index
    codes = dataset.missing.get(name)
    if codes is None or codes.empty:
        return pd.Series([None] * len(index), index=index, dtype=object)
    absent = dataset.frame[name].isna()
    found = codes.astype(object).reindex(index)
    return found.where(absent & found.notna(), None)


def _declared(variable: Variable, used: Sequence[float | str]) -> Variable:
    """Declare codes in use that the rule does not cover, as far as SPSS has room for them."""
    further = tuple(sorted({c for c in used if not variable.missing.covers(c)}, key=str))
    rule = variable.missing
    codes = (*rule.codes, *further)
    if len(codes) > (3 if rule.low is None else 1):
        room = "three, or a range and one"
        why = f"it has {len(codes)} user-missing codes and SPSS has room for {room}"
        raise _refuse(variable.name, why)
    return replace(variable, missing=MissingRule(codes, rule.low, rule.high))


# --- numbers -----------------------------------------------------------------------------


def _prepared_numbers(
    variable: Variable, values: pd.Series[Any], codes: pd.Series[Any]
) -> Prepared:
    numbers = values.to_numpy(float, copy=True)
    beyond = np.abs(numbers) >= sys.float_info.max
    if beyond.any():
        raise _refuse(variable.name, "it holds infinite numbers", beyond, values.index)
    coded = codes.notna().to_numpy()
    put_back = codes[coded].to_numpy(float)
    if variable.kind in ("date", "datetime"):
        impossible = np.isnat(sav_time.datetimes(put_back))
        variable = _declared(variable, [float(c) for c in np.unique(put_back[~impossible])])
    else:
        variable = _declared(variable, [float(c) for c in np.unique(put_back)])
    _refuse_hidden(variable, covered(variable, numbers), values.index)
    numbers[coded] = put_back
    _check_numeric_codes(variable)
    return Prepared(variable, np.where(np.isnan(numbers), SYSTEM_MISSING, numbers))


def covered(variable: Variable, numbers: Any) -> Any:
    """Where `numbers` (n,) are declared user-missing: `MissingRule.covers` for an array."""
    rule = variable.missing
    codes = np.array([c for c in rule.codes if not isinstance(c, str)], dtype=float)
    absent = np.isin(numbers, codes)
    if rule.low is not None and rule.high is not None:
        absent |= (numbers >= rule.low) & (numbers <= rule.high)
    return absent


def _refuse_hidden(variable: Variable, hidden: Any, index: Any) -> None:
    if hidden.any():
        why = (
            "it holds values that its codebook declares user-missing; they would vanish on reading"
        )
        raise _refuse(variable.name, why, hidden, index)


def _check_numeric_codes(variable: Variable) -> None:
    if any(isinstance(c, str) for c in (*variable.values, *variable.missing.codes)):
        raise _refuse(variable.name, "it is numeric, but its codebook has codes that are text")
    if not all(math.isfinite(c) for c in (*variable.values, *variable.missing.codes)):  # type: ignore[arg-type]
        raise _refuse(variable.name, "its codebook has codes that are not finite numbers")


# --- strings -----------------------------------------------------------------------------


def _prepared_strings(
    variable: Variable, values: pd.Series[Any], codes: pd.Series[Any]
) -> Prepared:
    variable = _declared(variable, [str(c) for c in dict.fromkeys(codes.dropna())])
    bad = [c for c in variable.values if not isinstance(c, str)]
    if bad or variable.missing.low is not None:
        raise _refuse(variable.name, "it is text, but its codebook has codes that are numbers")
    declared = {str(c) for c in variable.missing.codes}
    _refuse_hidden(variable, values.isin(list(declared)).to_numpy(bool), values.index)
    full = values.where(codes.isna(), codes)
    texts = ["" if v is None else v for v in full]
    if any("\0" in t for t in texts):
        nul = np.array(["\0" in t for t in texts])
        raise _refuse(variable.name, "it holds NUL characters", nul, values.index)
    encoded = [_encoded(variable.name, t.rstrip(" ")) for t in texts]
    return Prepared(_of_width(variable, encoded), None, encoded)


def _encoded(name: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise _refuse(name, "it holds characters that are not valid Unicode") from problem


def _of_width(variable: Variable, encoded: Sequence[bytes]) -> Variable:
    """Widen the declared width to what the cells and codes need; refuse what SPSS cannot hold."""
    declared = [
        _encoded(variable.name, str(c)) for c in (*variable.values, *variable.missing.codes)
    ]
    width = max(1, variable.width, *map(len, encoded), *map(len, declared), 0)
    if width > LONGEST_STRING:
        too_long = sum(len(t) > LONGEST_STRING for t in encoded)
        why = f"{too_long} texts are longer than {LONGEST_STRING} bytes"
        raise _refuse(variable.name, why)
    if any(len(str(c).encode()) > LONGEST_CODE for c in variable.missing.codes):
        raise _refuse(variable.name, f"user-missing texts may have {LONGEST_CODE} bytes at most")
    hexadecimal = re.match("AHEX", variable.spss_format.upper()) and width <= 127
    form = f"AHEX{2 * width}" if hexadecimal else f"A{width}"
    return replace(variable, kind="string", width=width, spss_format=form)
