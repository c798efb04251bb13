"""What results show in a notebook: the page of the report's own renderer, in a frame of its own.

Counts pass the default privacy profile first, and curves are drawn as a report draws them, since
a notebook is saved with what it shows. The models know nothing of reports; the package's
`__init__` attaches this where it hands them out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html import escape
from types import ModuleType
from typing import Any

from recovery_stats.core.dataset import Dataset
from recovery_stats.core.document import Document
from recovery_stats.core.study import PROFILES, Study

WAYS = ("document", "tidy", "summary", "describe", "curve")  # by which a result tells its numbers
PLAIN = ("Equivalence", "PolicyRisk")  # results that are a few numbers with names
HOMES = ("recovery_stats.models.", "recovery_stats.study.scoring")


def attach() -> None:
    """Give every result class of the modules loaded by now its `_repr_html_`."""
    Dataset._repr_html_ = framed  # type: ignore[attr-defined]
    Study._repr_html_ = framed  # type: ignore[attr-defined]
    for kind in _classes([m for name, m in list(sys.modules.items()) if name.startswith(HOMES)]):
        kind._repr_html_ = framed  # type: ignore[attr-defined]


def _classes(modules: list[ModuleType]) -> Iterator[type]:
    for module in modules:
        for kind in list(vars(module).values()):
            ours = isinstance(kind, type) and kind.__module__.startswith("recovery_stats.")
            if ours and "_repr_html_" not in vars(kind) and _tells(kind):
                yield kind


def _tells(kind: type) -> bool:
    return kind.__name__ in PLAIN or any(callable(getattr(kind, way, None)) for way in WAYS)


def framed(shown: Any) -> str:
    """The page of a result in a frame, so that its style and the notebook's do not meet."""
    from recovery_stats.report.disclose import disclose
    from recovery_stats.study.notebook_page import page_of

    own = getattr(shown, "document", None)
    draft = own() if callable(own) else page_of(shown)
    return frame(disclose(draft, PROFILES["cms"]))


def frame(document: Document, height: int = 30) -> str:
    """A disclosed document as an inline frame of `height` em."""
    from recovery_stats import report

    page = escape(report.render(document, "html").decode(), quote=True)
    return f'<iframe srcdoc="{page}" style="width:100%;height:{height}em;border:0"></iframe>'
