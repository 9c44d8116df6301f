"""Checks answers and events by OpenAI's published description of its API, of which ``openai.json`` is an extract."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types of its own
from referencing import Registry, Resource

from tests.adapters.openai_api.openapi.extract import SCHEMAS

FILE = Path(__file__).with_name("openai.json")
ROOT = "urn:openai"
PLACEHOLDER = re.compile(r"\{\w+\}")


@cache
def _description() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


@cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    """The paths, those without placeholders first."""
    found = sorted(_description()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(PLACEHOLDER.sub("[^/]+", path)), path) for path in found]


@cache
def _validator(reference: str) -> Draft202012Validator:
    registry = Registry().with_resource(ROOT, Resource.opaque(_description()))
    return Draft202012Validator({"$ref": f"{ROOT}{reference}"}, registry=registry)


def check_answer(response: httpx2.Response) -> None:
    """An event hook of the SDK's client: raises AssertionError for an answer that is not as described."""
    path = response.request.url.path.removeprefix("/openai").removeprefix("/v1")
    described = next((name for shape, name in _paths() if shape.fullmatch(path)), None)
    method = response.request.method.lower()
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if described is None or not is_json or method not in _description()["paths"][described]:
        return
    response.read()
    if response.status_code == 200:
        place = described.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
        _check(f"#/paths/{place}/{method}", response.json(), f"{method} {path}")
    elif response.status_code >= 400:
        _check(f"{SCHEMAS}ErrorResponse", response.json(), f"{method} {path}")


def check_events(text: str) -> list[str]:
    """Returns the names of a run's events. Raises AssertionError for one that is not as described."""
    names = []
    for name, data in _events(text):
        given = data if data == "[DONE]" else json.loads(data)
        _check(f"{SCHEMAS}AssistantStreamEvent", {"event": name, "data": given}, name)
        names.append(name)
    return names


def _events(text: str) -> Iterator[tuple[str, str]]:
    for block in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            yield fields["event"], fields["data"]


def _check(reference: str, given: Any, where: str) -> None:
    errors = [f"{error.json_path}: {error.message}"[:500] for error in _validator(reference).iter_errors(given)]
    assert not errors, f"{where}: {errors}\n{json.dumps(given)[:2000]}"
