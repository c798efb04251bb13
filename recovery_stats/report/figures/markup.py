"""The SVG of matplotlib without the file around the drawing: small, unique ids, described."""

from __future__ import annotations

import re
from html import escape

from recovery_stats.core.document import Figure, Flow
from recovery_stats.report import figure_data, flow_box, flow_table, style
from recovery_stats.report.words import clean

_TAG = re.compile(r"<[^>]*>")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r' id="([^"]+)"')
_LINK = re.compile(r'(?:url\(#|href="#)([^)"]+)')


def tidy(raw: str, prefix: str, figure: Figure | Flow) -> str:
    """Keep the drawing, drop the file around it.

    Ids are made unique on the page and kept only where something points at them; coordinates
    have two decimals; the style rule that would apply to the whole page goes onto the element.
    """
    body = raw[raw.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    used = set(_LINK.findall(body))
    body = _TAG.sub(lambda tag: _tidy_tag(tag[0], prefix, used), body)
    body = re.sub(r"\n\s*", "\n", body[body.index(">") + 1 :]).strip()
    return _opening(raw, prefix, figure) + body


def _tidy_tag(tag: str, prefix: str, used: set[str]) -> str:
    """One tag; what stands between tags is text and stays as it is."""
    tag = _ID.sub(lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", tag)
    tag = _LINK.sub(lambda m: m[0].replace(f"#{m[1]}", f"#{prefix}-{m[1]}"), tag)
    tag = _NUMBER.sub(_two_decimals, tag)
    return re.sub(r"'?DejaVu Sans'?(, [^;\"]*)?", style.SVG_FONTS, tag)


def _opening(raw: str, prefix: str, figure: Figure | Flow) -> str:
    box = re.search(r'viewBox="([^"]+)"', raw)
    view = _NUMBER.sub(_two_decimals, box[1]) if box else "0 0 1 1"
    if isinstance(figure, Flow):
        called, said = flow_table.CAPTION, flow_box.alt_text(figure)
    else:
        called, said = figure.caption, figure_data.alt_text(figure)
    title, alt = escape(clean(called)), escape(clean(said))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc" '
        f'stroke-linejoin="round" stroke-linecap="butt">\n'
        f'<title id="{prefix}-title">{title}</title>\n<desc id="{prefix}-desc">{alt}</desc>\n'
    )


def _two_decimals(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
