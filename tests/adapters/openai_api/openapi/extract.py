"""Extracts what the tests need of OpenAI's description of its API.

``python -m tests.adapters.openai_api.openapi.extract openapi.json COMMIT``, with the file of SOURCE. Kept are the
answers with status 200 of the paths that the gateway serves, and the schemas that they name, without prose.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Json = Any
SERVED = ("/assistants", "/threads", "/files", "/vector_stores", "/models")
SERVED_EXACTLY = ("/chat/completions",)
ALSO = ("AssistantStreamEvent", "CreateChatCompletionStreamResponse", "ErrorResponse")
SCHEMAS = "#/components/schemas/"
DESCRIPTIVE = frozenset(
    {"description", "title", "example", "examples", "default", "discriminator", "deprecated", "summary"}
)
FILE = Path(__file__).with_name("openai.json")
SOURCE = "https://github.com/openai/openai-openapi"


def extract(described: Mapping[str, Json], digest: str, commit: str) -> Json:
    """Returns the extract, with where it comes from."""
    paths = {path: answers for path, methods in described["paths"].items() if (answers := _answers(path, methods))}
    schemas, wanted = {}, {*_named(paths), *ALSO}
    while wanted:
        name = wanted.pop()
        schemas[name] = _plain(described["components"]["schemas"][name])
        wanted |= {*_named(schemas[name])} - schemas.keys()
    return {
        "source": {"url": SOURCE, "commit": commit, "file": "openapi.json", "sha256": digest, "license": "MIT"},
        "copyright": "Copyright (c) OpenAI (https://openai.com)",
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _answers(path: str, methods: Mapping[str, Json]) -> Json:
    if path not in SERVED_EXACTLY and not any(path == one or path.startswith(f"{one}/") for one in SERVED):
        return {}
    found = {}
    for method in {"get", "post", "delete"} & methods.keys():
        answer = methods[method].get("responses", {}).get("200", {}).get("content", {}).get("application/json")
        if answer and answer["schema"].get("type") != "string":
            found[method] = _plain(answer["schema"])
    return found


def _plain(schema: Json) -> Json:
    """Returns a schema without prose, and with ``nullable`` as JSON Schema says it."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: {key: _plain(one) for key, one in value.items()} if name == "properties" else _plain(value)
        for name, value in schema.items()
        if name not in DESCRIPTIVE and not name.startswith("x-")
    }
    return {"anyOf": [kept, {"type": "null"}]} if kept.pop("nullable", False) else kept


def _named(schema: Json) -> Iterator[str]:
    """Yields the names of the schemas to which one refers."""
    if isinstance(schema, dict):
        if isinstance(named := schema.get("$ref"), str):
            yield named.removeprefix(SCHEMAS)
        for value in schema.values():
            yield from _named(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _named(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.adapters.openai_api.openapi.extract", description=__doc__)
    parser.add_argument("file", type=Path, help="the whole description, as JSON")
    parser.add_argument("commit", help="from which it is")
    options = parser.parse_args()
    given = options.file.read_bytes()
    found = extract(json.loads(given), hashlib.sha256(given).hexdigest(), options.commit)
    FILE.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
