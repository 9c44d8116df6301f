"""Reads what was written in Markdown but not meant as markup, and stands as it was written: formulas, URLs, names like
``__init__``, globs, and backslashes that escape nothing.
"""

from __future__ import annotations

import re

from markdown_it.rules_inline import StateInline, escape

from adapters.base.markdown.reading_notes import notes_of

ENVIRONMENT = r"\\begin\{(?P<name>[A-Za-z]{1,40}\*?)\}.{0,4000}?\\end\{(?P=name)\}"
FORMULAS = {
    "$": re.compile(
        r"\$\$(?:\\.|[^$\\])+?\$\$|(?<![^\W_])\$(?![\s$])(?:\\.|(?!\]\()[^$\n\\`])*?(?<=[^\s\\])\$(?![^\W_]|\$)",
        re.DOTALL,
    ),
    "\\": re.compile(
        rf"\\\(.{{1,2000}}?\\\)|\\\[(?=(?:(?!\\\]).){{0,2000}}?(?:[\s^_=+*/-]|\\(?!\]))).{{1,2000}}?\\\](?!\()|"
        rf"{ENVIRONMENT}",
        re.DOTALL,
    ),
}
"""LaTeX between dollars (not "$5 and $6"), between ``\\(`` and ``\\)``, ``\\[`` and ``\\]``, and environments. What has
no end must not be read to the end of the text from each of its beginnings, so a formula has a greatest length."""
NAME = re.compile(r"__(?![A-Z][a-z]|_)[A-Za-z0-9_]{0,80}[A-Za-z0-9]__(?![^\W_])", re.ASCII)
"""``__init__``, ``__FILE__``; but a single word of prose, ``__Note__``, is strong."""
GLOB = re.compile(r"\*\*/(?:[^\s*]*(?:\*[^\s*]+)*/)?\*{1,2}(?:\.[\w*]+)?(?![\w*])")
"""``**/*.py``, ``**/node_modules/**``"""
URL = re.compile(r"://(?:(?!\]\()[^\s<>\"`\\\u3000-\u303f\uff00-\uff0f\uff1a-\uff20]){1,2000}")
URL_END = re.compile(r"(?:[?!.,:;*_~'|]|&[a-z]+;|(?P<close>[)\]}]))\Z")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
LONGEST_SCHEME = 16

ESCAPED = frozenset("*_`[]<#~$")
"""Markup that a backslash makes text. Before other marks it stands as it is, as LaTeX and paths have it."""
ENTITY = re.compile(r"&#?\w{1,32};")
COMMAND = re.compile(r"\\[A-Za-z]")
"""In a word with one of these, no backslash escapes: LaTeX, or a path of Windows."""
LINE_NUMBER = re.compile(r"(?:^|\n)[0-9]{1,9}\Z")
LONGEST_WORD = 200
STANDING = frozenset("*_[]<#~$")
"""What is no markup after a backslash that stands itself."""


def url_end(text: str, start: int, most: int) -> int:
    """Returns where the URL ends whose ``://`` is at ``start``; ``start`` if there is none."""
    found = URL.match(text, start, most)
    if not found or not SCHEME.search(text[max(0, start - LONGEST_SCHEME) : start]):
        return start
    url = found.group()
    while last := URL_END.search(url):
        close = last["close"]
        if close and url.count(close) <= url.count("([{"[")]}".index(close)]):
            break
        url = url[: last.start()]
    return start + len(url) if len(url) > len("://") else start


def take_literal(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  # markdown-it's signature
    """Takes a formula, a URL, a name or a glob."""
    start, most = state.pos, state.posMax
    char = state.src[start]
    end = _url(state) if char == ":" else start
    if char in FORMULAS:
        end = _matched(FORMULAS[char], state.src, start, most)
    elif char in "_*":
        end = _matched(NAME if char == "_" else GLOB, state.src, start, most)
    if end == start:
        return False
    if not silent:
        _keep(state, end)
        if notes := notes_of(state):
            (notes.keeps if char == ":" else notes.stands)(start, end)
    state.pos = end
    return True


def _matched(pattern: re.Pattern[str], text: str, start: int, most: int) -> int:
    found = pattern.match(text, start, most)
    return found.end() if found else start


def _url(state: StateInline) -> int:
    """Returns where the URL ends: before ``**`` if that ends strong text."""
    end = url_end(state.src, state.pos, state.posMax)
    closing = state.src.find("**", state.pos, end)
    if closing >= 0 and any(mark.marker == ord("*") and mark.open and mark.length > 1 for mark in state.delimiters):
        return closing
    return end


def _keep(state: StateInline, end: int) -> None:
    first, *others = state.src[state.pos : end].split("\n")
    state.append_pending(first)
    for line in others:
        state.push("softbreak", "br", 0)
        state.append_pending(line)


def take_escape(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    start = state.pos
    if state.src[start] != "\\" or start + 1 >= state.posMax:
        return False
    char = state.src[start + 1]
    if char == "\n":
        return escape(state, silent)
    if char != "\\" and _escapes(state.src, start, char):
        if not silent:
            token = state.push("text_special", "", 0)
            token.content, token.markup, token.info = char, f"\\{char}", "escape"
        state.pos += 2
        return True
    length = 2 if char == "\\" or char in STANDING else 1
    if not silent:
        state.append_pending(state.src[start : start + length])
        if notes := notes_of(state):
            notes.stands(start, start + length)
    state.pos += length
    return True


def _escapes(text: str, start: int, char: str) -> bool:
    """Tells whether a backslash makes a mark text. It does only where the mark would be markup."""
    if char in ESCAPED:
        return COMMAND.search(_word_around(text, start)) is None
    before, after = text[max(0, start - 10) : start], text[start + 2 : start + 3]
    return (
        (char in ">-+" and not before.rpartition("\n")[2])
        or (char in ".)" and LINE_NUMBER.search(before) is not None)
        or (char == "(" and before.endswith("]"))
        or (char == "!" and after == "[")
        or (char == "&" and ENTITY.match(text, start + 1) is not None)
    )


def _word_around(text: str, at: int) -> str:
    before = text[max(0, at - LONGEST_WORD) : at].split()
    after = text[at : at + LONGEST_WORD].split(maxsplit=1)
    joined = before and not text[at - 1].isspace()
    return (before[-1] if joined else "") + after[0]
