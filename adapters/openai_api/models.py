"""The models of this API: the assistants of the gateway, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.openai_api.callers import Caller
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.errors import NoSuchObject, missing

DEFAULT = "default"
OWNER = "gateway"


def check_model(name: str, directory: AssistantDirectory, caller: Caller) -> str:
    """Returns the name of the assistant. Raises NoSuchObject, with the names of those that there are; InvalidRequest
    where none is named.
    """
    if not name:
        raise missing("model")
    found = directory.named(caller, name)
    if found is None:
        names = ", ".join(each.name for each in directory.configured(caller))
        message = f"The model `{name[:100]}` does not exist. The models here are: {names}."
        raise NoSuchObject(message, code="unknown_model")
    return found.name


def model_body(name: str) -> dict[str, Any]:
    """Returns a model object. Assistants have no date of their own."""
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


def models_body(models: Sequence[str]) -> dict[str, Any]:
    return {"object": "list", "data": [model_body(name) for name in models]}
