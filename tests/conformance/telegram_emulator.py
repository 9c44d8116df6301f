"""Runs lo-bot-api-emulator, a third-party Bot API, as a process behind a recording proxy.

It has long polling with acknowledgements by offset, 409, and webhooks with a secret, which only a 2xx acknowledges. Its
messages are in private chats: there are no groups, topics, usernames or edits by users, and it has neither drafts nor
limits. It does not report what a bot sends, and it refuses newer arguments, where Telegram ignores them. So the proxy
records the bot's calls and removes the arguments that the emulator does not support.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.conformance.pypi import Wheel
from tests.conformance.serve_process import free_port
from tests.fakes.change_signal import Bell
from tests.fakes.platform_faults import Call, Faults
from tests.fakes.platform_server import WebServer
from tests.fakes.telegram_messages import Json

WHEEL = Wheel("lo-bot-api-emulator", "0.3.6", "5cf695cfc18bff67141e030d3aa6d14a8622b1130236a879f90e19479827de0c")
TOKEN = "7:synthetic-token"
"""The token of its only bot."""
LACKS = {"sendMessage": {"link_preview_options"}, "editMessageText": {"link_preview_options"}}
"""Arguments that the emulator refuses, by method."""
LACKING_UPDATES = {"stopped_message_generation"}
PATIENCE = 20.0
LOOK_SECONDS = 0.05


class OtherTelegram(WebServer):
    """``with TelegramEmulator(folder) as telegram:`` and ``telegram.url`` is its URL. Raises WheelUnavailable."""

    def __init__(self, folder: Path) -> None:
        bell = Bell()
        super().__init__(bell, Faults(), 0)
        self.calls: list[Call] = []
        """All calls of the bot, with their responses."""
        self._change = bell.change
        self._at = f"http://127.0.0.1:{(port := free_port())}"
        options = ["--port", str(port), "--enable-control", "--allow-insecure-loopback-webhooks"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from lo_bot_api_emulator import main; main()", *options],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(WHEEL.installed())},
            stdout=subprocess.DEVNULL,
        )

    # ------------------------------------------------------------ users' actions

    def push(self, update: Json) -> int:
        """Adds an update and returns its id. With a webhook, delivers it once before returning.

        An update that the webhook did not acknowledge is sent again with the next one, or when a webhook is set.
        """
        number: int = self._ask("__fixture/updates", {"token": TOKEN, "update": update})["update_id"]
        return number

    # ------------------------------------------------------------ results

    def said(self, chat: int) -> list[str]:
        """Returns the bot's messages in a chat."""
        sent = [call for call in self.calls if call.method == "sendMessage" and call.answered == "200"]
        return [call.args["text"] for call in sent if int(call.args["chat_id"]) == chat]

    def refused(self) -> list[str]:
        """Returns the refused calls with the emulator's descriptions."""
        refused = [call for call in self.calls if call.answered != "200"]
        return [f"{call.method}: {call.answer.get('description')}" for call in refused]

    def pending(self) -> int:
        waits: int = self._ask(f"bot{TOKEN}/getWebhookInfo", {})["pending_update_count"]
        return waits

    def _describe(self) -> str:
        return "\n".join(f"{call.method} {call.args} {call.answered} {call.answer}" for call in self.calls[-20:])

    def _ask(self, path: str, body: Json) -> Json:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._at}/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            result: Json = json.load(answer)["result"]
            return result

    # ------------------------------------------------------------ proxy

    async def _open(self) -> None:
        self._http = aiohttp.ClientSession()
        until = time.monotonic() + PATIENCE
        while True:
            try:
                async with self._http.get(f"{self._at}/bot{TOKEN}/getMe"):
                    return
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < until, "the emulator does not listen"
                await asyncio.sleep(LOOK_SECONDS)

    async def _close(self) -> None:
        await self._http.close()
        self._process.kill()
        self._process.communicate()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        method = request.path.rpartition("/")[2]
        args = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        call = Call(method, args, TOKEN)
        await self.faults.run_before(call)
        forwarded = asyncio.ensure_future(self._forward(request.path, call))
        while not forwarded.done():
            if request.transport is None or request.transport.is_closing():
                forwarded.cancel()  # so that a poll ends when its client disconnects
            await asyncio.wait({forwarded}, timeout=LOOK_SECONDS)
        return web.Response() if forwarded.cancelled() else forwarded.result()

    async def _forward(self, path: str, call: Call) -> web.Response:
        async with self._http.post(f"{self._at}{path}", data=without_lacking(call.method, call.args)) as answer:
            said = await answer.json()
            with self._change():
                self.calls.append(replace(call, answered=str(answer.status), answer=said))
            return web.json_response(said, status=answer.status)


def without_lacking(method: str, args: dict[str, str]) -> dict[str, str]:
    """Returns the arguments without those that the emulator does not support."""
    kept = {name: value for name, value in args.items() if name not in LACKS.get(method, ())}
    if kinds := kept.get("allowed_updates"):
        known: Sequence[str] = [kind for kind in json.loads(kinds) if kind not in LACKING_UPDATES]
        kept["allowed_updates"] = json.dumps(known)
    return kept
