"""The web chat: a page at `/`, a script that puts it on other sites, and the files that every page loads."""

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

PAGES = Path(__file__).parent / "pages"
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What a page may load, by how its name ends. Templates and licences are not served."""
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
"""The page's Content-Security-Policy: our own files, nothing else, and no text becomes HTML but through DOMPurify."""


class ChatPageSettings(Environment):
    web_chat: bool = True
    """Whether there is a page at all."""
    web_chat_title: str = Field("Chat", max_length=60)
    web_chat_greeting: str = Field("How can I help you?", max_length=200)
    """What an empty conversation says."""
    web_chat_suggestions: str = (
        "What can you help me with? | Explain something to me in simple words | Help me to write a message"
    )
    """Up to four messages that an empty conversation offers, with | between them."""

    @field_validator("web_chat_suggestions")
    @classmethod
    def _few(cls, suggestions: str) -> str:
        if len(_split(suggestions, "|")) > SUGGESTIONS:
            raise ValueError(f"holds more than {SUGGESTIONS} suggestions")
        return suggestions

    @property
    def suggestions(self) -> tuple[str, ...]:
        return _split(self.web_chat_suggestions, "|")


def _split(listed: str, mark: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in listed.split(mark) if part.strip())


# ---------------------------------------------------------------- what pages load


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. ``tag``: a digest of it."""

    body: bytes
    kind: str
    packed: bytes = field(init=False)
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", gzip.compress(self.body, mtime=0))
        object.__setattr__(self, "tag", sha256(self.body).hexdigest()[:32])

    def answer(self, cache: str) -> flask.Response:
        """Packed for whoever takes that, and nothing at all for whoever has it already."""
        packs = flask.request.accept_encodings["gzip"] > 0
        response = flask.Response(self.packed if packs else self.body, content_type=self.kind)
        if packs:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = cache
        response.set_etag(f"{self.tag}-gzip" if packs else self.tag)
        response.make_conditional(flask.request)
        return response


class Assets:
    """The files of all pages, read once. Their address changes when one of them does, so browsers keep them for good.

    They stand below one such address, so that a script can load another one by its name alone.
    """

    def __init__(self, folder: Path = PAGES) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): Asset(path.read_bytes(), TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        marks = "".join(f"{name} {asset.tag}\n" for name, asset in self._files.items())
        self.version = sha256(marks.encode()).hexdigest()[:16]

    @property
    def root(self) -> str:
        """Where they are, relative to the gateway's own root."""
        return f"assets/{self.version}"

    def __getitem__(self, name: str) -> Asset:
        """Raises NotFound."""
        if name not in self._files:
            raise NotFound
        return self._files[name]

    def routes(self) -> flask.Blueprint:
        blueprint = flask.Blueprint("assets", __name__)

        @blueprint.get("/assets/<version>/<path:name>")
        def show(version: str, name: str) -> ResponseReturnValue:
            # Another version is asked for while processes of both run. What we have is the best answer, for the moment.
            return self[name].answer(FOR_GOOD if version == self.version else ASK_FIRST)

        return blueprint


# ---------------------------------------------------------------- the page


@dataclass(frozen=True, slots=True)
class ChatPage:
    """The page, and the script that other sites embed it by.

    ``origins``: the sites that may show it in a frame, as ``CORS_ORIGINS`` has them. ``keyed``: whether /chat asks for
    an API key. ``max_message_chars``: what /chat takes.
    """

    settings: ChatPageSettings
    assets: Assets
    origins: str
    keyed: bool
    max_message_chars: int

    def routes(self) -> flask.Blueprint:
        """No route at all when the page is switched off."""
        blueprint = flask.Blueprint("chat_page", __name__, template_folder="pages")
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
    """The page's Content-Security-Policy, with the sites that may show it in a frame."""
    framing = "*" if "*" in origins else " ".join(("'self'", *origins))
    return "; ".join(f"{name} {value}" for name, value in (POLICY | {"frame-ancestors": framing}).items())
