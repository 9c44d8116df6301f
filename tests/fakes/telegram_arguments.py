"""Arguments of a Bot API call, sent as a form, a multipart form or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from aiohttp import web

from tests.fakes.platform_faults import Json
from tests.fakes.telegram_faults import TelegramError, bad_request
from tests.fakes.telegram_formatting import ParsedText, format_text

MAX_UPLOAD_BYTES = 50 * 1024 * 1024

JSON_ARGUMENTS = {
    "allowed_updates",
    "caption_entities",
    "commands",
    "entities",
    "link_preview_options",
    "media",
    "message_ids",
    "reaction",
    "reply_markup",
    "reply_parameters",
    "result",
    "scope",
}
"""Arguments sent as JSON inside a form."""
NUMBER_ARGUMENTS = {
    "chat_id",
    "draft_id",
    "limit",
    "max_connections",
    "message_id",
    "message_thread_id",
    "offset",
    "reply_to_message_id",
    "timeout",
}


@dataclass(frozen=True, slots=True)
class TelegramUpload:
    """A file uploaded with a call."""

    name: str
    mime_type: str
    content: bytes


class TelegramArguments(dict[str, Any]):
    """The arguments of a call, with numbers and JSON decoded."""

    def string(self, name: str) -> str:
        """Returns a plain value; empty when missing."""
        value = self.get(name)
        return "" if value is None else str(value)

    def flag(self, name: str) -> bool:
        return self.string(name).lower() in {"1", "true", "yes"}

    def number(self, name: str, default: int = 0) -> int:
        value = self.get(name)
        return value if isinstance(value, int) else default

    def json_object(self, name: str) -> Json:
        value = self.get(name)
        return value if isinstance(value, dict) else {}

    def json_list(self, name: str) -> list[Any]:
        value = self.get(name)
        return value if isinstance(value, list) else []

    @property
    def chat_id(self) -> int:
        """The chat id. Raises ``chat_id is empty`` or ``chat not found``."""
        value = self.get("chat_id")
        if value in (None, ""):
            raise bad_request("chat_id is empty")
        if not isinstance(value, int):
            raise bad_request("chat not found")
        return value

    @property
    def business_connection_id(self) -> str:
        return self.string("business_connection_id")

    def formatted_text(self, *, allow_empty: bool = False) -> ParsedText:
        """Returns text and entities. Raises TelegramError if they are invalid."""
        return format_text(
            self.string("text"), self.string("parse_mode"), self.get("entities"), allow_empty=allow_empty
        )

    def formatted_caption(self) -> ParsedText:
        return caption_of(self)

    def uploaded_file(self, value: Any) -> TelegramUpload | None:
        """Returns the uploaded file: ``value`` itself, or the argument named by ``attach://``."""
        if isinstance(value, str) and value.startswith("attach://"):
            value = self.get(value.removeprefix("attach://"))
        return value if isinstance(value, TelegramUpload) else None


def caption_of(fields: Json) -> ParsedText:
    """Returns the caption of a call or of an album item. Raises TelegramError if it is invalid."""
    text, mode = str(fields.get("caption") or ""), str(fields.get("parse_mode") or "")
    return format_text(text, mode, fields.get("caption_entities"), allow_empty=True)


async def read_args(request: web.BaseRequest) -> TelegramArguments:
    """Returns the arguments of a request. Raises TelegramError for an unreadable body or a file that is too large."""
    args = TelegramArguments(request.query)
    if request.content_type == "application/json":
        args.update(_from_json(await request.read()))
    elif request.content_type == "multipart/form-data":
        await _from_multipart(request, args)
    elif request.can_read_body:
        body = (await request.read()).decode(errors="surrogateescape")
        args.update(parse_qsl(body, keep_blank_values=True, errors="surrogateescape"))
    for name in args.keys() & (JSON_ARGUMENTS | NUMBER_ARGUMENTS):
        args[name] = _decoded(name, args[name])
    return args


def _from_json(body: bytes) -> Json:
    try:
        told = json.loads(body or b"{}")
    except ValueError:
        raise bad_request("Can't parse request JSON object") from None
    return told if isinstance(told, dict) else {}


async def _from_multipart(request: web.BaseRequest, args: TelegramArguments) -> None:
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            content = value.file.read()
            if len(content) > MAX_UPLOAD_BYTES:
                raise TelegramError(413)
            args[name] = TelegramUpload(value.filename, value.content_type, content)
        else:
            args[name] = value


def _decoded(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in NUMBER_ARGUMENTS:
        return int(value) if value.removeprefix("-").isdecimal() else value
    try:
        return cast("Any", json.loads(value))
    except ValueError:
        raise bad_request(f"Can't parse {name} JSON object") from None
