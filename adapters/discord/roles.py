"""What roles are called, and which one is the bot's own: messages name a role by its id only."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.discord import text_input
from adapters.discord.api_client import DiscordClient
from adapters.discord.known import Known
from adapters.discord.places import NO_ROLE, DiscordRole

DESCRIBED = frozenset({"GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE"})


class Roles:
    """Learns from events, and asks for what they did not say."""

    def __init__(self, client: DiscordClient) -> None:
        self._client = client
        self._known = Known[DiscordRole]()

    def learn(self, kind: str, event: Fields) -> None:
        """Takes note of the roles that an event describes: docs.discord.com/developers/events/gateway-events"""
        described = [object_in(event, "role")] if kind in DESCRIBED else []
        self._note((*described, *(objects_in(event, "roles") if kind == "GUILD_CREATE" else ())))

    def find(self, role: str) -> DiscordRole:
        """Returns a role; one without a name if it is not known. No I/O."""
        return self._known.get(role) or NO_ROLE

    async def ask(self, event: Fields) -> None:
        """Asks for the roles that a message mentions, if they are not known. Raises DeliveryError."""
        guild = text_in(event, "guild_id")
        unknown = [role for role in text_input.roles_in(event) if self._known.get(role) is None]
        if not guild or not unknown:
            return
        with suppress(Rejected):
            self._note(objects_in({"roles": await self._client.call("GET roles", f"/guilds/{guild}/roles")}, "roles"))
        for role in unknown:
            if self._known.get(role) is None:
                self._known.refused(role, NO_ROLE)

    def _note(self, roles: Iterable[Fields]) -> None:
        for role in roles:
            self._known.learn(text_in(role, "id"), DiscordRole.of(role))
