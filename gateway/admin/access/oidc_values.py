"""What sign-in at an OpenID provider works with: its options, an attempt, and the errors. No I/O, no library."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gateway.admin.access.roles import Identity

TOKEN_BYTES = 32
"""Of a state, a nonce and a code verifier; 43 characters, the least that PKCE allows:
www.rfc-editor.org/rfc/rfc7636#section-4.1"""


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """The provider, and what this gateway is there."""

    issuer: str
    client_id: str
    client_secret: str
    """Empty for a public client, which PKCE alone protects."""
    redirect_uri: str
    """Where the provider sends people back; registered there."""
    signed_out_url: str
    """Where it sends them after it has signed them out."""
    scopes: str
    groups_claim: str
    """The claim with groups or roles; dots lead into objects: ``realm_access.roles``."""
    label: str
    """The provider's name, for the button."""
    accepts_unverified_email: bool = False


class SignInFailed(Exception):
    """A sign-in failed. ``str()`` of it is shown to the person; it contains nothing that the provider said."""

    def __init__(self, reason: str, message: str, status: int = 401, *, detail: str = "", name: str = "") -> None:
        """``reason``: a word for the log. ``detail``: for the log, without secrets. ``name``: whose sign-in it was."""
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.detail = detail
        self.name = name


@dataclass(frozen=True, slots=True)
class OidcAttempt:
    """A sign-in that was begun in a browser, which keeps it in a signed cookie."""

    state: str
    nonce: str
    code_verifier: str
    next_page: str
    """Where the person wanted to go."""

    @classmethod
    def begin(cls, next_page: str) -> Self:
        state, nonce, code_verifier = (secrets.token_urlsafe(TOKEN_BYTES) for _ in range(3))
        return cls(state, nonce, code_verifier, next_page)

    def as_list(self) -> Sequence[str]:
        return [self.state, self.nonce, self.code_verifier, self.next_page]


def not_allowed(identity: Identity) -> SignInFailed:
    """Returns the error of a person who is signed in elsewhere, but may not see these pages."""
    name = identity.label or "This person"
    decides = "Whoever runs this gateway decides that, by ADMIN_OPERATORS and ADMIN_VIEWERS."
    if identity.has_unverified_email:
        decides = "The sign-in provider does not say that it has verified the e-mail address, so that does not count."
    return SignInFailed("not_allowed", f"{name} may not use these pages. {decides}", 403, name=identity.label)


def expired_attempt() -> SignInFailed:
    """Returns the error of an answer that belongs to no sign-in of this browser."""
    return SignInFailed("state", "This sign-in has expired, or was begun in another browser. Please try again.")
