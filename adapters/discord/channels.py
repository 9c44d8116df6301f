"""Which channel is a thread, and of which channel: events name a channel only."""

from __future__ import annotations

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.discord.api_client import DiscordClient
from adapters.discord.known import Known
from adapters.discord.places import DiscordPlace

DESCRIBED = frozenset({"CHANNEL_CREATE", "CHANNEL_UPDATE", "THREAD_CREATE", "THREAD_UPDATE"})


class Channels:
    """Learns from events, and asks for what they did not say."""

    def __init__(self, client: DiscordClient) -> None:
        self._client = client
        self._known = Known[DiscordPlace]()

    def learn(self, kind: str, event: Fields) -> None:
        """Takes note of the channels that an event describes: docs.discord.com/developers/events/gateway-events"""
        if kind in DESCRIBED:
            self._note(DiscordPlace.of(event))
        elif kind in {"GUILD_CREATE", "THREAD_LIST_SYNC"}:
            guild = text_in(event, "id" if kind == "GUILD_CREATE" else "guild_id")
            for channel in (*objects_in(event, "channels"), *objects_in(event, "threads")):
                self._note(DiscordPlace.of(channel, guild))

    def name_of(self, channel: str) -> str:
        """Returns a channel's name; "" if it is not known. No I/O."""
        place = self._known.get(channel)
        return place.name if place else ""

    async def place_of(self, event: Fields) -> DiscordPlace:
        """Returns where an event happened. Raises DeliveryError if Discord cannot be asked."""
        channel, guild = text_in(event, "channel_id"), text_in(event, "guild_id")
        if not guild:
            return DiscordPlace(channel)
        return self._known.get(channel) or await self._ask(channel, guild)

    async def _ask(self, channel: str, guild: str) -> DiscordPlace:
        try:
            told = {"it": await self._client.call("GET channel", f"/channels/{channel}")}
        except Rejected:
            return self._known.refused(channel, DiscordPlace(channel, guild))
        return self._known.learn(channel, DiscordPlace.of(object_in(told, "it"), guild))

    def _note(self, place: DiscordPlace) -> None:
        self._known.learn(place.id, place)
