"""What SPSS knows about a column, and most packages throw away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Measure = Literal["nominal", "ordinal", "scale", "unknown"]
Kind = Literal["number", "string", "date", "datetime", "time"]
SpssRole = Literal["input", "target", "both", "none", "partition", "split"]


@dataclass(frozen=True, slots=True)
class MissingRule:
    """User-missing codes: up to three discrete `codes`, or a range `low` to `high` plus one code.

    -inf and inf stand for SPSS's LOWEST and HIGHEST. Strings have discrete codes only.
    """

    codes: tuple[float | str, ...] = ()
    low: float | None = None
    high: float | None = None

    def __bool__(self) -> bool:
        return bool(self.codes) or self.low is not None

    def covers(self, value: float | str) -> bool:
        """Say whether `value` is declared user-missing."""
        if value in self.codes:
            return True
        if self.low is None or self.high is None or isinstance(value, str):
            return False
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Variable:
    """One column as its codebook describes it.

    values: code to label. missing: which codes are user-missing. kind: how the numbers are
    to be read (a `time` is seconds, possibly above 24 h). spss_format: print format as SPSS
    writes it ("F8.2", "DATE11", "A40"). width: bytes of a string. unit: for words in reports.
    """

    name: str
    label: str = ""
    values: Mapping[float | str, str] = field(default_factory=dict)
    missing: MissingRule = MissingRule()
    measure: Measure = "unknown"
    kind: Kind = "number"
    spss_format: str = ""
    width: int = 0
    columns: int = 8
    alignment: Literal["left", "centre", "right", "unknown"] = "unknown"
    role: SpssRole = "input"
    unit: str = ""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The label where there is one, else the name."""
        return self.label or self.name

    def level(self, code: float | str) -> str:
        """The value label of `code`, or the code itself, printed without a trailing `.0`."""
        if code in self.values:
            return self.values[code]
        return f"{code:g}" if isinstance(code, float | int) else str(code)


@dataclass(frozen=True, slots=True)
class MultipleResponse:
    """A multiple-response set: `counted` is the code that means yes in a set of dichotomies."""

    name: str
    label: str
    variables: tuple[str, ...]
    counted: str | None = None
    labels_from: Literal["variable", "counted"] = "variable"


@dataclass(frozen=True, slots=True)
class Codebook:
    """The variables of a table in file order, and what SPSS keeps about the file."""

    variables: Mapping[str, Variable] = field(default_factory=dict)
    label: str = ""
    documents: tuple[str, ...] = ()
    weight: str | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: tuple[MultipleResponse, ...] = ()
    encoding: str = "UTF-8"

    def __getitem__(self, name: str) -> Variable:
        return self.variables.get(name) or Variable(name)

    def __contains__(self, name: object) -> bool:
        return name in self.variables

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def with_variables(self, *added: Variable) -> Codebook:
        """Return a codebook in which `added` joined, or replaced those of the same name."""
        merged = {**self.variables, **{v.name: v for v in added}}
        return Codebook(
            merged,
            self.label,
            self.documents,
            self.weight,
            self.attributes,
            self.sets,
            self.encoding,
        )
