"""Files of the Assistants API: uploaded before the message that refers to them, and downloaded by id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from gateway.assistants.api_client import Wire, segment
from gateway.assistants.attachments import (
    MOST_BYTES,
    NOT_TAKEN,
    Piece,
    Words,
    fetching,
    load,
    made,
    named,
    not_ours,
    unread,
    without_files,
)
from gateway.assistants.error_map import BadRequest, NotThere, TooLong
from gateway.assistants.json_fields import text
from gateway.assistants.sse import Json
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import AssistantError
from gateway.domain.models import File, Turn
from gateway.ports.assistant import Attachments

SEARCHED = re.compile(
    r"\.(?:c|cpp|cs|css|docx?|go|html|java|js|json|md|pdf|php|pptx|py|rb|sh|tex|ts|txt)$", re.IGNORECASE
)
"""Files that file_search reads; a message with any other file for it is rejected
(developers.openai.com/api/docs/guides/tools-file-search)."""
NO_TOOL = "the assistant has no tool that reads such files"
IMAGE_NAME = "image.png"


class ThreadFiles:
    """Uploads files to one server and downloads them from it."""

    def __init__(self, wire: Wire, assistant: ServerAssistant) -> None:
        self._wire = wire
        self._assistant = assistant

    async def message(self, turn: Turn, attachments: Attachments) -> tuple[Json, Json | None]:
        """Returns the user's message, and one without files to post if it is rejected (None: it has no files)."""
        pieces = await load(turn, attachments)
        words = without_files(pieces)
        if words is None:
            return _message(turn, pieces), None
        return await self._with_files(turn, pieces), _message(turn, words)

    async def fetch(self, file: File) -> bytes:
        """Downloads a file. References: "file <id>"."""
        kind, _, name = file.reference.partition(" ")
        if kind != "file":
            raise not_ours(file)
        with fetching(file):
            return await self._wire.content(f"/files/{segment(name)}/content", MOST_BYTES)

    async def described(self, found: Mapping[str, str]) -> tuple[File, ...]:
        """Returns files from ids and names; fetches the names that are empty."""
        return tuple([made(name or await self._name(key), f"file {key}") for key, name in found.items()])

    async def _name(self, key: str) -> str:
        with suppress(AssistantError):
            return named(text((await self._wire.get(f"/files/{segment(key)}")).get("filename")), IMAGE_NAME)
        return IMAGE_NAME

    async def _with_files(self, turn: Turn, pieces: Sequence[Piece]) -> Json:
        """Returns the message with images as content parts, and documents attached for the assistant's tools."""
        tools = await self._assistant.file_tools()
        uploaded = [await self._brought(piece, tools) for piece in pieces]
        message = _message(turn, ())
        message["content"] = [_text(turn.message.said), *(one for one in uploaded if "type" in one)]
        if documents := [one for one in uploaded if "tools" in one]:
            message["attachments"] = documents
        return message

    async def _brought(self, piece: Piece, tools: Sequence[str]) -> Json:
        """Uploads a file. Returns a content part, or an attachment for tools."""
        if isinstance(piece, Words):
            return _text(piece.text)
        readers = [{"type": name} for name in tools if name != "file_search" or SEARCHED.search(piece.name)]
        if not piece.shows and not readers:
            return _text(unread(piece.name, NO_TOOL).text)
        try:
            purpose = {"purpose": "vision" if piece.shows else "assistants"}
            file = await self._wire.upload("/files", purpose, piece.name, piece.media_type, piece.content)
        except (NotThere, BadRequest, TooLong):
            return _text(unread(piece.name, NOT_TAKEN).text)
        key = text(file.get("id"))
        if piece.shows:
            return {"type": "image_file", "image_file": {"file_id": key}}
        return {"file_id": key, "tools": readers}


def _message(turn: Turn, pieces: Sequence[Piece]) -> Json:
    """Returns the user's message with its text parts only."""
    words = [_text(piece.text) for piece in pieces if isinstance(piece, Words)]
    content = [_text(turn.message.said), *words] if words else turn.message.said
    return {"role": "user", "content": content, "metadata": {"turn_id": turn.id}}


def _text(words: str) -> Json:
    return {"type": "text", "text": words}
