"""Says what is wrong with a value, in the words of those who write settings."""

from __future__ import annotations

from pydantic_core import ErrorDetails

WRONG = {
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be a whole number, in digits alone"
    ),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number, such as 2 or 0.5"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), 'must be a list, such as ["a", "b"]'),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be a table"),
    "string_type": "must be text, in quotes",
    **dict.fromkeys(("string_too_short", "too_short"), "is empty; write something, or leave it out"),
    "missing": "is missing",
}
"""By pydantic's type of error. For other types its own words are used, which tell what the value should be."""


def what_is_wrong(error: ErrorDetails) -> str:
    """Returns a sentence about a wrong value, without its subject and without the value."""
    message = error["msg"].removeprefix("Value error, ")
    message = message.replace("Input should", "must", 1).replace("String should", "must", 1)
    return f"{WRONG.get(error['type'], message).rstrip('.')}."
