"""A codebook as TOML beside a .csv file (`NAME.codebook.toml`), or inside a .parquet file."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from recovery_stats.core.codebook import (
    Codebook,
    Kind,
    Measure,
    MissingRule,
    MultipleResponse,
    SpssRole,
    Variable,
)
from recovery_stats.data.whole_file import whole_file
from recovery_stats.errors import DataError, unknown

SCHEMA = 1
ALIGNMENTS = ("left", "centre", "right", "unknown")
PLAIN: Mapping[str, tuple[str, ...]] = {  # keys of a column whose value is a word or a text
    "label": (),
    "measure": get_args(Measure),
    "kind": get_args(Kind),
    "format": (),
    "alignment": ALIGNMENTS,
    "role": get_args(SpssRole),
    "unit": (),
}
WHOLE = ("width", "columns")
FIELD_OF = {"format": "spss_format"}
OTHER = ("values", "missing", "missing_range", "attributes")
FILE_KEYS = ("schema", "label", "documents", "weight", "attributes", "sets", "columns")


def beside(path: Path) -> Path:
    """Where the codebook of the data file `path` lies."""
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    return path.with_name(f"{stem}.codebook.toml")


# --- writing -----------------------------------------------------------------------------


def write_codebook(codebook: Codebook, path: str | Path) -> None:
    """Write `codebook` as TOML; read again it is equal."""
    with whole_file(Path(path)) as file:
        file.write(to_toml(codebook).encode())


def to_toml(codebook: Codebook) -> str:
    """The codebook as TOML text; defaults are left out."""
    head = [f"schema = {SCHEMA}"]
    head += _pair("label", codebook.label)
    head += _pair("documents", codebook.documents)
    head += _pair("weight", codebook.weight)
    head += _pair("attributes", dict(codebook.attributes))
    sets = [_set(s) for s in codebook.sets]
    columns = ["\n".join(_variable(v)) for v in codebook.variables.values()]
    return "\n\n".join(["\n".join(head), *sets, *columns]) + "\n"


def _variable(variable: Variable) -> Iterator[str]:
    default = Variable(variable.name)
    yield f"[columns.{_key(variable.name)}]"
    for key in (*PLAIN, *WHOLE):
        name = FIELD_OF.get(key, key)
        if getattr(variable, name) != getattr(default, name):
            yield from _pair(key, getattr(variable, name))
    rule = variable.missing
    yield from _pair("missing", rule.codes)
    yield from _pair("missing_range", () if rule.low is None else (rule.low, rule.high))
    yield from _pair("attributes", dict(variable.attributes))
    if variable.values:
        yield f"[columns.{_key(variable.name)}.values]"
        for code, label in variable.values.items():
            yield f"{_key(code if isinstance(code, str) else _number(code))} = {_toml(label)}"


def _set(response: MultipleResponse) -> str:
    pairs = [line for f in fields(response) for line in _pair(f.name, getattr(response, f.name))]
    return "\n".join(["[[sets]]", *pairs])


def _pair(key: str, value: Any) -> list[str]:
    return [] if value in (None, "", (), {}) else [f"{key} = {_toml(value)}"]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return _number(value)


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))


# --- reading -----------------------------------------------------------------------------


def read_codebook(path: str | Path) -> Codebook:
    """Read a codebook; DataError naming file, column and key where something is wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"Codebook {path.name!r} cannot be read as UTF-8 text.") from problem
    return from_toml(text, path.name)


def from_toml(text: str, name: str) -> Codebook:
    """The reverse of `to_toml`; `name` stands in messages."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise DataError(f"Codebook {name!r} is not TOML: {problem}.") from problem
    try:
        return _codebook(data, name)
    except (TypeError, AttributeError, ValueError, KeyError) as problem:
        raise DataError(f"Codebook {name!r} has a value of the wrong type.") from problem


def _codebook(data: Mapping[str, Any], name: str) -> Codebook:
    _known(data, FILE_KEYS, f"key of codebook {name!r}")
    variables = {n: _read_variable(n, v, name) for n, v in data.get("columns", {}).items()}
    sets = (MultipleResponse(**{**s, "variables": tuple(s["variables"])}) for s in _sets(data))
    return Codebook(
        variables,
        data.get("label", ""),
        tuple(data.get("documents", ())),
        data.get("weight"),
        {n: tuple(v) for n, v in data.get("attributes", {}).items()},
        tuple(sets),
    )


def _sets(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"label": "", **s} for s in data.get("sets", [])]


def _read_variable(column: str, data: Mapping[str, Any], name: str) -> Variable:
    where = f"column {column!r} in codebook {name!r}"
    _known(data, (*PLAIN, *WHOLE, *OTHER), f"key of {where}")
    given: dict[str, Any] = {}
    for key, choices in PLAIN.items():
        if key in data:
            if choices:
                _known((data[key],), choices, f"{key} of {where}")
            given[FIELD_OF.get(key, key)] = str(data[key])
    given |= {key: int(data[key]) for key in WHOLE if key in data}
    is_text = given.get("kind") == "string"
    codes = {_code(k, is_text, where): str(v) for k, v in data.get("values", {}).items()}
    attributes = {k: tuple(map(str, v)) for k, v in data.get("attributes", {}).items()}
    rule = _rule(data, is_text, where)
    return Variable(column, values=codes, missing=rule, attributes=attributes, **given)


def _rule(data: Mapping[str, Any], is_text: bool, where: str) -> MissingRule:
    codes = tuple(_code(c, is_text, where) for c in data.get("missing", ()))
    ends = data.get("missing_range")
    if ends is None:
        return MissingRule(codes)
    if len(ends) != 2 or is_text or not float(ends[0]) <= float(ends[1]):
        raise DataError(f"missing_range of {where} needs two numbers, the lower first.")
    return MissingRule(codes, float(ends[0]), float(ends[1]))


def _code(code: Any, is_text: bool, where: str) -> float | str:
    if is_text:
        return str(code)
    try:
        return float(code)
    except ValueError:
        hint = 'Write the number, or add kind = "string".'
        raise DataError(f"Code {code!r} of {where} is not a number. {hint}") from None


def _known(given: Mapping[str, Any] | Sequence[str], known: Sequence[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise DataError(unknown(what, str(key), known))
