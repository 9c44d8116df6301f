"""Names of MCP tools, as the models' rules for names allow them."""

from __future__ import annotations

import hashlib
import re

from gateway.tools.tool import MAX_NAME_CHARS

SEPARATOR = "__"
NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")
HASH_CHARS = 8


def prefix_of(server: str) -> str:
    """Returns how the names of a server's tools begin."""
    return NOT_IN_NAME.sub("_", server) + SEPARATOR


def tool_name(server: str, tool: str) -> str:
    """Returns ``server__tool``: other characters become ``_``, and a long name ends with a hash of the whole one.

    The hash keeps apart what is cut off, and is the same in each process.
    """
    name = prefix_of(server) + NOT_IN_NAME.sub("_", tool)
    if len(name) <= MAX_NAME_CHARS:
        return name
    whole = hashlib.sha256(f"{server}\0{tool}".encode(errors="replace")).hexdigest()
    return f"{name[: MAX_NAME_CHARS - HASH_CHARS - 1]}_{whole[:HASH_CHARS]}"
