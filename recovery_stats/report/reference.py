"""The papers a report cites: kept once as data, printed in APA style and as BibTeX.

A template cites `{citet KEY}` for "Efron (1977)" and `{citep KEY}` for "(Efron, 1977)"; what a
report has cited, and nothing else, is listed where it says `[[references]]`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from recovery_stats.core.document import Document
from recovery_stats.errors import UsageError, unknown

DOI = "https://doi.org/"
FEW = 2  # with more authors than this the text names the first
MANY = 20  # with more authors than this the list leaves some out (APA 7, section 9.8)


@dataclass(frozen=True, slots=True)
class Reference:
    """A paper in a journal; each author "Family, I. I.", pages "1–9"."""

    key: str
    authors: tuple[str, ...]
    year: int
    title: str
    journal: str
    volume: str
    pages: str
    issue: str = ""
    doi: str = ""

    @property
    def families(self) -> list[str]:
        """The family names of the authors."""
        return [author.partition(",")[0] for author in self.authors]


@cache
def library() -> Mapping[str, Reference]:
    """Every reference there is, by its key."""
    text = (Path(__file__).parent / "references.toml").read_text(encoding="utf-8")
    found = {
        key: Reference(key, tuple(entry.pop("authors")), **entry)
        for key, entry in tomllib.loads(text).items()
    }
    return MappingProxyType(found)


def get(key: str) -> Reference:
    """The reference `key`; UsageError with the nearest key where there is none."""
    if key not in library():
        raise UsageError(unknown("reference", key, library()))
    return library()[key]


def cited(hole: str) -> str:
    """The key in "citet KEY" or "citep KEY"; empty for any other hole of a template."""
    word, _, key = hole.partition(" ")
    return key.strip() if word in ("citet", "citep") else ""


def citation(hole: str) -> str:
    """What stands in the text for "citet KEY" or "citep KEY"."""
    found = get(cited(hole))
    if hole.startswith("citet "):
        return f"{_named(found, 'and')} ({found.year})"
    return f"({_named(found, '&')}, {found.year})"


def _named(found: Reference, joined: str) -> str:
    names = found.families
    return f"{names[0]} et al." if len(names) > FEW else f" {joined} ".join(names)


def listed(keys: Iterable[str]) -> list[Reference]:
    """The references in the order of the alphabet and of time, each once."""
    return sorted((get(key) for key in set(keys)), key=lambda r: (_plain(r.authors), r.year))


def _plain(authors: tuple[str, ...]) -> str:
    return " ".join(authors).casefold()


def apa(found: Reference) -> str:
    """One line of a list of references."""
    issue = f"({found.issue})" if found.issue else ""
    place = f"{found.journal}, {found.volume}{issue}, {found.pages}."
    doi = f" {DOI}{found.doi}" if found.doi else ""
    return f"{_authors(found.authors)} ({found.year}). {found.title}. {place}{doi}"


def _authors(names: tuple[str, ...]) -> str:
    *before, last = names
    if len(names) > MANY:
        return f"{', '.join(before[: MANY - 1])}, … {last}"
    return f"{', '.join(before)}, & {last}" if before else last


def render(document: Document) -> bytes:
    """The references of a report as BibTeX, UTF-8."""
    entries = "\n".join(map(bibtex, listed(document.references)))
    return (entries or "% This report cites no paper.\n").encode()


def bibtex(found: Reference) -> str:
    """One @article; capitals of the title are kept where they stand inside it."""
    fields = {
        "author": " and ".join(found.authors),
        "title": f"{{{found.title}}}",
        "journal": found.journal,
        "year": str(found.year),
        "volume": found.volume,
        "number": found.issue,
        "pages": found.pages.replace("–", "--"),
        "doi": found.doi,
    }
    lines = [f"  {name} = {{{_tex(text)}}}," for name, text in fields.items() if text]
    return "\n".join([f"@article{{{found.key},", *lines, "}", ""])


def _tex(text: str) -> str:
    return text.replace("&", r"\&")
