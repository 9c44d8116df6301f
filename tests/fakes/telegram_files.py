"""Files: attachments of users, uploads of bots, and downloads."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.telegram_arguments import Args, Upload, caption_of
from tests.fakes.telegram_bot_api import check_token
from tests.fakes.telegram_faults import TelegramError, bad
from tests.fakes.telegram_formatting import CAPTION_LIMIT, Formatted
from tests.fakes.telegram_messages import Json, units
from tests.fakes.telegram_state import File, World
from tests.fakes.telegram_text_methods import Place

DOWNLOAD_LIMIT = 20 * 1024 * 1024
"""core.telegram.org/bots/api#getfile"""
PHOTO_LIMIT = 10 * 1024 * 1024
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")
"""First bytes of the supported image formats."""
FOLDERS = {"photo": "photos", "document": "documents", "voice": "voice"}


def keep(
    world: World,
    content: bytes,
    kind: str,
    name: str,
    *,
    file_id: str = "",
    mime_type: str = "",
    size: int | None = None,
) -> File:
    """Stores a file."""
    number = next(world.numbers)
    guessed = mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    file = File(
        file_id or f"BQACAgIAAxk{number:06d}", kind, name, guessed, content, len(content) if size is None else size
    )
    world.files[file.id] = file
    return file


def file_json(file: File) -> Any:
    """Returns the file as a field of a message; a ``photo`` is a list of sizes."""
    told: Json = {"file_id": file.id, "file_unique_id": f"AQAD{file.id[-8:]}", "file_size": file.size}
    if file.kind == "photo":
        small = {**told, "file_id": f"{file.id}-small", "width": 90, "height": 90, "file_size": 900}
        return [small, {**told, "width": 1280, "height": 1280}]
    if file.kind == "voice":
        return {**told, "duration": 3, "mime_type": file.mime_type}
    return {**told, "file_name": file.name, "mime_type": file.mime_type}


def send_photo(world: World, args: Args) -> Json:
    return _send(world, args, "photo")


def send_document(world: World, args: Args) -> Json:
    return _send(world, args, "document")


def send_voice(world: World, args: Args) -> Json:
    return _send(world, args, "voice")


def _send(world: World, args: Args, kind: str) -> Json:
    caption = _short(args.caption())
    place = Place(world, args)
    file = _file(world, args, kind, args.get(kind))
    return place.say(caption, (file,), **{kind: file_json(file)})


def _short(caption: Formatted) -> Formatted:
    if units(caption.text) > CAPTION_LIMIT:
        raise bad("Message caption is too long")
    return caption


def send_media_group(world: World, args: Args) -> list[Json]:
    media = [piece for piece in args.things("media") if isinstance(piece, dict)]
    if not 2 <= len(media) <= 10:
        raise bad("Wrong number of items in the media group: there must be 2-10 items to send")
    captions = [_short(caption_of(piece)) for piece in media]
    place = Place(world, args)
    files = [_file(world, args, str(piece.get("type")), piece.get("media")) for piece in media]
    if len({file.kind for file in files}) > 1:
        raise bad("Can't use the media of the specified type in the album")
    group_id = f"1350{next(world.numbers):09d}"
    return [
        place.say(text, (file,), group_id=group_id, media_group_id=group_id, **{file.kind: file_json(file)})
        for text, file in zip(captions, files, strict=True)
    ]


def _file(world: World, args: Args, kind: str, value: Any) -> File:
    """Returns the uploaded file, or the stored one with this file_id. Raises TelegramError if it is invalid."""
    if kind not in FOLDERS:
        raise bad("Wrong type of the media specified")
    upload = args.upload(value)
    if upload is None:
        return _known(world, value)
    return _kept(world, upload, kind)


def _kept(world: World, upload: Upload, kind: str) -> File:
    weight = len(upload.content)
    if not weight:
        raise bad("file must be non-empty")
    if kind == "photo" and weight > PHOTO_LIMIT:
        raise bad(f"file of size {weight} bytes is too big for a photo; the maximum size is {PHOTO_LIMIT} bytes")
    if kind == "photo" and not upload.content.startswith(PICTURES):
        raise bad("IMAGE_PROCESS_FAILED")
    return keep(world, upload.content, kind, upload.name, mime_type=upload.mime_type)


def _known(world: World, value: Any) -> File:
    file = world.files.get(str(value))
    if file is None:
        raise bad("wrong file identifier/HTTP URL specified")
    return file


def get_file(world: World, args: Args) -> Json:
    file = world.files.get(args.word("file_id"))
    if file is None:
        raise bad("wrong file_id or the file is temporarily unavailable")
    if file.size > DOWNLOAD_LIMIT:
        raise bad("file is too big")
    told = {"file_id": file.id, "file_unique_id": f"AQAD{file.id[-8:]}", "file_size": file.size}
    return {**told, "file_path": path_of(file)}


def path_of(file: File) -> str:
    suffix = file.name.rpartition(".")[2] if "." in file.name else "bin"
    return f"{FOLDERS[file.kind]}/{file.id}.{suffix}"


def download(world: World, token: str, path: str) -> web.Response:
    """Returns the content of a file if the token is valid."""
    try:
        check_token(world, token)
        file = _by_path(world.files, path)
    except TelegramError as error:
        return web.json_response(error.body, status=error.status)
    return web.Response(body=file.content, content_type="application/octet-stream")


def _by_path(files: Mapping[str, File], path: str) -> File:
    file = files.get(path.rpartition("/")[2].rpartition(".")[0])
    if file is None or path_of(file) != path:
        raise TelegramError(404)
    return file
