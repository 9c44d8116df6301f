"""The web chat: the page at `/`, the script that embeds it in other sites, and static files of all pages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from gateway.languages import ENGLISH_ONLY, Languages, direction_of, say, sentences_of, tag_of
from gateway.settings.values import split_list
from gateway.web.chat_page_settings import ChatPageSettings

PAGES = Path(__file__).parents[1] / "pages"
CONTENT_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""Content types of the files that are served, by suffix. Templates and licences are not served."""
CACHE_FOR_A_YEAR = "public, max-age=31536000, immutable"
CACHE_AND_REVALIDATE = "no-cache"
CACHE_FOR_AN_HOUR = "public, max-age=3600"
EMBEDDED_SENTENCES = b"const SENTENCES = {};"
"""In the script for other sites: where its sentences in a visitor's language go."""

POLICY_DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "dompurify",
}
"""The page's Content-Security-Policy: only our own files, and only DOMPurify may turn text into HTML."""


# ---------------------------------------------------------------- static files


@cache
def _gzipped(body: bytes) -> bytes:
    """Compresses a file once in a process, however many applications serve it."""
    return gzip.compress(body, mtime=0)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file to serve, plain and gzipped. ``etag``: a digest of it."""

    body: bytes
    content_type: str
    gzipped: bytes = field(init=False)
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gzipped", _gzipped(self.body))
        object.__setattr__(self, "etag", sha256(self.body).hexdigest()[:32])

    def response(self, cache_control: str) -> flask.Response:
        """Returns the file, gzipped if the client accepts that, or 304 if the client has it already."""
        use_gzip = flask.request.accept_encodings["gzip"] > 0
        response = flask.Response(self.gzipped if use_gzip else self.body, content_type=self.content_type)
        if use_gzip:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = cache_control
        response.set_etag(f"{self.etag}-gzip" if use_gzip else self.etag)
        response.make_conditional(flask.request)
        return response


class Assets:
    """Static files of all pages, read once. Their path contains a version of them all, so browsers may cache them.

    All files are below the same path, so that a script can import another by its name alone.
    """

    def __init__(self, folder: Path = PAGES) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): Asset(path.read_bytes(), CONTENT_TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in CONTENT_TYPES
        }
        tags = "".join(f"{name} {asset.etag}\n" for name, asset in self._files.items())
        self.version = sha256(tags.encode()).hexdigest()[:16]

    @property
    def base_path(self) -> str:
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
            return self[name].response(CACHE_FOR_A_YEAR if version == self.version else CACHE_AND_REVALIDATE)

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
    requires_key: bool
    max_message_chars: int
    languages: Languages = ENGLISH_ONLY

    def routes(self) -> flask.Blueprint:
        """Returns the routes; none when the page is disabled."""
        blueprint = flask.Blueprint("chat_page", __name__, template_folder="../pages")
        if self.settings.web_chat:
            blueprint.add_url_rule("/", "show", self.serve_page)
            blueprint.add_url_rule("/embed.js", "embed", self.serve_embed_script)
        return blueprint

    def serve_page(self) -> ResponseReturnValue:
        language = self.languages.accepted(flask.request.headers.get("Accept-Language", ""))
        body = flask.render_template(
            "chat/page.html",
            page=self,
            settings=self.settings,
            assets=self.assets.base_path,
            sentence=partial(say, language=language),
            lang=tag_of(language),
            dir=direction_of(language),
            sentences=sentences_of(".js", language),
        )
        response = Asset(body.encode(), "text/html; charset=utf-8").response(CACHE_AND_REVALIDATE)
        _depends_on_language(response, language)
        response.headers["Content-Security-Policy"] = content_security_policy(split_list(self.origins))
        return response

    def serve_embed_script(self) -> ResponseReturnValue:
        language = self.languages.accepted(flask.request.headers.get("Accept-Language", ""))
        response = _embed_script(self.assets["chat/embed.js"], language).response(CACHE_FOR_AN_HOUR)
        _depends_on_language(response, language)
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response


def _depends_on_language(response: flask.Response, language: str) -> None:
    response.content_language.add(tag_of(language))
    response.vary.add("Accept-Language")


def _embed_script(script: Asset, language: str) -> Asset:
    """Returns the script with its sentences in a language."""
    filled = EMBEDDED_SENTENCES.replace(b"{}", json.dumps(sentences_of("embed.js", language)).encode())
    return Asset(script.body.replace(EMBEDDED_SENTENCES, filled), script.content_type)


def content_security_policy(origins: Sequence[str]) -> str:
    """Returns the page's Content-Security-Policy, with the sites that may frame it."""
    framing = "*" if "*" in origins else " ".join(("'self'", *origins))
    return "; ".join(f"{name} {value}" for name, value in (POLICY_DIRECTIVES | {"frame-ancestors": framing}).items())
