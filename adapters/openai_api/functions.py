"""Functions of callers, as all of OpenAI's APIs describe them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from adapters.openai_api.content_parts import Text
from gateway.domain.turn_options import Json

EMPTY_SCHEMA: Json = {"type": "object", "properties": {}}
"""Of a function without parameters: "omitting `parameters` defines a function with an empty parameter list"."""
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-]{1,64}$")]


class FunctionSchema(BaseModel):
    """What the model is told of a function."""

    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def definition(self) -> Json:
        """Returns it as ``TurnOptions.functions`` has it."""
        parameters = self.parameters or EMPTY_SCHEMA
        schema = {"name": self.name, "description": self.description or "", "parameters": parameters}
        return schema if self.strict is None else {**schema, "strict": self.strict}
