"""What roles are called, and which one is the bot's own: messages name a role by its id only."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.discord import text_input
from adapters.discord.api_client import DiscordClient
from adapters.discord.event_parser import NO_ROLE, DiscordRole

MAX_KNOWN = 20_000
DESCRIBED = frozenset({"GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE"})


class Roles:
    """Learns from events, and asks for what they did not say."""

    def __init__(self, client: DiscordClient) -> None:
        self._client = client
        self._known: OrderedDict[str, DiscordRole] = OrderedDict()

    def learn(self, kind: str, event: Fields) -> None:
        """Takes note of the roles that an event describes: docs.discord.com/developers/events/gateway-events"""
        described = [object_in(event, "role")] if kind in DESCRIBED else []
        for role in (*described, *(objects_in(event, "roles") if kind == "GUILD_CREATE" else ())):
            self._note(text_in(role, "id"), DiscordRole.of(role))

    def find(self, role: str) -> DiscordRole:
        """Returns a role; one without a name if it is not known. No I/O."""
        return self._known.get(role, NO_ROLE)

    async def ask(self, event: Fields) -> None:
        """Asks for the roles that a message mentions, if they are not known. Raises DeliveryError."""
        guild = text_in(event, "guild_id")
        unknown = [role for role in text_input.roles_in(event) if role not in self._known]
        if not guild or not unknown:
            return
        found = dict.fromkeys(unknown, NO_ROLE)  # those that are gone are not asked for again
        with suppress(Rejected):
            answer = {"roles": await self._client.call("GET roles", f"/guilds/{guild}/roles")}
            found |= {text_in(role, "id"): DiscordRole.of(role) for role in objects_in(answer, "roles")}
        for number, role in found.items():
            self._note(number, role)

    def _note(self, number: str, role: DiscordRole) -> None:
        self._known[number] = role
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
