"""The API documentation: `/openapi.json`, the page at `/docs` with examples and a form to try each route, its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from gateway.web.api.event_stream import EVENT_STREAM
from gateway.web.api.openapi import FORM, JSON, Operation, document
from gateway.web.chat_page import CACHE_AND_REVALIDATE, CONTENT_TYPES, PAGES, Asset

TITLE = "Chat gateway"
VERSION = "1"
DESCRIPTION = "One assistant in all your chats. Every error is JSON and says what to do."
FILES = ("tokens.css", "docs/docs.css", "docs/try.js", "chat/memory.js", "chat/icon.svg")
"""The files that the page loads."""
POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types 'none'"),
    )
)
"""The page's Content-Security-Policy: only our own files, and no text becomes HTML."""
GROUPS: Mapping[str, str] = {
    "chat": "Chat",
    "messages": "Messages from programs",
    "metrics": "Health and metrics",
    "healthz": "Health and metrics",
    "readyz": "Health and metrics",
}
"""Titles of groups of routes, by the first part of the path, in the order of the page."""
LANGUAGES: Mapping[str, str] = {"sh": "curl", "py": "Python", "mjs": "JavaScript"}
"""Names of the languages of the examples, by suffix."""
EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "chat": (("say", "Say something"), ("stream", "Read the reply while it is written"), ("file", "Send a file")),
    "show_turn": (("turn", "Look a turn up"),),
}
"""Names, without suffix, and titles of the examples in `docs_examples`, by operation."""
LONG_TEXT = 300
"""A field for more characters than this has several lines."""

Kind = Literal["text", "long", "number", "choice", "json", "files"]


# ---------------------------------------------------------------- what the page shows


@dataclass(frozen=True, slots=True)
class Example:
    """What one does, and the code for it by the name of the language."""

    title: str
    code: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TryField:
    """One field of the form that tries a route."""

    name: str
    place: Literal["path", "query", "header", "body"]
    kind: Kind
    is_required: bool = False
    choices: Sequence[str] = ()
    """The values to choose from, as JSON if they go into a body."""


@dataclass(frozen=True, slots=True)
class ShownOperation:
    """A route on the page. ``described``: its object in the document."""

    method: str
    path: str
    described: Mapping[str, Any]
    fields: Sequence[TryField]
    examples: Sequence[Example]


class Documentation:
    """The OpenAPI document and what the page shows of it, created on first use."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.document = document(TITLE, VERSION, DESCRIPTION, operations)
        self.groups = self._grouped()

    def _grouped(self) -> Mapping[str, Sequence[ShownOperation]]:
        """Returns the routes by the title of their group; those that belong to none come last."""
        groups: dict[str, list[ShownOperation]] = {title: [] for title in GROUPS.values()}
        for path, methods in self.document["paths"].items():
            title = GROUPS.get(path.split("/")[1], "Others")
            for method, described in methods.items():
                groups.setdefault(title, []).append(self._shown(method, path, described))
        return {title: shown for title, shown in groups.items() if shown}

    def _shown(self, method: str, path: str, described: Mapping[str, Any]) -> ShownOperation:
        fields = (*self._parameter_fields(described), *self._body_fields(described), *_accept_field(described))
        return ShownOperation(method.upper(), path, described, fields, examples_of(described["operationId"]))

    def _parameter_fields(self, described: Mapping[str, Any]) -> Iterator[TryField]:
        for each in described["parameters"]:
            yield TryField(each["name"], each["in"], "text", bool(each.get("required")))

    def _body_fields(self, described: Mapping[str, Any]) -> Iterator[TryField]:
        content = described.get("requestBody", {}).get("content", {})
        if JSON not in content:
            return
        schema = self._resolved(content[JSON]["schema"])
        for name, about in schema["properties"].items():
            kind, choices = self._kind(about)
            if FORM in content and name == "files":
                kind = "files"
            yield TryField(name, "body", kind, name in schema.get("required", ()), choices)

    def _kind(self, schema: Mapping[str, Any]) -> tuple[Kind, Sequence[str]]:
        """Returns how a value of this schema is entered, and which ones there are if only some are valid."""
        schema = self._resolved(schema)
        if "enum" in schema:
            return "choice", [json.dumps(value) for value in schema["enum"]]
        match schema.get("type"):
            case "boolean":
                return "choice", ["true", "false"]
            case "integer" | "number":
                return "number", ()
            case "string":
                return ("long" if schema.get("maxLength", 0) > LONG_TEXT else "text"), ()
            case _:
                return "json", ()

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the schema that a reference names, and of a choice of schemas the first that is not null."""
        if "$ref" in schema:
            return self._resolved(self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        if "anyOf" in schema:
            return self._resolved(next(each for each in schema["anyOf"] if each.get("type") != "null"))
        return schema


def _accept_field(described: Mapping[str, Any]) -> Iterator[TryField]:
    """Yields the header that chooses between the media types of the answer, where a body does not choose."""
    offered = list(described["responses"].get("200", {}).get("content", {}))
    if EVENT_STREAM in offered and "requestBody" not in described:
        yield TryField("Accept", "header", "choice", choices=offered)


@cache
def examples_of(operation_id: str) -> Sequence[Example]:
    """Returns the examples of an operation, read from `docs_examples`."""
    return tuple(Example(title, _codes(name)) for name, title in EXAMPLES.get(operation_id, ()))


def _codes(name: str) -> Mapping[str, str]:
    folder = PAGES / "docs_examples"
    return {language: (folder / f"{name}.{suffix}").read_text("utf-8") for suffix, language in LANGUAGES.items()}


# ---------------------------------------------------------------- routes


def blueprint(operations: Sequence[Operation]) -> flask.Blueprint:
    """Returns the routes of the documentation of ``operations``."""
    routes = flask.Blueprint("documentation", __name__)
    documentation = cache(lambda: Documentation(operations))

    @routes.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        return documentation().document

    @routes.get("/docs")
    def docs() -> ResponseReturnValue:
        shown = documentation()
        page = flask.render_template("docs/page.html", document=shown.document, groups=shown.groups)
        return flask.Response(page, headers={"Content-Security-Policy": POLICY})

    @routes.get("/docs/files/<path:name>")
    def file(name: str) -> ResponseReturnValue:
        return _asset(name).response(CACHE_AND_REVALIDATE)

    return routes


@cache
def _asset(name: str) -> Asset:
    """Returns a file of the page. Raises NotFound."""
    if name not in FILES:
        raise NotFound
    path = PAGES / name
    return Asset(path.read_bytes(), CONTENT_TYPES[path.suffix])
