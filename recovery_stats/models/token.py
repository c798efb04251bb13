"""The words of a formula, and a cursor that moves over them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recovery_stats.errors import FormulaError

MAX_DEPTH = 40
SHOWN = 40  # characters of a token in a message

_NAME = r"(?:[^\W\d]|\.(?!\d))(?:[\w.])*"
_PLAIN = re.compile(_NAME)
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
       | `(?P<quoted>(?:[^`]|``)+)`
       | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
       | (?P<name>{_NAME})
       | "(?P<double>[^"]*)" | '(?P<single>[^']*)'
       | (?P<operator>\|\||\*\*|==|[~+\-*/:^()|,=])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # name, quoted, number, text, operator, end
    value: str
    at: int


def tokens(text: str) -> tuple[Token, ...]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FormulaError(_where(text, at, f"{text[at]!r} has no meaning here"))
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(*_spelled(kind, match[kind]), at))
        at = match.end()
    return (*found, Token("end", "the end", len(text)))


def _spelled(kind: str, value: str) -> tuple[str, str]:
    if kind == "quoted":
        return kind, value.replace("``", "`")
    if kind in ("double", "single"):
        return "text", value
    return kind, "^" if value == "**" else value


def _where(text: str, at: int, why: str) -> str:
    start = max(0, at - 30)
    shown = ("…" if start else "") + text[start : at + 30] + ("…" if at + 30 < len(text) else "")
    return f"Formula, character {at + 1}: {why} (near {shown!r})."


class Cursor:
    """Moves over the tokens of one formula and says where it stopped making sense."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at, self.depth = text, tokens(text), 0, 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += token.kind != "end"
        return token

    def sees(self, *operators: str) -> bool:
        return self.next.kind == "operator" and self.next.value in operators

    def accept(self, *operators: str) -> str | None:
        return self.take().value if self.sees(*operators) else None

    def expect(self, operator: str) -> None:
        if not self.accept(operator):
            raise self.error(f"expected {operator!r}, found {self.found()}")

    def found(self) -> str:
        return "the end" if self.next.kind == "end" else repr(self.shown())

    def shown(self) -> str:
        """The next token, cut where nobody would read on."""
        value = self.next.value
        return value if len(value) <= SHOWN else f"{value[:SHOWN]}…"

    def error(self, why: str) -> FormulaError:
        return FormulaError(_where(self.text, self.next.at, why))

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} parentheses inside each other")


def quote(name: str) -> str:
    """Write a column's name so that `parse` reads it back as that one column."""
    return name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`"
