"""Document to a tagged PDF (PDF/UA-1) for paper: the only importer of WeasyPrint, an extra.

It is the page of the web, set for A4: numbered pages, headings repeated over tables, bookmarks,
and the numbers of the figures at the end. Letters are those that travel with matplotlib, in which
figures are measured, so that lines break alike on every machine.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from recovery_stats.core.document import Document, Figure
from recovery_stats.errors import UsageError
from recovery_stats.report import figure_data, figures, html, style, words

FAMILIES = {
    "Paper Serif": "STIXGeneral",
    "Paper Sans": "DejaVuSans",
    "Paper Mono": "DejaVuSansMono",
}
STIX_CUTS = {"": "", "Bol": "font-weight: bold;", "Italic": "font-style: italic;"}
DEJAVU_CUTS = {"": "", "-Bold": "font-weight: bold;", "-Oblique": "font-style: italic;"}
_DESCRIBED = re.compile(r'<title id="[^"]*">[^<]*</title>\n<desc id="[^"]*">([^<]*)</desc>')

_PAD = re.compile(r'<span class="pad" aria-hidden="true">([.0]+)</span>')
_P = re.compile(r"p (?:=|&lt;|&gt;) \.\d+")


def printer() -> Any:
    """WeasyPrint; UsageError with the cure where it, or the Pango it draws with, is not here."""
    try:
        import weasyprint
    except ImportError:
        raise UsageError(
            "PDF needs an optional part that is not installed: pip install 'recovery_stats[pdf]'."
        ) from None
    except OSError:
        raise UsageError(
            "PDF needs the system library Pango 1.44 or newer, which was not found. Debian and "
            "Ubuntu: apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; macOS: brew "
            "install pango; Windows: MSYS2, pacman -S mingw-w64-x86_64-pango."
        ) from None
    return weasyprint


def render(document: Document) -> bytes:
    """The .pdf; the same document gives the same bytes with the same WeasyPrint and Pango."""
    paper = printer()
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)  # of CSS that paper has no use for
    fonts = paper.text.fonts.FontConfiguration()
    fetch = paper.urls.URLFetcher(allowed_protocols=("file",), allow_redirects=False)
    page = paper.HTML(string=_page(document), url_fetcher=fetch)
    made = page.write_pdf(font_config=fonts, pdf_variant="pdf/ua-1", finisher=_tell_scopes)
    return bytes(made)


def _tell_scopes(_: Any, file: Any) -> None:
    """Say of every heading in a table whether it heads a row or a column (PDF/UA-1, 7.5).

    WeasyPrint names the headings of each cell, but of a column that holds the names of rows
    there is no cell to name its heading.
    """
    tags: list[Any] = [tag for tag in file.objects if isinstance(tag, dict) and "S" in tag]
    by_place = {tag.reference: tag for tag in tags}
    for tag in tags:
        if tag["S"] == "/TH" and "A" in tag:
            group = by_place[by_place[tag["P"]]["P"]]["S"]
            tag["A"]["Scope"] = "/Column" if group == "/THead" else "/Row"


def _page(document: Document) -> str:
    """The page as HTML; the title of a drawing becomes what is read out instead of it."""
    sheet = (Path(__file__).parent / "paper.css").read_text(encoding="utf-8")
    body = html.body(document, paper=True) + _appendix(document)
    body = _PAD.sub(lambda pad: words.spaces(pad[1]), _DESCRIBED.sub(r"<title>\1</title>", body))
    body = _P.sub(lambda p: f'<span class="whole">{p[0]}</span>', body)
    body = body.replace(style.SVG_FONTS, "'Paper Sans'")
    return html.framed(document, body, _faces() + sheet)


def _faces() -> str:
    """Where the letters are: nothing else is read."""
    return "".join(
        f'@font-face {{ font-family: "{family}"; {rule} src: url({_address(start + cut)}) }}\n'
        for family, start in FAMILIES.items()
        for cut, rule in (STIX_CUTS if start.startswith("STIX") else DEJAVU_CUTS).items()
    )


def _address(name: str) -> str:
    return figures.font_file(name).as_uri()


def _appendix(document: Document) -> str:
    """The numbers of every figure, where they are in nobody's way."""
    numbers = words.numbering(document)
    drawn = [(numbers[i], b) for i, b in enumerate(document.blocks) if isinstance(b, Figure)]
    parts = [f"<h3>Figure {n}</h3>\n{html.table(figure_data.table(b))}" for n, b in drawn]
    if not parts:
        return ""
    return "\n".join(
        ['\n<section class="numbers">\n<h2>Numbers of the figures</h2>', *parts, "</section>"]
    )
