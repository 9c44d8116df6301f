"""A typed function with a docstring becomes a tool; one that cannot be described is rejected when it is defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from gateway.tools import Tool, tool


class PlaceArgument(BaseModel):
    city: str
    country: str = "DE"


@tool
def forecast(
    place: PlaceArgument,
    days: Annotated[int, Field(ge=1, le=7)] = 1,
    unit: Annotated[Literal["C", "F"], Field(description="The scale.")] = "C",
    *,
    copy: list[float] | None = None,
) -> str:
    """Tell the weather.

    Of the days to come.

    Args:
        place: Where.
        days: How many days.
        unit: Not this text.
        copy: Of earlier days.
    """
    return f"{place.city} {place.country} {days} {unit} {copy}"


def test_the_description_is_the_docstring_without_its_sections() -> None:
    assert forecast.description == "Tell the weather.\n\nOf the days to come."


def test_the_schema_comes_from_the_signature() -> None:
    schema = forecast.parameters
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["place"]
    assert schema["properties"]["days"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 7,
        "default": 1,
        "description": "How many days.",
    }
    assert schema["properties"]["unit"] == {
        "type": "string",
        "enum": ["C", "F"],
        "default": "C",
        "description": "The scale.",
    }
    assert schema["properties"]["place"]["description"] == "Where."
    assert schema["$defs"]["PlaceArgument"]["required"] == ["city"]


def test_arguments_become_python_values_and_defaults_stay_the_functions() -> None:
    given = forecast.parse_arguments('{"place": {"city": "Ulm"}, "copy": ["1", 2]}')
    assert given == {"place": PlaceArgument(city="Ulm"), "copy": [1.0, 2.0]}
    assert forecast.call(**given) == "Ulm DE 1 C [1.0, 2.0]"


@pytest.mark.parametrize("text", ["", " \n", "null", "{}"])
def test_an_empty_text_means_no_arguments(text: str) -> None:
    @tool
    def ping() -> str:
        """Ping."""
        return "pong"

    assert ping.parse_arguments(text) == {}
    assert ping.parameters == {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize("text", ["[", "5", '"x"', '{"place": 1}', '{"place": {"city": "Ulm"}, "days": 9}', '{"x": 1}'])
def test_arguments_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        forecast.parse_arguments(text)


def test_a_tool_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        forecast.name = "other"  # type: ignore[misc]


def test_names_reserved_by_pydantic_can_be_parameters() -> None:
    @tool
    def odd(schema: str, _private: int, model_config: str, title: str) -> str:
        """Odd."""
        return f"{schema}{_private}{model_config}{title}"

    given = odd.parse_arguments('{"schema": "a", "_private": 1, "model_config": "b", "title": "c"}')
    assert odd.call(**given) == "a1bc"
    assert list(odd.parameters["properties"]) == ["schema", "_private", "model_config", "title"]


def test_a_method_is_a_tool_without_its_self() -> None:
    class Counter:
        def count(self, by: int) -> int:
            """Count."""
            return by + 1

    assert tool(Counter().count).call(**tool(Counter().count).parse_arguments('{"by": 1}')) == 2


def _undocumented(a: int) -> int:
    return a


def _untyped(a) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001  # that is the point
    """Doc."""
    return int(a)


def _starred(*args: int) -> int:
    """Doc."""
    return len(args)


def _keywords(**options: int) -> int:
    """Doc."""
    return len(options)


def _positional(a: int, /) -> int:
    """Doc."""
    return a


def _formless(a: Callable[[], int]) -> int:
    """Doc."""
    return a()


def _misdescribed(a: int) -> int:
    """Doc.

    Args:
        a: Something.
        b: Something else.
    """
    return a


def _unknown(a: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821  # that is the point
    """Doc."""
    return int(a)


async def _yielding() -> Any:
    """Doc."""
    yield 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_undocumented, "_undocumented: it needs a docstring"),
        (_untyped, "parameter 'a' needs a type"),
        (_starred, r"\*args: 'int' cannot be given by name"),
        (_keywords, r"\*\*options: 'int' cannot be given by name"),
        (_positional, "cannot be given by name"),
        (_formless, "the type of parameter 'a' has no JSON form"),
        (_misdescribed, "the docstring describes b"),
        (_unknown, "'Nowhere' is not known"),
        (_yielding, "it yields"),
        (lambda: 1, "cannot be the name of a tool"),
    ],
)
def test_a_function_that_cannot_be_described_is_refused(function: Callable[..., Any], reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        tool(function)


def test_a_name_that_the_api_does_not_accept_is_refused() -> None:
    def grüße() -> str:  # noqa: PLC2401  # that is the point
        """Doc."""
        return ""

    with pytest.raises(TypeError, match="cannot be the name of a tool"):
        tool(grüße)


def test_the_decorator_gives_a_tool() -> None:
    assert isinstance(forecast, Tool)
