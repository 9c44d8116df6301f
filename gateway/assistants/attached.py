"""Files on both ways: what a person attached, sorted by what a model can do with it, and what the assistant made."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from mimetypes import guess_type

from gateway.errors import Refused
from gateway.messages import Attachment, File, Turn
from gateway.ports import Attachments

MOST_BYTES = 50 * 2**20
"""Of all files in one request, and of each (developers.openai.com/api/docs/guides/file-inputs)."""
INLINE_CHARS = 30_000
"""A longer text is sent as a file."""
LONGEST_NAME = 200
UNKNOWN = "application/octet-stream"

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models look at (developers.openai.com/api/docs/guides/images-vision)."""
SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
READABLE = re.compile(
    r"text/(?!rtf)|[^/]+/(.+\+)?(json|xml|yaml|x-yaml|toml|sql|csv|javascript|ecmascript|typescript|x-sh|x-python|"
    r"x-httpd-php|x-ruby|x-perl|x-ndjson|jsonl|graphql)$"
)
"""Media types of text, whatever family they are in."""
SOURCES = re.compile(
    r"""(?:^|\.)(?:
    txt|text|md|rst|log|csv|tsv|jsonc?|jsonl|ndjson|json5|xml|html?|css|scss|less|svg|ya?ml|toml|ini|cfg|conf|env|
    properties|pyi?|ipynb|[cm]?js|jsx|tsx?|vue|svelte|java|kts?|scala|groovy|gradle|[ch]|cc|[ch]pp|cxx|cs|go|rs|rb|
    php|p[lm]|lua|r|jl|swift|mm?|dart|exs?|erl|hs|ml|fs|clj|lisp|el|sql|sh|bash|zsh|fish|ps1|bat|cmd|dockerfile|
    makefile|cmake|tf|hcl|proto|graphql|gql|tex|bib|srt|vtt|ics|vcf|diff|patch|eml|asm|vb|sol|zig|nim
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
"""Endings of the names of text files. Not rtf: that is a document in disguise."""

LINK = re.compile(
    r"!?\[((?:[^\[\]\n]|\[[^\[\]\n]*\])*)\]\(\s*<?sandbox:(?:[^()\n]|\([^()\n]*\))*\)"  # [label](sandbox:/mnt/data/x)
)

NOT_TAKEN = "the assistant's server does not take files of this kind or size"
GONE = "A file that the assistant made is not there any more."


@dataclass(frozen=True, slots=True)
class Words:
    """Something to read: a small text file, or why a file cannot be read."""

    text: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A file as it is."""

    name: str
    media_type: str
    content: bytes

    @property
    def shows(self) -> bool:
        """Whether it is an image that models look at."""
        return self.media_type in IMAGES

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


Piece = Words | Blob
"""What stands in a message behind its text."""


async def load(turn: Turn, attachments: Attachments) -> list[Piece]:
    """What came with the turn's message. Nothing is fetched for a message without files."""
    return sort(await attachments()) if turn.message.files else []


def sort(attachments: Iterable[Attachment]) -> list[Piece]:
    """A piece for each, in order. What has no room beside the others is named only."""
    pieces: list[Piece] = []
    room = MOST_BYTES
    for attachment in attachments:
        piece = _piece(attachment, room)
        room -= len(piece.content) if isinstance(piece, Blob) else 0
        pieces.append(piece)
    return pieces


def without_files(pieces: Sequence[Piece]) -> list[Words] | None:
    """What to send to a server that refuses the files. None: there are no files, so that cannot be why."""
    if not any(isinstance(piece, Blob) for piece in pieces):
        return None
    return [piece if isinstance(piece, Words) else unread(piece.name, NOT_TAKEN) for piece in pieces]


def unread(name: str, problem: str) -> Words:
    return Words(f"[{name} could not be read: {' '.join(problem.split()).rstrip('.')}]")


def _piece(attachment: Attachment, room: int) -> Piece:
    file, content = attachment.file, attachment.content
    name = " ".join(file.name.split())[:LONGEST_NAME] or "a file"
    if attachment.problem:
        return unread(name, attachment.problem)
    if not content:
        return unread(name, "it is empty")
    media_type = _media_type(file, content)
    text = None if media_type in IMAGES else _text(name, media_type, content)
    if text is not None:
        return Words(f"[beginning of {name}]\n{text}\n[end of {name}]")
    if len(content) > room:
        return unread(name, "it is too large for one message, or for one message with the files before it")
    return Blob(name, media_type, content)


def _media_type(file: File, content: bytes) -> str:
    """What the content says of itself as an image, else what the platform says, else the name."""
    for media_type, signature in SIGNATURES.items():
        if signature.match(content):
            return media_type
    said = file.media_type.partition(";")[0].strip().lower()
    return (said if said != UNKNOWN else "") or guess_type(file.name)[0] or UNKNOWN


def _text(name: str, media_type: str, content: bytes) -> str | None:
    """The text of a small text file; None for everything else."""
    known = READABLE.match(media_type) or SOURCES.search(name)
    if not known or len(content) > 4 * INLINE_CHARS or b"\0" in content:
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= INLINE_CHARS else None


# ---------------------------------------------------------------- what the assistant made


def unlinked(text: str) -> str:
    """The text without links into the assistant's sandbox, which lead nowhere: of each, its label."""
    return LINK.sub(r"\1", text) if "sandbox:" in text else text


def made(name: str, reference: str) -> File:
    return File(name, reference, guess_type(name)[0] or "")


def named(path: str, otherwise: str) -> str:
    """The name at the end of a path, or of an address in the sandbox."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or otherwise


def not_ours(file: File) -> Refused:
    """Another backend made it, or none."""
    return Refused(f"no file of this backend's: {file.reference[:80]!r}", code="file_gone", sentence=GONE)


@contextmanager
def fetching(file: File) -> Iterator[None]:
    """What the server has no more, or does not give, is gone."""
    try:
        yield
    except Refused as exc:
        if exc.code != Refused.code:
            raise
        raise Refused(f"{file.name}: {exc}", code="file_gone", sentence=GONE) from exc
