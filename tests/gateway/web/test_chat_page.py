"""The chat page, its static files, and its settings."""

from __future__ import annotations

import gzip
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.domain.errors import SettingsError
from gateway.web.chat_page import CONTENT_TYPES, PAGES, Assets, ChatPage, content_security_policy
from gateway.web.chat_page_settings import ChatPageSettings
from gateway.web.flask_app import create_app
from tests.adapters.chat import error

VENDORED = json.loads((PAGES / "vendor/VENDORED.json").read_text())
MAX_PAGE_BYTES = 260_000


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ChatPageSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets()


def client(assets: Assets, *, origins: str = "*", keyed: bool = False, **settings: Any) -> FlaskClient:
    page = ChatPage(ChatPageSettings(**settings), assets, origins, keyed, 1000)
    return create_app([assets.routes(), page.routes()], ()).test_client()


def loaded(page: TestResponse) -> list[str]:
    """Returns the relative URLs that the page loads."""
    return re.findall(r'(?:src|href)="(?!#)([^"]+)"', page.text)


# ---------------------------------------------------------------- the page


def test_everything_that_the_page_loads_is_ours_and_there(assets: Assets) -> None:
    visitor = client(assets)
    addresses = loaded(visitor.get("/"))
    assert len(addresses) >= 5
    for address in addresses:
        assert address.startswith(f"assets/{assets.version}/")
        response = visitor.get(f"/{address}")
        assert response.status_code == 200
        assert response.content_type == CONTENT_TYPES[Path(address).suffix]


def test_every_module_that_a_script_imports_is_there(assets: Assets) -> None:
    scripts = {path.name: path.read_text() for path in (PAGES / "chat").glob("*.js")}
    imported = {name for text in scripts.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert imported <= set(scripts)
    assert set(scripts) - imported == {"main.js", "embed.js"}, "every script is imported"
    for name in imported:
        assert client(assets).get(f"/assets/{assets.version}/chat/{name}").status_code == 200


def test_a_visitor_loads_little(assets: Assets) -> None:
    visitor = client(assets)
    page = visitor.get("/")
    modules = {f"assets/{assets.version}/chat/{path.name}" for path in (PAGES / "chat").glob("*.js")}
    assert (
        sum(len(visitor.get(f"/{address}").data) for address in {*loaded(page), *modules}) + len(page.data)
        < MAX_PAGE_BYTES
    )


def test_the_page_has_no_script_and_no_style_of_its_own(assets: Assets) -> None:
    page = client(assets).get("/").text
    assert all(
        'src="' in script or 'type="application/json"' in script for script in re.findall(r"<script[^>]*>", page)
    )
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


def test_what_the_operator_writes_is_text_and_nothing_else(assets: Assets) -> None:
    page = client(
        assets,
        web_chat_title="</title><script>1</script>",
        web_chat_greeting="<b>Hi</b>",
        web_chat_suggestions='"><i>x</i>|',
    ).get("/")
    assert page.text.count("&lt;script&gt;1&lt;/script&gt;") == 2
    assert not re.search(r"<script>|<b>|<i>x", page.text)


@pytest.mark.parametrize("keyed", [True, False])
def test_the_page_knows_whether_it_must_ask_for_a_key(assets: Assets, *, keyed: bool) -> None:
    assert f'data-keyed="{str(keyed).lower()}" data-max-chars="1000"' in client(assets, keyed=keyed).get("/").text


# ---------------------------------------------------------------- who may show it, and what it may do


def test_the_policy_lets_nothing_in_but_our_own_files(assets: Assets) -> None:
    rules = dict(rule.split(" ", 1) for rule in client(assets).get("/").headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert rules["img-src"] == "'self' blob:", "and the files of replies, which are fetched with the key"
    assert rules["require-trusted-types-for"] == "'script'"
    assert not any("unsafe" in rule for rule in rules.values())


@pytest.mark.parametrize(
    ("origins", "ancestors"),
    [
        (["*"], "*"),
        (["https://a.example", "*"], "*"),
        (["https://a.example", "http://b.example:8080"], "'self' https://a.example http://b.example:8080"),
    ],
)
def test_it_may_be_framed_by_whom_cors_allows(origins: list[str], ancestors: str) -> None:
    assert content_security_policy(origins).endswith(f"; frame-ancestors {ancestors}")


def test_the_origins_are_read_as_cors_reads_them(assets: Assets) -> None:
    page = client(assets, origins="https://a.example , https://b.example").get("/")
    assert page.headers["Content-Security-Policy"].endswith(
        "frame-ancestors 'self' https://a.example https://b.example"
    )


def test_other_sites_may_load_the_script_that_embeds_it(assets: Assets) -> None:
    script = client(assets).get("/embed.js")
    assert script.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert script.headers["Cache-Control"] == "public, max-age=3600"
    assert script.content_type == "text/javascript; charset=utf-8"
    assert "document.currentScript" in script.text


@pytest.mark.parametrize("path", ["/", "/embed.js"])
def test_switched_off_it_is_not_there(assets: Assets, path: str) -> None:
    assert error(client(assets, web_chat=False).get(path)) == (404, "not_found")


def test_the_files_of_other_pages_are_there_without_it(assets: Assets) -> None:
    assert client(assets, web_chat=False).get(f"/assets/{assets.version}/tokens.css").status_code == 200


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    "name",
    [
        "chat/page.html",
        "docs/page.html",
        "docs_examples/say.py",
        "vendor/VENDORED.json",
        "../web.py",
        "..%2fweb.py",
        "%2e%2e/web.py",
        "chat",
        "x.js",
    ],
)
def test_nothing_is_served_but_what_a_page_loads(assets: Assets, name: str) -> None:
    assert error(client(assets).get(f"/assets/{assets.version}/{name}")) == (404, "not_found")


def test_a_file_is_kept_for_good_by_its_version_and_looked_up_by_any_other(assets: Assets) -> None:
    visitor = client(assets)
    assert visitor.get(f"/assets/{assets.version}/tokens.css").headers["Cache-Control"].endswith("immutable")
    assert visitor.get("/assets/before/tokens.css").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("accept", ["gzip, br", "identity"])
def test_whoever_has_it_already_is_sent_nothing(assets: Assets, accept: str) -> None:
    visitor = client(assets)
    for path in ("/", "/embed.js", f"/assets/{assets.version}/tokens.css"):
        first = visitor.get(path, headers={"Accept-Encoding": accept})
        again = visitor.get(path, headers={"Accept-Encoding": accept, "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert first.vary.as_set() >= {"accept-encoding"}


def test_it_is_packed_for_whoever_takes_that(assets: Assets) -> None:
    visitor, path = client(assets), f"/assets/{assets.version}/vendor/markdown-it/markdown-it.umd.min.js"
    plain, packed = visitor.get(path), visitor.get(path, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data) / 2
    assert packed.headers["ETag"] != plain.headers["ETag"]


def test_the_version_changes_with_any_file(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a {}")
    before = Assets(tmp_path).version
    (tmp_path / "notes.txt").write_text("not served")
    assert Assets(tmp_path).version == before
    (tmp_path / "a.css").write_text("b {}")
    assert Assets(tmp_path).version != before


@pytest.mark.parametrize("about", VENDORED, ids=[about["package"] for about in VENDORED])
def test_what_is_vendored_is_what_was_published(about: dict[str, str]) -> None:
    folder = PAGES / "vendor"
    assert sha256((folder / about["file"]).read_bytes()).hexdigest() == about["sha256"]
    assert (folder / about["licence_file"]).is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]+=*", about["npm_integrity"])


def test_everything_vendored_is_named(assets: Assets) -> None:
    there = {path.relative_to(PAGES / "vendor").as_posix() for path in (PAGES / "vendor").rglob("*") if path.is_file()}
    named = {about[key] for about in VENDORED for key in ("file", "licence_file")}
    assert there == {"VENDORED.json", *named}


# ---------------------------------------------------------------- colours


def luminance(colour: str) -> float:
    """www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", (PAGES / "tokens.css").read_text()
    )
}
READ_ON = {
    "ink": ["ground", "surface", "raised", "accent-soft", "danger-soft", "warning-soft", "good-soft"],
    "ink-soft": ["ground", "surface", "raised"],
    "accent": ["ground", "raised"],
    "on-accent": ["accent"],
    "danger": ["ground", "raised", "danger-soft"],
    "warning": ["ground", "warning-soft"],
    "good": ["ground", "good-soft"],
}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_its_ground(scheme: int) -> None:
    poor = {
        (text, ground)
        for text, grounds in READ_ON.items()
        for ground in grounds
        if contrast(TOKENS[text][scheme], TOKENS[ground][scheme]) < 4.5
    }
    edges = {"line-strong", "series-1", "series-2", "series-3", "series-4"}
    assert poor == set()
    assert {edge for edge in edges if contrast(TOKENS[edge][scheme], TOKENS["ground"][scheme]) < 3} == set()


# ---------------------------------------------------------------- settings


def test_suggestions_stand_apart_by_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CHAT_SUGGESTIONS", "One | Two, three ||")
    assert ChatPageSettings.load().suggestions == ("One", "Two, three")


@pytest.mark.parametrize(
    ("name", "value"),
    [("WEB_CHAT_SUGGESTIONS", "1|2|3|4|5"), ("WEB_CHAT_TITLE", "x" * 61), ("WEB_CHAT", "perhaps")],
)
def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        ChatPageSettings.load()
