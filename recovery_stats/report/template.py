"""Read the words of a report: `analyses/NAME.md` to a tree that knows nothing of the numbers.

The grammar, in blocks separated by blank lines:

    # Title                     first line
    ## Heading                  `## [if diary] Heading` appears only when the result says so
    [answer if a unless b] …    a paragraph with its role and its conditions
    - item                      a list; an item may have conditions of its own
    [[name]]                    a table, a figure or a built-in, alone on its line
    [[name?]]                   the same, skipped when the result has none
    {name} {name.part}          a fact, or (a part of) an estimate; {{ and }} are braces
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import get_args

from recovery_stats.core.document import ParagraphRole
from recovery_stats.errors import UsageError, unknown

ROLES: tuple[ParagraphRole, ...] = get_args(ParagraphRole)

_BLOCK = re.compile(r"\[\[\s*([\w.-]+)(\??)\s*\]\]")
_HEADING = re.compile(r"(#+)\s+(.*)")
_MARKER = re.compile(r"\[(?!\[)(\s*[a-z]+(?:\s+(?:if|unless)\s+[\w.-]+)*|[^\]{}]*)\]\s*")
_HOLE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Condition:
    """Said when all of `given` and none of `unless` are among the things a result says."""

    given: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()

    def holds(self, said: frozenset[str]) -> bool:
        return self.given <= said and not self.unless & said


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in a sentence for the fact or estimate called `name`."""

    name: str


Words = tuple[str | Hole, ...]


@dataclass(frozen=True, slots=True)
class TemplateHeading:
    text: str
    depth: int
    condition: Condition = Condition()


@dataclass(frozen=True, slots=True)
class TemplateParagraph:
    words: Words
    role: ParagraphRole = "text"
    condition: Condition = Condition()


@dataclass(frozen=True, slots=True)
class TemplateList:
    items: tuple[TemplateParagraph, ...]
    role: ParagraphRole = "text"
    condition: Condition = Condition()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the table, figure or built-in called `name` goes."""

    name: str
    optional: bool = False
    condition: Condition = field(default=Condition())


Piece = TemplateHeading | TemplateParagraph | TemplateList | Place


def parse(template: str) -> tuple[Piece, ...]:
    """Split a template into its pieces; the title line is left out."""
    lines = template.replace("\r\n", "\n").strip().split("\n")
    if lines and re.match(r"#\s", lines[0]):
        lines = lines[1:]
    return tuple(_piece(chunk) for chunk in _chunks(lines))


def holes(text: str) -> Words:
    """Split prose at its `{name}` holes."""
    words: list[str | Hole] = []
    end = 0
    for match in _HOLE.finditer(text):
        words.append(text[end : match.start()])
        end = match.end()
        if match[1] is None:
            words.append(match[0][0])
        else:
            words.append(Hole(match[1].strip()))
    words.append(text[end:])
    return tuple(word for word in words if word != "")


def _chunks(lines: list[str]) -> list[list[str]]:
    """Blocks of lines: a heading and a placed table stand alone even without a blank line."""
    chunks: list[list[str]] = [[]]
    for line in lines:
        if not line.strip():
            chunks.append([])
        elif _HEADING.match(line) or _BLOCK.fullmatch(line.strip()):
            chunks += [[line], []]
        else:
            chunks[-1].append(line)
    return [chunk for chunk in chunks if chunk]


def _piece(lines: list[str]) -> Piece:
    first = lines[0].strip()
    if heading := _HEADING.match(first):
        _, condition, text = _marker(heading[2])
        return TemplateHeading(text, len(heading[1]), condition)
    role, condition, rest = _marker(first)
    body = [line for line in (rest, *lines[1:]) if line.strip()]
    if len(body) == 1 and (place := _BLOCK.fullmatch(body[0].strip())):
        return Place(place[1], bool(place[2]), condition)
    if body and body[0].startswith("- "):
        return TemplateList(tuple(_items(body)), role, condition)
    return TemplateParagraph(holes(" ".join(line.strip() for line in body)), role, condition)


def _items(lines: list[str]) -> list[TemplateParagraph]:
    texts: list[str] = []
    for line in lines:
        if line.startswith("- "):
            texts.append(line[2:].strip())
        else:
            texts[-1] += " " + line.strip()
    items = []
    for text in texts:
        _, condition, rest = _marker(text)
        items.append(TemplateParagraph(holes(rest), condition=condition))
    return items


def _marker(text: str) -> tuple[ParagraphRole, Condition, str]:
    """Read `[role if a unless b]` at the start; brackets that are not a marker stay as they are."""
    match = _MARKER.match(text)
    words = match[1].split() if match else []
    if not match or not words or not _reads_as_marker(words):
        return "text", Condition(), text
    role = "text" if words[0] in ("if", "unless") else words.pop(0)
    if role not in ROLES:
        raise UsageError(unknown("paragraph role", role, ROLES))
    tests = list(zip(words[::2], words[1::2], strict=True))
    given = frozenset(name for word, name in tests if word == "if")
    unless = frozenset(name for word, name in tests if word == "unless")
    known: ParagraphRole = next(r for r in ROLES if r == role)
    return known, Condition(given, unless), text[match.end() :]


def _reads_as_marker(words: list[str]) -> bool:
    tests = words if words[0] in ("if", "unless") else words[1:]
    pairs = len(tests) % 2 == 0 and all(word in ("if", "unless") for word in tests[::2])
    return pairs and words[0].isalpha() and words[0].islower()
