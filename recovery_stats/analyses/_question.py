"""Declare a question's fields once: the command line, study.toml and the docs read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def column(
    help: str,
    *,
    table: str,
    role: str,
    default: str | None = None,
    required: bool = False,
    late: bool = False,
) -> Any:
    """Declare a field that names a column of `table`.

    Unset, it takes the column that plays `role` in the study file, else `default` where the
    table has a column of that name, else None (an error when `required`;
    `late`: the analysis itself complains, after what no such column would cure).
    """
    metadata = {
        "help": help,
        "column": True,
        "table": table,
        "role": role,
        "default": default,
        "required": required,
        "late": late,
        "many": False,
    }
    return field(default=None, metadata=metadata)


def columns(help: str, *, table: str, role: str) -> Any:
    """Declare a field that names any number of columns of `table` (an option that repeats)."""
    metadata = {
        "help": help,
        "column": True,
        "table": table,
        "role": role,
        "default": None,
        "required": False,
        "many": True,
    }
    return field(default=(), metadata=metadata)


def option(help: str, *, default: Any, choices: Sequence[str] = (), many: bool = False) -> Any:
    """Declare a field that is a choice, a number, a flag or a word; its type is the default's."""
    metadata = {"help": help, "column": False, "choices": tuple(choices), "many": many}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The fields every question has; an analysis derives its Question from this."""

    adjust: tuple[str, ...] = columns(
        "Baseline covariate to adjust for (repeatable).", table="persons", role="adjust"
    )
    describe: tuple[str, ...] = columns(
        "Characteristic of people, described and not adjusted for (repeatable).",
        table="persons", role="characteristic",
    )  # fmt: skip
    weights: str | None = column("Sampling or analysis weight.", table="persons", role="weights")
    reference: str | None = option("Reference level of the group compared.", default=None)
    level: float = option("Confidence level.", default=0.95)
    seed: int = option("Seed of everything random.", default=1)
    title: str = option("Title of the report, where the usual one does not fit.", default="")
    notes: tuple[str, ...] = option(
        "A limitation to print, known before the run (repeatable).", default=(), many=True
    )
    sensitivity: bool = option("Ask the same question in other ways too.", default=True)

    @property
    def described(self) -> tuple[str, ...]:
        """What the table of the participants describes: covariates, then other characteristics."""
        return tuple(dict.fromkeys((*self.adjust, *self.describe)))
