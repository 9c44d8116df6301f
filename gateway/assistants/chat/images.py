"""Images in an answer: files for the person where they came as data URLs, else links."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from mimetypes import guess_extension

from gateway.assistants.json_fields import as_object, as_text
from gateway.assistants.sse import Json
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.run_events import ToolCall

NAME = "image_generation"
"""What people are told that the model did."""
ADDRESS = re.compile(r"https?://[^\s<>]{1,4000}")


def image_calls(parts: Iterable[Json], key: str) -> Iterator[ToolCall]:
    """Yields the events for the images of an answer. ``key``: names the answer in its turn.

    openrouter.ai/docs, "Image generation": ``images``, each with an ``image_url``. Others have such parts in the text.
    """
    for number, part in enumerate(parts):
        if image := _image(_url(part)):
            yield ToolCall(f"image {key} {number}", NAME)
            yield ToolCall(f"image {key} {number}", NAME, done=True, files=(image,))


def image_link(part: Json) -> str:
    """Returns an image that has an address in the web as Markdown, for the text; "" for any other."""
    url = _url(part)
    return f"\n\n![image](<{url}>)\n\n" if ADDRESS.fullmatch(url) else ""


def _url(part: Json) -> str:
    return as_text(as_object(part.get("image_url")).get("url"))


def _image(url: str) -> Attachment | None:
    head, _, data = url.partition(";base64,")
    media_type = head.removeprefix("data:")
    try:
        content = base64.b64decode(data, validate=True) if media_type.startswith("image/") else b""
    except ValueError:
        content = b""
    name = f"image{guess_extension(media_type) or '.png'}"
    return Attachment(File(name, "", media_type, len(content)), BytesContent(content)) if content else None
