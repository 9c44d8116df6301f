"""Content of messages as OpenAI's clients send it: a text, or parts with text, pictures, recordings and files.

The parts: developers.openai.com/api/reference/resources/chat and .../responses. Both APIs' names are read at both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from mimetypes import guess_extension
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from adapters.openai_api.errors import InvalidRequest
from gateway.web.api.json_body import STORABLE, decode_base64

DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[^;,]*)*);base64,", re.ASCII)
EXTENSION = re.compile(r"[a-z0-9]{1,8}")
ONLY_DATA_URLS = "is not fetched from an address: send its content as a data URL (data:<media type>;base64,…)"

Text = Annotated[str, STORABLE]
T = TypeVar("T")
MOST_ITEMS = 1_000
Several = Annotated[list[T], Field(max_length=MOST_ITEMS, fail_fast=True)]
"""A list in a request. It is read up to its first wrong item: a report of each of millions would fill the memory."""


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A file that came with a request, or that the request names by the id that it got at ``/files``."""

    name: str
    media_type: str
    data: bytes = b""
    file_id: str = ""
    """Of a file that is kept already; its name and type may not be known yet."""
    where: str = ""
    """The name of the field with the id."""
    kept_size: int = 0

    @property
    def size(self) -> int:
        return self.kept_size if self.file_id else len(self.data)


@dataclass(frozen=True, slots=True)
class ReadContent:
    """The text of a message, and its files."""

    text: str
    files: tuple[RequestFile, ...] = ()


class Ignoring(BaseModel):
    """What clients send back as they received it, with fields that only say how it was made."""

    model_config = ConfigDict(extra="ignore", strict=True)


class TextContentPart(Ignoring):
    type: Literal["text", "input_text", "output_text", "summary_text"]
    text: Text


class RefusalPart(Ignoring):
    type: Literal["refusal"]
    refusal: Text


class ImageUrl(Ignoring):
    url: str


class ImageUrlPart(Ignoring):
    """A picture of Chat Completions."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputImagePart(Ignoring):
    """A picture of Responses."""

    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None


class Recording(Ignoring):
    data: str
    format: str


class InputAudioPart(Ignoring):
    type: Literal["input_audio"]
    input_audio: Recording


class FileData(Ignoring):
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: Text | None = None


class FilePart(Ignoring):
    """A file of Chat Completions."""

    type: Literal["file"]
    file: FileData


class InputFilePart(FileData):
    """A file of Responses."""

    type: Literal["input_file"]


ContentPart = Annotated[
    TextContentPart | RefusalPart | ImageUrlPart | InputImagePart | InputAudioPart | FilePart | InputFilePart,
    Field(discriminator="type"),
]
MessageContent = Text | Several[ContentPart]


def read_content(content: MessageContent | None, where: str) -> ReadContent:
    """Returns the text and the files of a content; ``where`` names it in errors. Raises InvalidRequest."""
    if content is None or isinstance(content, str):
        return ReadContent(content or "")
    texts, files = list[str](), list[RequestFile]()
    for number, part in enumerate(content):
        match part:
            case TextContentPart():
                texts.append(part.text)
            case RefusalPart():
                texts.append(part.refusal)
            case _:
                files.append(_read_file(part, f"{where}[{number}]"))
    return ReadContent("\n".join(texts), tuple(files))


def text_only(content: ReadContent, where: str) -> str:
    """Returns the text of a message that is not the user's. Raises InvalidRequest for one with files."""
    if content.files:
        raise refusal(f"{where}.content", "has a file; files are taken in messages of the user and in results of calls")
    return content.text


def numbered(files: Iterable[RequestFile]) -> Sequence[RequestFile]:
    """Returns the files with different names, as the assistant is told of them by name."""
    kept, used = list[RequestFile](), set[str]()
    for file in files:
        stem, dot, ending = file.name.rpartition(".")
        names = (f"{stem or ending}-{number}{dot}{ending if stem else ''}" for number in range(2, len(used) + 3))
        name = file.name if file.name not in used else next(name for name in names if name not in used)
        used.add(name)
        kept.append(replace(file, name=name))
    return kept


def _read_file(
    part: ImageUrlPart | InputImagePart | InputAudioPart | FilePart | InputFilePart, where: str
) -> RequestFile:
    match part:
        case ImageUrlPart():
            return from_data_url(part.image_url.url, "image", f"{where}.image_url.url")
        case InputImagePart():
            if part.file_id:
                return RequestFile("image", "", file_id=part.file_id, where=f"{where}.file_id")
            if not part.image_url:
                raise refusal(f"{where}.image_url", "is missing")
            return from_data_url(part.image_url, "image", f"{where}.image_url")
        case InputAudioPart():
            ending = part.input_audio.format if EXTENSION.fullmatch(part.input_audio.format) else "bin"
            data = _decoded(part.input_audio.data, f"{where}.input_audio.data")
            return RequestFile(f"recording.{ending}", f"audio/{'mpeg' if ending == 'mp3' else ending}", data)
        case FilePart():
            return _from_file_data(part.file, f"{where}.file")
        case InputFilePart():
            return _from_file_data(part, where)


def _from_file_data(given: FileData, where: str) -> RequestFile:
    if given.file_id:
        return RequestFile("file", "", file_id=given.file_id, where=f"{where}.file_id")
    if given.file_url:
        raise refusal(f"{where}.file_url", ONLY_DATA_URLS)
    if not given.file_data:
        raise refusal(f"{where}.file_data", "is missing")
    if not given.file_data.startswith("data:"):
        return RequestFile(given.filename or "file", "", _decoded(given.file_data, f"{where}.file_data"))
    read = from_data_url(given.file_data, "file", f"{where}.file_data")
    return RequestFile(given.filename or read.name, read.media_type, read.data)


def from_data_url(url: str, stem: str, where: str) -> RequestFile:
    found = DATA_URL.match(url)
    if found is None:
        is_data = url.startswith("data:")
        raise refusal(where, "is not a data URL in base64 (data:<media type>;base64,…)" if is_data else ONLY_DATA_URLS)
    media_type = (found[1] or "").lower()
    data = _decoded(url[found.end() :], where)
    return RequestFile(f"{stem}{guess_extension(media_type) or ''}", media_type, data)


def _decoded(data: str, where: str) -> bytes:
    try:
        return decode_base64(data)
    except ValueError:
        raise refusal(where, "is not valid base64") from None


def refusal(where: str, problem: str, code: str = "invalid_value") -> InvalidRequest:
    """Returns the error for a field that cannot be accepted; its name comes first in the message."""
    return InvalidRequest(f"`{where}` {problem}.", param=where, code=code)
