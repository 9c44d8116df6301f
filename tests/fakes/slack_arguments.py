"""Arguments of Web API calls: reading and validating them, and the visible text of a message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.fakes.slack_faults import Json, SlackError, invalid_arguments

MAX_MARKDOWN_CHARS = 12_000
"""Characters of ``markdown_text``, and of all markdown blocks of a message together."""
MAX_TEXT_CHARS = 40_000
"""Characters of ``text`` in chat.postMessage; longer text is truncated."""
MAX_UPDATE_CHARS = 4_000
"""Characters of ``text`` in chat.update."""
MAX_BLOCKS = 50
MAX_SECTION_CHARS = 3_000
TEXT_BLOCKS = {"section", "context", "header", "markdown"}
OTHER_BLOCKS = {
    "context_actions",
    "actions",
    "divider",
    "image",
    "rich_text",
    "table",
    "file",
    "task_card",
    "plan",
    "input",
}
NEWER_BLOCKS = {"card", "carousel", "alert", "video", "data_table", "data_visualization"}
KNOWN_BLOCKS = TEXT_BLOCKS | OTHER_BLOCKS | NEWER_BLOCKS


def visible_text(text: str, markdown: str, blocks: Sequence[Json]) -> str:
    """Returns the text users see: blocks replace ``text``, which is then only shown in notifications."""
    in_markdown = [str(block.get("text", "")) for block in blocks if block.get("type") == "markdown"]
    if markdown or in_markdown:
        return markdown + "\n\n".join(in_markdown)
    in_sections = [block["text"]["text"] for block in blocks if isinstance(block.get("text"), dict)]
    return "\n".join(in_sections) or text


class SlackArguments(dict[str, Any]):
    """The arguments of a call."""

    def string(self, name: str) -> str:
        """Returns a plain value; empty when missing."""
        value = self.get(name)
        return "" if value is None else str(value)

    def required_string(self, name: str) -> str:
        """Returns a required value. Raises invalid_arguments."""
        if value := self.string(name):
            return value
        raise invalid_arguments(f"missing required field: {name}")

    def flag(self, name: str) -> bool:
        return self.string(name).lower() in {"1", "true"}

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.string(name) or default)
        except ValueError:
            raise invalid_arguments(f"must be a number: {name}") from None

    def json_objects(self, name: str, code: str) -> list[Json]:
        """Returns a list of objects, given as JSON or as JSON text; empty when missing. Raises SlackError with
        ``code``.
        """
        value = decode_json(self.get(name))
        if value in (None, ""):
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise SlackError(code)
        return value

    def json_object(self, name: str, code: str) -> Json | None:
        value = decode_json(self.get(name))
        if value in (None, ""):
            return None
        if not isinstance(value, dict):
            raise SlackError(code)
        return value


def decode_json(value: Any) -> Any:
    """Decodes a form value that is a JSON list or object; returns anything else unchanged."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def blocks_of(args: SlackArguments) -> list[Json]:
    """Returns the valid blocks. Raises invalid_blocks_format, invalid_blocks, msg_blocks_too_long."""
    blocks = args.json_objects("blocks", "invalid_blocks_format")
    if len(blocks) > MAX_BLOCKS:
        raise _invalid_blocks(f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]")
    for index, block in enumerate(blocks):
        _check_block(block, f"[json-pointer:/blocks/{index}]")
    if sum(len(str(block.get("text"))) for block in blocks if block["type"] == "markdown") > MAX_MARKDOWN_CHARS:
        raise SlackError("msg_blocks_too_long")
    return blocks


def _check_block(block: Json, where: str) -> None:
    kind, text = block.get("type"), block.get("text")
    if kind not in KNOWN_BLOCKS:
        raise _invalid_blocks(f"unsupported type: {kind} {where}")
    if kind == "markdown" and (not isinstance(text, str) or not text):
        raise _invalid_blocks(f"must be at least 1 characters long: text {where}")
    if kind == "section" and isinstance(text, dict) and len(text.get("text", "")) > MAX_SECTION_CHARS:
        raise _invalid_blocks(f"must be less than {MAX_SECTION_CHARS + 1} characters: text {where}")
    if len(str(block.get("block_id", ""))) > 255:
        raise _invalid_blocks(f"must be less than 256 characters: block_id {where}")
    if kind in {"context_actions", "actions"} and not block.get("elements"):
        raise _invalid_blocks(f"no elements {where}")


def _invalid_blocks(reason: str) -> SlackError:
    return SlackError("invalid_blocks", response_metadata={"messages": [f"[ERROR] {reason}"]})


def markdown_of(args: SlackArguments) -> str:
    """Returns ``markdown_text``. Raises msg_too_long."""
    markdown = args.string("markdown_text")
    if len(markdown) > MAX_MARKDOWN_CHARS:
        raise SlackError("msg_too_long")
    return markdown


def metadata_of(args: SlackArguments) -> Json | None:
    """Returns the metadata. Raises invalid_metadata_format."""
    metadata = args.json_object("metadata", "invalid_metadata_format")
    if metadata is None:
        return None
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise SlackError("invalid_metadata_format")
    return metadata


def check_ts(args: SlackArguments, name: str) -> str | None:
    """Returns a thread_ts, or None when missing. Raises invalid_thread_ts, also for an empty one."""
    if args.get(name) is None:
        return None
    ts = args.string(name)
    seconds, dot, rest = ts.partition(".")
    if not (dot and seconds.isdigit() and rest.isdigit()):
        raise SlackError("invalid_thread_ts")
    return ts
