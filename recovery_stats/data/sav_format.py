"""SPSS print formats, and what they say about a column: F8.2, A40, DATE11, DTIME12.2."""

from __future__ import annotations

import re

from recovery_stats.core.codebook import Kind

CODES = {
    1: "A", 2: "AHEX", 3: "COMMA", 4: "DOLLAR", 5: "F", 6: "IB", 7: "PIBHEX", 8: "P", 9: "PIB",
    10: "PK", 11: "RB", 12: "RBHEX", 15: "Z", 16: "N", 17: "E", 20: "DATE", 21: "TIME",
    22: "DATETIME", 23: "ADATE", 24: "JDATE", 25: "DTIME", 26: "WKDAY", 27: "MONTH", 28: "MOYR",
    29: "QYR", 30: "WKYR", 31: "PCT", 32: "DOT", 33: "CCA", 34: "CCB", 35: "CCC", 36: "CCD",
    37: "CCE", 38: "EDATE", 39: "SDATE", 40: "MTIME", 41: "YMDHMS",
}  # fmt: skip
BY_NAME = {name: code for code, name in CODES.items()}

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("A", "AHEX"), "string"),
    **dict.fromkeys(("DATE", "ADATE", "EDATE", "SDATE", "JDATE", "MOYR", "QYR", "WKYR"), "date"),
    **dict.fromkeys(("DATETIME", "YMDHMS"), "datetime"),
    **dict.fromkeys(("TIME", "DTIME", "MTIME"), "time"),
}

DEFAULTS: dict[Kind, str] = {
    "number": "F8.2",
    "date": "DATE11",
    "datetime": "DATETIME20",
    "time": "TIME11.2",
}
WIDEST_STRING_FORMAT = 255  # a very long string prints as A255 in its first segment


def text_of(code: int) -> str:
    """The packed format of a variable record in words: type, width, decimals ("F8.2")."""
    name, width, decimals = CODES.get(code >> 16 & 0xFF, "F"), code >> 8 & 0xFF, code & 0xFF
    return f"{name}{width}" + (f".{decimals}" if decimals or name == "F" else "")


def packed(text: str) -> int | None:
    """The reverse of `text_of`, or None where `text` is no SPSS format."""
    match = re.fullmatch(r"([A-Z]+?)(\d{1,5})(?:\.(\d{1,2}))?", text.upper())
    if match is None or match[1] not in BY_NAME:
        return None
    width = min(int(match[2]), WIDEST_STRING_FORMAT)
    return BY_NAME[match[1]] << 16 | width << 8 | int(match[3] or 0)


def kind_of(text: str) -> Kind:
    """How the values of a column with this format are to be read."""
    match = re.match(r"[A-Z]+", text.upper())
    return KINDS.get(match[0] if match else "F", "number")
