"""Sign-in at an OpenID provider: what is verified of its answers. Over HTTP, with a provider on loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.admin.access.oidc import CLOCK_LEEWAY, OidcClient
from gateway.admin.access.oidc_values import OidcAttempt, OidcOptions, SignInFailed
from gateway.admin.access.roles import Identity
from tests.fakes.oidc_provider import CLIENT_ID, CLIENT_SECRET, Claims, FakeOidcProvider, refusal, rsa_key

REDIRECT_URI = "http://localhost/admin/oidc/callback"


@pytest.fixture
def provider() -> Iterator[FakeOidcProvider]:
    with FakeOidcProvider() as provider:
        yield provider


def options(provider: FakeOidcProvider, **changes: object) -> OidcOptions:
    known = OidcOptions(
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        redirect_uri=REDIRECT_URI,
        signed_out_url="http://localhost/admin/signed-out",
        scopes="openid email",
        groups_claim="groups",
        label="Fake",
    )
    return replace(known, **changes)  # type: ignore[arg-type]  # its fields


async def signed_in(provider: FakeOidcProvider, client: OidcClient | None = None, **changes: Any) -> Identity:
    """Signs in once, as a browser would. ``changes``: of the options."""
    client = client or OidcClient(options(provider, **changes))
    attempt = OidcAttempt.begin("/admin")
    back = provider.authorize(await client.authorization_url(attempt))
    return await client.identity(attempt, query_of(back))


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


async def refused(provider: FakeOidcProvider, **changes: Any) -> SignInFailed:
    with pytest.raises(SignInFailed) as raised:
        await signed_in(provider, **changes)
    return raised.value


# ---------------------------------------------------------------- what works


async def test_a_person_signs_in_and_is_known_by_address_and_groups(provider: FakeOidcProvider) -> None:
    provider.person.claims = {"email": "Ann@Example.com", "email_verified": True, "groups": ["ops", 7, ""]}
    assert await signed_in(provider) == Identity("ann@example.com", frozenset({"ops"}), "user-1")
    assert "/userinfo" not in provider.requests  # the token has it all


async def test_the_request_has_a_challenge_and_the_secret_stays_here(provider: FakeOidcProvider) -> None:
    attempt = OidcAttempt.begin("/admin")
    address = await OidcClient(options(provider)).authorization_url(attempt)
    query = query_of(address)
    assert (query["state"], query["nonce"], query["redirect_uri"]) == (attempt.state, attempt.nonce, REDIRECT_URI)
    assert attempt.code_verifier not in address
    assert CLIENT_SECRET not in address
    assert len({attempt.state, attempt.nonce, attempt.code_verifier}) == 3


async def test_what_the_token_leaves_out_comes_from_userinfo_of_the_same_person(provider: FakeOidcProvider) -> None:
    provider.person.claims = {}
    provider.person.user_info = {"email": "ann@example.com", "email_verified": True, "groups": "ops"}
    assert await signed_in(provider) == Identity("ann@example.com", frozenset({"ops"}), "user-1")
    provider.person.user_info["sub"] = "somebody else"
    assert (await signed_in(provider)).email == ""


async def test_an_address_that_is_not_verified_does_not_count(provider: FakeOidcProvider) -> None:
    for verified in ({}, {"email_verified": False}, {"email_verified": "no"}):
        provider.person.claims = {"email": "ann@example.com", "preferred_username": "ann", **verified}
        found = await signed_in(provider)
        assert (found.email, found.label, found.has_unverified_email) == ("", "ann", True)
    assert (await signed_in(provider, accepts_unverified_email=True)).email == "ann@example.com"
    provider.person.claims = {"email": "a@b@c", "email_verified": True}
    assert (await signed_in(provider)).email == ""


async def test_groups_may_be_deep_in_the_claims(provider: FakeOidcProvider) -> None:
    provider.person.claims["realm_access"] = {"roles": ["operator"]}
    assert (await signed_in(provider, groups_claim="realm_access.roles")).groups == {"operator"}
    provider.person.claims["https://example.com/roles"] = ["viewer"]
    assert (await signed_in(provider, groups_claim="https://example.com/roles")).groups == {"viewer"}
    assert (await signed_in(provider, groups_claim="email.deeper")).groups == frozenset()


async def test_a_new_key_of_the_provider_is_fetched(provider: FakeOidcProvider) -> None:
    client = OidcClient(options(provider))
    await signed_in(provider, client)
    client._documents._keys = (-1000.0, client._documents._keys[1])  # type: ignore[index]  # as if minutes ago
    provider.key_id = "key-2"
    assert (await signed_in(provider, client)).email == "ann@example.com"
    asked = provider.requests.count("/jwks")
    provider.key_id = "key-3"  # not asked for again so soon: a stranger's token shall cause no requests
    with pytest.raises(SignInFailed):
        await signed_in(provider, client)
    assert provider.requests.count("/jwks") == asked == 2


async def test_a_provider_that_takes_the_secret_in_the_form_only(provider: FakeOidcProvider) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert (await refused(provider)).reason == "client_refused"  # the fake takes it in the header only
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post", "client_secret_basic"]
    assert (await signed_in(provider)).email


async def test_signing_out_there_leads_back_here(provider: FakeOidcProvider) -> None:
    address = await OidcClient(options(provider)).sign_out_url()
    assert address.startswith(f"{provider.issuer}/sign-out?")
    assert query_of(address) == {
        "client_id": CLIENT_ID,
        "post_logout_redirect_uri": "http://localhost/admin/signed-out",
    }
    provider.metadata["end_session_endpoint"] = None
    assert await OidcClient(options(provider)).sign_out_url() == ""


# ---------------------------------------------------------------- attacks on the token


def claims_with(**wrong: object) -> Callable[[Claims], Claims]:
    return lambda claims: {name: value for name, value in {**claims, **wrong}.items() if value is not None}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"nonce": "of another sign-in"}, "claim_nonce"),
        ({"nonce": None}, "claim_nonce"),
        ({"iss": "https://evil.example"}, "claim_iss"),
        ({"iss": None}, "claim_iss"),
        ({"aud": "another application"}, "claim_aud"),
        ({"aud": ["another application"]}, "claim_aud"),
        ({"aud": [CLIENT_ID, "another application"]}, "claim_azp"),
        ({"azp": "another application"}, "claim_azp"),
        ({"exp": time.time() - CLOCK_LEEWAY - 5}, "claim_exp"),
        ({"exp": None}, "claim_exp"),
        ({"exp": "soon"}, "claim_exp"),
        ({"iat": time.time() + 3600}, "claim_iat"),
        ({"nbf": time.time() + 3600}, "claim_nbf"),
        ({"sub": None}, "claim_sub"),
        ({"at_hash": "of another access token"}, "claim_at_hash"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(provider: FakeOidcProvider, wrong: Claims, reason: str) -> None:
    provider.change_claims = claims_with(**wrong)
    failed = await refused(provider)
    assert (failed.reason, failed.status) == (reason, 401)
    assert "evil.example" not in str(failed)


async def test_clocks_may_differ_by_a_minute(provider: FakeOidcProvider) -> None:
    now = time.time()
    provider.change_claims = claims_with(iat=now + CLOCK_LEEWAY - 5, exp=now - CLOCK_LEEWAY + 5)
    assert (await signed_in(provider)).email
    provider.change_claims = claims_with(iat=now + 600, exp=now + 900)
    assert "clock" in str(await refused(provider))


async def test_a_token_that_the_provider_did_not_sign_is_refused(provider: FakeOidcProvider) -> None:
    provider.metadata["id_token_signing_alg_values_supported"] = ["RS256", "HS256", "none"]
    for sign in (
        provider.unsigned,
        provider.signed_with_public_key,
        lambda claims: provider.signed(claims, rsa_key("of somebody else")),
        lambda claims: provider.signed(claims).rpartition(".")[0] + ".",
        lambda claims: f"{provider.signed(claims)}.x.y",
        lambda _: "no token",
        lambda _: "",
    ):
        provider.sign = sign
        assert (await refused(provider)).reason == "signature"


# ---------------------------------------------------------------- attacks on the flow


async def test_an_answer_to_another_sign_in_is_refused_before_its_code_is_used(provider: FakeOidcProvider) -> None:
    client = OidcClient(options(provider))
    ours, theirs = OidcAttempt.begin("/admin"), OidcAttempt.begin("/admin")
    back = query_of(provider.authorize(await client.authorization_url(theirs)))
    for answer in (back, {**back, "state": ""}, {"code": back["code"]}, {**back, "state": "é"}, {}):
        with pytest.raises(SignInFailed) as raised:
            await client.identity(ours, answer)
        assert raised.value.reason == "state"
    assert "/token" not in provider.requests


async def test_a_stolen_code_is_useless_without_its_verifier(provider: FakeOidcProvider) -> None:
    client = OidcClient(options(provider))
    theirs = OidcAttempt.begin("/admin")
    back = query_of(provider.authorize(await client.authorization_url(theirs)))
    ours = replace(OidcAttempt.begin("/admin"), state=theirs.state)
    with pytest.raises(SignInFailed, match="invalid_grant"):
        await client.identity(ours, back)


async def test_a_code_is_good_for_one_sign_in(provider: FakeOidcProvider) -> None:
    client = OidcClient(options(provider))
    attempt = OidcAttempt.begin("/admin")
    back = query_of(provider.authorize(await client.authorization_url(attempt)))
    assert await client.identity(attempt, back)
    with pytest.raises(SignInFailed) as raised:
        await client.identity(attempt, back)
    assert raised.value.reason == "code_refused"
    assert "<b>" not in str(raised.value)


async def test_the_answer_of_another_provider_is_refused(provider: FakeOidcProvider) -> None:
    client = OidcClient(options(provider))
    attempt = OidcAttempt.begin("/admin")
    back = query_of(provider.authorize(await client.authorization_url(attempt)))
    with pytest.raises(SignInFailed) as raised:
        await client.identity(attempt, {**back, "iss": "https://evil.example"})
    assert raised.value.reason == "issuer"
    assert await client.identity(attempt, {**back, "iss": provider.issuer})
    provider.metadata["authorization_response_iss_parameter_supported"] = True
    assert (await refused(provider)).reason == "issuer"  # it promises to say who it is, and does not


async def test_what_the_provider_refuses_is_told_without_its_words(provider: FakeOidcProvider) -> None:
    client = OidcClient(options(provider))
    for error, told in {"access_denied": "access_denied", "<script>": "error"}.items():
        attempt = OidcAttempt.begin("/admin")
        with pytest.raises(SignInFailed) as raised:
            await client.identity(attempt, query_of(refusal(await client.authorization_url(attempt), error)))
        assert str(raised.value) == f"The sign-in provider did not sign you in ({told})."


# ---------------------------------------------------------------- a provider that is away, or not one


@pytest.mark.parametrize(
    ("path", "fault", "reason", "status"),
    [
        ("/.well-known/openid-configuration", (404, "<html>"), "provider_status", 502),
        ("/.well-known/openid-configuration", (200, "<html>"), "provider_answer", 502),
        ("/.well-known/openid-configuration", (200, "[]"), "provider_answer", 502),
        ("/.well-known/openid-configuration", (200, "{}"), "discovery", 502),
        ("/.well-known/openid-configuration", (200, json.dumps({"x": "y" * 600_000})), "provider_answer", 502),
        ("/jwks", (500, ""), "provider_status", 502),
        ("/jwks", (200, '{"keys": [{"kty": "RSA"}]}'), "signature", 401),
        ("/jwks", (200, '{"keys": "none"}'), "signature", 401),
        ("/token", (302, ""), "provider_answer", 502),
        ("/token", (503, "busy"), "provider_status", 502),
        ("/token", (200, "{}"), "code_refused", 401),
        ("/token", (200, '{"id_token": 7}'), "code_refused", 401),
    ],
)
async def test_a_provider_that_does_not_work_is_told_apart(
    provider: FakeOidcProvider, path: str, fault: tuple[int, str], reason: str, status: int
) -> None:
    provider.faults[path] = fault
    failed = await refused(provider)
    assert (failed.reason, failed.status) == (reason, status)


async def test_a_provider_that_is_away_is_said_to_be(provider: FakeOidcProvider) -> None:
    failed = await refused(provider, issuer="http://127.0.0.1:9")
    assert (failed.reason, failed.status) == ("provider_away", 503)


async def test_a_document_of_another_issuer_or_without_https_is_refused(provider: FakeOidcProvider) -> None:
    for metadata, reason in (
        ({"issuer": "https://evil.example"}, "issuer"),
        ({"token_endpoint": "http://evil.example/token"}, "insecure"),
        ({"jwks_uri": "file:///etc/passwd"}, "insecure"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "insecure"),
    ):
        provider.metadata = dict(metadata)
        assert (await refused(provider)).reason == reason


# ---------------------------------------------------------------- check


async def test_the_check_says_what_to_register_or_what_is_wrong(provider: FakeOidcProvider) -> None:
    (fine,) = await OidcClient(options(provider)).check()
    assert fine.ok
    assert fine.detail.endswith(f" answers; to be registered there: {REDIRECT_URI}")
    for metadata, told in (
        ({"id_token_signing_alg_values_supported": ["HS256"]}, "no algorithm"),
        ({"code_challenge_methods_supported": ["plain"]}, "no PKCE"),
        ({"jwks_uri": None}, "jwks_uri"),
    ):
        provider.metadata = dict(metadata)
        (wrong,) = await OidcClient(options(provider)).check()
        assert not wrong.ok
        assert told in wrong.detail
    (away,) = await OidcClient(options(provider, issuer="http://127.0.0.1:9")).check()
    assert not away.ok
    assert away.detail.startswith("http://127.0.0.1:9: cannot be reached: Connect call failed")
    assert away.detail.endswith("check ADMIN_OIDC_ISSUER, and whether this machine reaches it")
