"""Response URLs: an app's answers to a command or a click, five at most for each."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aiohttp import web

from tests.fakes.slack_state import FakeSlackMessage, SlackChannel, SlackState, SlackWorkspace

MAX_USES = 5


@dataclass(slots=True)
class _ResponseTarget:
    channel: SlackChannel
    workspace: SlackWorkspace
    user: str
    used: int = 0


class ResponseUrls:
    def __init__(self, state: SlackState) -> None:
        self._state = state
        self._targets: dict[str, _ResponseTarget] = {}

    def create(self, kind: str, channel: SlackChannel, user: str) -> str:
        """Returns a new response URL for one command or click."""
        workspace = self._state.workspaces[channel.team]
        path = f"{kind}/{channel.team}/{next(self._state.ids)}"
        self._targets[path] = _ResponseTarget(channel, workspace, user)
        return f"{self._state.url}/response/{path}"

    async def receive(self, request: web.BaseRequest, path: str) -> web.Response:
        """Receives an answer: visible to the channel if ``in_channel``, otherwise only to the user who triggered it."""
        place = self._targets.get(path)
        if place is None or place.used >= MAX_USES:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        try:
            said = json.loads(await request.read())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        place.used += 1
        with self._state.notify():
            self._post(place, str(said.get("text", "")), said.get("blocks") or [], said.get("response_type"))
        return web.Response(text="ok")

    def _post(self, place: _ResponseTarget, text: str, blocks: list[dict[str, object]], kind: object) -> None:
        ts = self._state.new_ts()
        if kind == "in_channel":
            bot = place.workspace
            self._state.add_message(FakeSlackMessage(ts, place.channel, bot.bot_user, text, blocks=blocks, bot=bot))
            return
        where = {"channel": place.channel.id, "user": place.user, "thread_ts": None, "ts": ts}
        self._state.ephemeral_messages.append({**where, "text": text, "blocks": blocks})
