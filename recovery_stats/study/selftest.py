"""A self-test of the installation: small data whose answers are known on paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CLOSE = 1e-8  # what Newton at 1e-10 in the criterion leaves in an estimate


@dataclass(frozen=True, slots=True)
class Trial:
    """One question with a known answer. `fault`: what kept it from being answered."""

    name: str
    expected: float
    found: float = float("nan")
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is the one on paper."""
        return math.isclose(self.found, self.expected, rel_tol=CLOSE, abs_tol=CLOSE)


Question = tuple[str, float, Callable[[], float]]


def run_all() -> tuple[Trial, ...]:
    """Ask every question; a question that raises is missed, and the rest goes on."""
    return tuple(_asked(*question) for question in QUESTIONS)


def _asked(name: str, expected: float, ask: Callable[[], float]) -> Trial:
    try:
        return Trial(name, expected, float(ask()))
    except Exception as error:
        return Trial(name, expected, fault=f"{type(error).__name__}: {error}")


def _people() -> Any:
    """Three people, no ties: the likelihood is u / (2u + 1) / (1 + u), greatest at u² = ½."""
    import pandas as pd

    return pd.DataFrame({"days": [1.0, 2.0, 3.0], "event": [1, 1, 1], "x": [1.0, 0.0, 1.0]})


def _cox() -> float:
    from recovery_stats.models.survival import cox

    return float(cox("Surv(days, event) ~ x", _people()).tidy()["estimate"].iloc[0])


def _curve() -> Any:
    """Four people, one censored on day 2: survival ¾ after day 1, ⅜ after day 3."""
    import pandas as pd

    from recovery_stats.models.survival import kaplan_meier

    data = pd.DataFrame({"days": [1.0, 2.0, 3.0, 4.0], "event": [1, 0, 1, 1]})
    return kaplan_meier("Surv(days, event) ~ 1", data).tidy().set_index("time")


def _logrank() -> float:
    """Groups {1, 3}, {2, 4}, all events: O - E = 2 - 4/3, V = 1/4 + 2/9 + 1/4."""
    import pandas as pd

    from recovery_stats.models.survival import logrank

    data = pd.DataFrame({"days": [1.0, 3.0, 2.0, 4.0], "event": 1, "g": ["a", "a", "b", "b"]})
    return float(logrank("Surv(days, event) ~ g", data).tidy()["statistic"].iloc[0])


def _houses() -> Any:
    """Three houses of two, balanced: REML is the analysis of variance, MSB 74/3, MSW 2."""
    import pandas as pd

    from recovery_stats.models.mixed import lmm

    data = pd.DataFrame({"y": [1.0, 3, 4, 6, 8, 10], "house": ["a", "a", "b", "b", "c", "c"]})
    return lmm("y ~ 1 + (1 | house)", data)


def _variance(group: str) -> float:
    parts = _houses().variance_components().set_index("group")
    return float(parts.loc[group, "covariance"])


def _standard_error() -> float:
    return float(_houses().tidy()["std_error"].iloc[0])


def _cells_apart() -> float:
    """A small SPSS file with text, gaps and codes: our reader against pyreadstat."""
    import tempfile
    from pathlib import Path

    import pandas as pd

    from recovery_stats.core.codebook import Codebook, MissingRule, Variable
    from recovery_stats.core.dataset import Dataset
    from recovery_stats.data.sav import write_spss
    from recovery_stats.data.sav_crosscheck import compare

    frame = pd.DataFrame({"x": [1.5, float("nan"), -1e9], "s": ["a", "", "Ä"]}, index=[1, 2, 3])
    text = Variable("s", kind="string", width=4)
    book = Codebook({"x": Variable("x", missing=MissingRule((-99.0,))), "s": text})
    data = Dataset(frame, book, {"x": pd.Series([-99.0], index=[2])})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.sav"
        write_spss(data, path)
        found = compare(path)
    return math.nan if found.fault else float(sum(map(len, found.differing.values())))


QUESTIONS: tuple[Question, ...] = (
    ("Cox model, three people: log hazard ratio", -math.log(2) / 2, _cox),
    ("Kaplan-Meier, four people: day 1", 3 / 4, lambda: _curve().loc[1.0, "estimate"]),
    ("Kaplan-Meier, four people: day 3", 3 / 8, lambda: _curve().loc[3.0, "estimate"]),
    ("Log-rank test, two groups of two", (2 - 4 / 3) ** 2 / (13 / 18), _logrank),
    ("Mixed model, three houses: variance of houses", 34 / 3, lambda: _variance("house")),
    ("Mixed model, three houses: residual variance", 2.0, lambda: _variance("Residual")),
    ("Mixed model, three houses: standard error", math.sqrt(74 / 18), _standard_error),
    ("SPSS file, two readers: cells that differ", 0.0, _cells_apart),
)
