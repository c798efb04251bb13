"""Labels of columns as words: inside a sentence, at its start, on an axis.

A label is written for a codebook: capitalised, with its instrument in brackets. Sentences take
the words without either; tables keep the label whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from recovery_stats.core.check import Check

_REMARK = re.compile(r"\s*\((?:[^()]|\([^()]*\))*\)\s*$")


def short(label: str) -> str:
    """The label without the bracketed remark at its end: 'Craving (PACS total)' is 'Craving'."""
    return _REMARK.sub("", label) or label


def phrase(label: str) -> str:
    """The short label as it reads inside a sentence; abbreviations and names of columns stay."""
    words = short(label)
    first = words.split(" ", 1)[0]
    ordinary = first[1:].islower() or (len(first) == 1 and " " in words)
    return words[:1].lower() + words[1:] if ordinary else words


def opening(label: str) -> str:
    """The short label at the start of a sentence or a caption."""
    words = short(label)
    return words[:1].upper() + words[1:]


def reworded(check: Check, words: Mapping[str, str]) -> Check:
    """The check of a model with words for the columns it names: in its sentences and its place.

    A name is one where it follows "for", "of" or a bracket, or begins a text: a column may be
    called as something that sentences say.
    """

    def told(text: str) -> str:
        for name, word in words.items():
            own = re.escape(name)
            text = re.sub(rf"\bone level of {own}\b", f"one {word}", text)
            text = re.sub(rf"\blevels of {own}\b", plural(word), text)
            text = re.sub(rf"(?:(?<=\bfor )|(?<=\bof )|(?<=\()|^){own}(?!\w)", word, text)
        return text

    parts = tuple(told(p) if isinstance(p, str) else p for p in check.parts)
    return replace(check, parts=parts, about=told(check.about))


def plural(unit: str) -> str:
    """'point' to 'points'; a unit that ends in s stays."""
    return unit if unit.endswith("s") else f"{unit}s"


def holding(conditions: Mapping[str, bool]) -> frozenset[str]:
    """The names of the conditions that hold: what a report may say."""
    return frozenset(name for name, holds in conditions.items() if holds)
