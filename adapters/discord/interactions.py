"""Interactions, by HTTP with a signature or over the gateway: slash commands and buttons.

docs.discord.com/developers/interactions/receiving-and-responding
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.base.approvals import told
from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, parse_object, text_in
from adapters.base.update_handler import parse_safely
from adapters.discord.api_client import DiscordClient
from adapters.discord.commands import EPHEMERAL
from adapters.discord.errors import Refusal
from adapters.discord.event_parser import DiscordParser
from adapters.discord.message_writer import SILENT
from gateway import logs
from gateway.domain.approvals import VerdictResult
from gateway.domain.errors import DeliveryError, Unauthenticated
from gateway.languages import Languages
from gateway.ports.platform import ParsedUpdate, Request

PATH = "/discord/interactions"
SIGNATURE_HEADER, TIMESTAMP_HEADER = "x-signature-ed25519", "x-signature-timestamp"

ACKNOWLEDGED_AFTER = (0.5, 1.5)
"""Seconds before the attempts to say something about an interaction that is acknowledged meanwhile."""

log = logs.get_logger(__name__)


class InteractionVerifier:
    """Verifies and parses what Discord sends to ``PATH``. No I/O."""

    def __init__(self, public_key: str, parser: DiscordParser) -> None:
        """``public_key``: hexadecimal; "" to refuse everything."""
        self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)) if public_key else None
        self._parser = parser

    def receive(self, request: Request) -> ParsedUpdate:
        """Raises Unauthenticated, MalformedRequest."""
        signed = request.headers.get(TIMESTAMP_HEADER, "").encode() + request.body
        with suppress(InvalidSignature, ValueError):
            if self._key is not None:
                self._key.verify(bytes.fromhex(request.headers.get(SIGNATURE_HEADER, "")), signed)
                return parse_safely(self._parser.interaction, parse_object(request.body))
        raise Unauthenticated("The signature is missing or wrong.")


async def acknowledge(client: DiscordClient, event: Fields, update: ParsedUpdate) -> None:
    """Answers an interaction from the gateway once it is committed. Raises nothing: the reply comes anyway."""
    path = f"/interactions/{text_in(event, 'id')}/{text_in(event, 'token')}/callback"
    try:
        await client.call("POST callback", path, body=json.loads(update.response_body or '{"type": 6}'))
    except Rejected as exc:
        if exc.reason != Refusal.INTERACTION_OVER:  # another process was faster, or three seconds are over
            log.warning("interaction not acknowledged", error=str(exc))
    except DeliveryError as exc:
        log.warning("interaction not acknowledged", error=str(exc))


async def tell_presser(
    client: DiscordClient, languages: Languages, update: ParsedUpdate, result: VerdictResult
) -> None:
    """Tells whoever pressed a button why it did nothing, and nobody else. Raises nothing.

    Discord takes it once the press is acknowledged: docs.discord.com/developers/interactions/receiving-and-responding
    """
    event = update.payload
    text = told(result, languages.best(text_in(event, "locale")))
    path = f"/webhooks/{text_in(event, 'application_id')}/{text_in(event, 'token')}"
    for pause in ACKNOWLEDGED_AFTER if text else ():
        await asyncio.sleep(pause)
        try:
            await client.call("POST followup", path, body={"content": text, "flags": EPHEMERAL, **SILENT})
        except DeliveryError as exc:
            log.info("somebody was not told that they may not decide", error=str(exc))
        else:
            return
