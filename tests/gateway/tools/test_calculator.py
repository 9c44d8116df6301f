"""The calculator is exact where possible, rejects input that is not arithmetic, and always takes little time."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools import calculate
from gateway.tools.calculator import MAX_BITS, MAX_EXPRESSION_CHARS, evaluate, format_number


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("0.1 + 0.2", "0.3"),
        ("1/3*3", "1"),
        ("2 + 3 * 4 - 10 / 4", "11.5"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("2 ** 3 ** 2", "512"),
        ("-2 ** 2", "-4"),
        ("2^10", "1024"),
        ("3 × 4 ÷ 2 − 1", "5"),  # noqa: RUF001  # as people write it
        ("1_000 * 1.5e3", "1500000"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("1.05 ** 10", "1.62889462677744140625"),
        ("1 / 3", "0.33333333333333333333"),
        ("-1 / 1024", "-0.0009765625"),
        ("10 ** -60", "1e-60"),
        ("(1 + 1/10**9) ** 10**9", "2.7182818270999"),
        ("sqrt(16/9) * 3", "4"),
        ("sqrt(2)", "1.4142135623731"),
        ("round(2.675, 2)", "2.68"),
        ("round(-2.5)", "-3"),
        ("round(12345, -2)", "12300"),
        ("round(pi, 4)", "3.1416"),
        ("floor(-0.5) + ceil(0.5)", "0"),
        ("min(3, 1/2, 2) + max(1, 2.5) + abs(-1)", "4"),
        ("factorial(20)", "2432902008176640000"),
        ("log(1000, 10) + log10(1/100) + log(e)", "2"),
        ("log10(10 ** 400)", "400"),
        ("sin(pi) + cos(pi / 2) + tan(0)", "0"),
        ("sin(1e-20)", "1e-20"),
        ("exp(0)", "1"),
        ("0 ** 0", "1"),
        ("1\n + 1", "2"),
    ],
)
def test_it_calculates(expression: str, result: str) -> None:
    assert format_number(evaluate(expression)) == result


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("1 / 0", "Division by zero"),
        ("1 // (2 - 2)", "Division by zero"),
        ("1 % 0.0", "Division by zero"),
        ("0 ** -1", "Division by zero"),
        ("9**9**9", "too large"),
        ("exp(1000)", "too large"),
        ("1e99999999999", "too large"),
        ("round(1, 10**9)", "too large"),
        ("10**400 * pi", "too large"),
        ("factorial(10**9)", "0 to 1000"),
        ("factorial(2.5)", "not an integer"),
        ("sqrt(-1)", "square root"),
        ("log(0)", "logarithm"),
        ("log(2, 1)", "logarithm"),
        ("(-8) ** (1/3)", "negative number"),
        ("tan(pi / 2)", "not defined"),
        ("1,000 + 1", "comma"),
        ("sin(1, 2)", "sin takes 1 arguments, not 2"),
        ("max()", "max takes 1 or more arguments"),
        ("x + 1", "no constant 'x'"),
        ("open(1)", "no function 'open'"),
        ("__import__(1)", "no function '__import__'"),
        ("1 +", "not complete"),
        ("(1", "not complete"),
        ("1 if 1 else 2", "can be calculated"),
        ("True", "not a number"),
        ("max(*1)", "can be calculated"),
        ("sin(1)(2)", "can be calculated"),
        ("'a' * 9", "cannot be parsed from \"'a' * 9\""),
        ("(1).real", "cannot be parsed"),
        ("[1]", "cannot be parsed"),
        ("1j", "cannot be parsed"),
        ("0x10", "cannot be parsed"),
        ("1 if (x := 2) else 3", "cannot be parsed"),
        ("1" + "0" * MAX_EXPRESSION_CHARS, "longer than"),
        ("-" * 100 + "1", "nested deeper"),
        ("(" * 900 + "1" + ")" * 900, "not complete"),
    ],
)
def test_the_error_says_what_is_wrong(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        evaluate(expression)


def test_a_long_sum_does_not_count_as_nested() -> None:
    assert evaluate("+".join(["1"] * 1000)) == 1000


def test_the_tool_is_described_for_the_model() -> None:
    assert calculate.name == "calculate"
    assert "sqrt" in calculate.parameters["properties"]["expression"]["description"]
    assert calculate.call(expression="1 + 1") == "2"


Written = tuple[str, Fraction]
BINARY: dict[str, Callable[[Fraction, Fraction], Fraction | int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def _combined(parts: tuple[Written, str, Written]) -> Written:
    (left, a), sign, (right, b) = parts
    if b == 0 and sign in {"/", "//", "%"}:
        sign = "+"
    return f"({left} {sign} {right})", Fraction(BINARY[sign](a, b))


decimals = st.decimals(min_value=0, max_value=10**6, places=3).map(lambda d: (str(d), Fraction(d)))
rationals: st.SearchStrategy[Written] = st.recursive(
    st.integers(0, 10**6).map(lambda n: (str(n), Fraction(n))) | decimals,
    lambda inner: (
        st.tuples(inner, st.sampled_from(sorted(BINARY)), inner).map(_combined)
        | inner.map(lambda w: (f"-{w[0]}", -w[1]))
    ),
    max_leaves=12,
)


@given(rationals)
def test_rational_arithmetic_is_exact(case: Written) -> None:
    expression, value = case
    assert evaluate(expression) == value


@given(st.fractions())
def test_the_formatted_number_is_exact(number: Fraction) -> None:
    shown = Fraction(format_number(number))
    assert abs(shown - number) <= abs(number) * Fraction(1, 10**19)


TOKENS = (
    *("0", "1", "2", "9", "0.5", "1e9", "1e-300", "999999", "(", ")", "(", ")", "+", "-", "*", "/", "//", "%", "**"),
    *(",", " ", "pi", "e", "abs(", "ceil(", "cos(", "exp(", "factorial(", "floor(", "log(", "log10(", "max(", "min("),
    *(
        "round(",
        "sin(",
        "sqrt(",
        "tan(",
        "lambda",
        "if",
        ".",
        "x",
        "'",
        "[",
        "=",
        "!",
        "\n",
        "\0",
        "é",
        "\ud800",
    ),  # a surrogate
)


@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join) | st.text())
def test_anything_gives_a_bounded_number_or_a_value_error(expression: str) -> None:
    try:
        number = evaluate(expression)
    except ValueError:
        return
    assert math.isfinite(number) if isinstance(number, float) else number.numerator.bit_length() <= MAX_BITS
    assert len(format_number(number)) < 4000
