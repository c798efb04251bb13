"""The names of R: `(Intercept)`, `sexF`, `site:person`, and interactions in R's order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SMOOTH = re.compile(r"pspline\((.*), [\d.]+\)$")
LEVEL = re.compile(r"\[(?:T\.)?(.*)\]$")


class Names:
    """Turns our names of terms and coefficients into R's.

    R writes the parts of an interaction in the order in which they first occur in the formula,
    and a coefficient of a factor as column and level without a mark between.
    """

    def __init__(self, formula: str, wrapped: Mapping[str, str] | None = None) -> None:
        self.right = formula.partition("~")[2].replace("`", "")
        self.wrapped = dict(wrapped or {})

    def term(self, name: str) -> str:
        """A term (`Homesize:sens2`) or a coefficient (`Homesize[T.3]:sens2`)."""
        if name == "Intercept":
            return "(Intercept)"
        parts = [(self._place(LEVEL.sub("", p)), p) for p in split(name)]
        return ":".join(self._plain(p) for _, p in sorted(parts, key=lambda part: part[0]))

    def group(self, name: str) -> str:
        """A random factor: `(1 | site/person)` is `person:site` in R, `(1 | site:person)` not."""
        return ":".join(reversed(name.split(":"))) if self._nested(name) else name

    def level(self, group: str, level: str) -> str:
        """A level of a random factor, its parts in the order of the factor's name."""
        return ":".join(reversed(level.split(":"))) if self._nested(group) else level

    def _nested(self, group: str) -> bool:
        parts = r"\s*/\s*".join(map(re.escape, group.split(":")))
        return ":" in group and re.search(rf"\|\s*{parts}(?![\w.])", self.right) is not None

    def _place(self, part: str) -> int:
        found = re.search(rf"(?<![\w.]){re.escape(part)}(?![\w.])", self.right)
        return found.start() if found else self.right.find(part) % 10**6

    def _plain(self, part: str) -> str:
        level = LEVEL.search(part)
        column = LEVEL.sub("", part)
        smooth = SMOOTH.match(column)
        if smooth and level:  # R counts from its first B-spline but one
            return f"ps({smooth[1]}){int(level[1]) + 2}"
        return self.wrapped.get(column, column) + (level[1] if level else "")


def split(name: str) -> list[str]:
    """The parts of an interaction; a colon inside brackets or parentheses parts nothing."""
    parts, depth, last = [], 0, 0
    for at, letter in enumerate(name):
        depth += (letter in "[(") - (letter in ")]")
        if letter == ":" and depth == 0:
            parts.append(name[last:at])
            last = at + 1
    return [*parts, name[last:]]


def number(value: float) -> str:
    """A number as R's paste() writes it."""
    return f"{value:.15g}"


def short(column: str, among: Sequence[str] = ()) -> str:
    """`ph.ecog` is `ecog` in keys, where no other column would be."""
    last = column.rpartition(".")[2]
    return column if sum(c.rpartition(".")[2] == last for c in among) > 1 else last
