"""recovery-stats explain"""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from recovery_stats.cli.screen import Screen, screened
from recovery_stats.errors import UsageError, nearest

WORDS = Path(__file__).with_name("words.toml")
KINDS = {"analysis": "Analyses", "method": "Methods", "term": "Terms", "check": "Checks"}
WIDTH = 80


@dataclass(frozen=True, slots=True)
class Word:
    """An entry: what it means, and when not to trust it."""

    name: str
    kind: str
    means: str
    doubt: str
    also: tuple[str, ...] = ()
    see: tuple[str, ...] = ()
    source: str = ""


def words() -> tuple[Word, ...]:
    """All entries in the order of the file."""
    return tuple(map(_word, tomllib.loads(WORDS.read_text(encoding="utf-8"))["word"]))


def _word(entry: dict[str, Any]) -> Word:
    return Word(
        name=entry["name"],
        kind=entry["kind"],
        means=entry["means"].strip(),
        doubt=entry["doubt"].strip(),
        also=tuple(entry.get("also", ())),
        see=tuple(entry.get("see", ())),
        source=entry.get("source", ""),
    )


def find(asked: str) -> Word:
    """The entry that goes by that name; UsageError with the nearest one when there is none."""
    names = {n.casefold(): word for word in words() for n in (word.name, *word.also)}
    folded = _folded(asked)
    for spelling in (asked.casefold(), folded, folded.removesuffix("s"), folded.replace(" ", "-")):
        if spelling in names:
            return names[spelling]
    close = nearest(asked, names)
    hint = f" Did you mean {close!r}?" if close else ""
    raise UsageError(f"No word {asked!r} here.{hint} The list: recovery-stats explain.")


def _folded(asked: str) -> str:
    return asked.casefold().replace("_", " ").replace("-", " ").strip()


@click.command("explain")
@click.argument("asked", nargs=-1, metavar="[WORD]")
@screened
def command(asked: tuple[str, ...], screen: Screen) -> int:
    """Say what a term, a method, an analysis or a check means and when not to trust it.

    Without a word: the list of them.
    """
    if not asked:
        return _list(screen)
    word = find(" ".join(asked))
    if screen.as_json:
        screen.data(asdict(word))
        return 0
    screen.result(f"{click.style(word.name, bold=True)} ({word.kind})\n")
    screen.result(_paragraph(word.means))
    screen.result(f"\nWhen not to trust it\n{_paragraph(word.doubt)}")
    if word.see:
        screen.result(f"\nSee also: {', '.join(word.see)}")
    if word.source:
        screen.result(f"Source: {word.source}")
    return 0


def _paragraph(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _list(screen: Screen) -> int:
    known = words()
    if screen.as_json:
        screen.data([asdict(word) for word in known])
        return 0
    for kind, heading in KINDS.items():
        names = [word.name for word in known if word.kind == kind]
        screen.result(f"{heading}\n{_paragraph(', '.join(names))}\n")
    return 0
