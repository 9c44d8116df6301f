"""Converts Markdown to Slack's older markup, "mrkdwn", for messages without blocks.

Its rules: docs.slack.dev/messaging/formatting-message-text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

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
BROKEN_FENCE = "`\u2060``"
"""Three backticks that do not end code: there is an invisible character between them."""


def escaped(text: str) -> str:
    """Returns text in which Slack reads no control sequences."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(markdown: str) -> str:
    """Returns the text in Slack's markup. Only the language of a code fence is lost."""
    return _blocks(_tree(markdown).children)


def words(markdown: str) -> str:
    """Returns the text in one line and without markup; not escaped."""
    tokens = _parser().parse(markdown)
    inner = (child for token in tokens for child in (token.children or [token]))
    return " ".join("".join(token.content or SPACES.get(token.type, "") for token in inner).split())


@cache
def _parser() -> MarkdownIt:
    # Link definitions would be lost if nothing refers to them; HTML is text for Slack.
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("reference")


def _tree(markdown: str) -> SyntaxTreeNode:
    return SyntaxTreeNode(_parser().parse(markdown))


def _blocks(nodes: Sequence[SyntaxTreeNode], between: str = "\n\n") -> str:
    return between.join(text for node in nodes if (text := BLOCKS[node.type](node)))


def _inline(node: SyntaxTreeNode) -> str:
    return "".join(INLINE[child.type](child) for child in node.children)


# ---------------------------------------------------------------- blocks


def _heading(node: SyntaxTreeNode) -> str:
    text = _inline(node.children[0]).replace("*", "").strip()
    return f"*{text}*" if text else ""


def _fence(node: SyntaxTreeNode) -> str:
    return _fenced(node.content.rstrip("\n"))


def _fenced(code: str) -> str:
    return f"```\n{escaped(code).replace('```', BROKEN_FENCE)}\n```"


def _quote(node: SyntaxTreeNode) -> str:
    return _indented(_blocks(node.children), "> ", "> ")


def _bullets(node: SyntaxTreeNode) -> str:
    return "\n".join(_item(item, "• ") for item in node.children)


def _numbers(node: SyntaxTreeNode) -> str:
    first = int(node.attrs.get("start", 1))
    return "\n".join(_item(item, f"{number}. ") for number, item in enumerate(node.children, first))


def _item(node: SyntaxTreeNode, mark: str) -> str:
    return _indented(_blocks(node.children, "\n"), mark, INDENT)


def _indented(text: str, first: str, others: str) -> str:
    return first + text.replace("\n", f"\n{others}")


def _table(node: SyntaxTreeNode) -> str:
    rows = [[_cell(cell) for cell in row.children] for part in node.children for row in part.children]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 3 * len(widths) <= MAX_TABLE_WIDTH:
        rows = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return _fenced("\n".join(" | ".join(row).rstrip() for row in rows))


def _cell(node: SyntaxTreeNode) -> str:
    """Returns a cell as plain text, as it is shown in a fence: a link as its text with the URL in brackets."""
    return "".join(_bare(child) for child in node.children[0].children).replace("\n", " ")


def _bare(node: SyntaxTreeNode) -> str:
    inner = "".join(map(_bare, node.children)) or node.content
    address = str(node.attrs.get("href") or node.attrs.get("src") or "")
    return f"{inner} ({address})" if address and address != inner else inner


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
        return f"{mark}{text}{mark}" if text.strip() else text

    return render


def _link(node: SyntaxTreeNode) -> str:
    return _linked(str(node.attrs.get("href", "")), _inline(node))


def _image(node: SyntaxTreeNode) -> str:
    return _linked(str(node.attrs.get("src", "")), escaped(node.content))


def _linked(address: str, text: str) -> str:
    if not address.startswith(("http://", "https://", "mailto:")):
        return f"{text} ({escaped(address)})" if address else text
    address = escaped(address)  # the parser has encoded the bar that would end it
    return f"<{address}|{text}>" if text and text != address else f"<{address}>"


INLINE: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "text": lambda node: escaped(node.content),
    "code_inline": lambda node: f"`{escaped(node.content)}`",
    "strong": _around("*"),
    "em": _around("_"),
    "s": _around("~"),
    "link": _link,
    "image": _image,
    "softbreak": lambda _: "\n",
    "hardbreak": lambda _: "\n",
}
