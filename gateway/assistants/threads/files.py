"""Files of the Assistants API: uploaded before the message that refers to them, and downloaded by id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from gateway.assistants.api_client import AssistantApiClient, path_segment
from gateway.assistants.attachments import (
    FILE_NOT_ACCEPTED,
    MAX_BYTES,
    InlineText,
    MessagePart,
    base_name,
    file_made,
    load,
    missing_as_gone,
    unknown_reference,
    unreadable,
    without_files,
)
from gateway.assistants.errors.error_map import NotFound
from gateway.assistants.json_fields import as_text
from gateway.assistants.requests.server_limits import Feature, ServerLimits
from gateway.assistants.sse import Json
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.domain.errors import AssistantError, AssistantMisconfigured, AssistantRefused
from gateway.domain.files import File
from gateway.domain.models import Turn
from gateway.ports.assistant import AttachmentLoader
from gateway.ports.spool import FileWriter

SEARCHABLE_NAMES = re.compile(
    r"\.(?:c|cpp|cs|css|docx?|go|html|java|js|json|md|pdf|php|pptx|py|rb|sh|tex|ts|txt)$", re.IGNORECASE
)
"""Files that file_search reads; a message with any other file for it is rejected
(developers.openai.com/api/docs/guides/tools-file-search)."""
NO_TOOL_FOR_FILE = "the assistant has no tool that reads such files"
IMAGE_NAME = "image.png"


class ThreadFiles:
    """Uploads files to one server and downloads them from it."""

    def __init__(self, api: AssistantApiClient, assistant: ServerAssistant, limits: ServerLimits) -> None:
        """``limits``: of the server; one that has no route for files is not sent any again."""
        self._limits = limits
        self._api = api
        self._assistant = assistant

    async def build_messages(self, turn: Turn, attachments: AttachmentLoader) -> tuple[Json, Json | None]:
        """Returns the user's message, and one without files to post if it is rejected (None: it has no files)."""
        pieces = self._limits.accepted(await load(turn, attachments))
        words = without_files(pieces)
        if words is None:
            return _message(turn, pieces), None
        return await self._message_with_files(turn, pieces), _message(turn, words)

    async def download(self, file: File, writer: FileWriter) -> None:
        """Downloads a file. References: "file <id>"."""
        kind, _, name = file.reference.partition(" ")
        if kind != "file":
            raise unknown_reference(file)
        with missing_as_gone(file):
            await self._api.download(f"/files/{path_segment(name)}/content", writer, MAX_BYTES)

    async def to_files(self, names_by_id: Mapping[str, str]) -> tuple[File, ...]:
        """Returns files from ids and names; fetches the names that are empty."""
        return tuple(
            [file_made(name or await self._fetch_name(key), f"file {key}") for key, name in names_by_id.items()]
        )

    async def names(self, file_ids: Iterable[str]) -> dict[str, str]:
        """Returns the names of files by their ids; a name that cannot be fetched is left out."""
        found: dict[str, str] = {}
        for file_id in dict.fromkeys(file_ids):
            with suppress(AssistantError):
                fields = await self._api.get(f"/files/{path_segment(file_id)}")
                found[file_id] = base_name(as_text(fields.get("filename")), "")
        return found

    async def _fetch_name(self, file_id: str) -> str:
        return (await self.names([file_id])).get(file_id) or IMAGE_NAME

    async def _message_with_files(self, turn: Turn, message_parts: Sequence[MessagePart]) -> Json:
        """Returns the message with images as content parts, and documents attached for the assistant's tools."""
        tools = await self._assistant.file_tools()
        uploaded = [await self._upload_part(piece, tools) for piece in message_parts]
        message = _message(turn, ())
        message["content"] = [
            _text_content(turn.message.text_with_attachments),
            *(one for one in uploaded if "type" in one),
        ]
        if documents := [one for one in uploaded if "tools" in one]:
            message["attachments"] = documents
        return message

    async def _upload_part(self, message_part: MessagePart, tools: Sequence[str]) -> Json:
        """Uploads a file. Returns a content part, or an attachment for tools."""
        if isinstance(message_part, InlineText):
            return _text_content(message_part.text)
        readers = [
            {"type": name} for name in tools if name != "file_search" or SEARCHABLE_NAMES.search(message_part.name)
        ]
        if not message_part.is_image and not readers:
            return _text_content(unreadable(message_part.name, NO_TOOL_FOR_FILE).text)
        try:
            purpose = {"purpose": "vision" if message_part.is_image else "assistants"}
            file = await self._api.upload(
                "/files", purpose, message_part.name, message_part.media_type, message_part.content
            )
        except AssistantRefused as exc:  # the message is worth more than its file
            if isinstance(exc, NotFound | AssistantMisconfigured):
                for feature in (Feature.IMAGES, Feature.DOCUMENTS):
                    self._limits.note(feature, exc)
            return _text_content(unreadable(message_part.name, FILE_NOT_ACCEPTED).text)
        key = as_text(file.get("id"))
        if message_part.is_image:
            return {"type": "image_file", "image_file": {"file_id": key}}
        return {"file_id": key, "tools": readers}


def _message(turn: Turn, message_parts: Sequence[MessagePart]) -> Json:
    """Returns the user's message with its text parts only."""
    words = [_text_content(piece.text) for piece in message_parts if isinstance(piece, InlineText)]
    content = (
        [_text_content(turn.message.text_with_attachments), *words] if words else turn.message.text_with_attachments
    )
    return {"role": "user", "content": content, "metadata": {"turn_id": turn.id}}


def _text_content(text: str) -> Json:
    return {"type": "text", "text": text}
