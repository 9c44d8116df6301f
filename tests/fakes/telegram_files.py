"""Files: attachments of users, uploads of bots, and downloads."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.telegram_arguments import TelegramArguments, TelegramUpload
from tests.fakes.telegram_bot_api import check_token
from tests.fakes.telegram_faults import TelegramError, bad_request
from tests.fakes.telegram_formatting import MAX_CAPTION_UNITS, ParsedText
from tests.fakes.telegram_messages import Json, utf16_length
from tests.fakes.telegram_state import TelegramFile, TelegramState
from tests.fakes.telegram_text_methods import MessageTarget

MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
"""core.telegram.org/bots/api#getfile"""
MAX_PHOTO_BYTES = 10 * 1024 * 1024
IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")
"""First bytes of the supported image formats."""
FOLDERS = {"photo": "photos", "document": "documents", "voice": "voice"}


def add_file(
    state: TelegramState,
    content: bytes,
    kind: str,
    name: str,
    *,
    file_id: str = "",
    mime_type: str = "",
    size: int | None = None,
) -> TelegramFile:
    """Stores a file."""
    number = next(state.ids)
    guessed = mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    file = TelegramFile(
        file_id or f"BQACAgIAAxk{number:06d}", kind, name, guessed, content, len(content) if size is None else size
    )
    state.files[file.id] = file
    return file


def file_json(file: TelegramFile) -> Any:
    """Returns the file as a field of a message; a ``photo`` is a list of sizes."""
    told: Json = {"file_id": file.id, "file_unique_id": f"AQAD{file.id[-8:]}", "file_size": file.size}
    if file.kind == "photo":
        small = {**told, "file_id": f"{file.id}-small", "width": 90, "height": 90, "file_size": 900}
        return [small, {**told, "width": 1280, "height": 1280}]
    if file.kind == "voice":
        return {**told, "duration": 3, "mime_type": file.mime_type}
    return {**told, "file_name": file.name, "mime_type": file.mime_type}


def send_photo(state: TelegramState, args: TelegramArguments) -> Json:
    return _send(state, args, "photo")


def send_document(state: TelegramState, args: TelegramArguments) -> Json:
    return _send(state, args, "document")


def _send(state: TelegramState, args: TelegramArguments, kind: str) -> Json:
    caption = _check_caption(args.formatted_caption())
    place = MessageTarget(state, args)
    file = _file_to_send(state, args, kind, args.get(kind))
    return place.send(caption, (file,), **{kind: file_json(file)})


def _check_caption(caption: ParsedText) -> ParsedText:
    if utf16_length(caption.text) > MAX_CAPTION_UNITS:
        raise bad_request("Message caption is too long")
    return caption


def _file_to_send(state: TelegramState, args: TelegramArguments, kind: str, value: Any) -> TelegramFile:
    """Returns the uploaded file, or the stored one with this file_id. Raises TelegramError if it is invalid."""
    if kind not in FOLDERS:
        raise bad_request("Wrong type of the media specified")
    upload = args.uploaded_file(value)
    if upload is None:
        return _file_by_id(state, value)
    return _store_upload(state, upload, kind)


def _store_upload(state: TelegramState, upload: TelegramUpload, kind: str) -> TelegramFile:
    weight = len(upload.content)
    if not weight:
        raise bad_request("file must be non-empty")
    if kind == "photo" and weight > MAX_PHOTO_BYTES:
        raise bad_request(
            f"file of size {weight} bytes is too big for a photo; the maximum size is {MAX_PHOTO_BYTES} bytes"
        )
    if kind == "photo" and not upload.content.startswith(IMAGE_SIGNATURES):
        raise bad_request("IMAGE_PROCESS_FAILED")
    return add_file(state, upload.content, kind, upload.name, mime_type=upload.mime_type)


def _file_by_id(state: TelegramState, value: Any) -> TelegramFile:
    file = state.files.get(str(value))
    if file is None:
        raise bad_request("wrong file identifier/HTTP URL specified")
    return file


def get_file(state: TelegramState, args: TelegramArguments) -> Json:
    file = state.files.get(args.string("file_id"))
    if file is None:
        raise bad_request("wrong file_id or the file is temporarily unavailable")
    if file.size > MAX_DOWNLOAD_BYTES:
        raise bad_request("file is too big")
    told = {"file_id": file.id, "file_unique_id": f"AQAD{file.id[-8:]}", "file_size": file.size}
    return {**told, "file_path": file_path(file)}


def file_path(file: TelegramFile) -> str:
    suffix = file.name.rpartition(".")[2] if "." in file.name else "bin"
    return f"{FOLDERS[file.kind]}/{file.id}.{suffix}"


def download(state: TelegramState, token: str, path: str) -> web.Response:
    """Returns the content of a file if the token is valid."""
    try:
        check_token(state, token)
        file = _file_by_path(state.files, path)
    except TelegramError as error:
        return web.json_response(error.body, status=error.status)
    return web.Response(body=file.content, content_type="application/octet-stream")


def _file_by_path(files: Mapping[str, TelegramFile], path: str) -> TelegramFile:
    file = files.get(path.rpartition("/")[2].rpartition(".")[0])
    if file is None or file_path(file) != path:
        raise TelegramError(404)
    return file
