"""The web chat: the page at `/`, the script that embeds it in other sites, and static files of all pages."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import flask
from flask.typing import ResponseReturnValue
from pydantic import Field, field_validator
from werkzeug.exceptions import NotFound

from gateway.settings import Environment

PAGES = Path(__file__).parents[1] / "pages"
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Content types of the files that are served, by suffix. Templates and licences are not served."""
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"
AN_HOUR = "public, max-age=3600"
SUGGESTIONS = 4

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "dompurify",
}
"""The page's Content-Security-Policy: only our own files, and only DOMPurify may turn text into HTML."""


class ChatPageSettings(Environment):
    web_chat: bool = True
    """Serve the chat page."""
    web_chat_title: str = Field("Chat", max_length=60)
    web_chat_greeting: str = Field("How can I help you?", max_length=200)
    """Text that an empty conversation shows."""
    web_chat_suggestions: str = (
        "What can you help me with? | Explain something to me in simple words | Help me to write a message"
    )
    """Up to four suggested messages for an empty conversation, separated by |."""

    @field_validator("web_chat_suggestions")
    @classmethod
    def _few(cls, suggestions: str) -> str:
        if len(_split(suggestions, "|")) > SUGGESTIONS:
            raise ValueError(f"has more than {SUGGESTIONS} suggestions")
        return suggestions

    @property
    def suggestions(self) -> tuple[str, ...]:
        return _split(self.web_chat_suggestions, "|")


def _split(listed: str, mark: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in listed.split(mark) if part.strip())


# ---------------------------------------------------------------- static files


@dataclass(frozen=True, slots=True)
class Asset:
    """A file to serve, plain and gzipped. ``etag``: a digest of it."""

    body: bytes
    kind: str
    packed: bytes = field(init=False)
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", gzip.compress(self.body, mtime=0))
        object.__setattr__(self, "tag", sha256(self.body).hexdigest()[:32])

    def answer(self, cache: str) -> flask.Response:
        """Returns the file, gzipped if the client accepts that, or 304 if the client has it already."""
        use_gzip = flask.request.accept_encodings["gzip"] > 0
        response = flask.Response(self.packed if use_gzip else self.body, content_type=self.kind)
        if use_gzip:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = cache
        response.set_etag(f"{self.tag}-gzip" if use_gzip else self.tag)
        response.make_conditional(flask.request)
        return response


class Assets:
    """Static files of all pages, read once. Their path contains a version of them all, so browsers may cache them.

    All files are below the same path, so that a script can import another by its name alone.
    """

    def __init__(self, folder: Path = PAGES) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): Asset(path.read_bytes(), TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        tags = "".join(f"{name} {asset.tag}\n" for name, asset in self._files.items())
        self.version = sha256(tags.encode()).hexdigest()[:16]

    @property
    def root(self) -> str:
        """The files' path, relative to the gateway's root URL."""
        return f"assets/{self.version}"

    def __getitem__(self, name: str) -> Asset:
        """Returns a file by its name. Raises NotFound."""
        if name not in self._files:
            raise NotFound
        return self._files[name]

    def routes(self) -> flask.Blueprint:
        blueprint = flask.Blueprint("assets", __name__)

        @blueprint.get("/assets/<version>/<path:name>")
        def show(version: str, name: str) -> ResponseReturnValue:
            # During a rolling update, clients may ask for another version. They get ours, but must not cache it.
            return self[name].answer(FOR_GOOD if version == self.version else ASK_FIRST)

        return blueprint


# ---------------------------------------------------------------- the page


@dataclass(frozen=True, slots=True)
class ChatPage:
    """The chat page, and the script by which other sites embed it.

    ``origins``: sites that may frame it, as in ``CORS_ORIGINS``. ``requires_key``: whether /chat demands an API key.
    ``max_message_chars``: the limit of /chat.
    """

    settings: ChatPageSettings
    assets: Assets
    origins: str
    keyed: bool
    max_message_chars: int

    def routes(self) -> flask.Blueprint:
        """Returns the routes; none when the page is disabled."""
        blueprint = flask.Blueprint("chat_page", __name__, template_folder="../pages")
        if self.settings.web_chat:
            blueprint.add_url_rule("/", "show", self.show)
            blueprint.add_url_rule("/embed.js", "embed", self.embed)
        return blueprint

    def show(self) -> ResponseReturnValue:
        body = flask.render_template("chat/page.html", page=self, settings=self.settings, assets=self.assets.root)
        response = Asset(body.encode(), "text/html; charset=utf-8").answer(ASK_FIRST)
        response.headers["Content-Security-Policy"] = policy(_split(self.origins, ","))
        return response

    def embed(self) -> ResponseReturnValue:
        response = self.assets["chat/embed.js"].answer(AN_HOUR)
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response


def policy(origins: Sequence[str]) -> str:
    """Returns the page's Content-Security-Policy, with the sites that may frame it."""
    framing = "*" if "*" in origins else " ".join(("'self'", *origins))
    return "; ".join(f"{name} {value}" for name, value in (POLICY | {"frame-ancestors": framing}).items())
