"""Who calls: keys as OpenAI's and Azure's clients send them, and how often each caller may ask."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from adapters.openai_api.settings import NAME
from gateway.domain.models import ConversationKey, caller_share
from gateway.domain.shares import Share
from gateway.web.api.api_keys import ApiKeys, bearer_token, caller_name
from gateway.web.api.call_limit import CallLimit
from gateway.web.api.client_address import client_ip, network_of
from gateway.web.api.request_limit import RequestLimit
from gateway.web.api.routes import HttpRequest

REFUSAL = "Incorrect API key provided. Send a key of this gateway (GATEWAY_API_KEYS) as bearer token or as api-key."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    owner: str
    """Whose objects it sees: the digest of its key, or "" where no keys are set."""
    name: str
    """What budgets know it by."""
    counted_as: str
    """What ``CHAT_REQUESTS_PER_MINUTE`` counts it as, here and at ``/chat``: its key, or its network without keys."""
    assistants: tuple[str, ...] = ()
    """The names of the assistants that it may use, the first by default; empty: all."""

    @property
    def share(self) -> Share:
        """Whose share of places it takes, also by its messages."""
        return caller_share(NAME, self.name)

    def thread_key(self, thread: str) -> ConversationKey:
        """Returns the key of a thread, which only callers with the same ``owner`` have."""
        return ConversationKey(NAME, workspace=self.owner, channel=thread)


@dataclass(frozen=True, slots=True)
class Callers:
    """Identifies callers, and counts what they do."""

    keys: ApiKeys
    limit: RequestLimit
    read_limit: CallLimit
    trusted_proxies: int

    def identify(self, request: HttpRequest) -> Caller:
        """Raises Unauthenticated. OpenAI's clients send the key as bearer token, Azure's as ``api-key``."""
        headers = request.headers
        owner = self.keys.owner(headers.get("api-key") or bearer_token(headers.get("authorization", "")), REFUSAL)
        if owner:
            return Caller(owner, caller_name(owner, ""), owner, tuple(self.keys.assistants_of(owner)))
        network = network_of(client_ip(request.peer, headers.get("x-forwarded-for", ""), self.trusted_proxies))
        return Caller("", caller_name("", network), network)

    def reader(self, request: HttpRequest) -> Caller:
        """Returns who reads. Raises Unauthenticated, Overloaded.

        What one caller reads is counted for each path: a program polls every run that it waits for.
        """
        caller = self.identify(request)
        self.read_limit.check(f"{caller.name} {request.path}")
        return caller

    async def count_message(self, caller: Caller) -> None:
        """Counts a message that the assistant is to answer. Raises Overloaded, StoreUnavailable."""
        if not self.limit.take_held(caller.counted_as):
            await asyncio.to_thread(self.limit.check, caller.counted_as)
