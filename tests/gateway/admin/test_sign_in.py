"""Who gets to the operator's pages, by an OpenID provider, a proxy or a password, and what each role may do there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from gateway.admin import AdminSettings
from gateway.admin.access.roles import AccessList, Identity, Role, RoleLists
from gateway.admin.sessions.session import ATTEMPT_COOKIE, COOKIE_NAME
from gateway.domain.errors import SettingsError
from gateway.wiring.loading import read_all
from tests.fakes.oidc_provider import CLIENT_ID, CLIENT_SECRET, FakeOidcProvider
from tests.gateway.admin.harness import (
    PASSWORD,
    AdminHarness,
    csrf_token_of,
    open_harness,
    settings,
    sign_in,
    submit_form,
    text_of,
)
from tests.gateway.admin.test_session import FOREIGN_URLS, admin_routes, cookie_of, path_of

VIEWER_PASSWORD = "only looking, thank you"
PROXY = "10.0.3.7"
ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[AdminHarness]:
    with open_harness(sqlite_url) as scene:
        yield scene


@pytest.fixture(scope="module")
def running_provider() -> Iterator[FakeOidcProvider]:
    with FakeOidcProvider() as provider:
        yield provider


@pytest.fixture
def provider(running_provider: FakeOidcProvider) -> FakeOidcProvider:
    running_provider.person.claims = {"email": ANN, "email_verified": True}
    running_provider.is_lax = False
    running_provider.faults.clear()
    return running_provider


def oidc_settings(provider: FakeOidcProvider, password: str | None = None, **others: Any) -> AdminSettings:
    given = {
        "admin_oidc_issuer": provider.issuer,
        "admin_oidc_client_id": CLIENT_ID,
        "admin_oidc_client_secret": SecretStr(CLIENT_SECRET),
        "admin_url": "http://localhost/admin",
        "admin_operators": ANN,
        "admin_viewers": "group:support",
    }
    return settings(password, **(given | others))


def proxy_settings(password: str | None = None, **others: Any) -> AdminSettings:
    given = {
        "admin_proxy_header": "X-Forwarded-Email",
        "admin_proxy_groups_header": "X-Forwarded-Groups",
        "admin_proxy_addresses": "10.0.3.0/24, ::1",
        "admin_proxy_sign_out_url": "/oauth2/sign_out",
        "admin_operators": ANN,
        "admin_viewers": "@example.com, group:support",
    }
    return settings(password, **(given | others))


def begin(client: FlaskClient, next_page: str = "/admin") -> str:
    """Returns where the browser is sent, at the provider."""
    response = client.get("/admin/oidc", query_string={"next": next_page})
    assert response.status_code == 303, response.text
    return response.headers["Location"]


def come_back(client: FlaskClient, address: str, **more: Any) -> TestResponse:
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}", **more)


def enter(client: FlaskClient, provider: FakeOidcProvider, next_page: str = "/admin") -> TestResponse:
    return come_back(client, provider.authorize(begin(client, next_page)))


def by_proxy(client: FlaskClient, path: str, email: str | None, peer: str = PROXY, **headers: str) -> TestResponse:
    sent = {**({"X-Forwarded-Email": email} if email is not None else {}), **headers}
    return client.get(path, headers=sent, environ_overrides={"REMOTE_ADDR": peer})


# ---------------------------------------------------------------- lists


@pytest.mark.parametrize(
    ("text", "identity", "is_on_it"),
    [
        ("ann@example.com", Identity(ANN), True),
        ("Ann@Example.com, @other.org", Identity(ANN), True),
        ("@example.com", Identity(ANN), True),
        ("@example.com", Identity("ann@sub.example.com"), False),
        ("@example.com", Identity("ann@notexample.com"), False),
        ("@example.com", Identity(""), False),
        ("group:ops", Identity("", frozenset({"ops"})), True),
        ("group:ops", Identity("ops@example.com", frozenset({"Ops"})), False),
        ("*", Identity(""), True),
        ("", Identity(ANN, frozenset({"ops"})), False),
    ],
)
def test_lists_name_people_by_address_domain_and_group(text: str, identity: Identity, is_on_it: object) -> None:
    assert AccessList.parse(text).admits(identity) is is_on_it


def test_who_is_on_both_lists_is_an_operator() -> None:
    lists = RoleLists(AccessList.parse(ANN), AccessList.parse("@example.com"))
    assert [lists.role_of(Identity(who)) for who in (ANN, BOB, "eve@evil.example")] == [
        Role.OPERATOR,
        Role.VIEWER,
        None,
    ]


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ADMIN_OIDC_ISSUER": "https://id.example.com"}, "ADMIN_OIDC_CLIENT_ID: is missing"),
        ({"ADMIN_OIDC_CLIENT_SECRET": "a secret"}, "ADMIN_OIDC_ISSUER: is missing"),
        (
            {"ADMIN_OIDC_ISSUER": "http://id.example.com"},
            "ADMIN_OIDC_ISSUER: must be an address that begins with https",
        ),
        ({"ADMIN_URL": "https://bot.example.com/"}, "ADMIN_URL: must end with /admin"),
        ({"ADMIN_PROXY_HEADER": "X-Forwarded-Email", "ADMIN_OPERATORS": "*"}, "ADMIN_PROXY_HEADER: anybody could send"),
        ({"ADMIN_PROXY_ADDRESSES": "10.0.0.0/8"}, "ADMIN_PROXY_ADDRESSES: has no meaning without"),
        ({"ADMIN_PROXY_SIGN_OUT_URL": "/oauth2/sign_out"}, "ADMIN_PROXY_SIGN_OUT_URL: has no meaning without"),
        ({"ADMIN_PROXY_SIGN_OUT_URL": "sign out"}, "ADMIN_PROXY_SIGN_OUT_URL: must be an address, or a path"),
        ({"ADMIN_PROXY_HEADER": "X-Forwarded-Email: "}, "ADMIN_PROXY_HEADER: must be the name of a header"),
        ({"ADMIN_OIDC_CLIENT_SECRET": "abc…"}, "ADMIN_OIDC_CLIENT_SECRET: contains …"),
        ({"ADMIN_PROXY_ADDRESSES": "0.0.0.0/0"}, "ADMIN_PROXY_ADDRESSES: .*would believe everybody"),
        ({"ADMIN_PROXY_ADDRESSES": "proxy.local"}, "ADMIN_PROXY_ADDRESSES: must be a list of addresses"),
        (
            {"ADMIN_PROXY_HEADER": "X-Forwarded-Email", "ADMIN_PROXY_ADDRESSES": "10.0.0.1"},
            "ADMIN_OPERATORS: nobody could sign in",
        ),
        ({"ADMIN_VIEWERS": "@example.com"}, "are for a sign-in by"),
        ({"ADMIN_OPERATORS": "ann"}, "ADMIN_OPERATORS: must be a list"),
        ({"ADMIN_OIDC_SCOPES": "email"}, "ADMIN_OIDC_SCOPES: must contain openid"),
        ({"ADMIN_PASSWORD": PASSWORD, "ADMIN_VIEWER_PASSWORD": PASSWORD}, "ADMIN_VIEWER_PASSWORD: is the same"),
    ],
)
def test_what_is_half_set_or_open_to_everybody_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=told):
        read_all()


# ---------------------------------------------------------------- OpenID


def test_a_person_signs_in_at_the_provider_and_gets_where_they_wanted(
    scene: AdminHarness, provider: FakeOidcProvider
) -> None:
    client = scene.client(settings=oidc_settings(provider))
    form = client.get("/admin/failed?platform=fake&text=a%20b")
    (link,) = re.findall(r'href="(/admin/oidc[^"]*)"', form.text)
    assert "Password" not in form.text
    there = client.get(unescape(link)).headers["Location"]
    with capture_logs() as logs:
        back = come_back(client, provider.authorize(there))
    assert (back.status_code, back.headers["Location"]) == (303, "/admin/failed?platform=fake&text=a%20b")
    page = client.get(back.headers["Location"])
    assert page.status_code == 200
    assert ANN in text_of(page)
    assert scene.audited() == [(ANN, "signed_in", "")]
    told = str(logs)
    assert not any(secret in told for secret in (ANN, CLIENT_SECRET, cookie_of(client), *provider.codes))
    assert client.get_cookie(ATTEMPT_COOKIE, path="/admin") is None


def test_the_cookies_of_a_sign_in_are_hidden_from_scripts_and_plain_http(
    scene: AdminHarness, provider: FakeOidcProvider
) -> None:
    client = scene.client(settings=oidc_settings(provider))
    begun = client.get("/admin/oidc", base_url="https://localhost")
    ended = come_back(client, provider.authorize(begun.headers["Location"]), base_url="https://localhost")
    for cookie in (*begun.headers.getlist("Set-Cookie"), *ended.headers.getlist("Set-Cookie")):
        assert "Path=/admin" in cookie
        if "Max-Age=0" not in cookie:
            assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))


def test_who_is_not_on_a_list_is_told_so_and_gets_no_session(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider))
    provider.person.claims = {"email": BOB, "email_verified": True}
    refused = enter(client, provider)
    assert refused.status_code == 403
    assert f"{BOB} may not use these pages" in text_of(refused)
    provider.person.claims = {"email": ANN, "email_verified": False}
    assert "has verified the e-mail address" in text_of(enter(client, provider))
    assert client.get("/admin").status_code == 401
    assert [(who, action) for who, action, _ in scene.audited()] == [
        (BOB, "sign_in.refused"),
        ("user-1", "sign_in.refused"),
    ]


def test_a_provider_that_is_away_leaves_the_password(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider, PASSWORD, admin_oidc_issuer="http://127.0.0.1:9"))
    response = client.get("/admin/oidc")
    assert response.status_code == 503
    assert "The sign-in provider does not answer." in text_of(response)
    assert sign_in(client).status_code == 303


def test_an_answer_is_good_once_and_in_the_browser_that_began(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    provider.is_lax = True  # this provider takes its codes again and again
    one, two = scene.client(settings=oidc_settings(provider)), scene.client(settings=oidc_settings(provider))
    back = provider.authorize(begin(one))
    kept = one.get_cookie(ATTEMPT_COOKIE, path="/admin")
    assert kept is not None
    assert come_back(two, back).status_code == 401  # a link with another's code signs nobody in (login CSRF)
    begin(two)
    assert come_back(two, back).status_code == 401
    assert come_back(one, back).status_code == 303
    two.set_cookie(ATTEMPT_COOKIE, kept.value, path="/admin")
    assert come_back(two, back).status_code == 401  # everything was stolen, but too late
    assert two.get("/admin").status_code == 401


def test_a_sign_in_that_takes_too_long_is_begun_again(
    scene: AdminHarness, provider: FakeOidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = scene.client(settings=oidc_settings(provider))
    back = provider.authorize(begin(client))
    now = time.time()
    monkeypatch.setattr("gateway.admin.sessions.session.time.time", lambda: now + 610)
    response = come_back(client, back)
    assert response.status_code == 401
    assert "This sign-in has expired" in text_of(response)


def test_no_cookie_of_another_kind_is_an_attempt_or_a_session(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider))
    begin(client)
    attempt = cookie_of(client, ATTEMPT_COOKIE)
    client.set_cookie(COOKIE_NAME, attempt, path="/admin")
    assert client.get("/admin").status_code == 401
    enter(client, provider)
    session = cookie_of(client)
    client.set_cookie(ATTEMPT_COOKIE, session, path="/admin")
    assert client.get("/admin/oidc/callback?code=x&state=y").status_code == 401


def test_a_session_is_a_new_one_after_each_sign_in(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider))
    enter(client, provider)
    first = cookie_of(client)
    client.set_cookie(COOKIE_NAME, "planted", path="/admin")
    enter(client, provider)
    assert cookie_of(client) not in {first, "planted"}


def test_the_provider_never_leads_to_another_site(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider))
    for away in (*FOREIGN_URLS, "/admin/sign-out", "/admin/oidc", "/admin/oidc/callback?code=x"):
        assert enter(client, provider, away).headers["Location"] == "/admin", away
    assert enter(client, provider, "/admin/failed").headers["Location"] == "/admin/failed"


def test_answers_are_limited_for_each_network(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider))
    statuses = [client.get("/admin/oidc/callback?code=x&state=y").status_code for _ in range(32)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    elsewhere: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}
    assert come_back(client, provider.authorize(begin(client)), **elsewhere).status_code == 303
    assert len(scene.audited()) <= 32  # not more than the limit for everybody, and the sign-in


def test_signing_out_says_where_the_other_session_is(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider))
    enter(client, provider)
    carried = cookie_of(client)
    response = submit_form(client, "/admin", "/admin/sign-out")
    assert response.headers["Location"] == "/admin/signed-out"
    page = client.get("/admin/signed-out")
    assert f'href="{provider.issuer}/sign-out?' in page.text
    client.set_cookie(COOKIE_NAME, carried, path="/admin")
    assert client.get("/admin").status_code == 401
    provider.faults["/.well-known/openid-configuration"] = (500, "")
    away = scene.client(settings=oidc_settings(provider))
    assert "Sign in again" in away.get("/admin/signed-out").text
    assert scene.audited()[-1] == (ANN, "signed_out", "")


def test_taking_somebody_off_a_list_ends_their_session(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    client = scene.client(settings=oidc_settings(provider))
    enter(client, provider)
    after = scene.client(settings=oidc_settings(provider, admin_operators=BOB))
    after.set_cookie(COOKIE_NAME, cookie_of(client), path="/admin")
    assert after.get("/admin").status_code == 401


# ---------------------------------------------------------------- a proxy


def test_a_proxy_signs_people_in_and_a_form_needs_its_token(scene: AdminHarness) -> None:
    failed = scene.fail_turn("no")
    client = scene.client(settings=proxy_settings())
    page = by_proxy(client, f"/admin/turns/{failed.id}", ANN)
    assert page.status_code == 200
    assert ANN in text_of(page)
    sent: dict[str, Any] = {"headers": {"X-Forwarded-Email": ANN}, "environ_overrides": {"REMOTE_ADDR": PROXY}}
    retry = f"/admin/turns/{failed.id}/retry"
    assert client.post(retry, **sent).status_code == 403
    other = scene.client(settings=proxy_settings())
    theirs = csrf_token_of(by_proxy(other, "/admin", ANN))
    assert client.post(retry, data={"token": theirs}, **sent).status_code == 403
    assert client.post(retry, data={"token": csrf_token_of(page)}, **sent).status_code == 303
    assert scene.audited() == [(ANN, "signed_in", ""), (ANN, "signed_in", ""), (ANN, "turn.retried", failed.id)]


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.4.1", "192.0.2.1", "", "::2", "::ffff:10.0.4.1"])
def test_nobody_but_the_proxy_is_believed(scene: AdminHarness, peer: str) -> None:
    client = scene.client(settings=proxy_settings(trusted_proxies=1))
    forged = {"X-Forwarded-For": PROXY, "Forwarded": f"for={PROXY}", "X-Real-IP": PROXY}
    response = by_proxy(client, "/admin", ANN, peer, **forged)
    assert response.status_code == 401
    assert "through the proxy" in text_of(response)
    assert by_proxy(client, "/admin", ANN, "::ffff:10.0.3.9").status_code == 200
    assert (
        by_proxy(client, "/admin", ANN, peer).status_code == 401
    )  # what the proxy let in before leaves nothing behind


def test_what_is_no_single_address_is_nobody(scene: AdminHarness) -> None:
    client = scene.client(settings=proxy_settings())
    for email in (None, "", "ann", f"{ANN},eve@evil.example", f"eve@evil.example,{ANN}", f"{ANN} {BOB}", f"<{ANN}>"):
        assert by_proxy(client, "/admin", email).status_code == 401, email


def test_whom_the_proxy_lets_in_and_no_list_names_is_told_so(scene: AdminHarness) -> None:
    client = scene.client(settings=proxy_settings())
    response = by_proxy(client, "/admin", "eve@evil.example")
    assert response.status_code == 403
    assert "eve@evil.example may not use these pages" in text_of(response)
    groups = {"X-Forwarded-Groups": "other, support"}
    assert by_proxy(client, "/admin", "eve@evil.example", PROXY, **groups).status_code == 200
    assert scene.audited()[0] == ("eve@evil.example", "sign_in.refused", "")


def test_signing_out_behind_a_proxy_leads_to_its_own(scene: AdminHarness) -> None:
    client = scene.client(settings=proxy_settings())
    token = csrf_token_of(by_proxy(client, "/admin", BOB))
    sent: dict[str, Any] = {"headers": {"X-Forwarded-Email": BOB}, "environ_overrides": {"REMOTE_ADDR": PROXY}}
    response = client.post("/admin/sign-out", data={"token": token}, **sent)
    assert response.headers["Location"] == "/admin/signed-out"
    assert 'href="/oauth2/sign_out"' in client.get("/admin/signed-out", **sent).text


# ---------------------------------------------------------------- roles


def test_a_viewer_sees_every_page_without_buttons_and_changes_nothing(scene: AdminHarness) -> None:
    failed = scene.fail_turn("hello")
    both = settings(admin_viewer_password=SecretStr(VIEWER_PASSWORD))
    viewer = scene.signed_in_client(VIEWER_PASSWORD, settings=both)
    token = csrf_token_of(viewer.get("/admin"))
    before = scene.store.get_turn(failed.id)
    changing = 0
    for rule, method in admin_routes(viewer.application):
        path = path_of(rule, failed.id)
        if method == "GET" and not rule.endpoint.endswith("sign_in") and "GET" in (rule.methods or ()):
            page = viewer.get(f"{path}?platform=fake&user=ann")
            assert page.status_code == 200, path
            if page.mimetype == "text/html":
                assert re.findall(r'<form method="post" action="([^"]*)"', page.text) == ["/admin/sign-out"], path
        elif method == "POST" and rule.endpoint not in {"admin.sign_in", "admin.sign_out"}:
            fields = {"token": token, "turn": failed.id, "confirmed": "yes", "once": "0" * 24}
            refused = viewer.post(path, data=fields)
            assert refused.status_code == 403, path
            assert "viewers change nothing" in text_of(refused)
            changing += 1
    assert changing >= 4
    assert scene.store.get_turn(failed.id) == before
    assert {who for who, _, _ in scene.audited()} == {"viewer"}
    assert not any("retried" in action or "reset" in action for _, action, _ in scene.audited())
    assert submit_form(viewer, "/admin", "/admin/sign-out").headers["Location"] == "/admin/sign-in"


def test_roles_come_from_groups_of_the_provider(scene: AdminHarness, provider: FakeOidcProvider) -> None:
    for groups, email, role in ((["support"], BOB, "viewer"), (["support"], ANN, "operator")):
        provider.person.claims = {"email": email, "email_verified": True, "groups": groups}
        client = scene.client(settings=oidc_settings(provider))
        enter(client, provider)
        assert f"{email}, {role}" in text_of(client.get("/admin"))


def test_a_viewer_password_alone_opens_the_pages_to_viewers(scene: AdminHarness) -> None:
    only = settings(None, admin_viewer_password=SecretStr(VIEWER_PASSWORD))
    client = scene.signed_in_client(VIEWER_PASSWORD, settings=only)
    assert client.get("/admin").status_code == 200
    assert sign_in(scene.client(settings=only), PASSWORD).status_code == 401


# ---------------------------------------------------------------- the audit trail


def test_what_is_changed_and_who_signs_in_is_in_the_audit_trail(scene: AdminHarness) -> None:
    failed, other = scene.fail_turn("one"), scene.fail_turn("two", channel="d")
    client = scene.client()
    sign_in(client, "wrong password")
    sign_in(client)
    submit_form(client, "/admin", f"/admin/turns/{failed.id}/retry")
    submit_form(client, "/admin", "/admin/failed/retry", turn=other.id, confirmed="yes")
    submit_form(client, "/admin", f"/admin/conversations/{failed.conversation_id}/reset", once="0" * 24)
    submit_form(client, "/admin", "/admin/sign-out")
    assert scene.audited() == [
        ("nobody", "sign_in.refused", ""),
        ("operator", "signed_in", ""),
        ("operator", "turn.retried", failed.id),
        ("operator", "turn.retried", other.id),
        ("operator", "conversation.reset", str(failed.conversation_id)),
        ("operator", "signed_out", ""),
    ]
