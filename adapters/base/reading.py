"""Reads the Markdown of an assistant: the one parser for all platforms, so that a reply says the same everywhere.

It is markdown-it with CommonMark, tables and ``~~strikethrough~~``. HTML is text. Link definitions and underlined
headings are not read: an assistant does not mean them, and a definition that nothing refers to would be lost. What
was written but not meant as markup stands as it was written: formulas, URLs, names like ``__init__``, operators, globs,
and backslashes that escape nothing. ``gateway/pages/chat/reading.js`` reads the same for the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, autolink, backtick, escape, image, link
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from adapters.base.delimiters import MARKS, DelimiterRun, scan
from adapters.base.formulas import take_formula
from adapters.base.tables import with_whole_rows

MAX_DEPTH = 40
"""Nested blocks, of which a list counts twice. The parser drops what is deeper."""
BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)

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
MARKS_OF_TEXT = re.compile(r"[*_`\[\]<#~$]|&(?=#?\w{1,32};)")
"""Of a line of text, what may be markup anywhere in it."""
ENTITY = re.compile(r"&#?\w{1,32};")
COMMAND = re.compile(r"\\[A-Za-z]")
"""In a word with one of these, no backslash escapes: LaTeX, or a path of Windows."""
LINE_NUMBER = re.compile(r"(?:^|\n)[0-9]{1,9}\Z")
BARE = re.compile(r"[\w+*^=,-]+", re.ASCII)
"""What no link leads to: an argument, as in ``f[i](x)``."""
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/#]|\.{1,2}/|www\.")
LONGEST_WORD = 200
STANDING = frozenset("*_[]<#~$")
"""What is no markup after a backslash that stands itself."""

MARKUP = re.compile(r"[\n$&*<\[\\\]_`~]|!(?=\[)|:(?=//)")
"""Where plain text ends. markdown-it's own set is wider, for the markup of its plugins."""

NUMBER = "number"
"""The key in the ``meta`` of an ordered list's item for its number, an int."""

InlineRule = Callable[[StateInline, bool], bool]


class Notes(Protocol):
    """Is told how a line was read, so that it can be written for a parser without the rules here.

    Offsets are those of the line. It is parsed as inline content, with the notes in the environment as ``NOTES``.
    """

    line: str

    def stands(self, start: int, end: int) -> None:
        """Is told of what stands as it was written, although CommonMark may find markup in it."""

    def keeps(self, start: int, end: int) -> None:
        """Is told of a URL, of code, or of the destination of a link."""

    def marks(self, start: int, run: DelimiterRun, *, opens: bool, closes: bool) -> None:
        """Is told of a run of marks. ``opens``, ``closes``: what CommonMark lets it do."""


NOTES = "notes"


def literal(line: str) -> str:
    """Returns Markdown that says a line of text as it is, such as a name. A backslash stands, and escapes nothing."""
    return MARKS_OF_TEXT.sub(r"\\\g<0>", line)


def read(parser: MarkdownIt, markdown: str) -> list[Token] | None:
    """Returns the tokens, with every cell of every table; None if the text is nested too deeply to be read."""
    tokens = parser.parse(markdown)
    whole = with_whole_rows(markdown, tokens)
    if whole != markdown:
        tokens = parser.parse(whole)
    return None if any(token.level >= MAX_DEPTH - 1 for token in tokens) else tokens


def commonmark() -> MarkdownIt:
    """Returns a new parser without the rules about what stands as it was written."""
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_DEPTH}).enable(["table", "strikethrough"])
    made.disable(["reference", "lheading"])
    made.core.ruler.push("numbers", _number)
    return made


def parser(*, addresses_as_written: bool = False) -> MarkdownIt:
    """Returns a new parser. ``addresses_as_written``: keeps every destination of a link, and does not encode it."""
    made = commonmark()
    made.inline.ruler.before("escape", "literal", _literal)
    made.inline.ruler.before("autolink", "break", _break)
    rules = {"escape": _escape, "backticks": _noted(backtick), "emphasis": _marks, "link": _link, "image": _image}
    for name, rule in {**rules, "autolink": _noted(autolink)}.items():
        made.inline.ruler.at(name, rule)
    made.inline.ruler.disable("strikethrough")
    made.inline.terminator_re = MARKUP
    made.block.ruler.before("fence", "formula", take_formula, {"alt": ["paragraph", "blockquote", "list"]})
    if addresses_as_written:
        made.normalizeLink = _as_written  # type: ignore[method-assign]  # markdown-it documents that it may be replaced
        made.validateLink = _any_address  # type: ignore[method-assign]  # likewise
    return made


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


# ---------------------------------------------------------------- what stands as it was written


def _literal(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  # markdown-it's signature
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
        if notes := _notes(state):
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


def _notes(state: StateInline) -> Notes | None:
    notes: Notes | None = state.env.get(NOTES)
    return notes if notes and notes.line == state.src else None


def _noted(rule: InlineRule) -> InlineRule:
    """Returns a rule for what stays as it is, in any reading."""

    def noted(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
        start = state.pos
        if not rule(state, silent):
            return False
        if not silent and (notes := _notes(state)):
            notes.keeps(start, state.pos)
        return True

    return noted


def _keep(state: StateInline, end: int) -> None:
    first, *others = state.src[state.pos : end].split("\n")
    state.append_pending(first)
    for line in others:
        state.push("softbreak", "br", 0)
        state.append_pending(line)


def _break(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Takes a ``<br>``, the one tag that is read: nothing else ends a line in a cell of a table."""
    found = BREAK.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _escape(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
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
        if notes := _notes(state):
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


# ---------------------------------------------------------------- emphasis


def _marks(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Takes a run of marks, of which markdown-it then makes pairs."""
    start = state.pos
    mark = state.src[start]
    if silent or mark not in MARKS:
        return False
    run = scan(state.src, start, state.posMax)
    length = run.end - start
    if mark == "~" and length != len("~~"):
        return False
    if notes := _notes(state):
        plain = state.scanDelims(start, mark != "_")
        notes.marks(start, run, opens=plain.can_open, closes=plain.can_close)
    step = 1 if mark != "~" else length
    for _ in range(0, length, step):
        token = state.push("text", "", 0)
        token.content = mark * step
        at = len(state.tokens) - 1
        # A length of 0 switches off the rule of three, which is for * and _ alone.
        known = 0 if mark == "~" else length
        state.delimiters.append(Delimiter(ord(mark), known, at, -1, run.can_open, run.can_close))
    state.pos = run.end
    return True


# ---------------------------------------------------------------- links


def _link(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    return _linked(state, silent, link, state.pos)


def _image(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    return _linked(state, silent, image, state.pos + 1)


def _linked(state: StateInline, silent: bool, rule: InlineRule, bracket: int) -> bool:  # noqa: FBT001
    """Applies the rule, unless the brackets are an index and the parentheses a call: ``f[i](x)``."""
    start, text = state.pos, state.src
    if text[bracket : bracket + 1] != "[" or (bracket > start and text[start] != "!"):
        return False
    label_end = state.md.helpers.parseLinkLabel(state, bracket, bracket == start)
    if label_end < 0 or text[label_end + 1 : label_end + 2] != "(":
        return False
    address = text[label_end + 2 : label_end + 2 + LONGEST_WORD].lstrip()
    if not _leads_somewhere(address, text[start - 1] if start else " "):
        if not silent and (notes := _notes(state)):
            notes.stands(bracket, bracket + 1)
        return False
    if not rule(state, silent):
        return False
    if not silent and (notes := _notes(state)):
        notes.keeps(label_end + 1, state.pos)
    return True


def _leads_somewhere(address: str, before: str) -> bool:
    """Tells whether what is in parentheses may be an address."""
    if address.startswith("<"):
        return True
    if before.isalnum() or before in ")]":
        return ADDRESS.match(address) is not None
    bare = BARE.match(address)
    return bare is None or address[bare.end() : bare.end() + 1] != ")"


def _as_written(url: str) -> str:
    return url


def _any_address(url: str) -> bool:  # noqa: ARG001  # markdown-it's signature
    return True


# ---------------------------------------------------------------- numbers of lists


def _number(state: StateCore) -> None:
    """Gives each item of an ordered list its number: as written, but counted on where all are written the same."""
    lists: list[_Numbers] = []
    for token in state.tokens:
        if token.type in {"ordered_list_open", "bullet_list_open"}:
            lists.append(_Numbers())
        elif token.type in {"ordered_list_close", "bullet_list_close"}:
            lists.pop()
        elif token.type == "list_item_open" and token.info:
            token.meta[NUMBER] = lists[-1].next(int(token.info))


@dataclass(slots=True)
class _Numbers:
    first: int = -1
    count: int = 0
    same: bool = True

    def next(self, written: int) -> int:
        self.first = written if self.count == 0 else self.first
        self.same = self.same and written == self.first
        self.count += 1
        return written + self.count - 1 if self.same else written
