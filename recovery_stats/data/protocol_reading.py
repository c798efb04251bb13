"""One reading of one study file: its lines, and the faults found so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recovery_stats.data.problem import Problem
from recovery_stats.data.protocol_key import Key, fault, plain, short
from recovery_stats.errors import nearest

Section = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """An option of an analysis, as its Question declares it.

    type: bool, int, float or str. choices: the only words allowed, when not empty. many: takes
    a list. column: names a column of `table`, by default the one that plays `role` there.
    """

    name: str
    type: type = str
    choices: tuple[str, ...] = ()
    many: bool = False
    column: bool = False
    table: str = ""
    role: str = ""


Kinds = Mapping[str, Mapping[str, OptionSpec]]


@dataclass(slots=True)
class Reading:
    """One reading of one file: its lines, and the faults found so far."""

    path: Path
    lines: Mapping[str, int]
    analyses: Kinds
    allow_outside: bool = False
    data_to_come: bool = False
    problems: list[Problem] = field(default_factory=list)
    told: set[str] = field(default_factory=set)  # the dotted paths of what is wrong

    def tell(self, at: str, where: str, message: str, cure: str = "") -> None:
        self.told.add(at)
        self.problems.append(Problem(self.line(at), where, message, cure))

    def at_fault(self, *sections: str) -> bool:
        """Whether something in one of these sections, or one as a whole, was told to be wrong."""
        return any(at == s or at.startswith(f"{s}.") for at in self.told for s in sections)

    def line(self, at: str) -> int:
        """The line of the key at the dotted path, or of the nearest section around it."""
        while at and at not in self.lines:
            at = at.rpartition(".")[0]
        return self.lines.get(at, 0)

    def unknown(
        self, at: str, where: str, what: str, name: str, known: Iterable[str], cure: str = ""
    ) -> None:
        known = list(known)
        close = nearest(name, known)
        hint = f"Did you mean {close!r}? " if close else ""
        cure = cure or f"{hint}Known: {', '.join(known) or 'none'}."
        self.tell(at, where, f"No {what} named {short(name)}.", cure)

    def section(self, document: Section, name: str) -> Section:
        value = document.get(name, {})
        if isinstance(value, dict):
            return value
        self.tell(name, f"[{name}]", "Must be a section.", f"Write [{name}] on a line of its own.")
        return {}

    def keys(self, section: Section, at: str, known: Sequence[Key]) -> dict[str, Any]:
        """The values of a section that are right; the others are told."""
        specs = {k.name: k for k in known}
        found: dict[str, Any] = {}
        for name, value in section.items():
            path, where = f"{at}.{name}", f"[{at}] {short(name, quotes=False)}"
            if name not in specs:
                self.unknown(path, where, "key", name, specs)
            elif self.fits(value, specs[name], path, where):
                found[name] = plain(value, specs[name])
        return found

    def fits(self, value: Any, key: Key, at: str, where: str) -> bool:
        """Say whether `value` is what `key` takes; tell when it is not."""
        items = value if key.many and isinstance(value, list) else [value]
        faults = [found for item in items if (found := fault(item, key))]
        if faults:
            self.tell(at, where, faults[0])
        return not faults

    def by_table(self, given: Section, at: str, tables: Section) -> dict[str, Section]:
        """The subsections of `given`, one a table; those of no declared table are told."""
        found: dict[str, Section] = {}
        for name, section in given.items():
            path, where = f"{at}.{name}", f"[{at}] {short(name, quotes=False)}"
            if not isinstance(section, dict):
                cure = f"Say of which table: [{at}.persons] on a line of its own, then the key."
                self.tell(path, where, "Must stand under a table.", cure)
            elif name not in tables:
                what = "table in [tables]"
                self.unknown(path, where, what, name, tables)
            else:
                found[name] = section
        return found
