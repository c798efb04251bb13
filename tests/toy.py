"""A toy analysis for tests of the workflow: it counts people, or fails as told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

from recovery_stats import analyses
from recovery_stats.analyses._question import Common, column, option
from recovery_stats.core.check import Check
from recovery_stats.core.dataset import Dataset, Source
from recovery_stats.core.document import Checks, Document
from recovery_stats.core.estimate import Estimand, Estimate
from recovery_stats.core.result import Result
from recovery_stats.core.study import Protocol, Study, TableSpec
from recovery_stats.errors import NotEstimable, UsageError

TABLES = {"waves": "One row a person and wave.", "persons": "One row a person."}
TEMPLATE = "# Toy\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Common):
    person: str | None = column("Who.", table="waves", role="person", default="pid", required=True)
    outcome: str | None = column("What.", table="waves", role="outcome", required=True)
    site: str | None = column("Where.", table="persons", role="site")
    family: str = option("Family.", default="gaussian", choices=("gaussian", "binomial"))
    horizon: float | None = option("Days.", default=None)
    lag: int = option("Waves.", default=1)
    deep: bool = option("More.", default=False)
    fail: str = option("How to fail.", default="")


FAILURES = {"data": NotEstimable("No events."), "fault": ValueError("secret 4711")}


def answer(question: Question, study: Study) -> Result:
    if question.fail == "sleep":
        print("asleep", flush=True)  # noqa: T201 (the test waits for this word)
        time.sleep(60)
    if question.fail in FAILURES:
        raise FAILURES[question.fail]
    mean = float(study["waves"].frame[question.outcome].mean())
    estimate = Estimate("mean", "Mean", mean, mean - 1, mean + 1)
    check = Check("toy check", "fail" if question.deep else "ok", ("Looked.",))
    if question.fail == "primary":
        check = Check("primary estimand", "fail", ("Nobody kept to it. Ask for less.",))
    return Result("toy", Estimand("", "", "", "", ""), (estimate,), (check,))


TOY = analyses.Analysis("toy", "Toy", TABLES, Question, answer, TEMPLATE)


def study(roles: dict[str, Any] | None = None, **protocol: Any) -> Study:
    """Six waves of three people at two sites."""
    waves = pd.DataFrame(
        {"pid": [1, 1, 2, 2, 3, 3], "wave": [1, 2] * 3, "craving": [1.0, 2, 3, 4, 5, 6]},
        index=range(1, 7),
    )
    persons = pd.DataFrame({"pid": [1, 2, 3], "site": [1, 1, 2], "age": [30.0, 40, 50]})
    wave_roles = {"outcome": "craving"} if roles is None else roles
    specs = {
        "waves": TableSpec("waves", roles=wave_roles),
        "persons": TableSpec("persons", roles={"person": "pid"}),
    }
    tables = {
        "waves": Dataset(waves, source=Source("waves.sav", "aa", 6)),
        "persons": Dataset(persons, source=Source("persons.sav", "bb", 3)),
    }
    return Study(tables, Protocol(tables=specs, **protocol))


def get(name: str) -> analyses.Analysis:
    if name != "toy":
        raise UsageError(f"No analysis named {name!r}.")
    return TOY


def report(result: Result) -> Document:
    return Document("toy", "Toy", "REAL", (Checks(result.checks),), result.estimates)


def install(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Let the toy be the one analysis there is, and its report a line of bytes."""
    from recovery_stats.study import workflow

    replace(analyses, "get", get)
    replace(analyses, "names", lambda: ("toy",))
    replace(analyses, "title", lambda name: "Toy")
    replace(workflow, "report", report)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> analyses.Analysis:
    """The toy, installed for one test."""
    install(monkeypatch.setattr)
    return TOY
