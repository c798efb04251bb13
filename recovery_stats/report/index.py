"""The page over all reports of a folder: what each asked, what it found, and its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from recovery_stats.core.document import Document
from recovery_stats.report import FORMATS, words
from recovery_stats.report.page import badge, page
from recovery_stats.report.words import clean

NAME = "index.html"
CALLED: Mapping[str, str] = {
    "html": "web page",
    "pdf": "PDF",
    "docx": "Word",
    "md": "Markdown",
    "tex": "LaTeX tables",
    "txt": "text",
    "csv": "tables as CSV",
    "bib": "references (BibTeX)",
    "json": "every number (JSON)",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One report on the page; question and answer as printed after disclosure control."""

    title: str = ""
    question: str = ""
    answer: str = ""
    badge: str = ""


def card(document: Document) -> Card:
    """What the page says of a disclosed document."""
    question, answer = (words.said(document, role) for role in ("question", "answer"))
    return Card(document.title, question, answer, document.badge)


def render(title: str, cards: Mapping[str, tuple[Card, Sequence[str]]]) -> bytes:
    """The page as UTF-8 bytes: a card and its file names by report name, in their order."""
    kinds = sorted({shown.badge for shown, _ in cards.values() if shown.badge})
    mixed = len(kinds) > 1
    titles = _told_apart({name: shown.title for name, (shown, _) in cards.items()})
    listed = "\n".join(
        _report(name, titles[name], shown, files, badge(shown.badge) if mixed else "")
        for name, (shown, files) in cards.items()
    )
    head = "" if mixed else "".join(map(badge, kinds))
    body = f'<p class="note">{_count(len(cards))}.</p>\n{listed}'
    return page(title or "Reports of the study", head, body).encode()


def _count(reports: int) -> str:
    return "One report" if reports == 1 else f"{reports} reports"


def _told_apart(titles: Mapping[str, str]) -> dict[str, str]:
    """Titles by report name: with the name where several share one; the name where none is."""
    shared = Counter(titles.values())
    return {
        name: name if not title else title if shared[title] == 1 else f"{title} ({name})"
        for name, title in titles.items()
    }


def _report(name: str, title: str, shown: Card, files: Sequence[str], badges: str) -> str:
    """Title, question, answer and links."""
    title = escape(clean(title))
    first = next((file for file in files if file == f"{name}.html"), "")
    head = f'<a href="{quote(first)}">{title}</a>' if first else title
    said = "".join(
        f'<p class="{role}">{escape(text)}</p>\n'
        for role, text in (("question", shown.question), ("answer", shown.answer))
        if text
    )
    return (
        f'<section aria-labelledby="{escape(name)}">\n<h2 id="{escape(name)}">{head}</h2>\n'
        f"{badges}{said}{_links(name, title, files)}</section>"
    )


def _links(name: str, title: str, files: Sequence[str]) -> str:
    """A link to each file, named by its format and, for those who only hear it, by its report."""
    endings = {f"{name}{FORMATS[word]}": word for word in CALLED if word in FORMATS}
    found = [(file, CALLED[word]) for file, word in endings.items() if file in files]
    links = "".join(
        f'<li><a href="{quote(file)}" aria-label="{title}: {called}">{called}</a></li>'
        for file, called in found
    )
    return f'<ul class="files">{links}</ul>\n' if links else ""
