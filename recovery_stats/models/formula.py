"""The model formula: our own small grammar, read into frozen values and never evaluated.

    formula  := [response] "~" sum
    response := Surv(time, event) | Surv(time, event, type="left") | Surv(start, stop, event)
              | Surv(low, high, type="interval2") | Surv(time, time2, code, type="interval")
              | cbind(successes, failures) | arithmetic
    sum      := ["-"] product (("+" | "-") product)*        0, -1 remove the intercept, 1 adds it
    product  := nesting ("*" nesting)*                      a * b = a + b + a:b
    nesting  := crossing ("/" crossing)*                    a / b = a + a:b
    crossing := power (":" power)*
    power    := factor ["^" whole number]                   (a + b)^2 = a + b + a:b
    factor   := "(" sum ")" | column | call | 0 | 1
    random   := "(" sum ("|" | "||") group ")"              group: g, g:h, g/h = g + g:h
    call     := C(x, ref="b") | log(x) | sqrt(x) | exp(x) | I(x^2) | poly(x, 2) | ns(x, 3)
              | rcs(x, 4) | pspline(x, 4) | offset(x) | strata(x, ...) | frailty(x)
              | frailty(g/h) | cluster(x)         strata(s) may stand in products: x * strata(s)

A column may have any name: `quote` back-quotes those that the tokenizer would not read as one.
Length, depth and the number of terms are bounded, so that no formula costs more than a moment.
Checked: every rule above, hostile text and random names (tests/models/test_formula.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

from recovery_stats.errors import FormulaError, unknown
from recovery_stats.models.arithmetic import BASES, FUNCTIONS, SPECIAL, ArithmeticReader
from recovery_stats.models.expression import (
    INTERCEPT,
    Arithmetic,
    Call,
    Cbind,
    Column,
    Event,
    Expression,
    Formula,
    Frailty,
    Number,
    Random,
    Response,
    Surv,
    Term,
    Text,
    Variable,
    columns_of,
)
from recovery_stats.models.token import quote

__all__ = [
    "BASES", "FUNCTIONS", "INTERCEPT", "Arithmetic", "Call", "Cbind", "Column", "Event",
    "Expression", "Formula", "Frailty", "Number", "Random", "Response", "Surv", "Term", "Text",
    "Variable", "columns_of", "parse", "quote",
]  # fmt: skip

MAX_LENGTH = 20_000
MAX_TERMS = 2_000
MAX_POWER = 6


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
    return _read(text)


@lru_cache(maxsize=256)
def _read(text: str) -> Formula:
    """A model's formula is read by several of its parts, and a formula never changes."""
    return _Reader(text).formula()


class _Reader(ArithmeticReader):
    """Recursive descent over terms, random terms and response; one method a rule."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.random: list[Random] = []
        self.specials: list[Call] = []

    # the formula and its response

    def formula(self) -> Formula:
        response = None if self.sees("~") else self.response()
        self.expect("~")
        terms = self.sum((INTERCEPT,), top=True)
        if self.next.kind != "end":
            raise self.error(f"expected an operator, found {self.found()}")
        ordered = tuple(sorted(terms, key=lambda t: len(t.factors)))
        self.refuse_twice(ordered)
        for call in _specials(ordered):
            if call not in self.specials:
                raise self.error(
                    f"an interaction with {call} needs {call} by itself too: x * {call}"
                )
        return self.with_specials(Formula(self.text, response, ordered, tuple(self.random)))

    def with_specials(self, plain: Formula) -> Formula:
        strata: list[str] = []
        offsets, frailty, cluster = [], None, None
        for call in self.specials:
            if call.function == "offset":
                offsets.append(call.arguments[0])
                continue
            if call.function == "frailty":
                frailty = self.frailty(call)
                continue
            names = tuple(self.column_name(a, call.function) for a in call.arguments)
            if call.function == "strata":
                strata += names
            else:
                cluster = names[0]
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

    def frailty(self, call: Call) -> Frailty:
        """frailty(site), or frailty(site/house): houses within sites."""
        inner: str | None = None
        match call.arguments[0]:
            case Arithmetic("/", Variable(outer), Variable(within)):
                column, inner = outer, within
            case argument:
                column = self.column_name(argument, "frailty")
        law, method = (call.option(k) for k in ("distribution", "method"))
        return Frailty(
            column,
            law.value if isinstance(law, Text) else None,
            inner,
            method.value if isinstance(method, Text) else "ml",
        )

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
        if kind == "interval" and len(times) == 1:
            raise self.error('Surv(time, time2, code, type="interval") takes two times and a code')
        if kind in ("left", "right") and len(times) == 2:
            raise self.error(f'Surv(time, event, type="{kind}") takes one time')
        if kind in ("interval", "left"):
            return Surv(times[0] if kind == "interval" else None, times[-1], event, kind)
        start = times[0] if len(times) == 2 else None
        return Surv(start, times[-1], event, "counting" if len(times) == 2 else "right")

    def surv_type(self) -> str:
        _, value = self.named_option("Surv")
        known = ("right", "left", "counting", "interval", "interval2")
        if not isinstance(value, Text) or value.value not in known:
            raise FormulaError(unknown("type of Surv", str(value), known))
        return value.value

    # terms

    def sum(self, start: tuple[Term, ...], *, top: bool = False) -> tuple[Term, ...]:
        terms = {frozenset(t.factors): t for t in start}
        sign = self.accept("+", "-") or "+"
        while sign:
            if top and self.has_bar():
                self.random_term(sign)
            else:
                self.join(terms, sign, self.product(), nested=not start)
            self.bounded(len(terms))
            sign = self.accept("+", "-") or ""
        return tuple(terms.values())

    def join(
        self,
        terms: dict[frozenset[Expression], Term],
        sign: str,
        new: tuple[Term, ...] | None,
        *,
        nested: bool,
    ) -> None:
        """Add or remove `new`; a:b and b:a are one term, and + 0 is - 1."""
        if new is None:
            sign, new = "-", (INTERCEPT,)
        if sign == "-" and nested and INTERCEPT in new:
            raise self.error("0 and -1 remove the intercept only outside parentheses")
        for term in new:
            if sign == "-":
                terms.pop(frozenset(term.factors), None)
            else:
                terms.setdefault(frozenset(term.factors), term)

    def product(self) -> tuple[Term, ...] | None:
        left = self.nesting()
        while self.accept("*"):
            left, right = self.both(left, self.nesting(), "*")
            left = _unique((*left, *right, *_crossed(left, right)))
            self.bounded(len(left))
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
            self.bounded(len(left))
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
                self.bounded(len(chosen))
        return _unique(chosen)

    def both(
        self, left: tuple[Term, ...] | None, right: tuple[Term, ...] | None, operator: str
    ) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        if left is None or right is None:
            raise self.error(f"0 cannot stand beside {operator!r}")
        for call in _specials((*left, *right)):
            if call.function != "strata":
                raise self.error(f"{call.function}() stands alone, not in an interaction")
            if len(call.arguments) > 1:
                raise self.error(
                    "strata() of several columns stands alone, not in an interaction; make one "
                    "column of their combinations"
                )
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
                raise self.error(f"a number in a formula is 0 or 1, not {self.shown()}")
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

    def bounded(self, count: int) -> None:
        if count > MAX_TERMS:
            raise self.error(f"the formula unfolds to more than {MAX_TERMS} terms")

    def refuse_twice(self, terms: Sequence[Term]) -> None:
        """One factor with two reference levels would be two sets of columns of one name."""
        for text, times in Counter(str(t) for t in terms if t.factors).items():
            if times > 1:
                raise self.error(f"{text} stands twice, with different options; keep one of them")

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
        self.refuse_twice(terms)
        correlated = self.take().value == "|"
        levels = self.group()
        self.expect(")")
        self.depth -= 1
        self.random += [Random(terms, group, correlated) for group in levels]
        self.bounded(len(self.random))

    def group(self) -> tuple[tuple[str, ...], ...]:
        groups = [self.crossed_names(())]
        while self.accept("/"):
            groups.append((*groups[-1], *self.crossed_names(groups[-1])))
            self.bounded(len(groups) + len(self.random))
        return tuple(groups)

    def crossed_names(self, before: tuple[str, ...]) -> tuple[str, ...]:
        names = [self.name()]
        while self.accept(":"):
            names.append(self.name())
        twice = next((n for i, n in enumerate(names) if n in (*before, *names[:i])), None)
        if twice is not None:
            raise self.error(f"the grouping column {twice!r} stands twice in one random term")
        return tuple(names)

    def name(self) -> str:
        if self.next.kind not in ("name", "quoted"):
            raise self.error(f"expected the name of a grouping column, found {self.found()}")
        return self.take().value


def _specials(terms: Iterable[Term]) -> list[Call]:
    """The calls that are no columns of the design matrix by themselves."""
    factors = [f for t in terms for f in t.factors]
    return [f for f in factors if isinstance(f, Call) and f.function in SPECIAL]


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
