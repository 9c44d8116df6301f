"""Marks of sources in a reply: turned into links or names where these are known, else removed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.assistants.json_fields import as_object, as_text
from gateway.assistants.sse import Json
from gateway.json_text import decode_json

PRIVATE_MARK = r"\ue200[^\ue201]{0,2000}(?:\ue201|\Z)|[\ue200-\ue20f]"
"""ChatGPT's marks: a kind and its parameters, separated by U+E202, between U+E200 and U+E201. U+E203 to U+E206 are
around what is cited."""
REFERENCE = (
    r"turn\d+(?:search|news|view|fetch|file|image|video|product|forecast|finance|sports|business|reddit|click)\d+"
)
BARE_MARK = rf"(?:(?<![A-Za-z])file)?cite(?:{REFERENCE})+|(?<![A-Za-z]){REFERENCE}(?:[ ,]?{REFERENCE})*"
"""The same after something removed the private-use characters."""
BRACKET_MARK = r"【[^【】†\n]{0,60}†[^【】\n]{0,200}(?:】|\Z)|【\d+(?::\d+)?(?:】|\Z)"
"""Marks of file search (platform.openai.com/docs/assistants/tools/file-search) and of gpt-oss."""
OTHER_MARK = (
    r":contentReference\[oaicite:\d+\](?:\{index=\d+\})?|\[oaicite:\d+\](?:\{index=\d+\})?|"  # ChatGPT's export
    r"\[citation:\d+\]|\[\^\d+\^\]|</?co(?::[ \d,]{0,40})?>"  # DeepSeek and Kimi with search, Bing, Cohere
)
CITATION = rf" ?(?:{PRIVATE_MARK})| ?(?:{BARE_MARK})| ?(?:{BRACKET_MARK})| ?(?:{OTHER_MARK})"

PRIVATE_PARTS = re.compile("\ue202")
FILE_NAME = re.compile(r"†([^【】†]*\.[A-Za-z0-9]{1,8})】")
SAFE_URL = re.compile(r"https?://[^\s<>()\[\]]+")


def citation_text(mark: str) -> str:
    """Returns what a mark says by itself: the name of an entity or of a file, the title of a link, or nothing."""
    space = " " if mark.startswith(" ") else ""
    if named := FILE_NAME.search(mark):
        return f" ({named[1].strip()})"
    if "<" in mark:  # around words, which stay
        return space
    if "\ue200" not in mark:
        return ""
    kind, *parts = PRIVATE_PARTS.split(mark.strip(" \ue200\ue201"))
    name = _entity_name(parts) if kind == "entity" else parts[0] if kind in {"url", "link"} and parts else ""
    return space + name if name else ""


def _entity_name(parts: list[str]) -> str:
    try:
        fields = decode_json(parts[0]) if parts else []
    except ValueError:
        return ""
    return as_text(fields[1]) if isinstance(fields, list) and len(fields) > 1 else ""


def with_sources(text: str, annotations: Iterable[Json]) -> str:
    """Returns the text with each mark that an annotation explains replaced by its link or its file's name.

    ``annotations``: of the Responses API, which give the place, or of the Assistants API, which repeat the mark.
    """
    for note in sorted(annotations, key=_place, reverse=True):
        source = source_text(note)
        mark, start = as_text(note.get("text")), _place(note)
        end = note.get("end_index")
        if not source or not (mark or isinstance(end, int)):
            continue
        if mark and re.fullmatch(CITATION, mark):
            text = text.replace(mark, source)
        elif isinstance(end, int) and 0 <= start < end <= len(text) and re.fullmatch(CITATION, text[start:end]):
            text = text[:start] + source + text[end:]
    return text


def _place(note: Json) -> int:
    start = note.get("start_index")
    return start if isinstance(start, int) else 0


def source_text(note: Json) -> str:
    """Returns the source of an annotation as Markdown, with a space before it; empty if it names none."""
    url, title = as_text(note.get("url")), re.sub(r"[\[\]\s]+", " ", as_text(note.get("title"))).strip()
    if SAFE_URL.fullmatch(url):
        return f" ([{title or 'source'}]({url}))"
    name = as_text(note.get("filename")) or as_text(as_object(note.get("file_citation")).get("filename"))
    return f" ({name})" if name else ""
