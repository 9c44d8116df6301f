"""Settings of the operator's pages, from the environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import NonNegativeInt, PositiveFloat, SecretStr, field_validator

from gateway.admin.access.oidc_values import OidcOptions
from gateway.admin.access.proxy import ProxySignIn, read_addresses
from gateway.admin.access.roles import AccessList, RoleLists
from gateway.settings import EnvironmentSettings
from gateway.settings.values import OwnKey, split_server_url

MIN_PASSWORD_CHARS = 8
CALLBACK_PATH = "/oidc/callback"
SIGNED_OUT_PATH = "/signed-out"
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110, 5.6.2."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class AdminSettings(EnvironmentSettings):
    """Settings of the operator's pages."""

    prefixes = ("ADMIN_",)
    lists: ClassVar[Mapping[str, str]] = {
        "admin_operators": ",",
        "admin_viewers": ",",
        "admin_proxy_addresses": ",",
        "admin_oidc_scopes": " ",
    }

    admin_password: SecretStr | None = None
    """The password of operators, who may do everything on the operator's pages. Without it, and without any other way
    to sign in below, the pages are switched off."""
    admin_viewer_password: SecretStr | None = None
    """The password of viewers, who see every page and change nothing."""
    admin_hours: PositiveFloat = 12.0
    """Hours after which an operator has to sign in again."""
    trusted_proxies: NonNegativeInt = 0
    """How many of your own proxies add to X-Forwarded-For and -Proto; 0: clients connect directly."""
    admin_url: str | None = None
    """The address of the operator's pages in browsers, such as ``https://bot.example.com/admin``. Sign-in by OIDC needs
    it: its ``/oidc/callback`` is to be registered at the provider."""
    admin_operators: str = ""
    """Who is an operator after a sign-in by OIDC or a proxy, comma-separated: ``ann@example.com``, ``@example.com`` for
    all addresses of a domain, ``group:ops``, or ``*`` for all."""
    admin_viewers: str = ""
    """Who is a viewer; written as ``ADMIN_OPERATORS``. Nobody else may see the pages."""
    admin_oidc_issuer: str | None = None
    """The OpenID provider, such as ``https://accounts.google.com``. Needs the extra ``oidc``, ``ADMIN_OIDC_CLIENT_ID``
    and ``ADMIN_URL``."""
    admin_oidc_client_id: str | None = None
    """This gateway's id at the provider."""
    admin_oidc_client_secret: OwnKey | None = None
    """Its secret there. Unset: it is a public client, which PKCE protects."""
    admin_oidc_scopes: str = "openid email profile"
    """What the provider is asked for, separated by spaces. Some tell groups only with another scope, such as
    ``groups``."""
    admin_oidc_groups_claim: str = "groups"
    """The claim that has the groups or roles; dots lead into objects: ``realm_access.roles``."""
    admin_oidc_name: str = "single sign-on"
    """What the button for it says after “Sign in with”."""
    admin_oidc_unverified_email: bool = False
    """Whether e-mail addresses count of which the provider does not say that it has verified them (``email_verified``).
    Only where nobody can choose their own address there."""
    admin_proxy_header: str | None = None
    """The header with which a proxy that signs people in says their e-mail address, such as ``X-Forwarded-Email`` of
    oauth2-proxy. Needs ``ADMIN_PROXY_ADDRESSES``."""
    admin_proxy_addresses: str = ""
    """The addresses or networks from which that proxy connects, comma-separated: ``127.0.0.1, 10.0.3.0/24``. The header
    is believed from nowhere else."""
    admin_proxy_groups_header: str | None = None
    """The header with the person's groups, a comma between two of them, such as ``X-Forwarded-Groups``."""
    admin_proxy_sign_out_url: str | None = None
    """Where the proxy signs people out, such as ``/oauth2/sign_out``."""

    @field_validator("admin_password", "admin_viewer_password")
    @classmethod
    def _check_length(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and len(password.get_secret_value()) < MIN_PASSWORD_CHARS:
            raise ValueError(
                f"has fewer than {MIN_PASSWORD_CHARS} characters and is easy to guess; choose a longer one"
            )
        return password

    @field_validator("admin_operators", "admin_viewers")
    @classmethod
    def _is_access_list(cls, text: str) -> str:
        AccessList.parse(text)
        return text

    @field_validator("admin_proxy_addresses")
    @classmethod
    def _are_addresses(cls, text: str) -> str:
        try:
            read_addresses(text)
        except ValueError as exc:
            raise ValueError(f"must be a list of addresses and networks, such as 10.0.3.0/24: {exc}") from None
        return text

    @field_validator("admin_proxy_header", "admin_proxy_groups_header")
    @classmethod
    def _is_header(cls, name: str | None) -> str | None:
        if name is not None and not HEADER_NAME.fullmatch(name):
            raise ValueError("must be the name of a header alone, such as X-Forwarded-Email")
        return name

    @field_validator("admin_proxy_sign_out_url")
    @classmethod
    def _is_link(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith("/") and split_server_url(url) is None:
            raise ValueError("must be an address, or a path on the gateway's own, such as /oauth2/sign_out")
        return url

    @field_validator("admin_url", "admin_oidc_issuer")
    @classmethod
    def _is_https(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parsed = split_server_url(url.strip())
        is_local = parsed is not None and parsed.hostname in LOOPBACK
        if not parsed or not (parsed.scheme == "https" or is_local) or parsed.query or parsed.fragment:
            raise ValueError("must be an address that begins with https:// (http:// on this machine only)")
        return url.strip()

    @field_validator("admin_url")
    @classmethod
    def _is_of_admin(cls, url: str | None) -> str | None:
        if url is not None and not url.rstrip("/").endswith("/admin"):
            raise ValueError("must end with /admin, such as https://bot.example.com/admin")
        return url and url.rstrip("/")

    @field_validator("admin_oidc_scopes")
    @classmethod
    def _asks_for_identity(cls, scopes: str) -> str:
        if "openid" not in scopes.split():
            raise ValueError("must contain openid, without which there is no ID token")
        return scopes

    def problems(self) -> Sequence[str]:
        """Returns a line for each thing that does not fit together."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        needed = {
            "ADMIN_OIDC_ISSUER": self.admin_oidc_issuer,
            "ADMIN_OIDC_CLIENT_ID": self.admin_oidc_client_id,
            "ADMIN_URL": self.admin_url,
        }
        missing = [name for name, value in needed.items() if not value]
        asked_for = self.admin_oidc_issuer or self.admin_oidc_client_id or self.admin_oidc_client_secret
        if asked_for and missing:
            yield f"{missing[0]}: is missing; sign-in by OIDC needs {', '.join(needed)}."
        if self.admin_proxy_header and not self.admin_proxy_addresses:
            yield (
                "ADMIN_PROXY_HEADER: anybody could send this header; set ADMIN_PROXY_ADDRESSES to the addresses from "
                "which the proxy connects."
            )
        if self.admin_proxy_addresses and not self.admin_proxy_header:
            yield "ADMIN_PROXY_ADDRESSES: has no meaning without ADMIN_PROXY_HEADER."
        beside = {"GROUPS_HEADER": self.admin_proxy_groups_header, "SIGN_OUT_URL": self.admin_proxy_sign_out_url}
        for name in (name for name, value in beside.items() if value and not self.admin_proxy_header):
            yield f"ADMIN_PROXY_{name}: has no meaning without ADMIN_PROXY_HEADER."
        vouched = self.admin_oidc_issuer or self.admin_proxy_header
        if vouched and not self.role_lists:
            yield "ADMIN_OPERATORS: nobody could sign in; say who may, here or in ADMIN_VIEWERS."
        if self.role_lists and not vouched:
            yield "ADMIN_OPERATORS and ADMIN_VIEWERS: are for a sign-in by ADMIN_OIDC_ISSUER or ADMIN_PROXY_HEADER."
        if self.admin_viewer_password is not None and self.admin_viewer_password == self.admin_password:
            yield "ADMIN_VIEWER_PASSWORD: is the same as ADMIN_PASSWORD; choose another one."

    @property
    def enabled(self) -> bool:
        return self.has_password or self.oidc is not None or self.proxy is not None

    @property
    def passwords(self) -> Mapping[str, str]:
        """The passwords that are set, by setting."""
        both = {"ADMIN_PASSWORD": self.admin_password, "ADMIN_VIEWER_PASSWORD": self.admin_viewer_password}
        return {name: password.get_secret_value() for name, password in both.items() if password is not None}

    @property
    def has_password(self) -> bool:
        return bool(self.passwords)

    @property
    def role_lists(self) -> RoleLists:
        return RoleLists(AccessList.parse(self.admin_operators), AccessList.parse(self.admin_viewers))

    @property
    def oidc(self) -> OidcOptions | None:
        """How people sign in at an OpenID provider; None: they do not."""
        if not (self.admin_oidc_issuer and self.admin_oidc_client_id and self.admin_url):
            return None
        secret = self.admin_oidc_client_secret
        return OidcOptions(
            issuer=self.admin_oidc_issuer,
            client_id=self.admin_oidc_client_id,
            client_secret=secret.get_secret_value() if secret else "",
            redirect_uri=self.admin_url + CALLBACK_PATH,
            signed_out_url=self.admin_url + SIGNED_OUT_PATH,
            scopes=self.admin_oidc_scopes,
            groups_claim=self.admin_oidc_groups_claim,
            label=self.admin_oidc_name,
            accepts_unverified_email=self.admin_oidc_unverified_email,
        )

    @property
    def proxy(self) -> ProxySignIn | None:
        """How a proxy says who people are; None: it does not."""
        if not (self.admin_proxy_header and self.admin_proxy_addresses):
            return None
        return ProxySignIn(
            self.admin_proxy_header,
            read_addresses(self.admin_proxy_addresses),
            self.admin_proxy_groups_header or "",
            self.admin_proxy_sign_out_url or "",
        )
