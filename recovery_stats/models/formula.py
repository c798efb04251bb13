"""The model formula: our own small grammar, read into frozen values and never evaluated.

    formula  := [response] "~" sum
    response := Surv(time, event) | Surv(start, stop, event) | Surv(low, high, type="interval2")
              | cbind(successes, failures) | arithmetic
    sum      := ["-"] product (("+" | "-") product)*        0, -1 remove the intercept, 1 adds it
    product  := nesting ("*" nesting)*                      a * b = a + b + a:b
    nesting  := crossing ("/" crossing)*                    a / b = a + a:b
    crossing := power (":" power)*
    power    := factor ["^" whole number]                   (a + b)^2 = a + b + a:b
    factor   := "(" sum ")" | column | call | 0 | 1
    random   := "(" sum ("|" | "||") group ")"              group: g, g:h, g/h = g + g:h
    call     := C(x, ref="b") | log(x) | sqrt(x) | exp(x) | I(x^2) | poly(x, 2) | ns(x, 3)
              | rcs(x, 4) | offset(x) | strata(x, ...) | frailty(x) | cluster(x)

A column may have any name: `quote` back-quotes those that the tokenizer would not read as one.
Length, depth and the number of terms are bounded, so that no formula costs more than a moment.
Checked: every rule above, hostile text and random names (tests/models/test_formula.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from recovery_stats.errors import FormulaError, unknown

MAX_LENGTH = 20_000
MAX_DEPTH = 40
MAX_TERMS = 2_000
MAX_POWER = 6

NUMERIC = ("log", "sqrt", "exp", "I")
BASES = ("poly", "ns", "rcs")
SPECIAL = ("offset", "strata", "frailty", "cluster")
FUNCTIONS = ("C", *NUMERIC, *BASES, *SPECIAL)
OPTIONS = {
    "C": ("ref",),
    "poly": ("degree",),
    "ns": ("df",),
    "rcs": ("knots",),
    "frailty": ("distribution",),
    "Surv": ("type",),
}

# --- the values ---------------------------------------------------------------------------


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
    column: str
    distribution: str = "gamma"


@dataclass(frozen=True, slots=True)
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
        return tuple(dict.fromkeys(_formula_columns(self)))

    def response_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_response_columns(self.response)))

    def __str__(self) -> str:
        return self.text


# --- reading ------------------------------------------------------------------------------


def parse(text: str) -> Formula:
    """Read `text`; FormulaError says where it stops making sense."""
    if not isinstance(text, str):
        raise FormulaError(
            f"A formula is text such as 'y ~ x + (1 | g)', not {type(text).__name__}."
        )
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            f"The formula has {len(text)} characters; at most {MAX_LENGTH} are read."
        )
    return _Reader(text).formula()


def quote(name: str) -> str:
    """Write a column's name so that `parse` reads it back as that one column."""
    return name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`"


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
    yield from (formula.frailty.column,) if formula.frailty else ()
    yield from (formula.cluster,) if formula.cluster else ()
    for random in formula.random:
        yield from random.group


_NAME = r"(?:[^\W\d]|\.(?!\d))(?:[\w.])*"
_PLAIN = re.compile(_NAME)
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
       | `(?P<quoted>(?:[^`]|``)+)`
       | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
       | (?P<name>{_NAME})
       | "(?P<double>[^"]*)" | '(?P<single>[^']*)'
       | (?P<operator>\|\||\*\*|==|[~+\-*/:^()|,=])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # name, quoted, number, text, operator, end
    value: str
    at: int


def _tokens(text: str) -> tuple[_Token, ...]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FormulaError(_where(text, at, f"{text[at]!r} has no meaning here"))
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(_Token(*_spelled(kind, match[kind]), at))
        at = match.end()
    return (*found, _Token("end", "the end", len(text)))


def _spelled(kind: str, value: str) -> tuple[str, str]:
    if kind == "quoted":
        return kind, value.replace("``", "`")
    if kind in ("double", "single"):
        return "text", value
    return kind, "^" if value == "**" else value


def _where(text: str, at: int, why: str) -> str:
    start = max(0, at - 30)
    shown = ("…" if start else "") + text[start : at + 30] + ("…" if at + 30 < len(text) else "")
    return f"Formula, character {at + 1}: {why} (near {shown!r})."


class _Reader:
    """Recursive descent over the tokens; one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at, self.depth = text, _tokens(text), 0, 0
        self.random: list[Random] = []
        self.specials: list[Call] = []

    # moving through the tokens

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += token.kind != "end"
        return token

    def sees(self, *operators: str) -> bool:
        return self.next.kind == "operator" and self.next.value in operators

    def accept(self, *operators: str) -> str | None:
        return self.take().value if self.sees(*operators) else None

    def expect(self, operator: str) -> None:
        if not self.accept(operator):
            raise self.error(f"expected {operator!r}, found {self.found()}")

    def found(self) -> str:
        return "the end" if self.next.kind == "end" else repr(self.next.value)

    def error(self, why: str) -> FormulaError:
        return FormulaError(_where(self.text, self.next.at, why))

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} parentheses inside each other")

    # the formula and its response

    def formula(self) -> Formula:
        response = None if self.sees("~") else self.response()
        self.expect("~")
        terms = self.sum((INTERCEPT,), top=True)
        if self.next.kind != "end":
            raise self.error(f"expected an operator, found {self.found()}")
        ordered = tuple(sorted(terms, key=lambda t: len(t.factors)))
        return self.with_specials(Formula(self.text, response, ordered, tuple(self.random)))

    def with_specials(self, plain: Formula) -> Formula:
        strata: list[str] = []
        offsets, frailty, cluster = [], None, None
        for call in self.specials:
            if call.function == "offset":
                offsets.append(call.arguments[0])
                continue
            names = tuple(self.column_name(a, call.function) for a in call.arguments)
            if call.function == "strata":
                strata += names
            elif call.function == "cluster":
                cluster = names[0]
            else:
                law = call.option("distribution")
                frailty = Frailty(names[0], law.value if isinstance(law, Text) else "gamma")
        return Formula(
            plain.text,
            plain.response,
            plain.terms,
            plain.random,
            tuple(offsets),
            tuple(dict.fromkeys(strata)),
            frailty,
            cluster,
        )

    def column_name(self, argument: Expression, function: str) -> str:
        if not isinstance(argument, Variable):
            raise FormulaError(f"{function}() takes columns by name, not {str(argument)!r}.")
        return argument.name

    def response(self) -> Response:
        called = self.next.kind == "name" and self.tokens[self.at + 1].value == "("
        if called and self.next.value == "Surv":
            return self.surv()
        if called and self.next.value == "cbind":
            self.at += 2
            successes = self.arithmetic()
            self.expect(",")
            failures = self.arithmetic()
            self.expect(")")
            return Cbind(successes, failures)
        return Column(self.arithmetic())

    def surv(self) -> Surv:
        self.at += 2
        times: list[Expression] = []
        event: Event | None = None
        kind = ""
        while not self.sees(")"):
            if self.is_option():
                kind = self.surv_type()
            elif event is not None:
                raise self.error("the event is the last column of Surv()")
            else:
                times.append(self.arithmetic())
                event = self.compared(times)
            if not self.accept(","):
                break
        self.expect(")")
        return self.assembled(times, event, kind)

    def compared(self, times: list[Expression]) -> Event | None:
        """`column == constant`, when the argument just read goes on like that."""
        if not self.accept("=="):
            return None
        column = self.column_name(times.pop(), "the comparison in Surv")
        sign = -1.0 if self.accept("-") else 1.0
        token = self.take()
        if token.kind == "number":
            return Event(column, sign * float(token.value))
        if token.kind == "text" and sign > 0:
            return Event(column, token.value)
        raise self.error("after '==' comes a number or a text in quotes")

    def assembled(self, times: list[Expression], event: Event | None, kind: str) -> Surv:
        if kind == "interval2" and event is None and len(times) == 2:
            return Surv(times[0], times[1], None, kind)
        if kind == "interval2":
            raise self.error('Surv(low, high, type="interval2") takes two times and no event')
        if event is None and len(times) in (2, 3):
            event = Event(self.column_name(times.pop(), "the event of Surv"))
        if len(times) not in (1, 2):
            raise self.error("Surv() takes (time, event) or (start, stop, event)")
        start = times[0] if len(times) == 2 else None
        return Surv(start, times[-1], event, "counting" if len(times) == 2 else "right")

    def surv_type(self) -> str:
        _, value = self.named_option("Surv")
        known = ("right", "counting", "interval2")
        if not isinstance(value, Text) or value.value not in known:
            raise FormulaError(unknown("type of Surv", str(value), known))
        return value.value

    # terms

    def sum(self, start: tuple[Term, ...], *, top: bool = False) -> tuple[Term, ...]:
        terms = dict.fromkeys(start)
        sign = self.accept("+", "-") or "+"
        while True:
            if top and self.has_bar():
                self.random_term(sign)
            else:
                terms = self.joined(terms, sign, self.product(), nested=not start)
            self.bounded(terms)
            sign = self.accept("+", "-") or ""
            if not sign:
                return tuple(terms)

    def joined(
        self, terms: dict[Term, None], sign: str, new: tuple[Term, ...] | None, *, nested: bool
    ) -> dict[Term, None]:
        if new is None or (sign == "-" and INTERCEPT in new):  # + 0, - 1
            if nested:
                raise self.error("0 and -1 remove the intercept only outside parentheses")
            new, sign = (INTERCEPT,) if new is None or len(new) == 1 else new, "-"
        if sign == "-":
            out = {frozenset(t.factors) for t in new}
            return {t: None for t in terms if frozenset(t.factors) not in out}
        return dict.fromkeys(_unique((*terms, *new)))

    def product(self) -> tuple[Term, ...] | None:
        left = self.nesting()
        while self.accept("*"):
            left, right = self.both(left, self.nesting(), "*")
            left = _unique((*left, *right, *_crossed(left, right)))
            self.bounded(left)
        return self.set_aside(left)

    def nesting(self) -> tuple[Term, ...] | None:
        left = self.crossing()
        while self.accept("/"):
            left, right = self.both(left, self.crossing(), "/")
            whole = (Term(tuple(dict.fromkeys(f for t in left for f in t.factors))),)
            left = _unique((*left, *_crossed(whole, right)))
        return left

    def crossing(self) -> tuple[Term, ...] | None:
        left = self.power()
        while self.accept(":"):
            left, right = self.both(left, self.power(), ":")
            left = _unique(_crossed(left, right))
            self.bounded(left)
        return left

    def power(self) -> tuple[Term, ...] | None:
        base = self.factor()
        if not self.accept("^"):
            return base
        token = self.take()
        if token.kind != "number" or token.value not in map(str, range(1, MAX_POWER + 1)):
            raise self.error(f"a power of terms is a whole number from 1 to {MAX_POWER}")
        base, _ = self.both(base, base, "^")
        chosen: list[Term] = []
        for size in range(1, int(token.value) + 1):
            for some in combinations(base, size):
                chosen.append(Term(tuple(dict.fromkeys(f for t in some for f in t.factors))))
                self.bounded(chosen)
        return _unique(chosen)

    def both(
        self, left: tuple[Term, ...] | None, right: tuple[Term, ...] | None, operator: str
    ) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        if left is None or right is None:
            raise self.error(f"0 cannot stand beside {operator!r}")
        calls = [f for t in (*left, *right) for f in t.factors if isinstance(f, Call)]
        for call in calls:
            if call.function in SPECIAL:
                raise self.error(f"{call.function}() stands alone, not in an interaction")
        return left, right

    def factor(self) -> tuple[Term, ...] | None:
        """Terms, or None for a 0."""
        if self.accept("("):
            self.deeper()
            inside = self.sum(())
            self.expect(")")
            self.depth -= 1
            return inside
        if self.next.kind == "number":
            if self.next.value not in ("0", "1"):
                raise self.error(f"a number in a formula is 0 or 1, not {self.next.value}")
            return (INTERCEPT,) if self.take().value == "1" else None
        return (Term((self.atom(),)),)

    def set_aside(self, terms: tuple[Term, ...] | None) -> tuple[Term, ...] | None:
        """Keep offset(), strata(), frailty() and cluster() out of the design matrix."""
        kept = []
        for term in terms or ():
            head = term.factors[0] if len(term.factors) == 1 else None
            if isinstance(head, Call) and head.function in SPECIAL:
                self.specials.append(head)
            else:
                kept.append(term)
        return None if terms is None else tuple(kept)

    def bounded(self, terms: Iterable[Term]) -> None:
        if len(list(terms)) > MAX_TERMS:
            raise self.error(f"the formula unfolds to more than {MAX_TERMS} terms")

    # random terms

    def has_bar(self) -> bool:
        """Whether the parenthesis that opens here holds a bar at its own depth."""
        if not self.sees("("):
            return False
        depth = 0
        for token in self.tokens[self.at :]:
            if token.kind == "operator":
                depth += (token.value == "(") - (token.value == ")")
                if depth == 1 and token.value in ("|", "||"):
                    return True
            if depth == 0:
                return False
        return False

    def random_term(self, sign: str) -> None:
        if sign == "-":
            raise self.error("a random term cannot be removed")
        self.expect("(")
        self.deeper()
        before = len(self.specials)
        terms = self.sum((INTERCEPT,))
        if len(self.specials) > before:
            raise self.error(f"{self.specials[-1].function}() cannot vary over groups")
        if not terms:
            raise self.error("a random term needs an effect before the bar")
        correlated = self.take().value == "|"
        levels = self.group()
        self.expect(")")
        self.depth -= 1
        self.random += [Random(terms, group, correlated) for group in levels]

    def group(self) -> tuple[tuple[str, ...], ...]:
        groups = [self.crossed_names()]
        while self.accept("/"):
            groups.append((*groups[-1], *self.crossed_names()))
        return tuple(groups)

    def crossed_names(self) -> tuple[str, ...]:
        names = [self.name()]
        while self.accept(":"):
            names.append(self.name())
        return tuple(names)

    def name(self) -> str:
        if self.next.kind not in ("name", "quoted"):
            raise self.error(f"expected the name of a grouping column, found {self.found()}")
        return self.take().value

    # atoms and arithmetic

    def atom(self) -> Expression:
        """A column or a call."""
        token = self.next
        if token.kind == "quoted":
            return Variable(self.take().value)
        if token.kind != "name":
            raise self.error(f"expected a column, found {self.found()}")
        self.take()
        return self.call(token.value) if self.accept("(") else Variable(token.value)

    def call(self, function: str) -> Call:
        if function not in FUNCTIONS:
            raise FormulaError(unknown("formula function", function, FUNCTIONS))
        self.deeper()
        arguments: list[Expression] = []
        options: list[tuple[str, Expression]] = []
        while not self.sees(")"):
            if self.is_option():
                options.append(self.named_option(function))
            else:
                arguments.append(self.arithmetic())
            if not self.accept(","):
                break
        self.expect(")")
        self.depth -= 1
        return self.checked(Call(function, tuple(arguments), tuple(options)))

    def is_option(self) -> bool:
        follows = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        return self.next.kind == "name" and follows.kind == "operator" and follows.value == "="

    def named_option(self, function: str) -> tuple[str, Expression]:
        name = self.take().value
        known = OPTIONS.get(function, ())
        if name not in known:
            raise FormulaError(unknown(f"option of {function}()", name, known))
        self.expect("=")
        return name, self.constant()

    def constant(self) -> Expression:
        token = self.take()
        if token.kind == "number":
            return Number(float(token.value))
        if token.kind == "text":
            return Text(token.value)
        raise self.error("an option takes a number or a text in quotes")

    def checked(self, call: Call) -> Call:
        """The call in its one spelling: poly(x, 2), ns(x, 3), rcs(x, 4), C(x, ref='b')."""
        most = {"C": 2, "poly": 2, "ns": 2, "rcs": 2, "strata": MAX_TERMS}.get(call.function, 1)
        if not 1 <= len(call.arguments) <= most:
            raise self.error(f"{call.function}() does not take {len(call.arguments)} arguments")
        named = OPTIONS.get(call.function, ("",))[0]
        if call.function == "C":
            if len(call.arguments) == 2:
                call = Call("C", call.arguments[:1], (("ref", call.arguments[1]),))
            self.column_name(call.arguments[0], "C")
        elif call.function in BASES:
            given = call.option(named)
            if given is not None:
                call = Call(call.function, (*call.arguments, given))
            self.size_of(call)
        return call

    def size_of(self, call: Call) -> None:
        low, high = {"poly": (1, 9), "ns": (1, 20), "rcs": (3, 7)}[call.function]
        match call.arguments:
            case (_, Number(size)) if size == int(size) and low <= size <= high:
                return
        raise self.error(f"{call.function}(x, k) needs a whole number k from {low} to {high}")

    def arithmetic(self) -> Expression:
        left = self.multiplied()
        while operator := self.accept("+", "-"):
            left = Arithmetic(operator, left, self.multiplied())
        return left

    def multiplied(self) -> Expression:
        left = self.signed()
        while operator := self.accept("*", "/"):
            left = Arithmetic(operator, left, self.signed())
        return left

    def signed(self) -> Expression:
        if not self.accept("-"):
            return self.raised()
        self.deeper()
        value = Arithmetic("-", Number(0.0), self.signed())
        self.depth -= 1
        return value

    def raised(self) -> Expression:
        base = self.operand()
        if not self.accept("^"):
            return base
        self.deeper()
        value = Arithmetic("^", base, self.signed())
        self.depth -= 1
        return value

    def operand(self) -> Expression:
        if self.accept("("):
            self.deeper()
            inside = self.arithmetic()
            self.expect(")")
            self.depth -= 1
            return inside
        if self.next.kind == "number":
            return Number(float(self.take().value))
        if self.next.kind == "text":
            return Text(self.take().value)
        found = self.atom()
        if isinstance(found, Call) and found.function not in NUMERIC:
            raise self.error(f"{found.function}() cannot stand inside arithmetic")
        return found


_RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 3}


def _grouped(expression: Expression, rank: int) -> str:
    """The expression, in parentheses where it binds more loosely than `rank`."""
    loose = isinstance(expression, Arithmetic) and _RANK[expression.operator] < rank
    return f"({expression})" if loose else str(expression)


def _unique(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Drop repeats; a:b and b:a are one term."""
    seen: dict[frozenset[Expression], Term] = {}
    for term in terms:
        seen.setdefault(frozenset(term.factors), term)
    return tuple(seen.values())


def _crossed(left: Iterable[Term], right: Iterable[Term]) -> tuple[Term, ...]:
    """Every product of a term of `left` with one of `right`; a:a is a."""
    right = tuple(right)
    return tuple(Term(tuple(dict.fromkeys(a.factors + b.factors))) for a in left for b in right)
