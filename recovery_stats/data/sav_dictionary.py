"""The dictionary of a .sav or .zsav file, read record by record.

pyreadstat drops weight, roles, attributes and part of the missing definitions, and trusts the
sizes a header promises. This reader takes everything SPSS keeps and believes no size that
the file cannot hold. Source: the PSPP developers' description of the system file format.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from recovery_stats.errors import DataError

LARGEST_RECORD = 1 << 28  # of text; real dictionaries stay a thousand times below
SMALLEST_VARIABLE = 32  # bytes of a variable record without label or missing values
ELEMENT = 8
ZLIB_AT_MOST = 1032  # deflate cannot compress further than 1032 to 1


@dataclass(slots=True)
class RawVariable:
    """One variable record as it stands: a named variable, or a segment of a long string."""

    index: int
    width: int
    label: bytes
    missing_count: int
    missing: tuple[bytes, ...]
    format: int
    short: bytes

    @property
    def elements(self) -> int:
        """How many eight-byte elements the variable takes in a case."""
        return max(1, -(-self.width // ELEMENT))


@dataclass(slots=True)
class Records:
    """Everything between the first byte of the file and its data, undecoded.

    order is "<" or ">"; cases is -1 where the writer did not know; extensions holds the bodies
    of records 7 by subtype, the last of each subtype (SPSS writes one).
    """

    name: str
    order: str
    compression: int
    weight_index: int
    cases: int
    bias: float
    label: bytes
    variables: list[RawVariable] = field(default_factory=list)
    labels: list[tuple[dict[bytes, bytes], tuple[int, ...]]] = field(default_factory=list)
    documents: list[bytes] = field(default_factory=list)
    extensions: dict[int, bytes] = field(default_factory=dict)
    elements: int = 0
    data_offset: int = 0
    size: int = 0

    def numbers(self, subtype: int, code: str) -> tuple[float, ...]:
        """The body of an extension record as numbers of struct type `code`."""
        body = self.extensions.get(subtype, b"")
        width = struct.calcsize(code)
        return struct.unpack(f"{self.order}{len(body) // width}{code}", _whole(body, width))


def read_records(path: Path) -> Records:
    """Read the dictionary of `path`; DataError where the file contradicts itself."""
    with path.open("rb") as file:
        reader = _Reader(file, path.name, os.fstat(file.fileno()).st_size)
        try:
            records = _header(reader)
            for kind in _record_kinds(reader):
                _READ[kind](reader, records)
        except struct.error as problem:
            raise reader.refuse("the dictionary is damaged") from problem
        records.data_offset = reader.position
        records.size = reader.size
    _check_promise(records)
    return records


class _Reader:
    """The file and what is left of it: every request is held against that first."""

    def __init__(self, file: IO[bytes], name: str, size: int) -> None:
        self.file, self.name, self.size = file, name, size
        self.position = 0
        self.order = "<"

    @property
    def left(self) -> int:
        return self.size - self.position

    def refuse(self, why: str) -> DataError:
        return DataError(f"{self.name!r} cannot be read as an SPSS file: {why}. {CURE}")

    def take(self, n: int) -> bytes:
        if not 0 <= n <= min(self.left, LARGEST_RECORD):
            raise self.refuse("its dictionary promises more than the file holds")
        self.position += n
        return self.file.read(n)

    def int32(self) -> int:
        return int(struct.unpack(self.order + "i", self.take(4))[0])

    def ints(self, n: int) -> tuple[int, ...]:
        return struct.unpack(f"{self.order}{n}i", self.take(4 * n))

    def padded(self, n: int, to: int, already: int = 0) -> bytes:
        """Take `n` bytes and the padding after them that completes a multiple of `to`."""
        text = self.take(n)
        self.take(-(n + already) % to)
        return text


CURE = "Open it in SPSS or PSPP and save it again, or ask for a new copy."


def _header(reader: _Reader) -> Records:
    reader.take(64)
    layout = reader.take(4)
    little, big = (struct.unpack(o + "i", layout)[0] for o in "<>")
    if little not in (2, 3) and big not in (2, 3):
        raise reader.refuse("its header has no known byte order")
    reader.order = "<" if little in (2, 3) else ">"
    case_size, compression, weight, cases = reader.ints(4)
    bias = struct.unpack(reader.order + "d", reader.take(8))[0]
    reader.take(17)
    label = reader.take(64)
    reader.take(3)
    if case_size > reader.left // SMALLEST_VARIABLE:
        raise reader.refuse(
            f"its header promises {case_size} columns and {cases} rows, "
            f"more than its {reader.size} bytes can hold"
        )
    if compression not in (0, 1, 2) or cases < -1:
        raise reader.refuse("its header is damaged")
    return Records(reader.name, reader.order, compression, weight, cases, bias, label)


def _record_kinds(reader: _Reader) -> Iterator[int]:
    while (kind := reader.int32()) != 999:
        if kind not in _READ:
            raise reader.refuse("its dictionary has an unknown record")
        yield kind
    reader.take(4)


def _variable(reader: _Reader, records: Records) -> None:
    width, has_label, missing, shown, _written = reader.ints(5)
    short = reader.take(8)
    if abs(missing) > 3 or not -1 <= width <= 255:
        raise reader.refuse("a variable record is damaged")
    label = reader.padded(reader.int32(), 4) if has_label else b""
    codes = tuple(reader.take(ELEMENT) for _ in range(abs(missing)))
    records.elements += 1
    if width == -1:
        return  # a further element of the string before
    records.variables.append(
        RawVariable(records.elements, width, label, missing, codes, shown, short)
    )


def _value_labels(reader: _Reader, records: Records) -> None:
    labels: dict[bytes, bytes] = {}
    for _ in range(reader.int32()):
        value = reader.take(ELEMENT)
        length = reader.take(1)[0]
        labels[value] = reader.padded(length, ELEMENT, already=1)
    if reader.int32() != 4:
        raise reader.refuse("value labels are not followed by the columns they belong to")
    records.labels.append((labels, reader.ints(reader.int32())))


def _documents(reader: _Reader, records: Records) -> None:
    lines = reader.int32()
    text = reader.take(80 * lines)
    records.documents = [text[80 * i : 80 * (i + 1)] for i in range(lines)]


def _extension(reader: _Reader, records: Records) -> None:
    subtype, size, count = reader.ints(3)
    if size < 0 or count < 0:
        raise reader.refuse("an extension record is damaged")
    records.extensions[subtype] = reader.take(size * count)


_READ = {2: _variable, 3: _value_labels, 6: _documents, 7: _extension}


def _check_promise(records: Records) -> None:
    """Refuse a case count that the bytes after the dictionary cannot hold."""
    cases = records.cases
    if 16 in records.extensions and len(records.extensions[16]) >= 16:
        cases = struct.unpack(records.order + "q", records.extensions[16][8:16])[0]
        cases = cases if records.cases < 0 <= cases else records.cases
    left = records.size - records.data_offset
    room = {0: left // ELEMENT, 1: left, 2: left * ZLIB_AT_MOST}[records.compression]
    if not records.variables:
        raise DataError(f"{records.name!r} has no columns.")
    if cases > 0 and cases * records.elements > room:
        raise DataError(
            f"{records.name!r} is cut short or damaged: its header promises {cases} rows of "
            f"{records.elements * ELEMENT} bytes, and {left} bytes follow. Ask for a new copy."
        )
    records.cases = cases


def _whole(body: bytes, width: int) -> bytes:
    return body[: len(body) // width * width]
