"""Merges the deltas of a stream into one object, whatever fields a server has in them."""

from __future__ import annotations

from typing import Any

from gateway.assistants.sse import Json

WHOLE_FIELDS = frozenset({"id", "type", "name", "role", "format", "object", "signature", "thought_signature"})
"""Fields that come whole: the texts of all others come in pieces."""


def merge(target: Json, delta: Json) -> None:
    """Adds a delta to an object: texts are joined, objects merged, list items with one index merged. None is nothing.

    So the ``reasoning_details`` of OpenRouter come back as sent (openrouter.ai/docs, "Preserving reasoning").
    """
    for name, value in delta.items():
        if value is not None:
            target[name] = _merged(name, target.get(name), value)


def _merged(name: str, known: Any, more: Any) -> Any:
    if isinstance(known, str) and isinstance(more, str):
        return (more or known) if name in WHOLE_FIELDS else known + more
    if isinstance(known, dict) and isinstance(more, dict):
        merge(known, more)
        return known
    if isinstance(more, list):
        merged = known if isinstance(known, list) else []
        for item in more:
            _merge_item(merged, item)
        return merged
    if isinstance(more, dict):
        copied: Json = {}
        merge(copied, more)
        return copied
    return more


def _merge_item(items: list[Any], item: Any) -> None:
    """Adds an item of a list: to the item with its index, type and id if there is one, else as a new item."""
    for known in items if isinstance(item, dict) and "index" in item else ():
        if isinstance(known, dict) and known.get("index") == item["index"] and _agree(known, item):
            merge(known, item)
            return
    items.append(dict(item) if isinstance(item, dict) else item)


def _agree(known: Json, item: Json) -> bool:
    return all(not known.get(name) or not item.get(name) or known[name] == item[name] for name in ("type", "id"))
