"""What a fit shows in a notebook: its coefficients and checks, by the report's own renderer.

The models know nothing of reports; the package's `__init__` attaches this where it hands them out.
"""

from __future__ import annotations

from html import escape
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import pandas as pd

from recovery_stats.core.check import Check
from recovery_stats.core.document import Checks, Column, Document, Quantity, Row, Table

LABELS = {
    "estimate": "Estimate", "std_error": "Standard error", "df": "df", "statistic": "Statistic",
    "p_value": "p", "conf_low": "95% from", "conf_high": "to",
    "error_ratio": "Robust ÷ model's error",
}  # fmt: skip
STYLES = {"df": "df", "p_value": "p"}


class Fit(Protocol):
    """What is shown of a fit."""

    def tidy(self) -> pd.DataFrame: ...
    def checks(self) -> tuple[Check, ...]: ...


def attach(module: ModuleType) -> None:
    """Give the fit classes that a module of models names their `_repr_html_`."""
    for kind in vars(module).values():
        if isinstance(kind, type) and _shows(kind, module):
            kind._repr_html_ = framed  # type: ignore[attr-defined]


def _shows(kind: type, module: ModuleType) -> bool:
    """Whether a class has a document of its own, or coefficients and checks, and no page yet."""
    if "_repr_html_" in vars(kind):
        return False
    own = hasattr(kind, "document") and kind.__module__ == module.__name__
    return own or (hasattr(kind, "tidy") and hasattr(kind, "checks"))


def framed(fit: Fit) -> str:
    """The page of a fit in a frame of its own, so that its style and the notebook's do not meet."""
    from recovery_stats import report

    own = getattr(fit, "document", None)
    shown = own() if own is not None else document(fit)
    page = escape(report.render(shown, "html").decode(), quote=True)
    return f'<iframe srcdoc="{page}" style="width:100%;height:30em;border:0"></iframe>'


def document(fit: Fit) -> Document:
    """Coefficients, and what the checks say."""
    table = fit.tidy()
    shown = [c for c in LABELS if c in table]
    columns = tuple(Column(c, LABELS[c]) for c in shown)
    rows = tuple(_row(record, shown) for record in table.to_dict("records"))
    title = repr(fit).strip("<>")
    blocks = (Table("coefficients", title, columns, rows), Checks(tuple(fit.checks())))
    return Document("fit", title, "", blocks)


def _row(record: dict[Any, Any], shown: list[str]) -> Row:
    cells = tuple(_cell(record[c], c) for c in shown)
    return Row(str(record["term"]), str(record["term"]), cells)


def _cell(value: float, column: str) -> Quantity | str:
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return "" if np.isnan(value) else Quantity(float(value), STYLES.get(column, "plain"))  # type: ignore[arg-type]
