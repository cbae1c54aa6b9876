"""A price worked out from another one, as the configuration says: ``7.94 if spot >= 0 else 0``. Pure.

A formula looks like Python and is none: nothing but the few forms below is understood, and nothing is executed.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from app.prices.base import MAX_PRICE_C

MAX_LENGTH = 200
Values = Mapping[str, float]
Number = Callable[[Values], float]
Truth = Callable[[Values], bool]

_ARITHMETIC: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_COMPARISONS: dict[type, Callable[[float, float], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_CHOICES: dict[str, Callable[[list[float]], float]] = {"min": min, "max": max}


def compiled(formula: str, names: tuple[str, ...] = ("spot",)) -> Callable[[Values], float | None]:
    """What works the formula out, given the values of ``names``; None where there is no sensible result.

    Raises `ValueError` with a sentence where it is no formula.
    """
    number = _Grammar(formula, names).number(_tree(formula, names))

    def result(values: Values) -> float | None:
        try:
            value = number(values)
        except (ArithmeticError, KeyError):  # KeyError: a price that is not known
            return None
        return round(value, 6) + 0.0 if abs(value) <= MAX_PRICE_C else None  # no -0.0, and no 0.1 + 0.2 at a threshold

    return result


def _not_understood(formula: str, piece: str, names: tuple[str, ...]) -> ValueError:
    return ValueError(
        f"{formula!r}: cannot make sense of {piece!r}; a formula is made of {', '.join(names)}, numbers, "
        "+ - * / ( ), min() and max(), and of 'A if CONDITION else B', such as \"7.94 if spot >= 0 else 0\""
    )


def _tree(formula: str, names: tuple[str, ...]) -> ast.expr:
    if len(formula) > MAX_LENGTH:
        raise ValueError(f"{formula[:20]!r}…: a formula has {MAX_LENGTH} characters at most")
    try:
        with warnings.catch_warnings(action="ignore"):  # what Python would say about its own grammar
            return ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _not_understood(formula, formula, names) from None


class _Grammar:
    """Numbers and conditions are kept apart: ``spot or 5`` would take a price of 0 for none."""

    def __init__(self, formula: str, names: tuple[str, ...]) -> None:
        self._formula, self._names = formula, names

    def number(self, node: ast.expr) -> Number:
        """The function that a number is."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and value <= MAX_PRICE_C:
                return lambda _: float(value)
            case ast.Name(id=name) if name in self._names:
                return lambda values: values[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self.number(operand)
                return lambda values: -inner(values)
            case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
                left, right, calculate = self.number(node.left), self.number(node.right), _ARITHMETIC[type(op)]
                return lambda values: _finite(calculate(left(values), right(values)))
            case ast.IfExp():
                test, yes, no = self.truth(node.test), self.number(node.body), self.number(node.orelse)
                return lambda values: yes(values) if test(values) else no(values)
            case ast.Call(func=ast.Name(id="min" | "max" as name), args=[_, _, *_] as parts, keywords=[]):
                numbers = [self.number(part) for part in parts]
                return lambda values: _CHOICES[name]([one(values) for one in numbers])
        raise self._not_understood(node)

    def truth(self, node: ast.expr) -> Truth:
        """The function that a condition is."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.truth(operand)
                return lambda values: not inner(values)
            case ast.BoolOp(op=op, values=parts):
                truths, together = [self.truth(part) for part in parts], all if isinstance(op, ast.And) else any
                return lambda values: together(one(values) for one in truths)
            case ast.Compare(ops=ops) if all(type(op) in _COMPARISONS for op in ops):
                numbers = [self.number(part) for part in (node.left, *node.comparators)]
                steps = list(zip(numbers, ops, numbers[1:], strict=False))
                return lambda values: all(
                    _COMPARISONS[type(op)](one(values), other(values)) for one, op, other in steps
                )
        raise self._not_understood(node)

    def _not_understood(self, node: ast.expr) -> ValueError:
        piece = ast.get_source_segment(self._formula.strip(), node) or self._formula
        return _not_understood(self._formula, piece, self._names)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise OverflowError
    return value


def _checked(*names: str) -> tuple[BeforeValidator, WithJsonSchema]:
    def check(value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)  # a fixed price
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is no formula, such as "7.94 if spot >= 0 else 0"')  # noqa: TRY004 - pydantic
        compiled(value, names)
        return value.strip()

    return BeforeValidator(check), WithJsonSchema({"type": ["string", "number"], "maxLength": MAX_LENGTH})


Formula = Annotated[str, *_checked("spot")]
TotalFormula = Annotated[str, *_checked("spot", "total")]
