"""Read the columns of a frame as numbers, factor levels or groups, by their codebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recovery_stats.core.codebook import Codebook
from recovery_stats.core.dataset import Dataset
from recovery_stats.engines.linalg import all_finite
from recovery_stats.engines.risk_set import number_times
from recovery_stats.errors import DataError, rows_phrase, unknown
from recovery_stats.models.expression import Expression, Variable

Array = NDArray[np.float64]
IntArray = NDArray[np.intp]
Mask = NDArray[np.bool_]

CLASSES = ("nominal", "ordinal")


@dataclass(frozen=True, slots=True)
class Levels:
    """A factor: codes (n,) into `names`, -1 where missing; `values` are the raw values."""

    codes: IntArray
    names: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rows in groups: codes (n,) in 0..len(levels)-1, every level used (-1: missing)."""

    name: str
    codes: IntArray
    levels: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one frame, or of some rows of it (`only`), read on demand."""

    given: pd.DataFrame
    codebook: Codebook = Codebook()
    _numbers: dict[str, Array] = field(default_factory=dict)
    _keys: dict[str, Any] = field(default_factory=dict)
    _series: dict[str, pd.Series[Any]] = field(default_factory=dict)
    _plain: dict[str, NDArray[Any] | None] = field(default_factory=dict)
    _finite: set[str] = field(default_factory=set)
    _part: _Part | None = None

    @classmethod
    def of(cls, data: pd.DataFrame | Dataset) -> Columns:
        if isinstance(data, Dataset):
            return cls(data.frame, data.codebook)
        if isinstance(data, pd.DataFrame):
            return cls(data)
        raise DataError(f"Data are a DataFrame or a Dataset, not {type(data).__name__}.")

    def __len__(self) -> int:
        return len(self.given) if self._part is None else self._part.size

    @property
    def frame(self) -> pd.DataFrame:
        """The rows with all their columns."""
        if self._part is None:
            return self.given
        if not self._part.frames:
            self._part.frames.append(self.given[self._part.kept])
        return self._part.frames[0]

    def only(self, kept: NDArray[np.bool_]) -> Columns:
        """The rows where `kept` (n,) holds; a column is cut when it is asked for."""
        part = _Part(self, kept, int(np.count_nonzero(kept)))
        return Columns(self.given, self.codebook, _finite=set(self._finite), _part=part)

    def series(self, name: str) -> pd.Series[Any]:
        """The column called `name`; DataError when there is none, or more than one."""
        if name not in self._series:
            self._series[name] = self._find(name)
        return self._series[name]

    def _find(self, name: str) -> pd.Series[Any]:
        if self._part is not None:
            return self._part.whole.series(name)[self._part.kept]
        try:
            found = self.given[name]
        except KeyError:
            found = self._find_by_text(name)
        if isinstance(found, pd.DataFrame):
            raise DataError(f"Column {name!r} occurs {found.shape[1]} times; names must differ.")
        return found

    def _find_by_text(self, name: str) -> Any:
        """The column whose key, which is no text, reads `name`."""
        if not self._keys:
            self._keys.update({str(c): c for c in self.given.columns})
        if name not in self._keys:
            raise DataError(unknown("column", name, self._keys))
        return self.given[self._keys[name]]

    def is_plain(self, name: str) -> bool:
        """Whether the column is held as numbers of NumPy's."""
        return self._plainly(name) is not None

    def _plainly(self, name: str) -> NDArray[Any] | None:
        """The cells of a column held as numbers of NumPy's, of all rows; None for others."""
        if self._part is not None:
            return self._part.whole._plainly(name)
        if name not in self._plain:
            series = self.series(name)
            plain = isinstance(series.dtype, np.dtype) and series.dtype.kind in "ifub"
            self._plain[name] = series.to_numpy() if plain else None
        return self._plain[name]

    def over(self, frame: pd.DataFrame) -> Columns:
        """Another frame by the same codebook."""
        return Columns(frame, self.codebook)

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Which cells of the column are empty (n,)."""
        values = self._plainly(name)
        if values is None:
            return np.asarray(self.series(name).isna())
        if self._part is not None:
            values = values[self._part.kept]
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.size, dtype=bool)

    def lacking(self, name: str) -> NDArray[np.bool_] | None:
        """Which cells of the column are empty (n,); None where every cell has a value."""
        values = self._plainly(name)
        if values is not None and self._part is None and _surely_finite(values):
            self._finite.add(name)
            return None
        empty = self.missing(name)
        return empty if empty.any() else None

    def opened(self, names: Iterable[str]) -> Columns:
        """The same with infinite cells of these columns as missing: ends that are not known."""
        given = {self.series(n).name for n in names if self.series(n).dtype.kind == "f"}
        infinite = {key: self.frame[key].abs() == np.inf for key in given}
        if not any(found.any() for found in infinite.values()):
            return self
        frame = self.frame.assign(**{k: self.frame[k].mask(m) for k, m in infinite.items()})
        return self.over(frame)

    def are_known(self, numbers: Iterable[Expression]) -> bool:
        """Whether all are columns in which no number is missing or huge."""
        return all(isinstance(e, Variable) and e.name in self._finite for e in numbers)

    def label(self, name: str) -> str:
        variable = self.codebook.variables.get(name)
        return name if variable is None else variable.title

    def rows(self, where: NDArray[np.bool_]) -> str:
        """Name the rows where `where` holds, by row number of the file or of the frame."""
        index = self.frame.index
        numbered = isinstance(index, pd.RangeIndex) and index.start == 0
        if numbered or not pd.api.types.is_integer_dtype(index.dtype):
            return rows_phrase((np.flatnonzero(where) + 1).tolist())
        return rows_phrase(index[where].tolist())

    def numbers(self, name: str) -> Array:
        """The column as floats (codes where it is labelled), NaN where missing."""
        if name not in self._numbers:
            self._numbers[name] = self._read_numbers(name)
        return self._numbers[name]

    def _read_numbers(self, name: str) -> Array:
        plain = self._plainly(name)
        if plain is not None:
            kept = plain if self._part is None else plain[self._part.kept]
            values: Array = np.ascontiguousarray(kept, dtype=float)
            if name not in self._finite:
                self._refuse_infinite(name, values)
            return values
        series = self.series(name)
        if isinstance(series.dtype, pd.CategoricalDtype):
            series = series.astype(series.cat.categories.dtype)
        if series.dtype == object and _all_numbers(series):
            series = pd.to_numeric(series)
        if not pd.api.types.is_numeric_dtype(series.dtype) or np.iscomplexobj(series.dtype.type(0)):
            raise DataError(f"Column {name!r} holds {_kind(series)}; a number is needed here.")
        values = series.to_numpy(dtype=float, na_value=np.nan)
        self._refuse_infinite(name, values)
        return np.ascontiguousarray(values)

    def _refuse_infinite(self, name: str, values: Array) -> None:
        if all_finite(values):
            self._finite.add(name)
            return
        infinite = np.isinf(values)
        if infinite.any():
            raise DataError(
                f"Column {name!r} holds {int(infinite.sum())} infinite values, "
                f"{self.rows(infinite)}; correct them, or leave them empty."
            )

    def is_factor(self, name: str) -> bool:
        """Text, categories, and nominal or ordinal numbers whose values are all labelled."""
        if self.is_plain(name):
            return self._labelled(name)
        series = self.series(name)
        if isinstance(series.dtype, pd.CategoricalDtype):
            return True
        if pd.api.types.is_numeric_dtype(series.dtype):
            return self._labelled(name)
        if series.dtype == object and _all_numbers(series):
            return self._labelled(name)
        if pd.api.types.is_datetime64_any_dtype(series.dtype) or series.dtype.kind == "m":
            raise DataError(f"Column {name!r} holds {_kind(series)}; make it a number of days.")
        return True

    def _labelled(self, name: str) -> bool:
        variable = self.codebook.variables.get(name)
        if variable is None or not variable.values or variable.measure not in CLASSES:
            return False
        seen = np.unique(self.numbers(name))
        return all(float(v) in variable.values for v in seen[~np.isnan(seen)])

    def levels(self, name: str) -> Levels:
        """The column as a factor: categories in their order, codes ascending, text sorted."""
        series = self.series(name)
        if isinstance(series.dtype, pd.CategoricalDtype):
            values = list(series.cat.categories)
            codes = series.cat.codes.to_numpy().astype(np.intp)
        else:
            if series.dtype == object and not _all_numbers(series):
                series = series.where(series.isna(), series.map(str))
            codes, found = _factorise(series)
            values = found.tolist()
            names = self._level_names(name, values)
            return Levels(codes.astype(np.intp, copy=False), tuple(names), tuple(values))
        return _used(codes, values, self._level_names(name, values))

    def _level_names(self, name: str, values: Sequence[Any]) -> list[str]:
        """Value labels, else the value; a label used twice is told apart by its code."""
        labels = self.codebook[name].values
        if not labels and set(map(type, values)) == {int}:
            return list(map(str, values))  # a person's number: there may be a million of them
        plain = [_printed(v) for v in values]
        if not labels and len(set(plain)) == len(plain):
            return plain
        names = [
            str(labels[v]) if _hashable(v) and v in labels else p
            for v, p in zip(values, plain, strict=True)
        ]
        return (
            [
                f"{n} ({p})" if names.count(n) > 1 and n != p else n if names.count(n) == 1 else p
                for n, p in zip(names, plain, strict=True)
            ]
            if len(set(names)) < len(names)
            else names
        )

    def grouping(self, names: Sequence[str]) -> Grouping:
        """The groups that the combinations of `names` make, in the order of their levels."""
        parts = [self.levels(n) for n in names]
        codes, levels = parts[0].codes, parts[0].names
        for part in parts[1:]:
            codes, levels = _nested(codes, levels, part)
        return Grouping(":".join(names), codes, tuple(levels))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of other columns: where `kept` (n,) holds, `size` of them; frames: once made."""

    whole: Columns
    kept: NDArray[np.bool_]
    size: int
    frames: list[pd.DataFrame] = field(default_factory=list)


def _surely_finite(values: NDArray[Any]) -> bool:
    """Whether no cell of NumPy's numbers is missing or infinite; only floats can be."""
    return values.dtype.kind != "f" or all_finite(values)


def _factorise(series: pd.Series[Any]) -> tuple[IntArray, Any]:
    """Codes and sorted distinct values; numbers without gaps by a table."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "if" and len(series):
        values = series.to_numpy()
        if not np.isnan(values.min()):
            found, codes = number_times(values)
            return codes, found
    codes, found = pd.factorize(series, sort=True)
    return codes, found


def _nested(
    codes: IntArray, levels: Sequence[str], part: Levels
) -> tuple[IntArray, tuple[str, ...]]:
    """Combine two codings, keeping the combinations that occur."""
    width = max(len(part.names), 1)
    joint = np.where((codes < 0) | (part.codes < 0), -1, codes * width + part.codes)
    seen, again = np.unique(joint, return_inverse=True)
    shift = int(seen.size > 0 and seen[0] < 0)
    names = tuple(f"{levels[j // width]}:{part.names[j % width]}" for j in seen[shift:].tolist())
    return (again.reshape(-1) - shift).astype(np.intp), names


def _used(codes: IntArray, values: Sequence[Any], names: Sequence[str]) -> Levels:
    """Drop the levels that no row has."""
    present = np.bincount(codes[codes >= 0], minlength=len(values)) > 0
    if not present.all():
        renumbered = np.append(np.cumsum(present) - 1, -1).astype(np.intp)
        codes = renumbered[codes]
    keep = np.flatnonzero(present).tolist()
    return Levels(
        codes.astype(np.intp), tuple(names[j] for j in keep), tuple(values[j] for j in keep)
    )


def _all_numbers(series: pd.Series[Any]) -> bool:
    return bool(pd.api.types.infer_dtype(series, skipna=True) in _NUMBER_KINDS)


_NUMBER_KINDS = frozenset({"integer", "floating", "mixed-integer-float", "boolean", "decimal"})


def _hashable(value: object) -> bool:
    return isinstance(value, str | int | float | np.number)


def _printed(value: Any) -> str:
    """A level by its value: whole numbers without a decimal point, exactly."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _kind(series: pd.Series[Any]) -> str:
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        return "dates"
    if series.dtype.kind == "m":
        return "durations"
    return "text" if series.dtype.kind in "OUST" or series.dtype == "string" else str(series.dtype)
