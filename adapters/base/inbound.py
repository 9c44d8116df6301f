"""The inbound side of an adapter: how requests are parsed, and who receives what the platform sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.ports.inbox import AsyncInbox, Inbox
from gateway.ports.platform import ParsedUpdate, Request, SyntheticMessage, Webhook

Receive = Callable[[Request], ParsedUpdate]
"""``Adapter.receive``: verifies and parses."""
BOT_TURNS = 5
"""Turns that another bot gets in one conversation in a day. Two bots that mention each other would never end."""


class Receiver(Protocol):
    """Receives what one platform sends, by webhook or in threads of its own."""

    def webhooks(self, receive: Receive, inbox: AsyncInbox) -> Sequence[Webhook]:
        """See ``HasWebhooks``. Returns none if the platform's requests cannot be verified."""
        ...

    def start_receiving(self, inbox: Inbox) -> None:
        """See ``BackgroundReceiver``. Does nothing where webhooks are used."""
        ...

    def stop_receiving(self) -> None:
        """See ``BackgroundReceiver``. May be called without ``start_receiving``."""
        ...


class Inbound:
    """What an adapter offers the core to receive messages."""

    def __init__(
        self, receive: Receive, dry_run: Callable[[SyntheticMessage], ParsedUpdate], receiver: Receiver
    ) -> None:
        self._receive = receive
        self._dry_run = dry_run
        self._receiver = receiver

    def receive(self, request: Request) -> ParsedUpdate:
        return self._receive(request)

    def dry_run(self, message: SyntheticMessage) -> ParsedUpdate:
        return self._dry_run(message)

    def webhooks(self, inbox: AsyncInbox) -> Sequence[Webhook]:
        return self._receiver.webhooks(self.receive, inbox)

    def start_receiving(self, inbox: Inbox) -> None:
        self._receiver.start_receiving(inbox)

    def stop_receiving(self) -> None:
        self._receiver.stop_receiving()
