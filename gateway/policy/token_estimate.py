"""Estimates the tokens of texts, tools and images where the server counted none. No I/O, no vocabulary.

The rule for text was fitted to the vocabulary ``o200k_base`` of OpenAI's models: a word is one token, and more if it is
long or has letters with accents; other scripts cost a part of a token for each character. Within 20 % for prose, code
and JSON; Italian comes out a quarter too low, and random letters by half.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.files import Content

PIECE: Final = re.compile(
    r"(?P<word>[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+)|(?P<digits>\d{1,3})|(?P<gap>[^\S\n]*+\n\s*+|[ \t]{2,})"
    r"|(?P<space>[^\S\n]++)"
    r"|(?P<signs>[!-/:-@\[-`{-~]+)|(?P<other>.)",
    re.DOTALL,
)
WORD, LONG_LETTER, ACCENTED_LETTER = 0.92, 0.3, 0.9
"""Tokens of a word, of each letter beyond the sixth, and of each letter with an accent unless the word is short."""
WORD_LETTERS, SHORT_LETTERS = 6, 4
DIGITS, GAP, SIGN, MORE_SIGNS = 1.3, 0.75, 0.85, 0.21
"""Tokens of up to three digits, of line breaks and indents, of the first sign in a row, and of each further one."""
SCRIPTS: Final = (
    (0x0370, 0x03FF, 0.41),  # Greek
    (0x0451, 0x052F, 0.8),  # Cyrillic letters that are not Russian
    (0x0400, 0x0450, 0.26),  # Cyrillic
    (0x0590, 0x05FF, 0.42),  # Hebrew
    (0x0600, 0x06FF, 0.34),  # Arabic
    (0x0900, 0x0DFF, 0.35),  # the scripts of India
    (0x0E00, 0x0EFF, 0.42),  # Thai and Lao
    (0x3040, 0x30FF, 0.71),  # Kana
    (0x3400, 0x9FFF, 0.69),  # Han
    (0xAC00, 0xD7A3, 0.71),  # Hangul
    (0x1F000, 0x1FFFF, 1.6),  # emoji
)
"""First and last code point of a script, and tokens of each character."""
OTHER_CHARACTER = 0.5

MESSAGE_TOKENS, REPLY_TOKENS = 3, 3
"""What surrounds each message, and the beginning of the reply (cookbook.openai.com, How to count tokens)."""
TOOL_JSON_FACTOR, TOOLS_TOKENS = 0.66, 9
"""A tool's schema reaches the model in a shorter form than its JSON, below a heading."""
TEXT_BYTES, RECORDING_BYTES, OTHER_BYTES = 4, 700, 50
"""Bytes for each token of a text file, of a recording (by what is said in it), and of other files, such as PDF, whose
pages count as text and as images."""

TILE_PIXELS, LONGEST_SIDE, SHORTEST_SIDE = 512, 2048, 768
PATCH_PIXELS, MAX_PATCHES = 32, 1536
TILE_MODELS: Final = (
    (re.compile("gpt-4o-mini"), 2833, 5667),
    (re.compile("gpt-5"), 70, 140),
    (re.compile("o1|o3"), 75, 150),
    (re.compile(""), 85, 170),
)
"""Tokens of an image and of each of its tiles, by model (developers.openai.com/api/docs/guides/images-vision)."""
PATCH_MODELS: Final = (
    (re.compile(r"(gpt-4\.1|gpt-5)[a-z0-9.]*-mini"), 1.62),
    (re.compile(r"(gpt-4\.1|gpt-5)[a-z0-9.]*-nano"), 2.46),
    (re.compile("o4-mini"), 1.72),
)
"""Tokens of each patch of an image, for the models that count by patches (the same page)."""


def text_tokens(text: str) -> int:
    """Returns the tokens of a text."""
    return math.ceil(sum(_piece_tokens(match) for match in PIECE.finditer(text)))


def messages_tokens(texts: Iterable[str]) -> int:
    """Returns the tokens of the messages of a request."""
    return sum(MESSAGE_TOKENS + text_tokens(text) for text in texts if text) + REPLY_TOKENS


def tools_tokens(schemas: Iterable[Mapping[str, Any]]) -> int:
    """Returns the tokens of function tools, each given by its JSON schema with name and description."""
    total = sum(math.ceil(TOOL_JSON_FACTOR * text_tokens(json.dumps(schema, ensure_ascii=False))) for schema in schemas)
    return total + TOOLS_TOKENS if total else 0


@dataclass(frozen=True, slots=True)
class ImageSize:
    """The size of an image, in pixels."""

    width: int
    height: int


UNKNOWN_SIZE = ImageSize(1024, 1024)
IMAGE_HEAD_BYTES = 256 * 1024
"""How much of an image is read for its size: in a JPEG it comes after previews and colour profiles."""


def image_tokens(size: ImageSize, model: str) -> int:
    """Returns the tokens of an image in full detail."""
    for pattern, per_patch in PATCH_MODELS:
        if pattern.match(model):
            return math.ceil(per_patch * _patches(size))
    first, each = next((base, tile) for pattern, base, tile in TILE_MODELS if pattern.match(model))
    return first + each * _tiles(size)


def file_tokens(content: Content, media_type: str, model: str) -> int:
    """Returns the tokens of a file that is sent with a message: an image by its size, others by their length."""
    if media_type.startswith("image/"):
        return image_tokens(image_size(content.head(IMAGE_HEAD_BYTES)) or UNKNOWN_SIZE, model)
    return bytes_tokens(content.size, media_type)


def bytes_tokens(size: int, media_type: str) -> int:
    """Returns the tokens of a file that is not an image, by its size in bytes."""
    if media_type.startswith("audio/"):
        return math.ceil(size / RECORDING_BYTES)
    is_text = media_type.startswith("text/") or "json" in media_type or "xml" in media_type
    return math.ceil(size / (TEXT_BYTES if is_text else OTHER_BYTES))


# ---------------------------------------------------------------- text


def _piece_tokens(match: re.Match[str]) -> float:
    piece = match[0]
    match match.lastgroup:
        case "word":
            is_plain = piece.isascii() or len(piece) <= SHORT_LETTERS
            accents = 0 if is_plain else sum(letter > "\x7f" for letter in piece)
            return WORD + LONG_LETTER * max(0, len(piece) - WORD_LETTERS) + ACCENTED_LETTER * accents
        case "digits":
            return DIGITS
        case "gap":
            return GAP
        case "space":
            return 0.0
        case "signs":
            return SIGN + MORE_SIGNS * (len(piece) - 1)
    return _character_tokens(ord(piece))


def _character_tokens(code: int) -> float:
    return next((tokens for first, last, tokens in SCRIPTS if first <= code <= last), OTHER_CHARACTER)


# ---------------------------------------------------------------- images


def _tiles(size: ImageSize) -> int:
    """Returns how many tiles of 512 pixels an image has, scaled into 2048 by 2048 and then to a shorter side of 768."""
    longer, shorter = max(size.width, size.height), min(size.width, size.height)
    fitted = min(1.0, LONGEST_SIDE / longer)
    scale = fitted * min(1.0, SHORTEST_SIDE / (fitted * shorter))
    return math.ceil(scale * longer / TILE_PIXELS) * math.ceil(scale * shorter / TILE_PIXELS)


def _patches(size: ImageSize) -> int:
    """Returns the patches of 32 pixels that cover an image; a larger one is scaled down to the most there may be."""
    patches = math.ceil(size.width / PATCH_PIXELS) * math.ceil(size.height / PATCH_PIXELS)
    return min(patches, MAX_PATCHES)


def image_size(content: bytes) -> ImageSize | None:
    """Returns the size of a PNG, GIF, WebP or JPEG image, by its beginning; None if it cannot be read."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _size(content[16:20], content[20:24], "big")
    if content.startswith((b"GIF87a", b"GIF89a")):
        return _size(content[6:8], content[8:10], "little")
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp_size(content)
    return _jpeg_size(content) if content.startswith(b"\xff\xd8\xff") else None


def _size(width: bytes, height: bytes, order: Any, *, more: int = 0) -> ImageSize | None:
    pixels = int.from_bytes(width, order) + more, int.from_bytes(height, order) + more
    return ImageSize(*pixels) if all(pixels) else None


def _webp_size(content: bytes) -> ImageSize | None:
    """Reads the three kinds of WebP (developers.google.com/speed/webp/docs/riff_container)."""
    kind = content[12:16]
    if kind == b"VP8X":
        return _size(content[24:27], content[27:30], "little", more=1)
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return ImageSize((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return _size(content[26:28], content[28:30], "little") if kind == b"VP8 " else None


JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments that hold the size."""
JPEG_SEGMENT_HEADER = 4


def _jpeg_size(content: bytes) -> ImageSize | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:  # noqa: PLR2004  # every marker begins so
        if content[at + 1] in JPEG_FRAMES:
            return _size(content[at + 7 : at + 9], content[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(content[at + 2 : at + JPEG_SEGMENT_HEADER], "big")
    return None
