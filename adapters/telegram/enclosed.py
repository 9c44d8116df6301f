"""The files that come with a message of Telegram's: what they are called, and by which id they are to be had."""

from __future__ import annotations

import re
from collections.abc import Iterator

from adapters.telegram.marks import Fields, number_in, object_in, objects_in, text_in
from gateway.messages import File

FILE_ID = re.compile(r"[A-Za-z0-9_\-]{1,500}")
LARGEST_FILE = 2**53

PHOTO = File("photo.jpg", "", "image/jpeg")
STICKER = File("sticker.webp", "", "image/webp")
KEPT = {
    "animation": File("animation.mp4", "", "video/mp4"),
    "audio": File("audio.mp3", "", "audio/mpeg"),
    "document": File("document", ""),
    "video": File("video.mp4", "", "video/mp4"),
    "video_note": File("video_note.mp4", "", "video/mp4"),
    "voice": File("voice.ogg", "", "audio/ogg"),
}
"""What a message may have, and what is to be known of those that tell nothing of themselves."""


def files_of(message: Fields) -> tuple[File, ...]:
    """What is attached, and can be had."""
    return tuple(_files(message))


def _files(message: Fields) -> Iterator[File]:
    for name, usual in KEPT.items():
        # an animation comes as a document too, for bots that know no animations
        if name in message and not (name == "document" and "animation" in message):
            yield from _file(object_in(message, name), usual)
    if sizes := objects_in(message, "photo"):
        yield from _file(max(sizes, key=_area), PHOTO)
    sticker = object_in(message, "sticker")
    if sticker and not sticker.get("is_animated") and not sticker.get("is_video"):
        yield from _file(sticker, STICKER)


def _file(kept: Fields, usual: File) -> Iterator[File]:
    reference = text_in(kept, "file_id")
    if FILE_ID.fullmatch(reference):
        name = text_in(kept, "file_name").strip() or usual.name
        yield File(name, reference, text_in(kept, "mime_type") or usual.media_type, _size(kept))


def _area(size: Fields) -> int:
    return (number_in(size, "width") or 0) * (number_in(size, "height") or 0)


def _size(kept: Fields) -> int:
    size = number_in(kept, "file_size") or 0
    return size if 0 <= size <= LARGEST_FILE else 0
