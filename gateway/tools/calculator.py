"""The calculator tool: exact wherever the result is a fraction, and safe for any input."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Context, Decimal
from fractions import Fraction
from typing import TypeVar

from gateway.tools.tool import tool

T = TypeVar("T")
Number = Fraction | float
"""A fraction is exact. A float comes from pi, e, a root, a power or a function without an exact value."""
FunctionSpec = tuple[Callable[..., Number], range]
"""The implementation, and the allowed numbers of arguments."""

MAX_EXPRESSION_CHARS = 2_000
"""Limit for the length of an expression."""
MAX_DEPTH = 40
"""Limit for nested parentheses, calls and signs."""
MAX_BITS = 10_000
"""Limit for numerator and denominator: about 3,000 digits, which every operation handles quickly."""
MAX_EXPONENT = 1_000
"""Limit for exponents in number literals, and for the digits of ``round``."""
MAX_FACTORIAL = 1_000
MAX_DECIMAL_PLACES = 50
"""Limit for decimal places of an exact result."""
SIGNIFICANT_DIGITS = 20
"""Significant digits of a result with infinitely many decimal places."""
DISPLAY_CONTEXT = Context(prec=SIGNIFICANT_DIGITS, traps=[])
POWER_CONTEXT = Context(prec=2 * SIGNIFICANT_DIGITS, traps=[])
"""Precision of powers: with floats, powers of a number close to 1 would be inexact."""
RELATIVE_FLOAT_ERROR = 4e-16
"""Relative rounding error of a float."""
MAX_FLOAT_ERROR = 1e-9
"""Upper limit for the assumed rounding error, however large the float."""
MIN_LOG_FLOAT, MAX_LOG_FLOAT = 1e-300, 1e300
ZERO = Fraction(0)

OPERATOR_ALIASES = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "^": "**"})  # noqa: RUF001  # users write them
TOKEN = re.compile(
    r"""[ ] | [-+*/%(),]
    | (?:[0-9][0-9_]*(?:\.[0-9]*)? | \.[0-9]+) (?:[eE][-+]?[0-9]+)? (?![\w.])
    | [A-Za-z_][A-Za-z0-9_]*""",
    re.VERBOSE,
)


@tool
def calculate(expression: str) -> str:
    """Calculate an arithmetic expression, exactly where possible (0.1 + 0.2 is 0.3, and integers may be long).

    Args:
        expression: Numbers with + - * / // % ** and parentheses; pi and e; abs(x), ceil(x), cos(x), exp(x),
            factorial(n), floor(x), log(x) or log(x, base), log10(x), max(x, y, ...), min(x, y, ...),
            round(x) or round(x, digits) (halves away from zero), sin(x), sqrt(x), tan(x). Angles are in radians.
    """
    return format_number(evaluate(expression))


def evaluate(expression: str) -> Number:
    """Returns the value of an expression. Raises only ValueError, with a sentence that says what is wrong."""
    text = " ".join(expression.translate(OPERATOR_ALIASES).split())
    _check_tokens(text)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, RecursionError, MemoryError) as exc:
        raise ValueError("The expression is not complete, or not arithmetic.") from exc
    try:
        return _Evaluator(text).evaluate_node(tree.body)
    except ZeroDivisionError as exc:
        raise ValueError("Division by zero.") from exc
    except OverflowError as exc:
        raise ValueError("A number is too large to calculate with.") from exc


def format_number(number: Number) -> str:
    """Formats a number: all digits of an exact one with finitely many decimal places, else the significant digits."""
    if isinstance(number, float):
        return format(number + 0.0, ".15g")  # adding zero removes the sign of -0.0
    if number.denominator == 1:
        return str(number.numerator)
    if (places := _decimal_places(number.denominator)) <= MAX_DECIMAL_PLACES:
        digits = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
        return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    quotient = DISPLAY_CONTEXT.divide(Decimal(number.numerator), Decimal(number.denominator))
    return format(quotient, "f" if -SIGNIFICANT_DIGITS < quotient.adjusted() < SIGNIFICANT_DIGITS else "e")


def _decimal_places(denominator: int) -> int:
    """Returns the number of decimal places of a reduced fraction; above MAX_DECIMAL_PLACES: too many to show."""
    return next((n for n in range(MAX_DECIMAL_PLACES + 1) if 10**n % denominator == 0), MAX_DECIMAL_PLACES + 1)


def _check_tokens(text: str) -> None:
    """Raises ValueError unless the text has only numbers, names and operators, and a length that Python can parse."""
    if not text:
        raise ValueError("The expression is empty.")
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ValueError(f"The expression is longer than {MAX_EXPRESSION_CHARS} characters.")
    position = 0
    while position < len(text):
        token = TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"The expression cannot be parsed from {text[position : position + 20]!r} on.")
        position = token.end()


class _Evaluator:
    """Evaluates the syntax tree of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text

    def evaluate_node(self, node: ast.expr, depth: int = 0) -> Number:
        if depth > MAX_DEPTH:
            raise ValueError(f"The expression is nested deeper than {MAX_DEPTH} times.")
        match node:
            case ast.Constant():
                return _parse_literal(self._text[node.col_offset : node.end_col_offset])
            case ast.Name(id=name):
                return _look_up(CONSTANTS, name, "constant")
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.evaluate_node(operand, depth + 1)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.evaluate_node(operand, depth + 1)
            case ast.BinOp():
                return self._evaluate_chain(node, depth)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                function = _look_up(FUNCTIONS, name, "function")
                return _apply(name, function, [self.evaluate_node(arg, depth + 1) for arg in args])
            case ast.Tuple():
                raise ValueError("A comma separates the arguments of a function; write 1,000 as 1000.")
        raise ValueError("Only numbers, + - * / // % **, parentheses and the known functions can be calculated.")

    def _evaluate_chain(self, node: ast.BinOp, depth: int) -> Number:
        """Evaluates a chain of operators in a loop: its tree is as deep as the chain is long."""
        chain = [node]
        while isinstance(chain[-1].left, ast.BinOp):
            chain.append(chain[-1].left)
        result = self.evaluate_node(chain[-1].left, depth + 1)
        for link in reversed(chain):
            operation = OPERATIONS.get(type(link.op))
            if operation is None:
                raise ValueError("The operators are + - * / // % **.")
            result = _bounded(operation(result, self.evaluate_node(link.right, depth + 1)))
        return result


def _look_up(table: Mapping[str, T], name: str, kind: str) -> T:
    if name not in table:
        raise ValueError(f"There is no {kind} {name[:40]!r}. There are: {', '.join(table)}.")
    return table[name]


def _parse_literal(text: str) -> Number:
    if text[0].isalpha():
        raise ValueError(f"{text} is not a number.")
    exponent = text.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        raise OverflowError
    return _bounded(Fraction(text))


def _bounded(number: Number | int) -> Number:
    """Converts a fraction that is too long to a float, to keep operations fast. Raises OverflowError if too large."""
    if not isinstance(number, float):
        number = Fraction(number)
        if max(number.numerator.bit_length(), number.denominator.bit_length()) <= MAX_BITS:
            return number
    number = float(number)
    if not math.isfinite(number):
        raise OverflowError
    return number


def _apply(name: str, function: FunctionSpec, values: Sequence[Number]) -> Number:
    implementation, arity = function
    if len(values) not in arity:
        wanted = "1 or more" if arity == ANY_NUMBER else " or ".join(map(str, arity))
        raise ValueError(f"{name} takes {wanted} arguments, not {len(values)}.")
    return _bounded(implementation(*values))


def _power(base: Number, exponent: Number) -> Number:
    if base == 0 and exponent < 0:
        raise ZeroDivisionError
    if base == 0 or exponent == 0:
        return Fraction(int(exponent == 0))
    whole = exponent == int(exponent)
    if base < 0 and not whole:
        raise ValueError("A negative number has no real power with a fractional exponent.")
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and whole:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length()) - 1
        if bits * abs(exponent) <= MAX_BITS:
            return Fraction(base ** int(exponent))
    return float(POWER_CONTEXT.power(_to_decimal(base), _to_decimal(exponent)))


def _to_decimal(number: Number) -> Decimal:
    if isinstance(number, float):
        return Decimal(number)
    return POWER_CONTEXT.divide(Decimal(number.numerator), Decimal(number.denominator))


def _sqrt(x: Number) -> Number:
    if x < 0:
        raise ValueError("A negative number has no real square root.")
    if isinstance(x, Fraction):
        root = Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))
        if root * root == x:
            return root
    return math.sqrt(x)


def _log(x: Number, base: Number = math.e) -> Number:
    if x <= 0 or base <= 0 or base == 1:
        raise ValueError("A logarithm takes a number above 0, and a base above 0 that is not 1.")
    result = _ln(x) / _ln(base)
    if isinstance(x, Fraction) and isinstance(base, Fraction):
        with suppress(OverflowError):
            if _power(base, nearest := Fraction(round(result))) == x:
                return nearest
    return result


def _log10(x: Number) -> Number:
    return _log(x, Fraction(10))


def _ln(x: Number) -> float:
    if isinstance(x, Fraction) and not MIN_LOG_FLOAT < x < MAX_LOG_FLOAT:
        return math.log(x.numerator) - math.log(x.denominator)
    return math.log(x)


def _sin(x: Number) -> float:
    return _without_rounding_error(math.sin(x), x)


def _cos(x: Number) -> float:
    return _without_rounding_error(math.cos(x), x)


def _tan(x: Number) -> float:
    if _cos(x) == 0:
        raise ValueError("The tangent is not defined there.")
    return _without_rounding_error(math.tan(x), x)


def _without_rounding_error(result: float, x: Number) -> float:
    """Returns 0 if the result is below the rounding error of ``x``: sin(pi) is 0. An exact ``x`` has no error."""
    rounding = min(RELATIVE_FLOAT_ERROR * abs(x), MAX_FLOAT_ERROR) if isinstance(x, float) else 0.0
    return 0.0 if abs(result) < rounding else result


def _round(x: Number, digits: Number = ZERO) -> Number:
    if not -MAX_EXPONENT <= digits <= MAX_EXPONENT:
        raise OverflowError
    scale = Fraction(10) ** _to_integer(digits)
    size = math.floor(abs(Fraction(x)) * scale + Fraction(1, 2)) / scale
    return -size if x < 0 else size


def _factorial(n: Number) -> Number:
    if not 0 <= n <= MAX_FACTORIAL:
        raise ValueError(f"A factorial can be calculated of 0 to {MAX_FACTORIAL}.")
    return Fraction(math.factorial(_to_integer(n)))


def _max(*numbers: Number) -> Number:
    return max(numbers)


def _min(*numbers: Number) -> Number:
    return min(numbers)


def _to_integer(number: Number) -> int:
    if number != int(number):
        raise ValueError(f"{format_number(number)} is not an integer.")
    return int(number)


ANY_NUMBER = range(1, MAX_EXPRESSION_CHARS)
CONSTANTS: Mapping[str, Number] = {"pi": math.pi, "e": math.e}
FUNCTIONS: Mapping[str, FunctionSpec] = {
    "abs": (abs, range(1, 2)),
    "ceil": (math.ceil, range(1, 2)),
    "cos": (_cos, range(1, 2)),
    "exp": (math.exp, range(1, 2)),
    "factorial": (_factorial, range(1, 2)),
    "floor": (math.floor, range(1, 2)),
    "log": (_log, range(1, 3)),
    "log10": (_log10, range(1, 2)),
    "max": (_max, ANY_NUMBER),
    "min": (_min, ANY_NUMBER),
    "round": (_round, range(1, 3)),
    "sin": (_sin, range(1, 2)),
    "sqrt": (_sqrt, range(1, 2)),
    "tan": (_tan, range(1, 2)),
}
OPERATIONS: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
