"""Validates setWebhook arguments: core.telegram.org/bots/api#setwebhook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.fakes.telegram_arguments import TelegramArguments
from tests.fakes.telegram_faults import bad_request

LOOPBACK_HOSTS = {"127.0.0.1", "localhost"}
PUBLIC_PORTS = {None, 80, 88, 443, 8443}
DEFAULT_CONNECTIONS = 40


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    url: str
    secret: str = ""
    max_connections: int = DEFAULT_CONNECTIONS


def parse_webhook(args: TelegramArguments) -> WebhookSettings:
    """Returns the webhook. Raises TelegramError if it is invalid. On loopback plain HTTP and any port are accepted, as
    by a local Bot API server.
    """
    url, secret = args.string("url"), args.string("secret_token")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise bad_request("invalid webhook URL specified") from None
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise bad_request("invalid webhook URL specified")
    if len(secret) > 256:
        raise bad_request("secret token is too long")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", secret):
        raise bad_request("secret token contains unallowed characters")
    if parts.hostname not in LOOPBACK_HOSTS:
        if parts.scheme != "https":
            raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
        if port not in PUBLIC_PORTS:
            raise bad_request("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
    return WebhookSettings(url, secret, min(max(args.number("max_connections", DEFAULT_CONNECTIONS), 1), 100))
