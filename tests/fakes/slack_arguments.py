"""Arguments of Web API calls: reading and validating them, and the visible text of a message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.fakes.slack_faults import Json, SlackError, invalid

MARKDOWN_LIMIT = 12_000
"""Characters of ``markdown_text``, and of all markdown blocks of a message together."""
TEXT_LIMIT = 40_000
"""Characters of ``text`` in chat.postMessage; longer text is truncated."""
UPDATE_LIMIT = 4_000
"""Characters of ``text`` in chat.update."""
BLOCKS_LIMIT = 50
SECTION_LIMIT = 3_000
PARTS = {"section", "context", "header", "markdown"}
CONTEXTS = {
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
NEWER = {"card", "carousel", "alert", "video", "data_table", "data_visualization"}
BLOCKS = PARTS | CONTEXTS | NEWER


def visible(text: str, markdown: str, blocks: Sequence[Json]) -> str:
    """Returns the text users see: blocks replace ``text``, which is then only shown in notifications."""
    in_markdown = [str(block.get("text", "")) for block in blocks if block.get("type") == "markdown"]
    if markdown or in_markdown:
        return markdown + "\n\n".join(in_markdown)
    in_sections = [block["text"]["text"] for block in blocks if isinstance(block.get("text"), dict)]
    return "\n".join(in_sections) or text


class Args(dict[str, Any]):
    """The arguments of a call."""

    def word(self, name: str) -> str:
        """Returns a plain value; empty when missing."""
        value = self.get(name)
        return "" if value is None else str(value)

    def need(self, name: str) -> str:
        """Returns a required value. Raises invalid_arguments."""
        if value := self.word(name):
            return value
        raise invalid(f"missing required field: {name}")

    def flag(self, name: str) -> bool:
        return self.word(name).lower() in {"1", "true"}

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.word(name) or default)
        except ValueError:
            raise invalid(f"must be a number: {name}") from None

    def things(self, name: str, code: str) -> list[Json]:
        """Returns a list of objects, given as JSON or as JSON text; empty when missing. Raises SlackError with
        ``code``.
        """
        value = decoded(self.get(name))
        if value in (None, ""):
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise SlackError(code)
        return value

    def thing(self, name: str, code: str) -> Json | None:
        value = decoded(self.get(name))
        if value in (None, ""):
            return None
        if not isinstance(value, dict):
            raise SlackError(code)
        return value


def decoded(value: Any) -> Any:
    """Decodes a form value that is a JSON list or object; returns anything else unchanged."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def blocks_of(args: Args) -> list[Json]:
    """Returns the valid blocks. Raises invalid_blocks_format, invalid_blocks, msg_blocks_too_long."""
    blocks = args.things("blocks", "invalid_blocks_format")
    if len(blocks) > BLOCKS_LIMIT:
        raise _bad_blocks(f"no more than {BLOCKS_LIMIT} items allowed [json-pointer:/blocks]")
    for index, block in enumerate(blocks):
        _check_block(block, f"[json-pointer:/blocks/{index}]")
    if sum(len(str(block.get("text"))) for block in blocks if block["type"] == "markdown") > MARKDOWN_LIMIT:
        raise SlackError("msg_blocks_too_long")
    return blocks


def _check_block(block: Json, where: str) -> None:
    kind, text = block.get("type"), block.get("text")
    if kind not in BLOCKS:
        raise _bad_blocks(f"unsupported type: {kind} {where}")
    if kind == "markdown" and (not isinstance(text, str) or not text):
        raise _bad_blocks(f"must be at least 1 characters long: text {where}")
    if kind == "section" and isinstance(text, dict) and len(text.get("text", "")) > SECTION_LIMIT:
        raise _bad_blocks(f"must be less than {SECTION_LIMIT + 1} characters: text {where}")
    if len(str(block.get("block_id", ""))) > 255:
        raise _bad_blocks(f"must be less than 256 characters: block_id {where}")
    if kind in {"context_actions", "actions"} and not block.get("elements"):
        raise _bad_blocks(f"no elements {where}")


def _bad_blocks(why: str) -> SlackError:
    return SlackError("invalid_blocks", response_metadata={"messages": [f"[ERROR] {why}"]})


def markdown_of(args: Args) -> str:
    """Returns ``markdown_text``. Raises msg_too_long."""
    markdown = args.word("markdown_text")
    if len(markdown) > MARKDOWN_LIMIT:
        raise SlackError("msg_too_long")
    return markdown


def metadata_of(args: Args) -> Json | None:
    """Returns the metadata. Raises invalid_metadata_format."""
    metadata = args.thing("metadata", "invalid_metadata_format")
    if metadata is None:
        return None
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise SlackError("invalid_metadata_format")
    return metadata


def check_ts(args: Args, name: str) -> str | None:
    """Returns a thread_ts, or None when missing. Raises invalid_thread_ts, also for an empty one."""
    if args.get(name) is None:
        return None
    ts = args.word(name)
    seconds, dot, rest = ts.partition(".")
    if not (dot and seconds.isdigit() and rest.isdigit()):
        raise SlackError("invalid_thread_ts")
    return ts
