"""The dictionary records of a .sav file as bytes."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence

from recovery_stats.core.codebook import MultipleResponse, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.data import sav_format
from recovery_stats.data.sav_codebook import ALIGNMENTS, MEASURES
from recovery_stats.data.sav_extension import ROLES
from recovery_stats.data.sav_layout import Placed, Segment

BIAS = 100.0
HIGHEST = sys.float_info.max
LOWEST = -math.nextafter(HIGHEST, 0)
PRODUCT = "@(#) SPSS DATA FILE recovery_stats"
NEVER = b"01 Jan 7000:00:00"  # a fixed creation date and time: the same bytes every run
UTF_8 = 65001
SHORT_STRING = 8  # the widest string whose labels stand in records 3 and 4


def dictionary(dataset: Dataset, layout: Sequence[Placed], compression: int) -> bytes:
    """Everything before the cases."""
    return b"".join(
        (
            _header(dataset, layout, compression),
            *(record for placed in layout for record in _variable_records(placed)),
            *(record for placed in layout for record in _value_labels(placed)),
            _documents(dataset.codebook.documents),
            *_extensions(dataset, layout),
            struct.pack("<ii", 999, 0),
        )
    )


def _header(dataset: Dataset, layout: Sequence[Placed], compression: int) -> bytes:
    last = layout[-1].segments[-1]
    weight = next((p.segments[0].index for p in layout if p.name == dataset.codebook.weight), 0)
    return b"".join(
        (
            b"$FL3" if compression == 2 else b"$FL2",
            PRODUCT.encode().ljust(60),
            struct.pack(
                "<iiiii", 2, last.index + last.elements - 1, compression, weight, len(dataset.frame)
            ),
            struct.pack("<d", BIAS),
            NEVER,
            _fixed(dataset.codebook.label, 64),
            bytes(3),
        )
    )


# --- variables ---------------------------------------------------------------------------


def _variable_records(placed: Placed) -> Iterator[bytes]:
    variable = placed.column.variable
    for i, segment in enumerate(placed.segments):
        yield _variable_record(variable, segment, first=i == 0)
        continuation = struct.pack("<iiiiii", 2, -1, 0, 0, 0, 0) + b" " * 8
        yield continuation * (segment.elements - 1)


def _variable_record(variable: Variable, segment: Segment, *, first: bool) -> bytes:
    label = variable.label.encode() if first else b""
    count, missing = _missing(variable) if first else (0, b"")
    form = _packed_format(variable, segment)
    head = struct.pack("<iiiiii", 2, segment.width, bool(label), count, form, form)
    text = struct.pack("<i", len(label)) + _padded(label, 4, b" ") if label else b""
    return head + _fixed(segment.short, 8) + text + missing


def _packed_format(variable: Variable, segment: Segment) -> int:
    form = variable.spss_format
    if segment.width and not form.startswith("AHEX"):
        form = f"A{segment.width}"
    return sav_format.packed(form) or 0


def _missing(variable: Variable) -> tuple[int, bytes]:
    rule = variable.missing
    if not rule or variable.width > SHORT_STRING:
        return 0, b""  # long strings have record 7/22
    codes = b"".join(_value(c) for c in rule.codes)
    if rule.low is None or rule.high is None:
        return len(rule.codes), codes
    ends = struct.pack("<dd", max(rule.low, LOWEST), min(rule.high, HIGHEST))
    return -2 - len(rule.codes), ends + codes


def _value(code: float | str) -> bytes:
    return _fixed(code, 8) if isinstance(code, str) else struct.pack("<d", code)


def _value_labels(placed: Placed) -> Iterator[bytes]:
    variable = placed.column.variable
    if not variable.values or variable.width > SHORT_STRING:
        return
    yield struct.pack("<ii", 3, len(variable.values))
    for code, label in variable.values.items():
        text = label.encode()
        yield _value(code) + _padded(bytes([len(text)]) + text, 8, b" ")
    yield struct.pack("<iii", 4, 1, placed.segments[0].index)


def _documents(lines: Sequence[str]) -> bytes:
    if not lines:
        return b""
    return struct.pack("<ii", 6, len(lines)) + b"".join(_fixed(line, 80) for line in lines)


# --- extension records -------------------------------------------------------------------


def _extensions(dataset: Dataset, layout: Sequence[Placed]) -> Iterator[bytes]:
    book = dataset.codebook
    yield _extension(3, struct.pack("<8i", 1, 0, 0, -1, 1, 1, 2, UTF_8), 4)
    yield _extension(4, struct.pack("<3d", -HIGHEST, HIGHEST, LOWEST), 8)
    short = {p.name: p.short.lower() for p in layout}
    yield _extension(7, _sets((s for s in book.sets if s.labels_from == "variable"), short))
    yield _extension(11, b"".join(_display(p) for p in layout), 4)
    yield _extension(13, _names(layout))
    yield _extension(14, b"".join(_very_long(p) for p in layout))
    yield _extension(16, struct.pack("<2q", 1, len(dataset.frame)), 8)
    yield _extension(17, _attributes(book.attributes))
    yield _extension(18, b"/".join(_variable_attributes(layout)))
    yield _extension(19, _sets((s for s in book.sets if s.labels_from != "variable"), short))
    yield _extension(20, b"UTF-8")
    yield _extension(21, b"".join(_long_labels(p.column.variable) for p in layout))
    yield _extension(22, b"".join(_long_missing(p.column.variable) for p in layout))


def _extension(subtype: int, body: bytes, size: int = 1) -> bytes:
    if not body:
        return b""
    return struct.pack("<iiii", 7, subtype, size, len(body) // size) + body


def _display(placed: Placed) -> bytes:
    variable = placed.column.variable
    measure = MEASURES.index(variable.measure)
    text = bool(variable.width)
    known = variable.alignment in ALIGNMENTS
    alignment = ALIGNMENTS.index(variable.alignment) if known else int(not text)
    return struct.pack("<iii", measure, variable.columns, alignment) * len(placed.segments)


def _names(layout: Sequence[Placed]) -> bytes:
    return "\t".join(f"{p.short}={p.name}" for p in layout).encode()


def _very_long(placed: Placed) -> bytes:
    if len(placed.segments) == 1:
        return b""
    return f"{placed.short}={placed.column.width:05d}\0\t".encode()


def _attributes(attributes: Mapping[str, Sequence[str]]) -> bytes:
    quoted = {n: "".join(f"'{v}'\n" for v in values) for n, values in attributes.items()}
    return "".join(f"{name}({values})" for name, values in quoted.items()).encode()


def _variable_attributes(layout: Sequence[Placed]) -> Iterator[bytes]:
    for placed in layout:
        variable = placed.column.variable
        role = {"$@Role": (str(ROLES.index(variable.role)),)}
        yield f"{variable.name}:".encode() + _attributes({**variable.attributes, **role})


def _sets(sets: Iterator[MultipleResponse], short: Mapping[str, str]) -> bytes:
    return b"".join(_set(response, short) for response in sets)


def _set(response: MultipleResponse, short: Mapping[str, str]) -> bytes:
    members = " ".join(short[name] for name in response.variables)
    counted = _counted(response.counted or "")
    if response.counted is None:
        kind = "C "
    elif response.labels_from == "variable":
        kind = f"D{counted} "
    else:
        kind = f"E 1 {counted} "
    return f"{response.name}={kind}{_counted(response.label)} {members}\n".encode()


def _counted(text: str) -> str:
    return f"{len(text.encode())} {text}"


def _long_labels(variable: Variable) -> bytes:
    if not variable.values or variable.width <= SHORT_STRING:
        return b""
    pairs = b"".join(
        _sized(str(code).encode().ljust(variable.width)) + _sized(label.encode())
        for code, label in variable.values.items()
    )
    counts = struct.pack("<ii", variable.width, len(variable.values))
    return _sized(variable.name.encode()) + counts + pairs


def _long_missing(variable: Variable) -> bytes:
    codes = variable.missing.codes
    if not codes or variable.width <= SHORT_STRING:
        return b""
    count = bytes([len(codes)]) + struct.pack("<i", SHORT_STRING)
    return _sized(variable.name.encode()) + count + b"".join(_fixed(str(c), 8) for c in codes)


def _sized(text: bytes) -> bytes:
    return struct.pack("<i", len(text)) + text


def _fixed(text: str, width: int) -> bytes:
    return text.encode().ljust(width)


def _padded(text: bytes, to: int, filler: bytes) -> bytes:
    return text + filler * (-len(text) % to)
