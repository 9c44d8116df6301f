"""Writes replies in Discord's own Markdown: docs.discord.com/developers/reference#message-formatting

Discord reads emphasis, headings of three levels, lists, quotations, code, spoilers and links. It reads ``__`` as an
underline, and neither tables, images, rules nor formulas. What is text stands with a backslash before each mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from adapters.base.markdown.code_blocks import WORD_JOINER, fenced
from adapters.base.markdown.links import beside, says
from adapters.base.markdown.reading import NUMBER, parser, read
from adapters.base.markdown.splitting import cut, utf16_units
from adapters.base.markdown.tables import as_text, plain_text
from adapters.discord.posted_reply import Buttons, DiscordContent
from gateway.domain.visible_text import is_visible

MAX_UNITS = 2000
"""docs.discord.com/developers/resources/message#create-message. Counted in UTF-16, as clients do, to be sure."""
FIRST_LIMIT, LEAST_LIMIT = 1900, 64
"""Of the Markdown of one message, which becomes longer by what is escaped."""
MAX_HEADING = 3
MAX_TABLE_WIDTH = 80
"""Characters in a line up to which columns are padded, so that they are aligned."""

MARK = re.compile(r"[\\*_~`|]|\[(?=[^\]]*\]\()|<(?=[@#:a-z/])")
LINE_MARK = re.compile(r"^(\s*+(?:\d++(?=[.)] ))?+)(?=#{1,3} |-# |>>> |> |[-*+] |[.)] )", re.MULTILINE)
"""What Discord reads at the beginning of a line."""
LANGUAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+#.-]*")
"""In the info string of a fence, as ``{.python .numbered}``. With other characters Discord shows it as code."""
URL = re.compile(r"https?://[^\s<>]+")
CODE_MARKS = ("`", "``")
BACKTICKS = re.compile(r"`++")

length = utf16_units


def contents(markdown: str, last: Buttons) -> list[DiscordContent]:
    """Returns a reply as messages. ``last``: the buttons below the last one."""
    texts = parts(markdown)
    return [
        DiscordContent(text, last if number == len(texts) else Buttons.NONE) for number, text in enumerate(texts, 1)
    ]


def parts(markdown: str) -> list[str]:
    """Returns a reply in parts, one for each message; none for a reply with nothing visible in it."""
    return [
        text for part in cut(markdown, FIRST_LIMIT, length) for text in _fitting(part, FIRST_LIMIT) if is_visible(text)
    ]


def plain(text: str) -> list[str]:
    """Returns a text in parts that show it as it is written, without markup."""
    return [written for part in cut(text, MAX_UNITS // 2, length) if is_visible(written := escaped(part))]


def words(written: str) -> str:
    """Returns what ``parts`` or ``plain`` wrote, without the backslashes and marks."""
    return re.sub(r"\\([^A-Za-z0-9\s])|[*`~|]+", r"\1", written)


def escaped(text: str) -> str:
    """Returns text in which Discord reads no markup. URLs stay as they are."""
    return LINE_MARK.sub(r"\1\\", _escaped(text))


def _escaped(text: str) -> str:
    done, at = [], 0
    for url in URL.finditer(text):
        done += [MARK.sub(r"\\\g<0>", text[at : url.start()]), url.group()]
        at = url.end()
    return "".join([*done, MARK.sub(r"\\\g<0>", text[at:])])


def _fitting(markdown: str, limit: int) -> list[str]:
    """Returns a part as it is written, in several if it became too long."""
    text = _written(markdown)
    if length(text) <= MAX_UNITS:
        return [text]
    if limit // 2 < LEAST_LIMIT:
        return cut(text, MAX_UNITS, length)
    return [each for part in cut(markdown, limit // 2, length) for each in _fitting(part, limit // 2)]


_parser: Callable[[], MarkdownIt] = cache(parser)


def _written(markdown: str) -> str:
    tokens = read(_parser(), markdown)
    return escaped(markdown) if tokens is None else _blocks(SyntaxTreeNode(tokens).children)


# ---------------------------------------------------------------- blocks


def _blocks(nodes: Sequence[SyntaxTreeNode], between: str = "\n\n") -> str:
    return between.join(text for node in nodes if (text := BLOCKS[node.type](node)))


def _inline(node: SyntaxTreeNode) -> str:
    return "".join(INLINE[child.type](child) for child in node.children)


def _paragraph(node: SyntaxTreeNode) -> str:
    return LINE_MARK.sub(r"\1\\", _inline(node.children[0]))


def _heading(node: SyntaxTreeNode) -> str:
    text, level = _inline(node.children[0]).replace("\n", " ").strip(), int(node.tag[1:])
    if not text:
        return ""
    return f"{'#' * level} {text}" if level <= MAX_HEADING else f"**{text.replace('**', '')}**"


def _fence(node: SyntaxTreeNode) -> str:
    language = LANGUAGE.search(node.info)
    return fenced(node.content.rstrip("\n"), language[0] if language else "")


def _quote(node: SyntaxTreeNode) -> str:
    return "> " + _blocks(node.children).replace("\n", "\n> ")


def _bullets(node: SyntaxTreeNode) -> str:
    return "\n".join(_item(item, "- ") for item in node.children)


def _numbers(node: SyntaxTreeNode) -> str:
    """Writes each item with its number. Discord counts on from the first: another number stands as text."""
    written, following = [], node.children[0].meta[NUMBER]
    for item in node.children:
        number = item.meta[NUMBER]
        written.append(_item(item, f"{number}. " if number == following else f"{number}\\. "))
        following = number + 1
    return "\n".join(written)


def _item(node: SyntaxTreeNode, mark: str) -> str:
    return mark + _blocks(node.children, "\n").replace("\n", f"\n{' ' * len(mark)}")


def _table(node: SyntaxTreeNode) -> str:
    return fenced(as_text(node, MAX_TABLE_WIDTH))


BLOCKS: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "paragraph": _paragraph,
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
        return f"{mark}{text}{mark}" if text.strip() else text

    return render


def _code(node: SyntaxTreeNode) -> str:
    """Returns code between marks that do not stand in it. Three of them would begin a block."""
    code = node.content
    mark = next((mark for mark in CODE_MARKS if mark not in BACKTICKS.findall(code)), "")
    if not mark:
        mark, code = "``", BACKTICKS.sub(lambda run: WORD_JOINER.join(run.group()), code)
    space = " " if code.startswith("`") or code.endswith("`") else ""
    return f"{mark}{space}{code}{space}{mark}"


def _link(node: SyntaxTreeNode) -> str:
    return _linked(str(node.attrs.get("href", "")), _inline(node), plain_text(node))


def _image(node: SyntaxTreeNode) -> str:
    return _linked(str(node.attrs.get("src", "")), escaped(node.content), node.content)


def _linked(address: str, written: str, text: str) -> str:
    """Returns a link. Discord reads links to http and https only, and none whose text looks like another address."""
    if not address.startswith(("http://", "https://")):
        return written + escaped(beside(text, address))
    if not text or says(text, address):
        return text if URL.fullmatch(text) else address
    if URL.search(text):
        return f"{written} ({address})"
    return f"[{written}]({address.replace('(', '%28').replace(')', '%29')})"


INLINE: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "text": lambda node: _escaped(node.content),
    "text_special": lambda node: _escaped(node.content),
    "code_inline": _code,
    "strong": _around("**"),
    "em": _around("*"),
    "s": _around("~~"),
    "link": _link,
    "image": _image,
    "softbreak": lambda _: "\n",
    "hardbreak": lambda _: "\n",
}
