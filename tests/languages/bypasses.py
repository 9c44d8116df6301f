"""Finds texts for people that stand in the code without ``sentence``, and so are English to everybody."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser

from gateway.domain.sentences import Sentence

WORD = re.compile(r"[A-Za-z]{2,}")
MOUTHS: Mapping[str, int] = {
    "Failure": 1,
    "RunCompleted": 0,
    "with_note": 1,
    "plain": 0,
    "plain_messages": 0,
    "OutgoingMessage": 0,
    "DiscordContent": 0,
    "FormattedText": 0,
    "post_missing_file": 0,
    "post_file_line": 0,
    "ephemeral": 0,
    "_button": 0,
    "show": 0,
    "line": 0,
    "Text": 0,
    "_page": 1,
    "say": 0,
}
"""Functions by which a text reaches people, and the place of the argument."""
KEYWORDS = frozenset({"user_message"})
ATTRIBUTES = frozenset({"default_user_message", "default_message"})
FIELDS = frozenset({"text", "label", "content", "description", "title"})
"""In JSON for platforms."""

RELEVANT = re.compile(
    rf"\b(?:{'|'.join(MOUTHS)})\(|{'|'.join(KEYWORDS | ATTRIBUTES)}|[\"'](?:{'|'.join(FIELDS)})[\"']:"
)
"""A module without any of these is not parsed."""

Resolve = Callable[[str], object]
"""Returns what a name of the module stands for; None if it is none."""


class PythonBypasses(ast.NodeVisitor):
    """Looks through one module. ``reads_fields``: whether its dictionaries are JSON for a platform."""

    def __init__(self, source: str, resolve: Resolve = lambda _: None, *, reads_fields: bool = False) -> None:
        self.found: list[str] = []
        self._resolve = resolve
        self._reads_fields = reads_fields
        self._scope: ast.AST | None = None
        self._locals: dict[str, list[ast.expr]] | None = {}
        """The assignments of the scope; None: not looked for yet."""
        if RELEVANT.search(source):
            self.visit(ast.parse(source))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:  # of ast
        outer = self._scope, self._locals
        self._scope, self._locals = node, None
        self.generic_visit(node)
        self._scope, self._locals = outer

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        place = MOUTHS.get(_name_of(node.func))
        shown = [node.args[place]] if place is not None and len(node.args) > place else []
        self._check([*shown, *(keyword.value for keyword in node.keywords if keyword.arg in KEYWORDS)])
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Name) and target.id in ATTRIBUTES for target in node.targets):
            self._check([node.value])
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id in ATTRIBUTES and node.value is not None:
            self._check([node.value])
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        pairs = zip(node.keys, node.values, strict=True) if self._reads_fields else ()
        self._check([value for key, value in pairs if isinstance(key, ast.Constant) and key.value in FIELDS])
        self.generic_visit(node)

    def _check(self, shown: Sequence[ast.expr]) -> None:
        self.found += [f"{each.lineno}: {ast.unparse(each)}" for each in shown if self._is_bare(each, set())]

    def _is_bare(self, shown: ast.expr, seen: set[str]) -> bool:
        """Tells whether an expression has words of its own."""
        parts: Sequence[ast.expr]
        match shown:
            case ast.Constant(str(text)):
                return bool(WORD.search(text))
            case ast.Name(name):
                return self._is_bare_name(name, seen)
            case ast.FormattedValue(ast.Name() | ast.IfExp() as part) | ast.Subscript(ast.Name() as part):
                parts = [part]
            case ast.Call(ast.Attribute(part, "format")):
                parts = [part]
            case ast.BinOp(left, ast.Add(), right) | ast.IfExp(_, left, right):
                parts = [left, right]
            case ast.BoolOp(_, parts) | ast.JoinedStr(parts):
                pass
            case _:
                return False
        return any(self._is_bare(part, seen) for part in parts)

    def _is_bare_name(self, name: str, seen: set[str]) -> bool:
        if self._locals is None and self._scope is not None:
            self._locals = _assignments(self._scope)
        if self._locals and name in self._locals:
            values = [] if name in seen else self._locals[name]
            return any(self._is_bare(value, seen | {name}) for value in values)
        return _has_bare_text(self._resolve(name))


def _has_bare_text(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_bare_text, value.values()))
    return isinstance(value, str) and not isinstance(value, Sentence) and bool(WORD.search(value))


def _assignments(scope: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=value) | ast.NamedExpr(ast.Name(name), value):
                found.setdefault(name, []).append(value)
            case ast.arg(name):
                found.setdefault(name, [])
    return found


def _name_of(function: ast.expr) -> str:
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


# ---------------------------------------------------------------- the page

SHOWN_ATTRIBUTES = frozenset({"alt", "aria-label", "placeholder", "title"})
NOT_SHOWN = frozenset({"kbd", "script", "style"})
TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
PROSE = re.compile(r"[A-Z][a-z]+(?:[ .…:!?].*)?|.*[A-Za-z]{2,}[,.]? [a-z]{2,}.*", re.DOTALL)
NO_PROSE = frozenset(
    {
        *("Accept", "Authorization", "Bearer", "Content-Type", "Enter", "Escape", "Prefer", "Retry-After"),
        *("noopener", "p,", "ul,", "use"),
    }
)
"""First words: of headers and keys, a link's ``rel``, lists of elements, and ``use strict``."""
NO_MOUTHS = ("sentence(", "querySelector(", "querySelectorAll(", "closest(", "matches(", "types.includes(")
TOKEN = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/                                                                            # comments
    | (?<=[(,=:\[!&|?{};\n])\s*+/(?![*/])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*+\])++/         # regular expressions
    | (?P<text>"(?:[^"\\\n]|\\.)*+" | '(?:[^'\\\n]|\\.)*+' | `(?:[^`\\]|\\.)*+`)
    """,
    re.VERBOSE | re.DOTALL,
)
EXPRESSION = re.compile(r"\$\{[^}]*\}")
MARKUP = re.compile(r"[<{;#\[=]|\.\w")
"""What CSS, selectors and HTML contain."""


class HtmlBypasses(HTMLParser):
    """Looks through one template."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] = []
        self.feed(TEMPLATE.sub("", source))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        self.found += [value for name, value in attrs if name in SHOWN_ATTRIBUTES and value and WORD.search(value)]

    def handle_data(self, data: str) -> None:
        if WORD.search(data) and not (self._open and self._open[-1] in NOT_SHOWN):
            self.found.append(data.strip())


def script_bypasses(source: str) -> list[str]:
    """Returns the texts in JavaScript that read as prose and are not said by ``sentence``."""
    found = []
    for token in TOKEN.finditer(source):
        text = EXPRESSION.sub("", (token["text"] or "")[1:-1])
        if source.endswith(NO_MOUTHS, 0, token.start()) or not PROSE.fullmatch(text):
            continue
        if text.split()[0] not in NO_PROSE and not MARKUP.search(text):
            found.append(text)
    return found
