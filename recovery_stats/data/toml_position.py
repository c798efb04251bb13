"""On which line of a TOML file each key stands; tomllib reads values but not positions.

A scanner of tokens in one pass, without recursion: it bounds the nesting before tomllib sees
the text (tomllib takes quadratic time on a key of many parts and overflows on deep arrays).
It never judges the grammar: what is not TOML is left for tomllib to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from recovery_stats.errors import UsageError

DEEPEST = 32

Path = tuple[str | int, ...]

# Possessive repeats and optional closing quotes: no backtracking, so the scan is linear even
# in text that is not TOML. An unclosed string ends with its line, an unclosed long one with
# the text.
_TOKEN = re.compile(
    r'''
      (?P<comment>\#[^\n]*+)
    | (?P<long>"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5})?|\'{3}(?:[^']|'(?!''))*+(?:'{3,5})?)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*+"?|'[^'\n]*+'?)
    | (?P<newline>\n)
    | (?P<mark>[\[\]{}=,.])
    | (?P<word>[^\s\[\]{}=,.\#"']++)
    | (?P<space>[^\S\n]++)
    ''',
    re.VERBOSE | re.DOTALL,
)


class TooDeep(UsageError):  # noqa: N818 (what is wrong, in two words)
    """Nested deeper than any study file needs; `line` says where."""

    def __init__(self, line: int) -> None:
        super().__init__(f"Nested more than {DEEPEST} levels deep.")
        self.line = line


@dataclass(slots=True)
class _Scanner:
    """Where the scan stands: the table in force, the open brackets, the key being read."""

    lines: dict[Path, int] = field(default_factory=dict)
    counts: dict[Path, int] = field(default_factory=dict)
    table: Path = ()
    key: list[str] = field(default_factory=list)
    open: list[tuple[str, Path]] = field(default_factory=list)  # bracket, path outside it
    path: Path = ()
    in_header: int = 0
    in_value: bool = False

    def read(self, text: str) -> Mapping[Path, int]:
        for line, group, token in _tokens(text):
            if group == "newline":
                self._end_line()
            elif group == "mark":
                self._mark(token, line)
            elif not self.in_value and group in ("word", "string"):
                self.key.append(_unquoted(token))
            if len(self.open) > DEEPEST or len(self.key) > DEEPEST:
                raise TooDeep(line)
        return self.lines

    def _end_line(self) -> None:
        if not self.open:
            self.key.clear()
            self.in_value, self.in_header, self.path = False, 0, self.table

    def _mark(self, mark: str, line: int) -> None:
        if not self.in_value and mark == "=":
            self.path = self.path + tuple(self.key)
            self.lines.setdefault(self.path, line)
            self.key.clear()
            self.in_value = True
        elif self.in_value:
            self._mark_in_value(mark)
        elif mark == "[":
            self.in_header += 1
        elif mark == "]" and self.in_header:
            self._enter_table(line)
        elif mark == "}" and self.open:
            self._close()

    def _mark_in_value(self, mark: str) -> None:
        if mark in "[{":
            self.open.append((mark, self.path))
            self.in_value = mark == "["
        elif mark in "]}" and self.open:
            self._close()
        elif mark == "," and self.open and self.open[-1][0] == "{":
            self.path = self.open[-1][1]
            self.in_value = False

    def _close(self) -> None:
        self.path = self.open.pop()[1]
        self.key.clear()
        self.in_value = True

    def _enter_table(self, line: int) -> None:
        if not self.key:
            return
        path: Path = ()
        for part in self.key[:-1]:
            path = self._latest((*path, part))
        path = (*path, self.key[-1])
        if self.in_header > 1:
            self.counts[path] = self.counts.get(path, -1) + 1
            self.lines.setdefault(path, line)
        self.table = self.path = self._latest(path)
        self.lines.setdefault(self.table, line)
        self.key.clear()
        self.in_header = 0

    def _latest(self, path: Path) -> Path:
        return (*path, self.counts[path]) if path in self.counts else path


def positions(text: str) -> Mapping[Path, int]:
    """Map each key and table header of `text` to its line, counted from 1.

    Arrays of tables are numbered from 0: ("analysis", 0, "outcome"). Raises TooDeep.
    """
    return _Scanner().read(text)


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    line = 1
    for match in _TOKEN.finditer(text):
        group, token = match.lastgroup or "", match.group()
        yield line, group, token
        if group in ("newline", "long"):
            line += token.count("\n")


def _unquoted(token: str) -> str:
    return token[1:-1] if token[0] in "\"'" and token[-1] == token[0] else token
