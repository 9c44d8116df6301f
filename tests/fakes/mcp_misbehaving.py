"""An MCP server on stdio, by hand, that speaks the protocol of 2025 and misbehaves as its argument says.

It imports nothing that takes time: a test starts it in some milliseconds.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

MODE = sys.argv[1]
OBJECT = {"type": "object", "properties": {"text": {"type": "string"}}}
TOOLS = [{"name": "echo", "description": "Say it again.", "inputSchema": OBJECT}]
LIES = [
    {"name": "no_schema", "inputSchema": {"type": "object", "properties": {"a": {"type": "a number"}}}},
    {
        "name": "too_deep",
        "inputSchema": {"type": "object", "properties": {"a": {"enum": [json.loads("[" * 90 + "]" * 90)]}}},
    },
    {"name": "promises", "inputSchema": OBJECT, "outputSchema": {"type": "object", "required": ["total"]}},
]
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


def send(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def flood() -> None:
    while True:
        send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "spam"}})


def pour() -> None:
    while True:
        sys.stdout.write("x" * 2**16)


def called(params: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the result of a call; None if there will be none."""
    if MODE == "flood":
        flood()
    if MODE == "pour":
        pour()
    if MODE == "die":
        sys.stderr.write("Bearer hush-hush-hush is not accepted\n")
        sys.stderr.flush()
        os._exit(3)
    if MODE == "hang":
        return None
    if MODE == "change":
        TOOLS.append({"name": "fresh", "inputSchema": OBJECT})
        send(CHANGED)
    return {"content": [{"type": "text", "text": f"again: {params['arguments'].get('text')}"}]}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        return {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": MODE, "version": "1"},
        }
    if method == "tools/list":
        if MODE == "same":
            return {"tools": [{"name": name, "inputSchema": OBJECT} for name in ("a.b", "a_b")]}
        if MODE == "broken":
            return {"tools": [{"name": "no_object", "inputSchema": {"type": "array"}}]}
        return {"tools": TOOLS + LIES if MODE == "lie" else TOOLS}
    return called(params)


for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked or MODE == "silent":
        continue
    if asked["method"] not in ("initialize", "tools/list", "tools/call"):
        send({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no such method"}})
    elif (result := answer(asked["method"], asked.get("params", {}))) is not None:
        send({"jsonrpc": "2.0", "id": asked["id"], "result": result})
