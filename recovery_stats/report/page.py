"""The frame of every HTML page: head with style and policy, badge, title, main."""

from __future__ import annotations

from html import escape
from pathlib import Path

from recovery_stats.report.words import BADGES, clean

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(
    title: str,
    badges: str,
    body: str,
    *,
    called: str = "",
    language: str = "en",
    also: str = "",
) -> str:
    """A self-contained page: no script, nothing fetched. `badges` and `body` are HTML already.

    called: what follows the title in the name of the window. also: a style after the page's own.
    """
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    shown = text(title)
    return f"""<!doctype html>
<html lang="{text(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{shown}{" " + text(called) if called else ""}</title>
<style>
{style}{also}</style>
</head>
<body>
<a class="skip" href="#report">Skip to the report</a>
<header>
{badges}<h1>{shown}</h1>
</header>
<main id="report">
{body}
</main>
</body>
</html>
"""


def badge(kind: str) -> str:
    """Whether the data are real; nothing where nobody knows."""
    if not kind:
        return ""
    word, explained = text(kind), text(BADGES.get(kind, ""))
    line = f"<strong>{word} DATA</strong> <span>{explained}</span>"
    return f'<p class="badge {word.lower()}">{line}</p>\n'


def text(words: str) -> str:
    """Text that is safe in a page, whatever its characters."""
    return escape(clean(words))
