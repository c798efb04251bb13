"""The bodies of the extension records of a .sav dictionary: text with its own small grammars."""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Iterator, Mapping
from typing import get_args

from recovery_stats.core.codebook import SpssRole
from recovery_stats.data.sav_dictionary import Records

ROLES: tuple[SpssRole, ...] = get_args(SpssRole)
CODE_PAGES = {2: "ascii", 3: "latin-1", 65001: "UTF-8"}
SLOW_CODECS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}
FALLBACK = "cp1252"


class Body:
    """An extension record read from its front; IndexError past its end."""

    def __init__(self, body: bytes, order: str) -> None:
        self.body, self.order, self.at = body, order, 0

    @property
    def left(self) -> int:
        return len(self.body) - self.at

    def take(self, n: int) -> bytes:
        if not 0 <= n <= self.left:
            raise IndexError(n)
        self.at += n
        return self.body[self.at - n : self.at]

    def int32(self) -> int:
        return int(struct.unpack(self.order + "i", self.take(4))[0])

    def count(self, smallest: int) -> int:
        """A number of items of at least `smallest` bytes, held against what is left."""
        n = self.int32()
        if not 0 <= n * smallest <= self.left:
            raise IndexError(n)
        return n

    def counted(self) -> bytes:
        return self.take(self.int32())


def encoding_of(records: Records) -> str:
    declared = records.extensions.get(20, b"").decode("ascii", "replace").strip(" \0")
    if not declared and 3 in records.extensions:
        page = int((*records.numbers(3, "i"), *[0] * 8)[7])
        declared = CODE_PAGES.get(page, f"cp{page}")
    try:
        codec = codecs.lookup(declared or FALLBACK)
        "".encode(codec.name)
    except (LookupError, ValueError):
        return FALLBACK
    if codec.name.replace("-", "_") in SLOW_CODECS:
        return FALLBACK
    return FALLBACK if codec.name == "ascii" else declared or FALLBACK


def pairs(text: str, separator: str) -> Iterator[tuple[str, str]]:
    for item in text.split(separator):
        name, equals, value = item.strip("\0").partition("=")
        if equals:
            yield name, value


def take_counted(body: bytes) -> tuple[bytes, bytes]:
    """Split `12 twelve bytes. rest` into the twelve bytes and the rest."""
    match = re.match(rb" *(\d{1,6}) ", body)
    if match is None:
        raise ValueError("multiple-response set")
    start, n = match.end(), int(match[1])
    return body[start : start + n], body[start + n :]


def parse_attributes(text: str) -> list[tuple[str, tuple[str, ...]]]:
    return take_attributes(text)[0]


def take_attributes(text: str) -> tuple[list[tuple[str, tuple[str, ...]]], str]:
    """Read name('value'⏎'value'⏎)… from the front; return them and what follows."""
    found = []
    while match := re.match(r"([^(:/]+)\(((?:'[^\n]*'\n)*)\)", text):
        values = tuple(line[1:-1] for line in match[2].split("\n")[:-1])
        found.append((match[1].strip(), values))
        text = text[match.end() :]
    return found, text


def split_role(
    attributes: Mapping[str, tuple[str, ...]],
) -> tuple[SpssRole, Mapping[str, tuple[str, ...]]]:
    """Take SPSS's own $@Role out of the attributes a person gave."""
    rest = {name: values for name, values in attributes.items() if name != "$@Role"}
    code = attributes.get("$@Role", ("0",))[0]
    known = code.isdigit() and int(code) < len(ROLES)
    return (ROLES[int(code)] if known else "input"), rest
