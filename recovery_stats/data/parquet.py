""".parquet files to Datasets and back; the codebook travels in the file's metadata.

A cell that is missing by a code is null in its column, so that no other program counts the
code as a value; the codes stand in a second table, also in the metadata.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset, Source
from recovery_stats.data import sav_format
from recovery_stats.data.codebook_toml import beside, from_toml, read_codebook, to_toml
from recovery_stats.data.sav_column import LARGEST_INTEGER
from recovery_stats.data.signature import hash_of
from recovery_stats.data.whole_file import whole_file
from recovery_stats.errors import DataError, unknown

CODEBOOK = b"recovery_stats.codebook"
CODES = ".missing"  # the column x.missing holds the missing codes of x


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> Dataset:
    """Read a .parquet file; its codebook from its metadata, else `NAME.codebook.toml` beside it.

    Numbers become float64 (whole numbers above 2^53 text), dates datetime64[us], levels text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path.name!r} is damaged: it cannot be read as Parquet.") from problem
    known = _codebook(path, table.schema.metadata or {})
    own = CODEBOOK in (table.schema.metadata or {})
    coded = [n for n in table.column_names if own and n.endswith(CODES)]
    names = [n for n in table.column_names if n not in coded]
    for column in columns or ():
        if column not in names:
            raise DataError(unknown(f"column of {path.name!r}", column, names))
    names = [n for n in names if columns is None or n in columns]
    return _dataset(path, table, known, names, coded)


def column_names(path: Path) -> tuple[str, ...]:
    """The columns of the file, without reading a row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return tuple(n for n in pq.read_schema(path).names if not n.endswith(CODES))
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path.name!r} is damaged: it cannot be read as Parquet.") from problem


def _codebook(path: Path, metadata: dict[bytes, bytes]) -> Codebook:
    if CODEBOOK in metadata:
        return from_toml(metadata[CODEBOOK].decode("utf-8", "replace"), path.name)
    place = beside(path)
    return read_codebook(place) if place.is_file() else Codebook()


def _dataset(
    path: Path, table: Any, known: Codebook, names: Sequence[str], coded: Sequence[str]
) -> Dataset:
    index = pd.RangeIndex(1, table.num_rows + 1)
    series = {}
    for name in names:
        values = _column(name, table.column(name))
        series[name] = pd.Series(values, index=index, dtype=values.dtype)
    frame = pd.DataFrame(series, index=index, columns=list(names))
    missing = {}
    for name in (n for n in names if f"{n}{CODES}" in coded):
        codes = _column(name, table.column(f"{name}{CODES}"))
        missing[name] = pd.Series(codes, index=index, dtype=codes.dtype).dropna()
    variables = {n: known[n] if n in known else _described(n, frame[n]) for n in names}
    source = Source(path.name, hash_of(path), table.num_rows)
    return Dataset(frame, replace(known, variables=variables), missing, source)


def _described(name: str, values: pd.Series[Any]) -> Variable:
    if values.dtype.kind == "M":
        return Variable(name, kind="datetime", spss_format=sav_format.DEFAULTS["datetime"])
    if values.dtype == object:
        return Variable(name, kind="string")
    return Variable(name, spss_format=sav_format.DEFAULTS["number"])


def _column(name: str, column: Any) -> Any:
    """One Arrow column as float64, datetime64[us] or text."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        raise DataError(f"Column {name!r} carries a time zone. Write it as local time without one.")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return column.cast(pa.timestamp("us"), safe=False).to_numpy().astype("datetime64[us]")
    if pa.types.is_duration(kind):
        return column.cast(pa.duration("us")).cast(pa.int64()).to_numpy().astype(float) / 1e6
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return _numbers(column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return np.array(column.to_pylist(), dtype=object)
    raise DataError(f"Column {name!r} is neither number, text nor date ({kind}).")


def _numbers(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) and len(column) > column.null_count:
        ends = pc.min_max(column).as_py()
        if max(abs(ends["min"]), abs(ends["max"])) > LARGEST_INTEGER:
            return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
    numbers = column.cast(pa.float64(), safe=False)
    return np.array(numbers.fill_null(np.nan).to_numpy(), dtype=float)


def write_parquet(dataset: Dataset, path: str | Path) -> None:
    """Write `dataset` with its codebook inside; whole or not at all, the same bytes every time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {}
    for name in map(str, dataset.frame.columns):
        columns[name] = pa.array(_plain(dataset.frame[name]), from_pandas=True)
        codes = dataset.missing.get(name)
        if codes is not None and len(codes):
            absent = codes.reindex(dataset.frame.index).where(dataset.frame[name].isna())
            columns[f"{name}{CODES}"] = pa.array(_plain(absent), from_pandas=True)
    table = pa.table(columns).replace_schema_metadata({CODEBOOK: to_toml(dataset.codebook)})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    with whole_file(Path(path)) as file:
        file.write(out.getvalue())


def _plain(values: pd.Series[Any]) -> Any:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    return values.to_numpy(object) if values.dtype == object else values.to_numpy()
