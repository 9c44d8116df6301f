"""Lets pages of other origins call an API from a browser: fetch.spec.whatwg.org, section "HTTP-network access"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.errors import Blocked

ANY = "*"
MAX_AGE_SECONDS = 3600
"""How long a browser may remember the answer to a preflight request."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Those that change nothing: www.rfc-editor.org/rfc/rfc9110#section-9.2.1"""
FORM_TYPES = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
FOREIGN_SITES = frozenset({"cross-site", "same-site"})
"""www.w3.org/TR/fetch-metadata/#sec-fetch-site-header; other ports and subdomains are the same site."""
FORWARDED = ("forwarded", "via", "x-forwarded-for")
"""Headers of proxies, which may have changed ``Host``. No page can send them without being asked for it first."""


@dataclass(frozen=True, slots=True)
class Cors:
    """``origins``: those that may call, or ``*`` for all. No credentials: keys are sent in a header."""

    origins: Sequence[str]
    methods: Sequence[str]
    allowed_headers: Sequence[str]
    """Request headers beyond those that are always allowed; ANY for all."""
    exposed_headers: Sequence[str]
    """Response headers that a page may read beyond those that it always may."""

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Raises Blocked for a request by which a page of an origin that may not call would change something.

        Browsers send forms and plain texts of such pages without asking first, and keep only the answer from them.
        """
        origin = headers.get("origin")
        if origin is None or method in SAFE_METHODS or ANY in self.origins or origin in self.origins:
            return
        if _is_sent_unasked(headers) and _is_foreign(origin, headers):
            explanation = "Pages of this origin may not call here. The operator allows others by CORS_ORIGINS."
            raise Blocked(explanation, code="cross_origin")

    def response_headers(self, method: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Returns what to add to the response to a request with these headers."""
        origin, to_all = headers.get("origin"), ANY in self.origins
        vary = {} if to_all else {"Vary": "Origin"}
        if origin is None or not (to_all or origin in self.origins):
            return vary
        allowed = {
            "Access-Control-Allow-Origin": "*" if to_all else origin,
            "Access-Control-Expose-Headers": ", ".join(self.exposed_headers),
            **vary,
        }
        is_preflight = method == "OPTIONS" and headers.get("access-control-request-method") in self.methods
        return {**allowed, **self._preflight_headers(headers)} if is_preflight else allowed

    def _preflight_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        known = {name.lower() for name in self.allowed_headers}
        asked = (name.strip() for name in headers.get("access-control-request-headers", "").split(","))
        allowed = sorted(name for name in asked if name and (ANY in known or name.lower() in known))
        return {
            "Access-Control-Allow-Headers": ", ".join(allowed),
            "Access-Control-Allow-Methods": ", ".join(self.methods),
            "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
        }


def _is_sent_unasked(headers: Mapping[str, str]) -> bool:
    """Returns whether a browser sends such a request of any page without asking first: fetch.spec.whatwg.org."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type in FORM_TYPES and "authorization" not in headers


def _is_foreign(origin: str, headers: Mapping[str, str]) -> bool:
    """Returns whether a page of an origin is not one of our own.

    Browsers say so, but to addresses of plain HTTP in a network; there the address tells, unless a proxy is in between.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in FOREIGN_SITES
    return origin.partition("://")[2] != headers.get("host") and not any(name in headers for name in FORWARDED)
