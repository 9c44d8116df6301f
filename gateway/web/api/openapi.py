"""Builds the OpenAPI document from the routes' descriptions and from the models that validate their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.web.api.problems import MEANING, Problems
from gateway.web.api.views import STREAM

REF = "#/components/schemas/{model}"
PLACEHOLDER = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True)
class Header:
    """A request header that a route reads."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful response of a route. Without a model it has no body."""

    about: str
    model: type[BaseModel] | None = None
    stream: str = ""
    """Describes the event stream that the route may send with the same status; empty if it never does."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route in the document. ``path`` is written as in Flask: ``/things/<thing_id>``."""

    name: str
    method: str
    path: str
    about: str
    """The summary, a full stop, and optionally a longer description."""
    replies: Mapping[int, Reply]
    problems: Sequence[int] = ()
    """Statuses of the errors that it may return."""
    body: type[BaseModel] | None = None
    headers: Sequence[Header] = ()
    secured: bool = False
    """Whether it requires a bearer token."""


@runtime_checkable
class Described(Protocol):
    """An adapter whose routes are listed in the document."""

    def operations(self) -> Sequence[Operation]: ...


def document(title: str, version: str, about: str, operations: Iterable[Operation]) -> dict[str, Any]:
    """Returns the OpenAPI 3.1 document as a dict."""
    operations = tuple(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = PLACEHOLDER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    title, _, more = operation.about.partition(". ")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": title.rstrip("."),
        "description": more,
        "parameters": _parameters(operation),
        "responses": {str(status): _reply(reply) for status, reply in operation.replies.items()}
        | {str(status): _problem(status) for status in operation.problems},
        "security": [{"key": []}] if operation.secured else [],
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    named = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in PLACEHOLDER.findall(operation.path)
    ]
    return named + [
        {"name": header.name, "in": "header", "description": header.about, "schema": text}
        for header in operation.headers
    ]


def _reply(reply: Reply) -> dict[str, Any]:
    content: dict[str, Any] = _json(reply.model) if reply.model else {}
    if reply.stream:
        content[STREAM] = {"schema": {"type": "string", "description": reply.stream}}
    return {"description": reply.about} | ({"content": content} if content else {})


def _problem(status: int) -> dict[str, Any]:
    return {"description": MEANING[status], "content": _json(Problems)}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    request_models = {operation.body: "validation" for operation in operations if operation.body}
    given = {reply.model: "serialization" for operation in operations for reply in operation.replies.values()}
    response_models = {model: mode for model, mode in given.items() if model}
    models = request_models | response_models | {Problems: "serialization"}
    _, schemas = models_json_schema(tuple(models.items()), ref_template=REF)  # type: ignore[arg-type]  # modes
    return dict(schemas["$defs"])
