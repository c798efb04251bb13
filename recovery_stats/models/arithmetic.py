"""The inner part of the grammar: columns, calls and arithmetic on columns."""

from __future__ import annotations

from recovery_stats.errors import FormulaError, unknown
from recovery_stats.models.expression import (
    Arithmetic,
    Call,
    Expression,
    Number,
    Text,
    Variable,
)
from recovery_stats.models.token import Cursor

NUMERIC = ("log", "sqrt", "exp", "I")
BASES = ("poly", "ns", "rcs", "pspline")
SPECIAL = ("offset", "strata", "frailty", "cluster")
FUNCTIONS = ("C", *NUMERIC, *BASES, *SPECIAL)
OPTIONS = {
    "C": ("ref",),
    "poly": ("degree",),
    "ns": ("df",),
    "rcs": ("knots",),
    "pspline": ("df",),
    "frailty": ("distribution", "method"),
    "Surv": ("type",),
}


class ArithmeticReader(Cursor):
    """Reads expressions; one method a rule of the grammar."""

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
        most = {"C": 2, "poly": 2, "ns": 2, "rcs": 2, "pspline": 2, "strata": 100}.get(
            call.function, 1
        )
        if not 1 <= len(call.arguments) <= most:
            raise self.error(f"{call.function}() does not take {len(call.arguments)} arguments")
        named = OPTIONS.get(call.function, ("",))[0]
        if call.function == "C":
            if len(call.arguments) == 2:
                call = Call("C", call.arguments[:1], (("ref", call.arguments[1]),))
            self.column_name(call.arguments[0], "C")
        elif call.function in BASES:
            given = call.option(named)
            if given is None and call.function == "pspline" and len(call.arguments) == 1:
                given = Number(4.0)
            if given is not None:
                call = Call(call.function, (*call.arguments, given))
            self.size_of(call)
        return call

    def size_of(self, call: Call) -> None:
        if call.function == "pspline":
            return self.smoothness_of(call)
        low, high = {"poly": (1, 9), "ns": (1, 20), "rcs": (3, 7)}[call.function]
        match call.arguments:
            case (_, Number(size)) if size == int(size) and low <= size <= high:
                return None
        raise self.error(f"{call.function}(x, k) needs a whole number k from {low} to {high}")

    def smoothness_of(self, call: Call) -> None:
        match call.arguments:
            case (_, Number(df)) if df == 0 or 1 < df <= 20:
                return
        raise self.error(
            "pspline(x, df) takes degrees of freedom above 1 and up to 20, or 0 to have them chosen"
        )

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

    def column_name(self, argument: Expression, function: str) -> str:
        if not isinstance(argument, Variable):
            raise FormulaError(f"{function}() takes columns by name, not {str(argument)!r}.")
        return argument.name
