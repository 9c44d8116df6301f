"""Sign-in at an OpenID provider: the authorization code flow with PKCE, state and nonce, and verified ID tokens.

Importing this module needs the extra ``oidc``. openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped]
from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import (
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    MissingClaimError,
)
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from gateway.admin.access.oidc_documents import (
    AWAY,
    UNREADABLE,
    ProviderDocuments,
    ProviderMetadata,
    get_json,
    post_form,
)
from gateway.admin.access.oidc_values import OidcAttempt, OidcOptions, SignInFailed, expired_attempt
from gateway.admin.access.roles import Identity, read_email
from gateway.ports.check import CheckResult

SIGNATURES = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
"""Those that only the provider can make: not ``none``, and not HMAC, whose key a public key could be mistaken for."""
CLOCK_LEEWAY = 60
"""Seconds by which our clock and the provider's may differ."""
CODE = re.compile(r"[a-z_]{1,40}")
"""An error code of OAuth: www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1"""
CLAIM_ADVICE: Mapping[str, str] = {
    "iss": "it is of another issuer than ADMIN_OIDC_ISSUER names",
    "aud": "it is meant for another application: see ADMIN_OIDC_CLIENT_ID",
    "azp": "it was issued to another application: see ADMIN_OIDC_CLIENT_ID",
    "nonce": "it belongs to another sign-in",
    "iat": "it comes from the future: the clock of this machine or of the provider is wrong",
    "nbf": "it is not valid yet: the clock of this machine or of the provider is wrong",
    "exp": "it has expired: the sign-in took too long, or the clock of this machine or of the provider is wrong",
}
"""What is wrong with an ID token, by the claim that shows it."""


class OidcClient:
    """Signs people in at one provider. Methods do I/O and raise SignInFailed, which holds no secret."""

    def __init__(self, options: OidcOptions) -> None:
        self.options = options
        self._documents = ProviderDocuments(options.issuer)

    async def authorization_url(self, attempt: OidcAttempt) -> str:
        """Returns where to send the browser of a person who wants to sign in."""
        options = self.options
        url: str = prepare_grant_uri(
            (await self._documents.metadata()).authorization_endpoint,
            options.client_id,
            "code",
            redirect_uri=options.redirect_uri,
            scope=options.scopes,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.code_verifier),
            code_challenge_method="S256",
        )
        return url

    async def identity(self, attempt: OidcAttempt, answer: Mapping[str, str]) -> Identity:
        """Returns who has signed in. ``answer``: the query with which the provider sent the browser back."""
        metadata = await self._documents.metadata()
        code = _code_of(answer, attempt, metadata)
        tokens = await self._exchange(metadata, code, attempt.code_verifier)
        claims = await self._verified_claims(metadata, tokens, attempt.nonce)
        return self._identity_of(await self._with_user_info(metadata, claims, tokens))

    async def sign_out_url(self) -> str:
        """Returns where the person ends the session at the provider too; empty where there is no such page.

        openid.net/specs/openid-connect-rpinitiated-1_0.html
        """
        end = (await self._documents.metadata()).end_session_endpoint
        if not end:
            return ""
        back = {"client_id": self.options.client_id, "post_logout_redirect_uri": self.options.signed_out_url}
        url: str = add_params_to_uri(end, back)
        return url

    async def check(self) -> Sequence[CheckResult]:
        """Compares the settings with what the provider publishes. Raises nothing."""
        name = "admin sign-in"
        try:
            metadata = await self._documents.metadata()
            keys = KeySet.import_key_set(await self._documents.keys())  # type: ignore[arg-type]  # foreign JSON
        except (SignInFailed, JoseError, ValueError, TypeError, KeyError) as exc:
            detail = exc.detail if isinstance(exc, SignInFailed) else "its keys cannot be read"
            advice = "check ADMIN_OIDC_ISSUER, and whether this machine reaches it"
            return (CheckResult(name, ok=False, detail=f"{self.options.issuer}: {detail or exc}; {advice}"),)
        if problem := _unsupported(metadata):
            return (CheckResult(name, ok=False, detail=f"{self.options.issuer} {problem}"),)
        if not keys.keys:
            return (
                CheckResult(name, ok=False, detail=f"{self.options.issuer} publishes no key to verify tokens with"),
            )
        detail = f"{metadata.issuer} answers; to be registered there: {self.options.redirect_uri}"
        return (CheckResult(name, ok=True, detail=detail),)

    # ------------------------------------------------------------ the code

    async def _exchange(self, metadata: ProviderMetadata, code: str, code_verifier: str) -> Mapping[str, Any]:
        options = self.options
        form = prepare_token_request(
            "authorization_code", redirect_uri=options.redirect_uri, code=code, code_verifier=code_verifier
        )
        auth = ClientAuth(options.client_id, options.client_secret, self._auth_method(metadata))
        url, headers, form = auth.prepare("POST", metadata.token_endpoint, {}, form)
        status, tokens = await post_form(url, form, headers)
        if status != 200 or not isinstance(tokens.get("id_token"), str):  # noqa: PLR2004
            raise _code_refused(status, tokens)
        return tokens

    def _auth_method(self, metadata: ProviderMetadata) -> str:
        if not self.options.client_secret:
            return "none"
        offered = metadata.token_endpoint_auth_methods_supported
        takes_post_only = "client_secret_post" in offered and "client_secret_basic" not in offered
        return "client_secret_post" if takes_post_only else "client_secret_basic"

    # ------------------------------------------------------------ the ID token

    async def _verified_claims(
        self, metadata: ProviderMetadata, tokens: Mapping[str, Any], nonce: str
    ) -> Mapping[str, Any]:
        """Returns the claims of the ID token. openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation"""
        try:
            token = await self._signed_token(metadata, str(tokens["id_token"]))
            claims = CodeIDToken(
                token.claims,
                token.header,
                {"iss": {"value": metadata.issuer}, "aud": {"value": self.options.client_id}},
                {"nonce": nonce, "client_id": self.options.client_id, "access_token": tokens.get("access_token")},
            )
            claims.validate(leeway=CLOCK_LEEWAY)
        except (ExpiredTokenError, InvalidClaimError, MissingClaimError) as exc:
            raise _wrong_claim(exc) from None
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            message = "The sign-in provider's answer is not signed with its key, so it is not believed. Try again."
            raise SignInFailed("signature", message, detail=type(exc).__name__) from None
        return dict(claims)

    async def _signed_token(self, metadata: ProviderMetadata, id_token: str) -> jwt.Token:
        allowed = SIGNATURES.intersection(metadata.id_token_signing_alg_values_supported) or {"RS256"}
        registry = JWSRegistry(algorithms=allowed, strict_check_header=False)
        keys = KeySet.import_key_set(await self._documents.keys())  # type: ignore[arg-type]  # foreign JSON
        try:
            return jwt.decode(id_token, keys, registry=registry)
        except InvalidKeyIdError:  # the provider has new keys
            keys = KeySet.import_key_set(await self._documents.keys(is_stale=True))  # type: ignore[arg-type]  # as above
            return jwt.decode(id_token, keys, registry=registry)

    # ------------------------------------------------------------ the person

    async def _with_user_info(
        self, metadata: ProviderMetadata, claims: Mapping[str, Any], tokens: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Adds what the ID token left out, from the userinfo endpoint, if that is of the same person."""
        access_token = tokens.get("access_token")
        is_complete = "email" in claims and _claim_at(claims, self.options.groups_claim) is not None
        if is_complete or not metadata.userinfo_endpoint or not isinstance(access_token, str):
            return claims
        more = await get_json(metadata.userinfo_endpoint, access_token)
        return {**more, **claims} if more.get("sub") == claims["sub"] else claims

    def _identity_of(self, claims: Mapping[str, Any]) -> Identity:
        """Leaves out an e-mail address that the provider has not verified: people may enter any there."""
        given = read_email(str(claims.get("email") or ""))
        is_verified = self.options.accepts_unverified_email or claims.get("email_verified") in {True, "true"}
        listed = _claim_at(claims, self.options.groups_claim)
        groups = listed if isinstance(listed, list) else [listed]
        name = claims.get("preferred_username") or claims["sub"]
        return Identity(
            given if is_verified else "",
            frozenset(each for each in groups if isinstance(each, str) and each),
            str(name),
            has_unverified_email=bool(given) and not is_verified,
        )


def _code_of(answer: Mapping[str, str], attempt: OidcAttempt, metadata: ProviderMetadata) -> str:
    """Returns the code with which the provider sent the browser back, if it belongs to this attempt."""
    if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
        raise expired_attempt()
    issuer = answer.get("iss")  # www.rfc-editor.org/rfc/rfc9207
    if (issuer or metadata.authorization_response_iss_parameter_supported) and issuer != metadata.issuer:
        raise SignInFailed("issuer", f"The sign-in provider's answer is not believed: {CLAIM_ADVICE['iss']}.")
    if error := answer.get("error"):
        known = error if CODE.fullmatch(error) else "error"
        raise SignInFailed("provider_refused", f"The sign-in provider did not sign you in ({known}).", detail=known)
    if not (code := answer.get("code")):
        raise SignInFailed("no_code", UNREADABLE, 502)
    return code


def _code_refused(status: int, answer: Mapping[str, Any]) -> SignInFailed:
    if status >= 500:  # noqa: PLR2004  # a fault of the provider
        return SignInFailed("provider_status", AWAY, 502, detail=f"status {status} for the code")
    error = str(answer.get("error", ""))
    known = error if CODE.fullmatch(error) else f"status {status}"
    if error in {"invalid_client", "unauthorized_client"}:
        message = f"The sign-in provider does not accept ADMIN_OIDC_CLIENT_ID and its secret ({known})."
        return SignInFailed("client_refused", message, 502, detail=known)
    message = f"The sign-in provider did not accept the sign-in, which may have been used before ({known}). Try again."
    return SignInFailed("code_refused", message, detail=known)


def _wrong_claim(exc: ExpiredTokenError | InvalidClaimError | MissingClaimError) -> SignInFailed:
    claim = str(exc.claim)
    advice = CLAIM_ADVICE.get(claim, f"its claim {claim} is missing or wrong")
    return SignInFailed(f"claim_{claim}", f"The sign-in provider's answer is not believed: {advice}.")


def _claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """Returns the claim of this name, or the one to which the dots in it lead; None if there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _unsupported(metadata: ProviderMetadata) -> str:
    """Returns what the provider lacks of what this needs; empty if nothing."""
    if not SIGNATURES.intersection(metadata.id_token_signing_alg_values_supported):
        return "signs ID tokens by no algorithm that is accepted here, such as RS256"
    methods = metadata.code_challenge_methods_supported
    return "offers no PKCE with S256" if methods is not None and "S256" not in methods else ""
