"""Results of MCP tools: text for the model, and files for the model and the person."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from mimetypes import guess_extension
from posixpath import basename
from urllib.parse import unquote, urlsplit

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from gateway.domain.files import ANY_BYTES, Attachment, BytesContent, File
from gateway.tools.tool import ToolResult

MAX_FILES = 10
"""Of one result; more are left out, and the text says so."""
MAX_NAME_CHARS = 100


class McpToolFailed(Exception):
    """The tool answered that it failed, and why."""


def read_result(result: CallToolResult) -> ToolResult:
    """Returns what a tool returned. Raises McpToolFailed if it says that it failed."""
    if result.is_error:
        raise McpToolFailed(_text_of(result, [], 0) or "the server does not say why")
    blocks = [(block, _file_in(block, number)) for number, block in enumerate(result.content, 1)]
    found = [(block, file) for block, file in blocks if file is not None]
    files = [file for _, file in found[:MAX_FILES]]
    return ToolResult(
        _text_of(result, files, len(found) - len(files)),
        for_model=tuple(file for block, file in found[:MAX_FILES] if _is_for(block, "assistant")),
        for_reply=tuple(file for block, file in found[:MAX_FILES] if _is_for(block, "user")),
    )


def _text_of(result: CallToolResult, files: Sequence[Attachment], left_out: int) -> str:
    texts = [text for block in result.content if (text := _text_in(block))]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    notes = [f"[file: {each.file.name}, {each.file.media_type}, {each.content.size} bytes]" for each in files]
    if left_out:
        notes.append(f"[{left_out} more files are left out]")
    return "\n\n".join([*texts, *notes])


def _text_in(block: ContentBlock) -> str:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, ResourceLink):
        return " ".join(filter(None, [f"[{block.name}]({block.uri})", block.description]))
    if isinstance(block, EmbeddedResource) and isinstance(block.resource, TextResourceContents):
        return f"[{block.resource.uri}]\n{block.resource.text}"
    return ""


def _file_in(block: ContentBlock, number: int) -> Attachment | None:
    """Returns the file in a block; None for text, and for what is not valid base64."""
    if isinstance(block, ImageContent | AudioContent):
        kind = "image" if isinstance(block, ImageContent) else "audio"
        media_type = block.mime_type.partition(";")[0].strip().lower()
        return _file(f"{kind}-{number}{guess_extension(media_type) or ''}", media_type, block.data)
    if isinstance(block, EmbeddedResource) and isinstance(block.resource, BlobResourceContents):
        name = unquote(basename(urlsplit(block.resource.uri).path)) or f"file-{number}"
        return _file(name, block.resource.mime_type or ANY_BYTES, block.resource.blob)
    return None


def _file(name: str, media_type: str, data: str) -> Attachment | None:
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    name = " ".join(name.split())[-MAX_NAME_CHARS:]
    return Attachment(File(name, "", media_type, len(content)), BytesContent(content)) if content else None


def _is_for(block: ContentBlock, role: str) -> bool:
    """Returns whether a block is for a role: for both, if it does not say (modelcontextprotocol.io, "Annotations")."""
    audience = block.annotations.audience if block.annotations else None
    return not audience or role in audience
