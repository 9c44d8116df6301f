"""Converts Markdown to Slack's older markup, "mrkdwn", for messages without blocks.

Its rules: docs.slack.dev/messaging/formatting-message-text. It has no escape for its marks, so a mark that is part of
the text gets an invisible character beside it. Code, URLs and destinations of links are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from adapters.base.markdown.code_blocks import WORD_JOINER, fenced
from adapters.base.markdown.reading import NUMBER, commonmark, parser, read
from adapters.base.markdown.tables import as_text

MAX_TABLE_WIDTH = 120
"""Characters in a line up to which columns are padded, so that they are aligned."""
INDENT = "    "
SPACES = {
    "softbreak": " ",
    "hardbreak": " ",
    "paragraph_close": " ",
    "heading_close": " ",
    "td_close": " ",
    "th_close": " ",
}
"""What separates words, for markup without text."""
ZERO_WIDTH_SPACE = "\u200b"
"""Has no width, and ends a word: a mark beside it is one for Slack."""
MARKS = re.compile(r"[*_~`]++")
PROSE = re.compile(r"(?:(?!\s*+[0-9+\-=])[^\\`*_~\[\]<>#&|$@\0\r\n]*+(?:\n|\Z))++")
"""Lines without any character that may be markup where it is, in any dialect."""
SIMPLE_LINES = re.compile(
    r"""(?:
    (?: (?:\ {0,3}[-*]\ |\#{1,6}\ )?+ (?=[^\s\d+\-=\#>])  # an item, a heading or a paragraph
      | (?=\n) )
    (?: [^\\`*_~\[\]<>\#&|!\0\r\n]++ | !(?!\[)
      | (?<![^\s(])\*(?=\w) [^\\`*_~\[\]<>\#&|!\0\r\n]++ (?<!\s)\*(?=[\s.,:;?)])
      | (?<![^\s(])\*\*(?=\w) [^\\`*_~\[\]<>\#&|!\0\r\n]++ (?<!\s)\*\*(?=[\s.,:;?)])
      | (?<!`) ` (?=[^\s`]) [^`\r\n]++ (?<!\s) `(?!`)
      | \[ [^\\`*_~\[\]<>\#&|!\0\r\n]++ \]\(https?://[A-Za-z0-9./?=%\#-]++\)
    )*+ \n )*+""",
    re.VERBOSE,
)
"""Whole lines whose markup says the same wherever they stand, and whatever follows."""
SIMPLE_MARKUP = re.compile(r"^(?: {0,3}[-*]|#{1,6}) |\*{1,2}|`([^`\n]+)`|\[([^\]\n]+)\]\([^)\n]+\)", re.MULTILINE)
URL = re.compile(r"://\S++")
IMAGE = re.compile(r"<([^<>|]++)(?:\|([^<>]*+))?>")
"""One in the text of a link, as it is written: Slack reads no link within another."""


def escaped(text: str) -> str:
    """Returns text in which Slack reads no control sequences."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(markdown: str, *, adapted: bool = False) -> str:
    """Returns the text in Slack's markup. Only the language of a code fence is lost.

    ``adapted``: whether it was written for CommonMark, with all that is not markup escaped.
    """
    tokens = read(_commonmark() if adapted else _parser(), markdown)
    if tokens is None:
        return escaped(markdown)
    for token in tokens:
        _neutralise(token.children or ())
    return _blocks(SyntaxTreeNode(tokens).children)


def words(adapted: str) -> str:
    """Returns adapted Markdown in one line and without markup; not escaped."""
    return " ".join((adapted if PROSE.fullmatch(adapted) else without_markup(adapted)).split())


def first_words(adapted: str, needed: int) -> str:
    """Returns what ``words`` does, or its first ``needed`` characters and some more: most texts need no parser."""
    if not PROSE.fullmatch(adapted) and (simple := SIMPLE_LINES.match(adapted)):
        found = " ".join(SIMPLE_MARKUP.sub(r"\1\2", simple[0]).split())
        if len(found) >= needed:
            return found
    return words(adapted)


def without_markup(adapted: str) -> str:
    """Returns adapted Markdown as it is read; not escaped."""
    tokens = _commonmark().parse(adapted)
    inner = (child for token in tokens for child in (token.children or [token]))
    return "".join(token.content or SPACES.get(token.type, "") for token in inner)


_parser: Callable[[], MarkdownIt] = cache(parser)
_commonmark: Callable[[], MarkdownIt] = cache(commonmark)

# ---------------------------------------------------------------- marks that are text


def _neutralise(tokens: Sequence[Token]) -> None:
    """Neutralises the marks in the text of a paragraph of which Slack could make pairs."""
    texts = [token for at, token in enumerate(tokens) if token.type == "text" and tokens[at - 1].info != "auto"]
    found = "".join(mark for token in texts for mark in MARKS.findall(token.content))
    if found:
        styled = "".join(STYLED.get(token.type, "") for token in tokens)
        paired = {mark for mark in found if (found + styled).count(mark) > 1}
        for token in texts:
            token.content = _with_joiners(token.content, paired)


def _with_joiners(text: str, paired: set[str]) -> str:
    done, at = [], 0
    for url in URL.finditer(text):
        done += [_joined(text, at, url.start(), paired), url.group()]
        at = url.end()
    return "".join([*done, _joined(text, at, len(text), paired)])


def _joined(text: str, start: int, end: int, paired: set[str]) -> str:
    done, at = [], start
    for run in MARKS.finditer(text, start, end):
        before, after = text[: run.start()][-1:] or " ", text[run.end() :][:1] or " "
        within = before.isalnum() and after.isalnum()
        if not within and not (before.isspace() and after.isspace()) and not paired.isdisjoint(run.group()):
            done += [text[at : run.start()], run.group().join([WORD_JOINER, WORD_JOINER])]
            at = run.end()
    return "".join([*done, text[at:end]])


def _blocks(nodes: Sequence[SyntaxTreeNode], between: str = "\n\n") -> str:
    return between.join(text for node in nodes if (text := BLOCKS[node.type](node)))


def _inline(node: SyntaxTreeNode) -> str:
    return "".join(INLINE[child.type](child) for child in node.children)


# ---------------------------------------------------------------- blocks


def _heading(node: SyntaxTreeNode) -> str:
    text = _inline(node.children[0]).replace("*", "").replace("\n", " ").strip()
    return f"*{text}*" if text else ""


def _fence(node: SyntaxTreeNode) -> str:
    return fenced(escaped(node.content.rstrip("\n")))


def _quote(node: SyntaxTreeNode) -> str:
    return _indented(_blocks(node.children), "> ", "> ")


def _bullets(node: SyntaxTreeNode) -> str:
    return "\n".join(_item(item, "• ") for item in node.children)


def _numbers(node: SyntaxTreeNode) -> str:
    return "\n".join(_item(item, f"{item.meta[NUMBER]}. ") for item in node.children)


def _item(node: SyntaxTreeNode, mark: str) -> str:
    return _indented(_blocks(node.children, "\n"), mark, INDENT)


def _indented(text: str, first: str, others: str) -> str:
    return first + text.replace("\n", f"\n{others}")


def _table(node: SyntaxTreeNode) -> str:
    return fenced(escaped(as_text(node, MAX_TABLE_WIDTH)))


BLOCKS: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "paragraph": lambda node: _inline(node.children[0]),
    "heading": _heading,
    "fence": _fence,
    "code_block": _fence,
    "blockquote": _quote,
    "bullet_list": _bullets,
    "ordered_list": _numbers,
    "table": _table,
    "hr": lambda _: "———",
}

# ---------------------------------------------------------------- within a line


def _around(mark: str) -> Callable[[SyntaxTreeNode], str]:
    def render(node: SyntaxTreeNode) -> str:
        text = _inline(node)
        if not text.strip():
            return text
        before, after = _beside(node.previous_sibling, -1), _beside(node.next_sibling, 0)
        return f"{before}{mark}{text}{mark}{after}"

    return render


def _beside(node: SyntaxTreeNode | None, at: int) -> str:
    """Returns what must stand between a mark and what is beside it, for Slack to read the mark."""
    text = node.content if node and node.type == "text" else ""
    ends_word = not text or text[at].isspace() or (text[at].isascii() and not text[at].isalnum())
    return "" if ends_word else ZERO_WIDTH_SPACE


def _link(node: SyntaxTreeNode) -> str:
    text = IMAGE.sub(lambda image: f"{image[2]} ({image[1]})" if image[2] else image[1], _inline(node))
    return _linked(str(node.attrs.get("href", "")), text.replace("\n", " "))


def _code(node: SyntaxTreeNode) -> str:
    """Returns code; as plain text where it has a backtick, which ends it whatever is written before."""
    code = escaped(node.content)
    return MARKS.sub(rf"{WORD_JOINER}\g<0>{WORD_JOINER}", code) if "`" in code else f"`{code}`"


def _image(node: SyntaxTreeNode) -> str:
    return _linked(str(node.attrs.get("src", "")), escaped(node.content))


def _linked(address: str, text: str) -> str:
    if not address.startswith(("http://", "https://", "mailto:")):
        return f"{text} ({escaped(address)})" if address and text != escaped(address) else text
    address = escaped(address)  # the parser has encoded the bar that would end it
    return f"<{address}|{text}>" if text and text != address else f"<{address}>"


INLINE: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "text": lambda node: escaped(node.content),
    "code_inline": _code,
    "strong": _around("*"),
    "em": _around("_"),
    "s": _around("~"),
    "link": _link,
    "image": _image,
    "softbreak": lambda _: "\n",
    "hardbreak": lambda _: "\n",
}

STYLED = {"strong_open": "*", "em_open": "_", "s_open": "~"}
"""The marks that Slack gets for a style."""
