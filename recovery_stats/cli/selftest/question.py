"""A question with a known answer: the answer, where it is from, how near it must be met."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CLOSE = 1e-8  # what Newton at 1e-10 in the criterion leaves in an estimate


@dataclass(frozen=True, slots=True)
class Known:
    """A reference value, the difference allowed (relative, or absolute below 1), its source."""

    value: float
    tolerance: float
    source: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an engine, and what is known to be true."""

    engine: str
    name: str
    known: Known
    ask: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Trial:
    """One question answered. `fault`: what kept it from being answered."""

    engine: str
    name: str
    expected: float
    tolerance: float
    source: str
    found: float = float("nan")
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is the known one."""
        near = self.tolerance
        return math.isclose(self.found, self.expected, rel_tol=near, abs_tol=near)


def asked(question: Question) -> Trial:
    """Ask; a question that raises is missed, and says by what."""
    known = question.known
    stated = (question.engine, question.name, known.value, known.tolerance, known.source)
    try:
        return Trial(*stated, found=float(question.ask()))
    except Exception as error:
        return Trial(*stated, fault=f"{type(error).__name__}: {error}")


def paper(value: float, source: str, tolerance: float = CLOSE) -> Known:
    """A value from arithmetic that a reader can repeat."""
    return Known(value, tolerance, source)


def stored(key: str) -> Known:
    """A value that R gave for the data beside this file (tests/selftest/reference.R)."""
    return Known(**_stored()[key])


@cache
def _stored() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(
        (FOLDER / "reference.json").read_text(encoding="utf-8")
    )
    return found


@cache
def table(name: str) -> Any:
    """One of the tables that the reference values were computed from."""
    import pandas as pd

    return pd.read_csv(FOLDER / f"{name}.csv")
