"""Validates setWebhook arguments: core.telegram.org/bots/api#setwebhook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.fakes.telegram_arguments import Args
from tests.fakes.telegram_faults import bad

LOCAL = {"127.0.0.1", "localhost"}
PORTS = {None, 80, 88, 443, 8443}
CONNECTIONS = 40


@dataclass(frozen=True, slots=True)
class Webhook:
    url: str
    secret: str = ""
    max_connections: int = CONNECTIONS


def webhook_of(args: Args) -> Webhook:
    """Returns the webhook. Raises TelegramError if it is invalid. On loopback plain HTTP and any port are accepted, as
    by a local Bot API server.
    """
    url, secret = args.word("url"), args.word("secret_token")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise bad("invalid webhook URL specified") from None
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise bad("invalid webhook URL specified")
    if len(secret) > 256:
        raise bad("secret token is too long")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", secret):
        raise bad("secret token contains unallowed characters")
    if parts.hostname not in LOCAL:
        if parts.scheme != "https":
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        if port not in PORTS:
            raise bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
    return Webhook(url, secret, min(max(args.number("max_connections", CONNECTIONS), 1), 100))
