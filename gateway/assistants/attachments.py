"""Files in both directions: attachments, converted to what a model can read, and files that the assistant made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from mimetypes import guess_type

from gateway.assistants.request_body import DataUrl
from gateway.domain.errors import AssistantRefused, ThreadMissing
from gateway.domain.files import ANY_BYTES, Attachment, Content, File
from gateway.domain.models import Turn
from gateway.domain.sentences import sentence
from gateway.ports.assistant import AttachmentLoader

MAX_BYTES = 50 * 2**20
"""Limit for one file, and for all files of one request (developers.openai.com/api/docs/guides/file-inputs)."""
MAX_INLINE_CHARS = 30_000
"""A longer text file is sent as a file instead of as text."""
MAX_NAME_CHARS = 200

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Images that models accept as input (developers.openai.com/api/docs/guides/images-vision)."""
SIGNATURE_BYTES = 16
IMAGE_SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
TEXT_MEDIA_TYPES = re.compile(
    r"text/(?!rtf)|[^/]+/(.+\+)?(json|xml|yaml|x-yaml|toml|sql|csv|javascript|ecmascript|typescript|x-sh|x-python|"
    r"x-httpd-php|x-ruby|x-perl|x-ndjson|jsonl|graphql)$"
)
"""Media types of text, also outside of ``text/``."""
TEXT_FILE_NAMES = re.compile(
    r"""(?:^|\.)(?:
    txt|text|md|rst|log|csv|tsv|jsonc?|jsonl|ndjson|json5|xml|html?|css|scss|less|svg|ya?ml|toml|ini|cfg|conf|env|
    properties|pyi?|ipynb|[cm]?js|jsx|tsx?|vue|svelte|java|kts?|scala|groovy|gradle|[ch]|cc|[ch]pp|cxx|cs|go|rs|rb|
    php|p[lm]|lua|r|jl|swift|mm?|dart|exs?|erl|hs|ml|fs|clj|lisp|el|sql|sh|bash|zsh|fish|ps1|bat|cmd|dockerfile|
    makefile|cmake|tf|hcl|proto|graphql|gql|tex|bib|srt|vtt|ics|vcf|diff|patch|eml|asm|vb|sol|zig|nim
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
"""File name endings of text files. Not rtf, which is a document format."""

SANDBOX_LINK = re.compile(
    r"!?\[((?:[^\[\]\n]|\[[^\[\]\n]*\])*)\]\(\s*<?sandbox:(?:[^()\n]|\([^()\n]*\))*\)"  # [label](sandbox:/mnt/data/x)
)

FILE_NOT_ACCEPTED = "the assistant's server does not take files of this kind or size"
FILE_GONE = sentence("A file that the assistant made is no longer available.")


@dataclass(frozen=True, slots=True)
class InlineText:
    """Text for the model: the content of a small text file, or why a file cannot be read."""

    text: str


@dataclass(frozen=True, slots=True)
class BinaryPart:
    """A file that is sent to the model unchanged."""

    name: str
    media_type: str
    content: Content

    @property
    def is_image(self) -> bool:
        """Whether it is an image that models accept."""
        return self.media_type in IMAGE_TYPES

    @property
    def data_url(self) -> DataUrl:
        return DataUrl(self.media_type, self.content)


MessagePart = InlineText | BinaryPart
"""A part of a user message after its text."""


async def load(turn: Turn, attachments: AttachmentLoader) -> list[MessagePart]:
    """Returns the parts for the files of the turn's message. Fetches nothing for a message without files."""
    return to_parts(await attachments()) if turn.message.files else []


def to_parts(attachments: Iterable[Attachment]) -> list[MessagePart]:
    """Returns one part per attachment, in order. A file that exceeds the total size becomes a note with its name."""
    pieces: list[MessagePart] = []
    room = MAX_BYTES
    for attachment in attachments:
        piece = _to_part(attachment, room)
        room -= piece.content.size if isinstance(piece, BinaryPart) else 0
        pieces.append(piece)
    return pieces


def without_files(parts: Sequence[MessagePart]) -> list[InlineText] | None:
    """Returns the parts for a server that rejects files. None if there are no files, so they cannot be the reason."""
    if not any(isinstance(piece, BinaryPart) for piece in parts):
        return None
    return [piece if isinstance(piece, InlineText) else unreadable(piece.name, FILE_NOT_ACCEPTED) for piece in parts]


def unreadable(name: str, problem: str) -> InlineText:
    return InlineText(f"[{name} could not be read: {' '.join(problem.split()).rstrip('.')}]")


def _to_part(attachment: Attachment, bytes_left: int) -> MessagePart:
    file, content = attachment.file, attachment.content
    name = file.shown_name[:MAX_NAME_CHARS]
    if attachment.problem:
        return unreadable(name, attachment.problem)
    if not content.size:
        return unreadable(name, "it is empty")
    media_type = _media_type(file, content)
    text = None if media_type in IMAGE_TYPES else _inline_text(name, media_type, content)
    if text is not None:
        return InlineText(f"[beginning of {name}]\n{text}\n[end of {name}]")
    if content.size > bytes_left:
        return unreadable(name, "it is too large for one message, or for one message with the files before it")
    return BinaryPart(name, media_type, content)


def _media_type(file: File, content: Content) -> str:
    """Returns the image type by its signature, else what the platform says, else the guess by file name."""
    for media_type, signature in IMAGE_SIGNATURES.items():
        if signature.match(content.head(SIGNATURE_BYTES)):
            return media_type
    declared = file.media_type.partition(";")[0].strip().lower()
    return (declared if declared != ANY_BYTES else "") or guess_type(file.name)[0] or ANY_BYTES


def _inline_text(name: str, media_type: str, content: Content) -> str | None:
    """Returns the text of a small text file; None for any other file."""
    known = TEXT_MEDIA_TYPES.match(media_type) or TEXT_FILE_NAMES.search(name)
    if not known or content.size > 4 * MAX_INLINE_CHARS:
        return None
    data = content.head(content.size)
    if b"\0" in data:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= MAX_INLINE_CHARS else None


# ---------------------------------------------------------------- files that the assistant made


def without_sandbox_links(text: str) -> str:
    """Replaces links into the assistant's sandbox, which no user can open, by their labels."""
    return SANDBOX_LINK.sub(r"\1", text) if "sandbox:" in text else text


def file_made(name: str, reference: str) -> File:
    return File(name, reference, guess_type(name)[0] or "")


def base_name(path: str, default: str) -> str:
    """Returns the last segment of a path or sandbox URL."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or default


def unknown_reference(file: File) -> AssistantRefused:
    """Returns the error for a file reference that this backend did not create."""
    return AssistantRefused(
        f"this backend has no file with the reference {file.reference[:80]!r}", code="file_gone", user_message=FILE_GONE
    )


@contextmanager
def missing_as_gone(file: File) -> Iterator[None]:
    """Raises AssistantRefused with code ``file_gone`` when the server rejects the download inside the block."""
    try:
        yield
    except (AssistantRefused, ThreadMissing) as exc:
        if isinstance(exc, AssistantRefused) and exc.code != AssistantRefused.code:
            raise
        raise AssistantRefused(f"{file.name}: {exc}", code="file_gone", user_message=FILE_GONE) from exc
