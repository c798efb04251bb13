"""Portable SPSS files (.por): text in lines of 80, numbers in base 30.

Read here whole, cells too: pyreadstat turns the user-missing cells of such files into empty ones
and forgets the codes. Source: the PSPP developers' description of the portable file format.
Checked: pyreadstat on cells without codes, PSPP on the rest.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.data import sav_format
from recovery_stats.data.signature import POR_SIGNATURE_AT, portable
from recovery_stats.errors import DataError

LONGEST_NUMBER = 80
LARGEST_POWER = 250  # 30**250 lies beyond every double
NUMBER = re.compile(r" *(-?)([0-9A-T]*)(?:\.([0-9A-T]*))?(?:([+-])([0-9A-T]+))?/")
RANGES = {"9": (-math.inf, None), "A": (None, math.inf), "B": (None, None)}

PortableCells = dict[str, list[float | str | None]]


def read_portable(path: Path) -> tuple[Codebook, PortableCells]:
    """Return the codebook and every cell as it stands (user-missing codes too).

    Raises DataError where the file is damaged or ends early.
    """
    try:
        return _Portable(path).read()
    except (LookupError, ValueError, OverflowError) as problem:
        raise DataError(
            f"{path.name!r} is a damaged portable file. Save it again in SPSS or PSPP, as .sav."
        ) from problem


class _Portable:
    """The characters of the file and the place reached in them."""

    def __init__(self, path: Path) -> None:
        self.text, self.encoding = _decoded(portable(path.read_bytes()))
        self.at = POR_SIGNATURE_AT + len("SPSSPORT") + 1
        self.variables: dict[str, Variable] = {}
        self.documents: tuple[str, ...] = ()
        self.weight: str | None = None
        self.current = ""

    # --- pieces --------------------------------------------------------------------------

    def char(self) -> str:
        self.at += 1
        return self.text[self.at - 1]

    def number(self) -> float:
        if self.text[self.at] == "*":
            self.at += 2
            return math.nan
        match = NUMBER.match(self.text, self.at, self.at + LONGEST_NUMBER)
        if match is None:
            raise ValueError("number")
        self.at = match.end()
        return _from_base_30(match)

    def whole(self) -> int:
        return int(self.number())

    def string(self) -> str:
        n = self.whole()
        if not 0 <= n <= len(self.text) - self.at:
            raise ValueError("string")
        self.at += n
        return self.text[self.at - n : self.at]

    # --- records -------------------------------------------------------------------------

    def read(self) -> tuple[Codebook, PortableCells]:
        self.string()  # date
        self.string()  # time
        while (tag := self.char()) != "F":
            self.record(tag)
        if not self.variables:
            raise ValueError("no columns")
        codebook = Codebook(self.variables, "", self.documents, self.weight, encoding=self.encoding)
        return codebook, self.cells()

    def record(self, tag: str) -> None:
        if tag in "123":
            self.string()
        elif tag in "45":
            self.whole()
        elif tag == "6":
            self.weight = self.string()
        elif tag == "7":
            self.variable()
        elif tag in "89AB":
            self.missing(tag)
        else:
            self.text_record(tag)

    def text_record(self, tag: str) -> None:
        if tag == "C":
            self.amend(label=self.string())
        elif tag == "D":
            self.value_labels()
        elif tag == "E":
            self.documents = tuple(self.string().rstrip() for _ in range(self.whole()))
        else:
            raise ValueError("record")

    def variable(self) -> None:
        width, name = self.whole(), self.string()
        kind, columns, decimals = (self.whole() for _ in range(3))
        for _ in range(3):
            self.whole()
        form = sav_format.text_of(kind << 16 | columns << 8 | decimals)
        self.current = name
        self.variables[name] = Variable(
            name,
            kind="string" if width else sav_format.kind_of(form),
            spss_format=form,
            width=width,
        )

    def amend(self, **changes: object) -> None:
        self.variables[self.current] = replace(self.variables[self.current], **changes)  # type: ignore[arg-type]

    def value(self) -> float | str:
        is_text = self.variables[self.current].width
        return self.string().rstrip(" ") if is_text else self.number()

    def missing(self, tag: str) -> None:
        rule = self.variables[self.current].missing
        if tag == "8":
            rule = MissingRule((*rule.codes, self.value()), rule.low, rule.high)
        else:
            low, high = RANGES[tag]
            low = self.number() if low is None else low
            rule = MissingRule(rule.codes, low, self.number() if high is None else high)
        self.amend(missing=rule)

    def value_labels(self) -> None:
        names = [self.string() for _ in range(self.whole())]
        self.current = names[0]
        labels = {self.value(): self.string() for _ in range(self.whole())}
        for self.current in names:
            self.amend(values={**self.variables[self.current].values, **labels})

    # --- cells ---------------------------------------------------------------------------

    def cells(self) -> PortableCells:
        """Read cases until the Z that ends them; DataError by IndexError where it never comes."""
        cells: PortableCells = {name: [] for name in self.variables}
        columns = [(cells[n], bool(v.width)) for n, v in self.variables.items()]
        while self.text[self.at] != "Z":
            for column, is_text in columns:
                column.append(self.string() if is_text else self.number())
        return cells


def _decoded(raw: bytes) -> tuple[str, str]:
    try:
        return raw.decode("ascii"), "UTF-8"
    except UnicodeDecodeError:
        # one byte is one character in the lengths of the format
        return raw.decode("latin-1"), "latin-1"


def _from_base_30(match: re.Match[str]) -> float:
    sign, whole, fraction, power_sign, power = match.groups()
    fraction = fraction or ""
    digits = whole + fraction
    exponent = int(f"{power_sign}{int(power, 30)}") if power else 0
    exponent -= len(fraction)
    if not digits or abs(exponent) > LARGEST_POWER:
        raise ValueError("number")
    size = int(digits, 30)
    # division of two whole numbers is rounded once
    value = float(size * 30**exponent) if exponent >= 0 else size / 30**-exponent
    return -value if sign else value
