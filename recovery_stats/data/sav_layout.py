"""Where each column stands in the cases of a .sav file, and which names SPSS accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.sav_column import Prepared
from recovery_stats.errors import DataError

SEGMENT_STEP = 252  # a very long string is declared in segments of 252 bytes …
SEGMENT_HOLDS = 255  # … each of which holds 255 (a known oddity of the format)
LONGEST_SHORT = 255
RESERVED = {
    "ALL", "AND", "BY", "EQ", "GE", "GT", "LE", "LT", "NE", "NOT", "OR", "TO", "WITH",
}  # fmt: skip
LIMITS = {"file label": 64, "variable label": 256, "value label": 120, "document line": 80}


@dataclass(frozen=True, slots=True)
class Segment:
    """A variable record: a whole column, or one of the pieces of a very long string.

    index: its first element in a case, counted from 1. width: bytes of a string, 0 for a number.
    """

    short: str
    width: int
    index: int

    @property
    def elements(self) -> int:
        """How many eight-byte elements it takes in a case."""
        return max(1, -(-self.width // 8))


@dataclass(frozen=True, slots=True)
class Placed:
    """A prepared column with its segments."""

    column: Prepared
    segments: tuple[Segment, ...]

    @property
    def name(self) -> str:
        return self.column.variable.name

    @property
    def short(self) -> str:
        return self.segments[0].short


def lay_out(columns: Sequence[Prepared]) -> tuple[Placed, ...]:
    """Give every column its segments, eight-byte names and place in the case."""
    taken = {c.variable.name.upper() for c in columns if _is_short(c.variable.name)}
    placed, index = [], 1
    for column in columns:
        name = column.variable.name
        segments = []
        for i, width in enumerate(widths(column.width)):
            short = name.upper() if i == 0 and _is_short(name) else _unused(taken)
            segments.append(Segment(short, width, index))
            index += segments[-1].elements
        placed.append(Placed(column, tuple(segments)))
    return tuple(placed)


def widths(width: int) -> list[int]:
    """The declared widths of the segments of a string of `width` bytes ([0] for a number)."""
    if width <= LONGEST_SHORT:
        return [width]
    full = -(-width // SEGMENT_STEP) - 1
    return [LONGEST_SHORT] * full + [width - full * SEGMENT_STEP]


def _is_short(name: str) -> bool:
    return len(name) <= 8 and name.isascii()


def _unused(taken: set[str]) -> str:
    number = len(taken) + 1
    while (short := f"V{number}") in taken:
        number += 1
    taken.add(short)
    return short


# --- what SPSS accepts -------------------------------------------------------------------


def check(dataset: Dataset) -> None:
    """Raise DataError for names and texts that SPSS would rename or truncate."""
    names = [*map(str, dataset.frame.columns)]
    if not names:
        raise DataError("A table without columns cannot be written to an SPSS file.")
    _check_names(names)
    book = dataset.codebook
    _check_length("file label", book.label, "the table")
    for line in book.documents:
        _check_length("document line", line, "the table")
    for name in names:
        variable = book[name]
        _check_length("variable label", variable.label, f"column {name!r}")
        for label in variable.values.values():
            _check_length("value label", label, f"column {name!r}")
        _check_attributes(variable.attributes, f"column {name!r}")
    _check_attributes(book.attributes, "the table")
    _check_references(dataset, names)


def _check_names(names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            raise DataError(
                f"Columns {seen[name.casefold()]!r} and {name!r} are one name to SPSS, which "
                "ignores case. Rename one of them."
            )
        seen[name.casefold()] = name
        why = _illegal(name)
        if why:
            raise DataError(f"Column {name!r} cannot be named so in SPSS: {why}. Rename it.")


def _illegal(name: str) -> str:
    if len(name.encode("utf-8", "replace")) > 64:
        return "a name has 64 bytes at most"
    if not (name[:1].isalpha() or name[:1] == "@"):
        return "a name begins with a letter"
    if not re.fullmatch(r"[\w.$#@]+", name):
        return "a name consists of letters, digits and . _ $ # @"
    if name.endswith("."):
        return "a name does not end with a full stop"
    return "it is a word of the SPSS language" if name.upper() in RESERVED else ""


def _check_length(what: str, text: str, where: str) -> None:
    used = len(text.encode("utf-8", "replace"))
    if used > LIMITS[what]:
        raise DataError(
            f"A {what} of {where} has {used} bytes; SPSS keeps {LIMITS[what]} and would cut it. "
            "Shorten it."
        )


def _check_attributes(attributes: object, where: str) -> None:
    assert hasattr(attributes, "items")
    for name, values in attributes.items():
        if not re.fullmatch(r"[\w.$#@]+(\[\d+\])?", name) or any("\n" in v for v in values):
            raise DataError(
                f"Attribute {name!r} of {where} cannot be written to an SPSS file: its name has "
                "letters, digits and . _ $ # @ only, its values no line breaks."
            )


def _check_references(dataset: Dataset, names: Sequence[str]) -> None:
    weight = dataset.codebook.weight
    if weight is not None and weight not in names:
        raise DataError(
            f"The weight variable {weight!r} is not among the columns. Keep the column, or set "
            "the codebook's weight to None."
        )
    for response in dataset.codebook.sets:
        for member in response.variables:
            if member not in names:
                raise DataError(
                    f"Multiple-response set {response.name!r} uses column {member!r}, which is "
                    "not in the table. Keep the column, or leave the set out."
                )
