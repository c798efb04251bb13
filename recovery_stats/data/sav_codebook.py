"""From the raw records of a .sav dictionary to names, labels and missing rules."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recovery_stats.core.codebook import (
    Codebook,
    Measure,
    MissingRule,
    MultipleResponse,
    Variable,
)
from recovery_stats.data import sav_format
from recovery_stats.data.sav_dictionary import RawVariable, Records, read_records
from recovery_stats.data.sav_extension import (
    Body,
    encoding_of,
    pairs,
    parse_attributes,
    split_role,
    take_attributes,
    take_counted,
)
from recovery_stats.errors import DataError

SEGMENT_STEP = 252  # bytes of a very long string that each segment adds to its declared width
MEASURES: tuple[Measure, ...] = ("unknown", "nominal", "ordinal", "scale")
Alignment = Literal["left", "centre", "right", "unknown"]
ALIGNMENTS: tuple[Alignment, ...] = ("left", "right", "centre")
HIGHEST = sys.float_info.max
LOWEST = -math.nextafter(HIGHEST, 0)  # SPSS keeps the double below it for system-missing


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column stands in a case: width of its text (0: a number) and, for each segment,
    its first element, counted from 0, and its width in bytes."""

    width: int
    segments: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The dictionary of a file, and what its data need to be read.

    cases: -1 where the writer did not know. offset: where the data begin. order: "<" or ">".
    """

    codebook: Codebook
    places: Mapping[str, Place]
    cases: int
    compression: int
    elements: int
    offset: int
    order: str
    bias: float


def read_dictionary(path: Path) -> Dictionary:
    """Read what SPSS keeps beside the cells. Raises DataError for a damaged file."""
    records = read_records(path)
    try:
        decoder = _Decoder(records)
        codebook, places = decoder.codebook(), decoder.places()
    except (struct.error, IndexError, ValueError) as problem:
        raise DataError(f"{records.name!r}: its dictionary is damaged.") from problem
    return Dictionary(
        codebook,
        places,
        records.cases,
        records.compression,
        records.elements,
        records.data_offset,
        records.order,
        records.bias,
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """A named variable with the segments that hold it and the bytes of its name in records."""

    name: str
    short: str
    width: int
    segments: tuple[RawVariable, ...]

    @property
    def raw(self) -> RawVariable:
        return self.segments[0]


class _Decoder:
    """One file's records, its encoding, and the columns its segments make."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.encoding = encoding_of(records)
        self.columns = tuple(self._columns())

    def text(self, raw: bytes) -> str:
        """Decode what SPSS padded with blanks; a byte foreign to the encoding is shown as such."""
        return raw.decode(self.encoding, "replace").rstrip(" \0")

    def codebook(self) -> Codebook:
        labels, codes = self._labels(), self._long_missing()
        roles = self._attributes()
        shown = self._display()
        variables = {
            c.name: self._variable(c, labels, codes, roles.get(c.name.casefold(), {}), shown)
            for c in self.columns
        }
        return Codebook(
            variables,
            self.text(self.records.label),
            tuple(self.text(line) for line in self.records.documents),
            self._weight(),
            dict(parse_attributes(self.text(self.records.extensions.get(17, b"")))),
            tuple(self._sets()),
            self.encoding,
        )

    def places(self) -> dict[str, Place]:
        """Where each column stands in a case; ValueError where one would end beyond it."""
        found = {}
        for column in self.columns:
            segments = tuple((s.index - 1, s.width) for s in column.segments)
            if any(s.index - 1 + s.elements > self.records.elements for s in column.segments):
                raise ValueError(column.name)
            found[column.name] = Place(column.width, segments)
        if len(found) != len(self.columns):
            raise ValueError("two columns of one name")
        return found

    # --- columns and their names ---------------------------------------------------------

    def _columns(self) -> Iterator[_Column]:
        names = dict(pairs(self.text(self.records.extensions.get(13, b"")), "\t"))
        names = {short.upper(): name for short, name in names.items()}
        widths = dict(pairs(self.text(self.records.extensions.get(14, b"")), "\t"))
        widths = {short.upper(): width.strip("\0 ") for short, width in widths.items()}
        raw = iter(self.records.variables)
        for variable in raw:
            short = self.text(variable.short)
            declared = widths.get(short.upper(), "")
            width = int(declared) if declared.isdigit() else variable.width
            further = -(-width // SEGMENT_STEP) - 1 if width > 255 else 0
            segments = (variable, *(s for _, s in zip(range(further), raw, strict=False)))
            if len(segments) != further + 1:
                raise ValueError(short)
            yield _Column(names.get(short.upper(), short), short, width, segments)

    def _named(self, name: str) -> _Column | None:
        folded = name.casefold()
        for column in self.columns:
            if folded in (column.name.casefold(), column.short.casefold()):
                return column
        return None

    def _weight(self) -> str | None:
        for column in self.columns:
            if column.raw.index == self.records.weight_index:
                return column.name
        return None

    # --- values and their meaning --------------------------------------------------------

    def value(self, raw: bytes, width: int) -> float | str:
        """A code of eight bytes: a number, or a short string."""
        if width:
            return self.text(raw)
        return _bounded(float(struct.unpack(self.records.order + "d", raw)[0]))

    def _labels(self) -> dict[str, dict[float | str, str]]:
        by_index = {c.raw.index: c for c in self.columns}
        found: dict[str, dict[float | str, str]] = {}
        for labels, indices in self.records.labels:
            for column in (by_index[i] for i in indices if i in by_index):
                known = found.setdefault(column.name, {})
                known |= {self.value(v, column.width): self.text(t) for v, t in labels.items()}
        for name, labels_of in self._long_labels():
            found.setdefault(name, {}).update(labels_of)
        return found

    def _long_labels(self) -> Iterator[tuple[str, dict[float | str, str]]]:
        body = Body(self.records.extensions.get(21, b""), self.records.order)
        while body.left:
            column = self._named(self.text(body.counted()))
            body.int32()
            labels = [(body.counted(), body.counted()) for _ in range(body.count(8))]
            if column is not None:
                yield column.name, {self.text(v): self.text(t) for v, t in labels}

    def _long_missing(self) -> dict[str, tuple[str, ...]]:
        body = Body(self.records.extensions.get(22, b""), self.records.order)
        found: dict[str, tuple[str, ...]] = {}
        while body.left:
            column = self._named(self.text(body.counted()))
            n = body.take(1)[0]
            width = body.int32()
            codes = tuple(self.text(body.take(width)) for _ in range(n))
            if column is not None:
                found[column.name] = codes
        return found

    def _missing(self, column: _Column, long: Mapping[str, tuple[str, ...]]) -> MissingRule:
        if column.name in long:
            return MissingRule(long[column.name])
        codes = tuple(self.value(m, column.width) for m in column.raw.missing)
        if column.raw.missing_count >= 0:
            return MissingRule(codes)
        low, high, *extra = codes
        assert isinstance(low, float)
        assert isinstance(high, float)
        return MissingRule(tuple(extra), low, high)

    # --- everything else about a column --------------------------------------------------

    def _variable(
        self,
        column: _Column,
        labels: Mapping[str, dict[float | str, str]],
        codes: Mapping[str, tuple[str, ...]],
        attributes: Mapping[str, tuple[str, ...]],
        shown: Mapping[int, tuple[Measure, int, Alignment]],
    ) -> Variable:
        form = sav_format.text_of(column.raw.format)
        if column.width > 255:
            form = f"A{column.width}"
        measure, columns, alignment = shown.get(column.raw.index, ("unknown", 8, "unknown"))
        role, attributes = split_role(attributes)
        return Variable(
            name=column.name,
            label=self.text(column.raw.label),
            values=labels.get(column.name, {}),
            missing=self._missing(column, codes),
            measure=measure,
            kind="string" if column.width else sav_format.kind_of(form),
            spss_format=form,
            width=column.width,
            columns=columns,
            alignment=alignment,
            role=role,
            attributes=attributes,
        )

    def _display(self) -> dict[int, tuple[Measure, int, Alignment]]:
        numbers = [int(n) for n in self.records.numbers(11, "i")]
        each, rest = divmod(len(numbers), max(1, len(self.records.variables)))
        if each not in (2, 3) or rest:
            return {}
        shown = {}
        for i, variable in enumerate(self.records.variables):
            measure, *width, alignment = numbers[each * i : each * (i + 1)]
            shown[variable.index] = (
                MEASURES[measure] if 0 <= measure < len(MEASURES) else "unknown",
                width[0] if width else 8,
                ALIGNMENTS[alignment] if 0 <= alignment < len(ALIGNMENTS) else "unknown",
            )
        return shown

    def _attributes(self) -> dict[str, Mapping[str, tuple[str, ...]]]:
        text = self.text(self.records.extensions.get(18, b""))
        found: dict[str, Mapping[str, tuple[str, ...]]] = {}
        while text:
            name, colon, text = text.partition(":")
            if not colon:
                break
            attributes, text = take_attributes(text)
            found[name.strip().casefold()] = dict(attributes)
            text = text.removeprefix("/")
        return found

    # --- multiple-response sets ----------------------------------------------------------

    def _sets(self) -> Iterator[MultipleResponse]:
        for subtype in (7, 19):
            for line in self.records.extensions.get(subtype, b"").split(b"\n"):
                found = self._set(line.strip(b"\0"))
                if found is not None:
                    yield found

    def _set(self, line: bytes) -> MultipleResponse | None:
        """Read `$b=D2 55 0 g e f d`, `$a=C 10 my mcgroup a b c` or `$d=E 1 2 34 5 third k l`."""
        name, _, body = line.partition(b"=")
        kind, body, flag = body[:1], body[1:], b""
        if kind not in (b"C", b"D", b"E"):
            return None
        if kind == b"E":
            _, flag, body = body.split(b" ", 2)
        counted, body = (None, body) if kind == b"C" else take_counted(body)
        label, body = take_counted(body)
        members = (self._named(n) for n in self.text(body).split())
        return MultipleResponse(
            self.text(name),
            self.text(label),
            tuple(c.name for c in members if c is not None),
            None if counted is None else self.text(counted),
            "counted" if flag else "variable",
        )


def _bounded(value: float) -> float:
    """A code, where SPSS writes LOWEST and HIGHEST as doubles near the limit."""
    if value <= LOWEST:
        return -math.inf
    return math.inf if value >= HIGHEST else value
