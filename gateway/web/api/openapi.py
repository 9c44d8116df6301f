"""Builds the OpenAPI document from the routes' descriptions and from the models that validate their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.web.api.event_stream import EVENT_STREAM
from gateway.web.api.problems import STATUS_MEANING, Problems

JSON = "application/json"
FORM = "multipart/form-data"
SCHEMA_REF = "#/components/schemas/{model}"
PATH_PLACEHOLDER = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True)
class ParameterDoc:
    """A header or query parameter that a route reads."""

    name: str
    description: str
    place: Literal["header", "query"] = "header"
    pattern: str = ""
    """A regular expression for the whole value, if not any text is valid."""
    max_length: int | None = None

    @property
    def schema(self) -> dict[str, Any]:
        limits = {"pattern": self.pattern, "maxLength": self.max_length}
        return {"type": "string"} | {name: limit for name, limit in limits.items() if limit}


@dataclass(frozen=True, slots=True)
class ResponseDoc:
    """A successful response of a route. Without a model it has no body."""

    description: str
    model: type[BaseModel] | None = None
    events: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """The events, by name, of the stream that the route may send with the same status; empty if it never does."""
    stream: str = ""
    """Describes that stream."""
    media_type: str = ""
    """Of a body that no model describes."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route in the document. ``path`` is written as in Flask: ``/things/<thing_id>``."""

    operation_id: str
    method: str
    path: str
    description: str
    """The summary, a full stop, and optionally a longer description."""
    responses: Mapping[int, ResponseDoc]
    error_statuses: Sequence[int] = ()
    """Statuses of the errors that it may return."""
    body_model: type[BaseModel] | None = None
    form_model: type[BaseModel] | None = None
    """The fields of a form that may be sent instead, with files."""
    parameters: Sequence[ParameterDoc] = ()
    requires_api_key: bool = False
    """Whether it requires a bearer token."""


@runtime_checkable
class HasOperations(Protocol):
    """An adapter whose routes are listed in the document."""

    def operations(self) -> Sequence[Operation]: ...


def document(title: str, version: str, description: str, operations: Iterable[Operation]) -> dict[str, Any]:
    """Returns the OpenAPI 3.1 document as a dict."""
    operations = tuple(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = PATH_PLACEHOLDER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation_object(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _operation_object(operation: Operation) -> dict[str, Any]:
    title, _, more = operation.description.partition(". ")
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": title.rstrip("."),
        "description": more,
        "parameters": _parameter_objects(operation),
        "responses": {str(status): _response_object(reply) for status, reply in operation.responses.items()}
        | {str(status): _error_response_object(status) for status in operation.error_statuses},
        "security": [{"key": []}] if operation.requires_api_key else [],
    }
    if operation.body_model is not None:
        content: dict[str, Any] = _json_content(operation.body_model)
        if operation.form_model is not None:
            content[FORM] = {"schema": _form_schema(operation.form_model)}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _form_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the schema of a form: its fields, and any number of files, however their parts are named."""
    schema = model.model_json_schema()
    files = {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}}
    return {**schema, "properties": {**schema["properties"], "files": files}}


def _parameter_objects(operation: Operation) -> list[dict[str, Any]]:
    text = {"type": "string"}
    named = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in PATH_PLACEHOLDER.findall(operation.path)
    ]
    return named + [
        {"name": each.name, "in": each.place, "description": each.description, "schema": each.schema}
        for each in operation.parameters
    ]


def _response_object(response: ResponseDoc) -> dict[str, Any]:
    content: dict[str, Any] = _json_content(response.model) if response.model else {}
    if response.media_type:
        content = {response.media_type: {"schema": {"description": "Its content."}}}
    if response.events:
        events = [_event_schema(name, model) for name, model in response.events.items()]
        content[EVENT_STREAM] = {"schema": {"description": response.stream, "oneOf": events}}
    return {"description": response.description} | ({"content": content} if content else {})


def _event_schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """Returns the schema of one server-sent event.

    As OpenAPI 3.1 has none for streams, it describes an event by its fields, as 3.2 does for ``itemSchema``:
    spec.openapis.org/oas/v3.2.0#server-sent-event-streams
    """
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": _reference(model)}
    return {
        "type": "object",
        "properties": {"event": {"type": "string", "const": name}, "data": data},
        "required": ["event", "data"],
    }


def _error_response_object(status: int) -> dict[str, Any]:
    return {"description": STATUS_MEANING[status], "content": _json_content(Problems)}


def _json_content(model: type[BaseModel]) -> dict[str, Any]:
    return {JSON: {"schema": _reference(model)}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": SCHEMA_REF.format(model=model.__name__)}


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    request_models = {operation.body_model: "validation" for operation in operations if operation.body_model}
    replies = [reply for operation in operations for reply in operation.responses.values()]
    given = [model for reply in replies for model in (reply.model, *reply.events.values())]
    response_models = {model: "serialization" for model in given if model}
    models = request_models | response_models | {Problems: "serialization"}
    _, schemas = models_json_schema(tuple(models.items()), ref_template=SCHEMA_REF)  # type: ignore[arg-type]  # modes
    return dict(schemas["$defs"])
