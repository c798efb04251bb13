"""The currency of the package: one number that answers a question, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scale = Literal["difference", "ratio", "probability", "time", "variance", "correlation"]
Level = Literal["primary", "secondary", "sensitivity", "naive", "descriptive"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value on `scale` with interval, test and the method that produced it.

    name : machine name, unique within a Result ("hr_last7", "risk_difference").
    value, low, high : point and `confidence` interval, on `scale`.
    se : standard error on the linear scale (log scale when `scale` is "ratio").
    p : two-sided, null 0 on the linear scale; nan where there is no test.
    df : degrees of freedom of the reference distribution; inf means normal.
    level : which rank the analysis gave it before the run.
    n, events : people (or clusters of rows) and events behind it, for disclosure and tables.
    """

    name: str
    label: str
    value: float
    low: float
    high: float
    se: float = float("nan")
    p: float = float("nan")
    df: float = float("inf")
    scale: Scale = "difference"
    level: Level = "secondary"
    method: str = ""
    confidence: float = 0.95
    n: int | None = None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Estimand:
    """The five attributes of ICH E9(R1), as sentences printed in the report."""

    population: str
    treatment: str
    endpoint: str
    intercurrent: str
    summary: str
