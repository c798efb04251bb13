"""Result → Document → bytes: compose, disclose, render; no renderer knows an analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

from recovery_stats.core.document import Document
from recovery_stats.errors import UsageError, unknown

# format: (module that renders it, ending of the file); modules load when first asked for, so
# that a Markdown report never waits for matplotlib
_RENDERERS: Mapping[str, tuple[str, str]] = {
    "html": ("html", ".html"),
    "md": ("markdown", ".md"),
    "json": ("results", ".results.json"),
    "txt": ("text", ".txt"),
    "docx": ("docx", ".docx"),
    "tex": ("latex", ".tex"),
    "csv": ("csv_zip", ".csv.zip"),
    "bib": ("reference", ".bib"),
    "pdf": ("pdf", ".pdf"),
    "figures": ("figure_zip", ".figures.zip"),
}

FORMATS: Mapping[str, str] = {name: ending for name, (_, ending) in _RENDERERS.items()}


def render(document: Document, format: str) -> bytes:
    """The bytes of `document` in one of FORMATS; the document must have been disclosed."""
    require(format)
    module = import_module(f"{__name__}.{_RENDERERS[format][0]}")
    return cast(Callable[[Document], bytes], module.render)(document)


def require(format: str) -> None:
    """Raise UsageError for a format that nothing renders here, before any work is done for it."""
    if format not in _RENDERERS:
        raise UsageError(unknown("report format", format, _RENDERERS))
    if format == "pdf":
        import_module(f"{__name__}.pdf").printer()
