"""The keys of each section of a study file, and whether a value is what its key takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from recovery_stats.core.study import PROFILES
from recovery_stats.errors import nearest

SCHEMA = 1
FORMATS = ("html", "md", "docx", "json", "csv", "pdf")
WEIGHT_USES = ("none", "sampling", "frequency")
OPERATORS = ("==", "!=", "<", "<=", ">", ">=")
TOP = ("schema", "study", "tables", "derive", "roles", "missing", "privacy", "analysis", "report")


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section: the type of its value, and what else must hold."""

    name: str
    type: type
    choices: tuple[str, ...] = ()
    many: bool = False
    low: float | None = None
    above: float | None = None
    below: float | None = None


LEVEL = Key("level", float, above=0, below=1)
SEED = Key("seed", int, low=0)

STUDY_KEYS = (Key("title", str), Key("population", str), Key("synthetic", bool))
MISSING_KEYS = (Key("structural", float, many=True), Key("codes", dict))
PRIVACY_KEYS = (
    Key("profile", str, choices=tuple(PROFILES)),
    Key("minimum", int, low=1),
    Key("round_to", int, low=1),
    Key("hide_zero", bool),
    Key("grid_events", int, low=1),
)
TABLE_KEYS = (
    Key("file", str),
    Key("key", str, many=True),
    Key("where", list),
    Key("weight", str, choices=WEIGHT_USES),
    Key("event_code", object),  # which value of the event column means relapse, when not 1
    Key("codebook", str),
    Key("delimiter", str),
    Key("skip_rows", int, low=0),
)
TABLE_FIELDS = frozenset({"file", "key", "where"})

TYPE_WORDS = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a section",
}


def fault(value: Any, key: Key) -> str:
    """What is wrong with one value, or nothing."""
    if not _has_type(value, key.type):
        several = " (or a list of them)" if key.many else ""
        return f"Must be {TYPE_WORDS.get(key.type, 'a number or text')}{several}."
    if key.choices and value not in key.choices:
        close = nearest(str(value), key.choices)
        hint = f" Did you mean {close!r}?" if close else ""
        return f"{short(str(value))} is none of {', '.join(key.choices)}.{hint}"
    if key.type is str and not value.strip() and key.name != "delimiter":
        return "Must not be empty."
    return _range_fault(value, key)


def _range_fault(value: Any, key: Key) -> str:
    if key.low is not None and not value >= key.low:
        return f"Must be {key.low:g} or more."
    if key.above is not None and key.below is not None and not key.above < value < key.below:
        return f"Must lie between {key.above:g} and {key.below:g}."
    return ""


def _has_type(value: Any, wanted: type) -> bool:
    if wanted is float:
        return type(value) in (int, float) and abs(value) < float("inf")
    if wanted is object:
        return isinstance(value, str) or _has_type(value, float)
    return type(value) is wanted


def plain(value: Any, key: Key) -> Any:
    """The value as the Protocol holds it: lists as tuples, level and codes as float."""
    if key.many:
        items = value if isinstance(value, list) else [value]
        return tuple(plain(item, replace(key, many=False)) for item in items)
    return float(value) if key.type is float else value


def short(name: str, *, quotes: bool = True) -> str:
    """A name from the file, cut and without control characters, for a message on a screen."""
    clean = "".join(c if c.isprintable() else "?" for c in name)
    clean = clean if len(clean) <= 60 else clean[:59] + "…"
    return repr(clean) if quotes else clean
