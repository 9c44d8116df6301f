"""Response URLs: an app's answers to a command or a click, five at most for each."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.slack_state import Channel, Message, Workspace, World

USES = 5


@dataclass(slots=True)
class _Place:
    channel: Channel
    workspace: Workspace
    user: str
    used: int = 0


class Responses:
    def __init__(self, world: World) -> None:
        self._world = world
        self._places: dict[str, _Place] = {}

    def url(self, kind: str, channel: Channel, user: str) -> str:
        """Returns a new response URL for one command or click."""
        workspace = self._world.workspaces[channel.team]
        path = f"{kind}/{channel.team}/{next(self._world.numbers)}"
        self._places[path] = _Place(channel, workspace, user)
        return f"{self._world.url}/response/{path}"

    async def take(self, request: web.BaseRequest, path: str) -> web.Response:
        """Receives an answer: visible to the channel if ``in_channel``, otherwise only to the user who triggered it."""
        place = self._places.get(path)
        if place is None or place.used >= USES:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        try:
            said = json.loads(await request.read())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        place.used += 1
        with self._world.change():
            self._say(place, str(said.get("text", "")), said.get("blocks") or [], said.get("response_type"))
        return web.Response(text="ok")

    def _say(self, place: _Place, text: str, blocks: list[dict[str, object]], kind: object) -> None:
        ts = self._world.new_ts()
        if kind == "in_channel":
            bot = place.workspace
            self._world.put(Message(ts, place.channel, bot.bot_user, text, blocks=blocks, bot=bot))
            return
        where = {"channel": place.channel.id, "user": place.user, "thread_ts": None, "ts": ts}
        self._world.whispers.append({**where, "text": text, "blocks": blocks})
