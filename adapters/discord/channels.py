"""Which channel is a thread, and of which channel: events name a channel only."""

from __future__ import annotations

from collections import OrderedDict

from adapters.base.errors import Rejected
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.discord.api_client import DiscordClient
from adapters.discord.event_parser import DiscordPlace

MAX_KNOWN = 20_000
DESCRIBED = frozenset({"CHANNEL_CREATE", "CHANNEL_UPDATE", "THREAD_CREATE", "THREAD_UPDATE"})


class Channels:
    """Learns from events, and asks for what they did not say."""

    def __init__(self, client: DiscordClient) -> None:
        self._client = client
        self._known: OrderedDict[str, DiscordPlace] = OrderedDict()

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
        if channel not in self._known:
            self._note(await self._ask(channel, guild))
        self._known.move_to_end(channel)
        return self._known[channel]

    async def _ask(self, channel: str, guild: str) -> DiscordPlace:
        try:
            return DiscordPlace.of(
                object_in({"it": await self._client.call("GET channel", f"/channels/{channel}")}, "it"), guild
            )
        except Rejected:
            return DiscordPlace(channel, guild)  # it is gone, or the bot may not see it

    def _note(self, place: DiscordPlace) -> None:
        self._known[place.id] = place
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
