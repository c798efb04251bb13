"""From options and roles to a Question: which column plays which part in an analysis."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from recovery_stats.analyses import Analysis
from recovery_stats.core.study import Study
from recovery_stats.errors import DataError, UsageError, nearest, unknown

WEIGHTS, CHARACTERISTIC = "weights", "characteristic"


@dataclass(frozen=True, slots=True)
class Option:
    """One field of a Question as the command line, study.toml and Python see it.

    type: bool, int, float or str (of one member when `many`). table, role, fallback, required,
    late: of a column only, as `_question.column` declares them.
    """

    name: str
    help: str
    type: type[Any]
    default: Any
    choices: tuple[str, ...] = ()
    many: bool = False
    column: bool = False
    table: str = ""
    role: str = ""
    fallback: str | None = None
    required: bool = False
    late: bool = False

    @property
    def flag(self) -> str:
        """Its spelling on the command line."""
        return "--" + self.name.replace("_", "-")


def options_of(question: type[Any]) -> tuple[Option, ...]:
    """Read the options off the fields of a Question; once, for thousands of analyses."""
    return _options(question)  # type: ignore[arg-type]  # a class has a hash, whatever it holds


@cache
def _options(question: type[Any]) -> tuple[Option, ...]:
    hints = typing.get_type_hints(question)
    return tuple(_option(f, hints[f.name]) for f in dataclasses.fields(question))


def _option(field: dataclasses.Field[Any], hint: Any) -> Option:
    known = field.metadata
    return Option(
        name=field.name,
        help=known.get("help", ""),
        type=_word_type(hint),
        default=field.default,
        choices=tuple(known.get("choices", ())),
        many=known.get("many", False),
        column=known.get("column", False),
        table=known.get("table", ""),
        role=known.get("role", ""),
        fallback=known.get("default"),
        required=known.get("required", False),
        late=known.get("late", False),
    )


def _word_type(hint: Any) -> type[Any]:
    """The plain type inside `float | None` or `tuple[str, ...]`; str for anything else."""
    if hint in (bool, int, float, str):
        return typing.cast(type[Any], hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) in (typing.Union, tuple):
        inner = [a for a in typing.get_args(hint) if a not in (type(None), Ellipsis)]
        return _word_type(inner[0]) if inner else str
    return str


def bind(
    analysis: Analysis, study: Study, options: Mapping[str, Any], *, to_answer: bool = False
) -> Any:
    """Fill the Question of `analysis`: explicit option, role of the study, default, None.

    to_answer: a column declared `late` may stay None, for the analysis to complain of.

    Raises UsageError for an unknown option, a wrong type or choice, a required column that
    nothing names; DataError for a column that does not exist.
    """
    known = {o.name: o for o in options_of(analysis.question)}
    for name in options:
        if name not in known:
            raise UsageError(unknown(f"option of {analysis.name}", name, known))
    values = {
        name: _fill(
            replace(o, required=False) if o.late and to_answer else o, analysis, study,
            options.get(name),
        )
        for name, o in known.items()
    }  # fmt: skip
    return analysis.question(**values)


def _fill(option: Option, analysis: Analysis, study: Study, given: Any) -> Any:
    unset = given is None or (option.many and not given)
    if not option.column:
        return _checked(option, _preset(option, study) if unset else _typed(option, given))
    if not unset:
        return _named(option, _holders(option, analysis, study), study, given)
    return _by_role(option, analysis, study)


def _preset(option: Option, study: Study) -> Any:
    """The default; level and seed are the protocol's own where nobody overrides them."""
    declared = {"level": study.protocol.level, "seed": study.protocol.seed}
    return declared.get(option.name, option.default)


def _typed(option: Option, given: Any) -> Any:
    if not option.many:
        return _word(option, given)
    members = given if isinstance(given, list | tuple) else (given,)
    return tuple(_word(option, m) for m in members)


def _word(option: Option, given: Any) -> Any:
    """Convert where nothing is lost: 1 to 1.0, the code 1 to the word '1'; refuse the rest."""
    if isinstance(given, bool) or option.type is bool:
        if not (isinstance(given, bool) and option.type is bool):
            raise _wrong_type(option, given)
        return given
    if option.type is str and isinstance(given, int | float):
        return f"{given:g}"
    if option.type is float and isinstance(given, int):
        return float(given)
    if not isinstance(given, option.type):
        raise _wrong_type(option, given)
    return given


def _wrong_type(option: Option, given: Any) -> UsageError:
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    return UsageError(
        f"Option {option.name!r} takes {wanted[option.type]}, not {given!r} "
        f"({type(given).__name__})."
    )


def _checked(option: Option, value: Any) -> Any:
    for word in value if option.many else (value,):
        if option.choices and word is not None and word not in option.choices:
            raise UsageError(unknown(f"choice for option {option.name!r}", word, option.choices))
    if option.name == "level" and not 0 < value < 1:
        raise UsageError(f"Option 'level' must lie between 0 and 1, not {value:g}. 0.95 is usual.")
    if option.name == "seed" and value < 0:
        raise UsageError(f"Option 'seed' must be 0 or above, not {value}.")
    return value


def _holders(option: Option, analysis: Analysis, study: Study) -> tuple[str, ...]:
    """The tables that can lend the column: its own, then those the analysis joins to it."""
    candidates = dict.fromkeys((option.table, *analysis.tables, "persons"))
    return tuple(t for t in candidates if t in study) or tuple(study.tables)


def _named(option: Option, holders: tuple[str, ...], study: Study, given: Any) -> Any:
    names = tuple(_typed(option, given)) if option.many else (_typed(option, given),)
    for name in names:
        if not any(name in study[table].frame.columns for table in holders):
            raise _no_column(option, holders, study, name)
    return names if option.many else names[0]


def _by_role(option: Option, analysis: Analysis, study: Study) -> Any:
    tables = _lenders(option, analysis, study)
    for name in tables:
        if found := study.roles(name, option.role):
            role = found if option.many else study.role(name, option.role)
            return _named(option, (name,), study, role)
    if option.many:
        return ()
    for name in tables:
        if option.fallback in study[name].frame.columns:
            return option.fallback
    if option.required:
        raise _nothing_named(option, analysis, study, tables)
    return None


def _lenders(option: Option, analysis: Analysis, study: Study) -> tuple[str, ...]:
    """The tables whose role fills the option: its own, where the study has that."""
    if option.role == WEIGHTS:  # it stands with the rows it weights: of people or of waves
        return _holders(option, analysis, study)
    if option.table in study:
        return (option.table,)
    if option.role == CHARACTERISTIC:  # one of people is none of houses
        return ()
    return _holders(option, analysis, study)


def _columns(study: Study, tables: Iterable[str]) -> list[str]:
    return [str(c) for table in tables for c in study[table].frame.columns]


def _no_column(option: Option, holders: tuple[str, ...], study: Study, name: str) -> DataError:
    what = f"column of table {holders[0]!r} for option {option.name!r}"
    return DataError(unknown(what, name, _columns(study, holders)))


def _nothing_named(
    option: Option, analysis: Analysis, study: Study, tables: tuple[str, ...]
) -> UsageError:
    columns = _columns(study, tables)
    close = nearest(option.role, columns) or nearest(option.name, columns)
    hint = f" Perhaps {close!r}?" if close else ""
    return UsageError(
        f"{analysis.name} needs a column for {option.name!r} ({option.help.rstrip('.')}) in table "
        f"{option.table!r}.{hint} Name it with {option.flag} COLUMN, or in the study file under "
        f'[roles.{option.table}] as {option.role} = "COLUMN".'
    )
