"""Verifies that requests are Slack's, and decodes their bodies. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic import SecretStr
from slack_sdk.signature import SignatureVerifier

from adapters.base.json_fields import parse_object
from gateway.domain.errors import MalformedRequest, Unauthenticated
from gateway.ports.platform import Request

TIMESTAMP = re.compile(r"[0-9]{1,12}")
SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 100
"""A command has about fifteen."""


class SignedRequests:
    """Reads the payloads of requests that Slack has signed."""

    def __init__(self, signing_secret: SecretStr | None) -> None:
        secret = signing_secret.get_secret_value() if signing_secret else ""
        self._verifier = SignatureVerifier(secret) if secret.strip() else None

    def payload(self, request: Request) -> Mapping[str, Any]:
        """Returns what a request carries. Raises Unauthenticated, MalformedRequest."""
        return decode(request.headers.get("content-type", ""), self._verified(request))

    def _verified(self, request: Request) -> str:
        """Returns the body if Slack signed it in the last five minutes."""
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if self._verifier and TIMESTAMP.fullmatch(timestamp) and SIGNATURE.fullmatch(signature):
            try:
                body = request.body.decode()
            except UnicodeDecodeError:
                raise MalformedRequest("The body is not UTF-8.") from None
            if self._verifier.is_valid(body, timestamp, signature):
                return body
        raise Unauthenticated("The signature is missing, wrong or older than five minutes.")


def is_ssl_check(request: Request) -> bool:
    """Tells whether Slack only checks the certificate, which it does without a signature.

    docs.slack.dev/interactivity/implementing-slash-commands
    """
    return b"ssl_check=1" in request.body.split(b"&")


def decode(content_type: str, body: str) -> Mapping[str, Any]:
    """Returns the payload of a request: JSON, a form, or JSON in a form. Raises MalformedRequest."""
    if not content_type.lower().startswith(FORM):
        return parse_object(body)
    form = _form(body)
    return parse_object(form["payload"]) if "payload" in form else form


def _form(body: str) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(body, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS)
        )
    except ValueError:  # UnicodeDecodeError among them
        raise MalformedRequest("The body is not a form.") from None
