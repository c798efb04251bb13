"""The questions this package answers: one module, one template, one test each.

A module here is an analysis when its name has no leading underscore. It offers

    TABLES    the tables it reads, each also a command-line option: {"waves": "help", ...}
    Question  frozen dataclass derived from `_question.Common`; its fields are the options of
              the command line and the keys of study.toml
    answer    (Question, Study) -> Result, pure

and sits beside `<name>.md`, the words of its report; the first line there is its title.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from recovery_stats.core.result import Result
from recovery_stats.core.study import Study
from recovery_stats.errors import UsageError, unknown


@dataclass(frozen=True, slots=True)
class Analysis:
    """A discovered analysis."""

    name: str
    title: str
    tables: Mapping[str, str]
    question: type[Any]
    answer: Callable[[Any, Study], Result]
    template: str


@cache
def names() -> tuple[str, ...]:
    """All analyses, known without importing any of them, so that `--help` stays fast."""
    return tuple(sorted(m.name for m in iter_modules(__path__) if not m.name.startswith("_")))


def template(name: str) -> str:
    """The words of the report, as written in `<name>.md`."""
    return (Path(__path__[0]) / f"{name}.md").read_text(encoding="utf-8")


def title(name: str) -> str:
    """The first line of the template."""
    return template(name).partition("\n")[0].removeprefix("# ").strip()


def get(name: str) -> Analysis:
    """Import one analysis; UsageError with the nearest name when there is none."""
    if name not in names():
        raise UsageError(unknown("analysis", name, names()))
    module = import_module(f"{__name__}.{name}")
    return Analysis(
        name, title(name), module.TABLES, module.Question, module.answer, template(name)
    )
