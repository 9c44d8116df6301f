"""Access to the operator's pages: without a session no page and no change, and no guessing of the password."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from pydantic import ValidationError
from structlog.testing import capture_logs
from werkzeug.routing import Rule

from gateway.admin import AdminSettings, blueprint
from gateway.admin.sessions.session import COOKIE_NAME, DEVICE_COOKIE, FORM_COOKIE
from gateway.domain.errors import SettingsError, StoreUnavailable
from tests.gateway.admin.harness import (
    PASSWORD,
    AdminHarness,
    csrf_token_of,
    disabled_client,
    open_harness,
    settings,
    sign_in,
    submit_form,
    text_of,
)

SECRET_WORD = "xylophone"


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


def admin_routes(app: flask.Flask) -> list[tuple[Rule, str]]:
    """Returns every route of the operator's pages with each method, allowed or not."""
    ours = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/admin")]
    assert len(ours) > 9
    return [(rule, method) for rule in ours for method in sorted({"GET", "HEAD", "OPTIONS", *(rule.methods or set())})]


def path_of(rule: Rule, turn_id: str) -> str:
    filled = {"turn_id": turn_id, "schedule_id": "none", "callback_id": "none", "number": "1", "form": "csv"}
    filled["approval_id"] = "appr_1"
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: filled[found[1]], rule.rule)


def cookie_of(client: FlaskClient, name: str = COOKIE_NAME) -> str:
    cookie = client.get_cookie(name, path="/admin")
    assert cookie is not None
    return cookie.value


# ---------------------------------------------------------------- without a session


def test_without_a_session_no_route_reveals_anything(scene: AdminHarness) -> None:
    failed = scene.fail_turn(SECRET_WORD)
    app = scene.app()
    for number, (rule, method) in enumerate(admin_routes(app)):
        if method not in (rule.methods or set()):
            continue
        stranger = {"REMOTE_ADDR": f"192.0.2.{number}"}  # one alone would ask too often
        for path in (path_of(rule, failed.id), f"{path_of(rule, failed.id)}?span=1h&before=1&confirmed=yes"):
            response = app.test_client().open(
                path, method=method, data={"turn": failed.id, "confirmed": "yes"}, environ_base=stranger
            )
            entering = rule.endpoint == "admin.sign_in"
            assert response.status_code == {"POST": 403}.get(method, 200) if entering else 401, (method, path)
            assert SECRET_WORD not in response.text
            assert failed.id not in text_of(response)
            assert method == "HEAD" or (method == "OPTIONS" and entering) or "Password" in response.text
    assert scene.store.get_turn(failed.id) == failed
    assert scene.check_calls == []


def test_without_a_password_one_page_says_how_to_set_it_and_no_other_route_exists() -> None:
    client = disabled_client()
    for path in ("/admin", "/admin/"):
        response = client.get(path)
        assert response.status_code == 403
        assert "ADMIN_PASSWORD" in response.text
        assert response.headers["Cache-Control"] == "no-store"
    for path in ("/admin/sign-in", "/admin/conversations", "/admin/failed", "/admin/assistants", "/admin/platforms"):
        assert client.get(path).status_code == 404
        assert client.post(path).status_code == 404


def test_a_password_that_is_too_short_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "abc123")
    with pytest.raises(SettingsError, match=r"ADMIN_PASSWORD: .*8 characters") as raised:
        AdminSettings.load()
    assert "abc123" not in str(raised.value)
    with pytest.raises(ValidationError):
        settings("short")
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    assert AdminSettings.load().secrets() == (PASSWORD,)


def test_a_wrong_password_is_refused(scene: AdminHarness) -> None:
    client = scene.client()
    for password in ("", PASSWORD.title(), f"{PASSWORD} ", "ein Paßwort \N{SNOWMAN}", "\x00"):
        with capture_logs() as logs:
            response = sign_in(client, password)
        assert response.status_code == 401
        assert "not the password" in response.text
        assert client.get("/admin").status_code == 401
        (entry,) = logs
        assert (entry["log_level"], entry["source"]) == ("warning", "127.0.0.1")
        assert not password or password not in str(entry)


def test_the_password_opens_every_page(scene: AdminHarness) -> None:
    turn = scene.fail_turn("hello").id
    client = scene.signed_in_client()
    for rule, method in admin_routes(client.application):
        if method == "GET" and method in (rule.methods or set()) and not rule.endpoint.endswith("sign_in"):
            assert client.get(f"{path_of(rule, turn)}?platform=fake&user=ann").status_code == 200, rule


# ---------------------------------------------------------------- headers and cookies


def test_every_response_carries_the_security_headers(scene: AdminHarness) -> None:
    client, stranger = scene.signed_in_client(), scene.client()
    answers = [
        *(client.get(path) for path in ("/admin", "/admin/failed", "/admin/turns/none", "/admin/conversations/999")),
        *(stranger.get(path) for path in ("/admin", "/admin/sign-in", "/admin/failed")),
        client.post("/admin/failed/retry"),
    ]
    for response in answers:
        headers = response.headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=|javascript:|https?://", response.text)


def test_the_session_cookie_is_hidden_from_scripts_other_sites_and_plain_http(scene: AdminHarness) -> None:
    clients = [scene.client(settings=settings(trusted_proxies=proxies)) for proxies in range(3)]
    for proxies, forwarded, scheme, secure in (
        (0, "", "http", False),
        (0, "", "https", True),
        (0, "https", "http", False),
        (1, "https", "http", True),
        (1, "https, http", "http", False),
        (2, "https, http", "http", True),
        (1, "", "https", True),
    ):
        more = {"base_url": f"{scheme}://localhost", "headers": {"X-Forwarded-Proto": forwarded}}
        form = clients[proxies].get("/admin/failed", **more)
        cookie = set(form.headers["Set-Cookie"].split("; "))
        assert {"HttpOnly", "SameSite=Lax", "Path=/admin"} <= cookie
        assert ("Secure" in cookie) is secure, (proxies, forwarded, scheme)
        clients[proxies].delete_cookie(FORM_COOKIE, path="/admin")


# ---------------------------------------------------------------- forms of other sites


def test_nothing_is_changed_by_a_form_without_a_valid_csrf_token(scene: AdminHarness) -> None:
    failed = scene.fail_turn("no")
    client = scene.signed_in_client()
    other = csrf_token_of(scene.signed_in_client().get("/admin"))
    for rule, method in admin_routes(client.application):
        if method != "POST" or rule.endpoint == "admin.sign_in":
            continue
        for token in ("", "x", "\N{SNOWMAN}", other):
            fields = {"turn": failed.id, "confirmed": "yes", "once": "0" * 24, "token": token}
            assert client.post(path_of(rule, failed.id), data=fields).status_code == 403, rule
            assert client.post(f"{path_of(rule, failed.id)}?token={other}").status_code == 403
    assert client.get("/admin").status_code == 200
    assert len(scene.store.transcript(failed.conversation_id)) == 1


def test_a_form_of_another_site_signs_nobody_in(scene: AdminHarness) -> None:
    client = scene.client()
    assert client.post("/admin/sign-in", data={"password": PASSWORD}).status_code == 403
    theirs = csrf_token_of(scene.client().get("/admin/sign-in"))
    assert client.post("/admin/sign-in", data={"password": PASSWORD, "token": theirs}).status_code == 403
    assert client.get("/admin").status_code == 401


def test_a_cookie_from_before_signing_in_is_not_valid_after_it(scene: AdminHarness) -> None:
    client = scene.client()
    client.get("/admin")
    planted = cookie_of(client, FORM_COOKIE)
    sign_in(client)
    assert cookie_of(client) != planted
    thief = scene.client()
    thief.set_cookie(COOKIE_NAME, planted, path="/admin")
    assert thief.get("/admin").status_code == 401


# ---------------------------------------------------------------- redirects


def test_signing_in_leads_back_to_what_was_asked_for(scene: AdminHarness) -> None:
    client = scene.client()
    form = client.get("/admin/conversations?text=a%20b&state=failed")
    (back,) = re.findall(r'name="next" value="([^"]*)"', form.text)
    fields = {"token": csrf_token_of(form), "password": PASSWORD, "next": back.replace("&amp;", "&")}
    response = client.post("/admin/sign-in", data=fields)
    assert response.headers["Location"] == "/admin/conversations?text=a%20b&state=failed"
    assert client.get(response.headers["Location"]).status_code == 200


FOREIGN_URLS = (
    *("//evil.example", "https://evil.example/admin", "/\\evil.example", "/admin\\@evil", "/adminevil.example"),
    *(
        "javascript:1",
        "/admin@evil.example",
        "/admin\r\nSet-Cookie: a=b",
        "",
        "admin",
        "/admin/\nx",
        "//admin",
        "/chat",
    ),
)


def test_signing_in_never_redirects_to_another_site(scene: AdminHarness) -> None:
    client = scene.client()
    for number, away in enumerate(FOREIGN_URLS):
        fields = {"token": csrf_token_of(client.get("/admin/sign-in")), "password": PASSWORD, "next": away}
        caller = {"REMOTE_ADDR": f"192.0.2.{number}"}
        response = client.post("/admin/sign-in", data=fields, environ_overrides=caller)
        assert (response.status_code, response.headers["Location"]) == (303, "/admin")
        client.delete_cookie(COOKIE_NAME, path="/admin")
        client.delete_cookie(DEVICE_COOKIE, path="/admin")


def test_behind_a_path_prefix_all_links_and_cookies_have_it(scene: AdminHarness) -> None:
    client = scene.client()
    more: dict[str, Any] = {"base_url": "http://localhost/bot"}
    response = sign_in(client, **more)
    assert response.headers["Location"] == "/bot/admin"
    assert "Path=/bot/admin" in response.headers["Set-Cookie"]
    page = client.get("/admin", **more)
    links = re.findall(r'(?:href|src|action)="([^"#?][^"]*)"', page.text)
    assert len(links) > 9
    assert all(link.startswith("/bot/") for link in links)


# ---------------------------------------------------------------- guessing


def test_attempts_are_limited_over_all_processes_and_the_response_says_when_to_retry(scene: AdminHarness) -> None:
    one, two = scene.client(), scene.client()  # two apps, as in two processes
    for client in (one, two, one, two, one):
        assert sign_in(client, "wrong password").status_code == 401
    for client in (one, two):
        response = sign_in(client)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "30")
        assert "Try again in 30 seconds" in response.text
        assert client.get("/admin").status_code == 401
    elsewhere: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}
    assert sign_in(one, **elsewhere).status_code == 303


def test_an_ipv6_network_counts_as_one_caller(scene: AdminHarness) -> None:
    statuses = [
        sign_in(
            scene.client(), "wrong password", environ_overrides={"REMOTE_ADDR": f"2001:db8:0:{net}::{host}"}
        ).status_code
        for net, host in ((1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (2, 1))
    ]
    assert statuses == [401] * 5 + [429, 401]


def test_the_client_address_comes_from_trusted_proxies_only(scene: AdminHarness) -> None:
    behind = settings(trusted_proxies=1)
    for number in range(5):
        headers = {"X-Forwarded-For": f"203.0.113.{number}, 192.0.2.7"}
        assert sign_in(scene.client(settings=behind), "wrong password", headers=headers).status_code == 401
        assert sign_in(scene.client(), "wrong password", headers=headers).status_code == 401
    forwarded = {"X-Forwarded-For": "203.0.113.99, 192.0.2.7"}
    assert sign_in(scene.client(settings=behind), "wrong password", headers=forwarded).status_code == 429
    assert sign_in(scene.client(), "wrong password", headers=forwarded).status_code == 429
    assert sign_in(scene.client(settings=behind), headers={"X-Forwarded-For": "192.0.2.8"}).status_code == 303


def test_attempts_from_many_networks_are_warned_of_and_lock_nobody_out(scene: AdminHarness) -> None:
    with capture_logs() as logs:
        for number in range(36):
            from_there: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": f"192.0.2.{number}"}}
            assert sign_in(scene.client(), "wrong password", **from_there).status_code == 401
    assert any("is tried very often" in entry["event"] for entry in logs)
    assert sign_in(scene.client()).status_code == 303


def test_a_browser_that_is_known_is_not_locked_out_by_others_of_its_network(scene: AdminHarness) -> None:
    known = scene.signed_in_client()
    submit_form(known, "/admin", "/admin/sign-out")
    for _ in range(6):
        refused = sign_in(scene.client(), "wrong password")
    assert refused.status_code == 429
    assert sign_in(known).status_code == 303
    submit_form(known, "/admin", "/admin/sign-out")
    statuses = [sign_in(known, "wrong password").status_code for _ in range(5)]
    assert statuses[-1] == 429  # its own wrong ones count


def test_no_other_cookie_makes_a_browser_known(scene: AdminHarness) -> None:
    client = scene.signed_in_client()
    session = cookie_of(client)
    for _ in range(6):
        sign_in(scene.client(), "wrong password")
    other = scene.client()
    other.set_cookie(DEVICE_COOKIE, session, path="/admin")
    assert sign_in(other).status_code == 429


# ---------------------------------------------------------------- links of other sites


def test_strangers_are_limited_for_each_network_and_the_password_opens_the_pages_all_the_same(
    scene: AdminHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blueprint, "STRANGERS_PER_MINUTE", 3)
    client = scene.client()
    assert [client.get("/admin/conversations").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert client.get("/admin", environ_overrides={"REMOTE_ADDR": "192.0.2.7"}).status_code == 401
    assert sign_in(client).status_code == 303
    assert [client.get("/admin").status_code for _ in range(5)] == [200] * 5


def test_a_link_of_another_site_leads_to_its_page(scene: AdminHarness) -> None:
    cookies = sign_in(scene.client()).headers.getlist("Set-Cookie")
    assert cookies
    assert all("SameSite=Lax" in cookie for cookie in cookies)


def test_a_request_without_the_session_does_not_end_it(scene: AdminHarness) -> None:
    client = scene.signed_in_client()
    without = scene.client().get("/admin")  # as a form of another site sends it
    (planted,) = without.headers.getlist("Set-Cookie")
    name, _, value = planted.partition(";")[0].partition("=")
    client.set_cookie(name, value, path="/admin")
    assert client.get("/admin").status_code == 200


# ---------------------------------------------------------------- the end of a session


def test_a_session_is_valid_in_all_processes(scene: AdminHarness) -> None:
    client = scene.signed_in_client()
    other = scene.client()
    other.set_cookie(COOKIE_NAME, cookie_of(client), path="/admin")
    assert other.get("/admin").status_code == 200


def test_changing_the_password_ends_every_session(scene: AdminHarness) -> None:
    carried = cookie_of(scene.signed_in_client())
    changed = scene.client(settings=settings("another password"))
    changed.set_cookie(COOKIE_NAME, carried, path="/admin")
    assert changed.get("/admin").status_code == 401


def test_a_session_expires(scene: AdminHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    client = scene.signed_in_client(settings=settings(admin_hours=1.0))
    now = time.time()
    monkeypatch.setattr("gateway.admin.sessions.session.time.time", lambda: now + 3590)
    assert client.get("/admin").status_code == 200
    monkeypatch.setattr("gateway.admin.sessions.session.time.time", lambda: now + 3620)
    assert client.get("/admin").status_code == 401


def test_after_signing_out_a_copy_of_the_cookie_is_not_valid(scene: AdminHarness) -> None:
    client = scene.signed_in_client()
    carried = cookie_of(client)
    response = submit_form(client, "/admin", "/admin/sign-out")
    assert response.headers["Location"] == "/admin/sign-in"
    assert client.get("/admin").status_code == 401
    thief = scene.client()
    thief.set_cookie(COOKIE_NAME, carried, path="/admin")
    assert thief.get("/admin").status_code == 401
    assert sign_in(client).status_code == 303
    assert client.get("/admin").status_code == 200


def test_a_forged_cookie_is_refused(scene: AdminHarness) -> None:
    client = scene.client()
    for forged in ("", "x", "WyJhIix0cnVlXQ.aaaa.bbbb", "WyJhIix0cnVlXQ", "." * 3000, "é"):
        client.set_cookie(COOKIE_NAME, forged, path="/admin")
        assert client.get("/admin").status_code == 401


def test_without_the_database_pages_say_so_and_stay_closed(
    scene: AdminHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str) -> str:
        raise StoreUnavailable(f"no connection, asked for {name}")

    client = scene.signed_in_client()
    monkeypatch.setattr(scene.store, "get_value", away)
    response = client.get("/admin")
    assert response.status_code == 503
    assert "The database cannot be reached" in text_of(response)
    assert "asked for" not in response.text


def test_who_cannot_sign_in_as_the_disk_is_full_is_told_so(
    scene: AdminHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: str) -> None:
        raise StoreUnavailable("The disk of the database is full.")

    client, signed_in = scene.client(), scene.signed_in_client()
    monkeypatch.setattr(scene.context.store.audit_trail, "record", is_full)
    response = sign_in(client)
    assert (response.status_code, "The disk of the database is full." in text_of(response)) == (503, True)
    assert client.get("/admin").status_code == 401
    assert "The disk of the database is full." not in text_of(sign_in(scene.client(), "wrong"))
    response = submit_form(signed_in, "/admin", "/admin/sign-out")
    assert (response.status_code, "The disk of the database is full." in text_of(response)) == (503, True)
