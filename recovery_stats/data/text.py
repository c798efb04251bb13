""".csv files to Datasets and back, strictly: nothing is renamed, skipped, guessed or merged."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recovery_stats.core import progress
from recovery_stats.core.codebook import Codebook, Variable
from recovery_stats.core.dataset import Dataset, Source
from recovery_stats.data import sav_format, text_cell
from recovery_stats.data.codebook_toml import beside, read_codebook, write_codebook
from recovery_stats.data.sav_column import SYSTEM_MISSING, Prepared, prepare
from recovery_stats.data.sav_time import datetimes
from recovery_stats.data.signature import hash_of, kind_of
from recovery_stats.data.whole_file import whole_file
from recovery_stats.errors import DataError, unknown

DELIMITERS = (",", ";", "\t", "|")
LARGEST_UNPACKED = 1 << 30  # bytes that a .csv.gz may hold …
BOMB_FROM, BOMB_RATIO = 64 << 20, 100  # … and beyond 64 MiB, its size against the packed one
FORMULA = ("=", "+", "-", "@", "\t", "\r")
SPECIAL = re.compile(r'[,;"\r\n]|^\s|\s$')
EMPTY = '""'
STEP = "columns read"
FALLBACK = "cp1252"


def read_csv(
    path: str | Path,
    codebook: Codebook | str | Path | None = None,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    skip_rows: int = 0,
) -> Dataset:
    """Read a .csv or .csv.gz: one header line, one row a case, an empty cell is missing.

    codebook: labels, missing codes and kinds; by default `NAME.codebook.toml` beside the file
    where there is one. delimiter: by default whichever of , ; tab | parts the header; with
    another than the comma a decimal comma is understood. skip_rows: lines above the header.
    Numbers are float64; text, identifiers with leading zeros and whole numbers above 2^53 stay
    text; YYYY-MM-DD is a date. Raises DataError naming file, column and row.
    """
    path = Path(path)
    known = _codebook(path, codebook)
    text, encoding = _decoded(path)
    sheet = _parsed(path.name, text, delimiter, skip_rows)
    if columns is not None:
        for column in columns:
            if column not in sheet.header:
                raise DataError(unknown(f"column of {path.name!r}", column, sheet.header))
    return _dataset(path, sheet, known, encoding, columns)


def column_names(path: Path, delimiter: str | None = None, skip_rows: int = 0) -> tuple[str, ...]:
    """The names in the header, without looking at a row."""
    text = _below(_decoded(path)[0], skip_rows)
    stream = io.StringIO(text, newline="")
    header = next(csv.reader(stream, delimiter=delimiter or _delimiter(text)), [])
    return tuple(text_cell.unescaped(cell.strip()) for cell in header)


def _codebook(path: Path, given: Codebook | str | Path | None) -> Codebook:
    if isinstance(given, Codebook):
        return given
    place = Path(given) if given is not None else beside(path)
    if given is None and not place.is_file():
        return Codebook()
    return read_codebook(place)


# --- bytes to text -----------------------------------------------------------------------


def _decoded(path: Path) -> tuple[str, str]:
    """Return the text and its encoding: UTF-8 (16 with a mark), else cp1252."""
    raw = _unpacked(path) if kind_of(path) == "gzip" else path.read_bytes()
    marked = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    for encoding in ("utf-16",) if marked else ("utf-8-sig", FALLBACK):
        try:
            return raw.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path.name!r} is neither UTF-8 nor {FALLBACK} text. Save it as UTF-8.")


def _unpacked(path: Path) -> bytes:
    packed = path.stat().st_size
    limit = min(LARGEST_UNPACKED, max(BOMB_FROM, BOMB_RATIO * packed))
    try:
        with gzip.open(path) as file:
            raw = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path.name!r} is damaged: it cannot be unpacked.") from problem
    if len(raw) > limit:
        raise DataError(
            f"{path.name!r} unpacks from {packed} to more than {limit} bytes and was refused. "
            "Unpack it yourself if you trust it."
        )
    return raw


# --- text to cells -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sheet:
    header: tuple[str, ...]
    cells: Sequence[Sequence[str]]  # by column
    rows: int
    delimiter: str


def _parsed(name: str, text: str, delimiter: str | None, skip_rows: int) -> _Sheet:
    if not text.strip():
        raise DataError(f"{name!r} is empty.")
    text = _below(text, skip_rows)
    mark = delimiter or _delimiter(text)
    _refuse_nul(name, text, mark)
    records = list(_records(name, text, mark))
    while records and not records[-1]:
        records.pop()
    header = _header(name, records)
    body = [r for r in records[1:] if r]
    _refuse_ragged(name, header, body)
    cells = list(zip(*body, strict=True)) or [()] * len(header)
    return _Sheet(header, cells, len(body), mark)


def _below(text: str, skip_rows: int) -> str:
    stream = io.StringIO(text, newline="")
    for _ in range(skip_rows):
        stream.readline()
    return stream.read()


def _delimiter(text: str) -> str:
    """The mark that parts the first line into most fields."""
    first = io.StringIO(text, newline="").readline()
    return max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))


def _records(name: str, text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the records; an unclosed quotation mark is an error naming the row it opens in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    read = 0
    try:
        for record in reader:
            yield record
            read += 1
    except csv.Error as problem:
        where = f"row {read}" if read else "the header"
        raise DataError(
            f"{name!r}: a quotation mark that opens in {where} is not closed properly. "
            'Close it, or write a quotation mark inside a cell as "".'
        ) from problem


def _refuse_nul(name: str, text: str, delimiter: str) -> None:
    at = text.find("\0")
    if at >= 0:
        row = sum(1 for _ in csv.reader(io.StringIO(text[:at], newline=""), delimiter=delimiter))
        raise DataError(
            f"{name!r}: row {max(row - 1, 0)} holds a NUL byte; the file is damaged or not text. "
            "Export it again as UTF-8."
        )


def _header(name: str, records: Sequence[Sequence[str]]) -> tuple[str, ...]:
    header = tuple(cell.strip() for cell in records[0])
    widths = Counter(len(r) for r in records[1:] if r)
    usual = widths.most_common(1)[0][0] if widths else len(header)
    if usual > len(header) and not any(len(r) == len(header) for r in records[4:]):
        line = next(i for i, r in enumerate(records, 1) if len(r) == usual)
        raise DataError(
            f"{name!r}: header not found: its first line has {len(header)} field(s), line {line} "
            f"and those after it {usual}. Delete the lines above the header, or read it with "
            f"skip_rows = {line - 1}."
        )
    if "" in header:
        number = header.index("") + 1
        raise DataError(f"{name!r}: column {number} has no name in the header. Name it.")
    if len(header) > 1 and all(text_cell.NUMBER.fullmatch(cell) for cell in header):
        raise DataError(f"{name!r}: header not found: its first line holds numbers only.")
    _refuse_repeated(name, header)
    return tuple(text_cell.unescaped(cell) for cell in header)


def _refuse_repeated(name: str, header: Sequence[str]) -> None:
    repeated = [cell for cell, n in Counter(header).items() if n > 1]
    if repeated:
        raise DataError(
            f"{name!r} has {len(repeated)} column name(s) more than once: "
            f"{', '.join(map(repr, repeated))}. Rename them."
        )


def _refuse_ragged(name: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    for row, record in enumerate(body, 1):
        if len(record) != len(header):
            raise DataError(
                f"{name!r}: row {row} has {len(record)} cells and the header {len(header)}. "
                "Put text that holds the delimiter between quotation marks."
            )


# --- cells to a Dataset ------------------------------------------------------------------


def _dataset(
    path: Path, sheet: _Sheet, known: Codebook, encoding: str, columns: Sequence[str] | None
) -> Dataset:
    index = pd.RangeIndex(1, sheet.rows + 1)
    chosen = [h for h in sheet.header if columns is None or h in columns]
    variables, series, missing = {}, {}, {}
    for number, (name, cells) in enumerate(zip(sheet.header, sheet.cells, strict=True), 1):
        progress.tell(STEP, number, len(sheet.header))
        if name not in chosen:
            continue
        declared = known.variables.get(name)
        try:
            kind, values, absent, codes = text_cell.typed(
                name, cells, declared, comma=sheet.delimiter != ","
            )
        except DataError as problem:
            raise DataError(f"{path.name!r}: {problem}") from None
        variables[name] = declared or Variable(
            name, kind=kind, spss_format=sav_format.DEFAULTS.get(kind, "")
        )
        series[name] = pd.Series(values, index=index, dtype=values.dtype)
        if absent.any():
            missing[name] = pd.Series(codes, index=index[absent], dtype=codes.dtype)
    frame = pd.DataFrame(series, index=index, columns=chosen)
    note = () if encoding != FALLBACK else (f"Read as {FALLBACK}: the file was not UTF-8.",)
    documents = (*known.documents, *(n for n in note if n not in known.documents))
    codebook = replace(known, variables=variables, documents=documents)
    source = Source(path.name, hash_of(path), sheet.rows)
    return Dataset(frame, codebook, missing, source)


# --- writing -----------------------------------------------------------------------------


def write_csv(dataset: Dataset, path: str | Path) -> None:
    """Write `dataset` as UTF-8 .csv (or .csv.gz) with its codebook as TOML beside it.

    A cell that is missing by a code holds the code, which the codebook declares; system-missing
    is empty. Text that a spreadsheet would run as a formula gets an apostrophe before it, which
    `read_csv` takes off. The same bytes every time, whole or not at all.
    """
    path = Path(path)
    prepared = [prepare(dataset, str(name)) for name in dataset.frame.columns]
    rows = zip(*(_cells(p) for p in prepared), strict=True)
    lines = [",".join(_quoted(p.variable.name) for p in prepared), *map(",".join, rows)]
    # a line with nothing on it would be no row at all
    raw = "".join(f"{line or EMPTY}\n" for line in lines).encode()
    with whole_file(path) as file:
        file.write(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)
    described = {p.variable.name: p.variable for p in prepared}
    write_codebook(replace(dataset.codebook, variables=described), beside(path))


def _cells(prepared: Prepared) -> list[str]:
    if prepared.width:
        return [_quoted(text.decode()) for text in prepared.texts]
    numbers = prepared.numbers
    if prepared.variable.kind in ("date", "datetime"):
        return _date_cells(numbers, whole_days=prepared.variable.kind == "date")
    return [_number_cell(x) for x in numbers.tolist()]


def _number_cell(x: float) -> str:
    if x == SYSTEM_MISSING:
        return ""
    return str(int(x)) if x == int(x) and abs(x) < 1e15 else repr(x)


def _date_cells(numbers: Any, *, whole_days: bool) -> list[str]:
    stamps = datetimes(numbers)
    days = stamps.astype("datetime64[D]")
    short = whole_days and bool((np.isnat(stamps) | (days == stamps)).all())
    texts = np.datetime_as_string(days if short else stamps)
    return [
        _number_cell(x) if t == "NaT" else t for x, t in zip(numbers.tolist(), texts, strict=True)
    ]


def _quoted(text: str) -> str:
    """A cell of text: no formula for a spreadsheet, in quotation marks where it needs them."""
    escaped = f"'{text}" if text.lstrip("'").startswith(FORMULA) else text
    return '"' + escaped.replace('"', '""') + '"' if SPECIAL.search(escaped) else escaped
