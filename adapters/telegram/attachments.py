"""Finds the files that are attached to a Telegram message."""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapters.base.json_fields import Fields, id_in, object_in, objects_in, size_in, text_in
from adapters.telegram.message_entities import number_in
from gateway.domain.files import File

FILE_ID = re.compile(r"[A-Za-z0-9_\-]{1,500}")

PHOTO = File("photo.jpg", "", "image/jpeg")
STICKER = File("sticker.webp", "", "image/webp")
DEFAULTS = {
    "animation": File("animation.mp4", "", "video/mp4"),
    "audio": File("audio.mp3", "", "audio/mpeg"),
    "document": File("document", ""),
    "video": File("video.mp4", "", "video/mp4"),
    "video_note": File("video_note.mp4", "", "video/mp4"),
    "voice": File("voice.ogg", "", "audio/ogg"),
}
"""Fields of a message that hold a file, with the name and type of a file that has none of its own."""


PAID = ("photo", "video")
"""Fields of paid media that hold a file: core.telegram.org/bots/api#paidmedia"""


def files_of(message: Fields) -> tuple[File, ...]:
    """Returns the attached files that can be downloaded."""
    return tuple(_files(message))


def _files(message: Fields) -> Iterator[File]:
    for name, default in DEFAULTS.items():
        # an animation is sent as a document too, for older bots
        if name in message and not (name == "document" and "animation" in message):
            yield from _file(object_in(message, name), default)
    if sizes := objects_in(message, "photo"):
        yield from _file(max(sizes, key=_area), PHOTO)
    for paid in objects_in(object_in(message, "paid_media"), "paid_media"):
        yield from _files({name: paid[name] for name in PAID if name in paid})
    sticker = object_in(message, "sticker")
    if sticker and not sticker.get("is_animated") and not sticker.get("is_video"):
        yield from _file(sticker, STICKER)


def _file(fields: Fields, default: File) -> Iterator[File]:
    if reference := id_in(fields, "file_id", FILE_ID):
        name = text_in(fields, "file_name").strip() or default.name
        yield File(name, reference, text_in(fields, "mime_type") or default.media_type, size_in(fields, "file_size"))


def _area(size: Fields) -> int:
    return (number_in(size, "width") or 0) * (number_in(size, "height") or 0)
