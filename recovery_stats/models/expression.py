"""What a formula asks, as frozen values: expressions, terms, random terms, responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Variable:
    """A column by its exact name."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Number:
    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True, slots=True)
class Text:
    value: str

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left operator right`; a sign is `0 - right`."""

    operator: str
    left: Expression
    right: Expression

    def __str__(self) -> str:
        if self.operator == "-" and self.left == Number(0.0):
            return f"-{_grouped(self.right, 2)}"
        gap, rank = "" if self.operator in "/^" else " ", _RANK[self.operator]
        right_first = self.operator == "^"
        left = _grouped(self.left, rank + right_first)
        right = _grouped(self.right, rank + (not right_first))
        return f"{left}{gap}{self.operator}{gap}{right}"


@dataclass(frozen=True, slots=True)
class Call:
    """One of FUNCTIONS with its arguments; `options` are the named ones.

    The reference level of C() is no part of the printed name.
    """

    function: str
    arguments: tuple[Expression, ...]
    options: tuple[tuple[str, Expression], ...] = ()

    def __str__(self) -> str:
        shown = () if self.function == "C" else self.options
        inside = [str(a) for a in self.arguments] + [f"{k}={v}" for k, v in shown]
        return f"{self.function}({', '.join(inside)})"

    def option(self, name: str) -> Expression | None:
        return dict(self.options).get(name)


Expression = Variable | Number | Text | Arithmetic | Call


@dataclass(frozen=True, slots=True)
class Term:
    """A product of factors; the intercept is the product of none."""

    factors: tuple[Expression, ...] = ()

    def __str__(self) -> str:
        return ":".join(map(str, self.factors)) or "Intercept"


INTERCEPT = Term()


@dataclass(frozen=True, slots=True)
class Random:
    """`(terms | group)`: effects of `terms` (the intercept among them) that vary over levels.

    group: the columns whose combinations are the levels. correlated: one bar.
    """

    terms: tuple[Term, ...]
    group: tuple[str, ...]
    correlated: bool = True

    @property
    def name(self) -> str:
        return ":".join(self.group)


@dataclass(frozen=True, slots=True)
class Column:
    """A numeric response; `expression` is a column or arithmetic on columns."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Event:
    """The event column of `Surv`; `equals` is the constant it is compared with, if any."""

    column: str
    equals: float | str | None = None


@dataclass(frozen=True, slots=True)
class Surv:
    """Times and event: right-censored (start None), (start, stop], or interval (low, high)."""

    start: Expression | None
    stop: Expression
    event: Event | None
    kind: str = "right"


@dataclass(frozen=True, slots=True)
class Cbind:
    """Successes and failures in each row."""

    successes: Expression
    failures: Expression


Response = Column | Surv | Cbind


@dataclass(frozen=True, slots=True)
class Frailty:
    """Random effects on the hazard of the levels of a column, and of `inner` within them.

    distribution None: gamma, or log-normal where there are two levels.
    """

    column: str
    distribution: str | None = None
    inner: str | None = None
    method: str = "ml"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if self.inner is None else (self.column, self.inner)


@dataclass(frozen=True)
class Formula:
    """What was asked: `terms` in order of degree, the intercept among them when there is one."""

    text: str
    response: Response | None
    terms: tuple[Term, ...]
    random: tuple[Random, ...] = ()
    offsets: tuple[Expression, ...] = ()
    strata: tuple[str, ...] = ()
    frailty: Frailty | None = None
    cluster: str | None = None

    @property
    def intercept(self) -> bool:
        return INTERCEPT in self.terms

    def columns(self) -> tuple[str, ...]:
        """Every column the formula names, once, response first."""
        return self._columns

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_formula_columns(self)))

    @cached_property
    def on_both_sides(self) -> tuple[str, ...]:
        """Columns of the response that a term or a random effect holds too."""
        outcome = self.response_columns()
        inner = [t for r in self.random for t in r.terms]
        factors = [f for t in (*self.terms, *inner) for f in t.factors]
        return tuple(n for f in factors for n in columns_of(f) if n in outcome)

    @cached_property
    def smooth(self) -> tuple[tuple[Term, Call], ...]:
        """The terms that hold pspline(x), and it."""
        inner = [t for r in self.random for t in r.terms]
        return tuple(
            (term, factor)
            for term in (*self.terms, *inner)
            for factor in term.factors
            if isinstance(factor, Call) and factor.function == "pspline"
        )

    def response_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_response_columns(self.response)))

    def __str__(self) -> str:
        return self.text


def columns_of(expression: Expression) -> Iterator[str]:
    """The columns that `expression` names, from left to right."""
    match expression:
        case Variable(name):
            yield name
        case Arithmetic(_, left, right):
            yield from columns_of(left)
            yield from columns_of(right)
        case Call(_, arguments, _):
            for argument in arguments:
                yield from columns_of(argument)


def _response_columns(response: Response | None) -> Iterator[str]:
    match response:
        case Column(expression):
            yield from columns_of(expression)
        case Cbind(successes, failures):
            yield from columns_of(successes)
            yield from columns_of(failures)
        case Surv(start, stop, event, _):
            yield from columns_of(start) if start is not None else ()
            yield from columns_of(stop)
            yield from (event.column,) if event is not None else ()


def _formula_columns(formula: Formula) -> Iterator[str]:
    yield from _response_columns(formula.response)
    inner = [t for r in formula.random for t in r.terms]
    for term in (*formula.terms, *inner):
        for factor in term.factors:
            yield from columns_of(factor)
    for offset in formula.offsets:
        yield from columns_of(offset)
    yield from formula.strata
    yield from formula.frailty.columns if formula.frailty else ()
    yield from (formula.cluster,) if formula.cluster else ()
    for random in formula.random:
        yield from random.group


_RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 3}


def _grouped(expression: Expression, rank: int) -> str:
    """The expression, in parentheses where it binds more loosely than `rank`."""
    loose = isinstance(expression, Arithmetic) and _RANK[expression.operator] < rank
    return f"({expression})" if loose else str(expression)
