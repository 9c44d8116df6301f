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

from tests.conformance.pypi import PypiWheel
from tests.conformance.serve_process import free_port
from tests.fakes.change_signal import ChangeSignal
from tests.fakes.platform_faults import PlatformFaults, RecordedCall
from tests.fakes.platform_server import FakePlatformServer
from tests.fakes.telegram_messages import Json

WHEEL = PypiWheel("lo-bot-api-emulator", "0.3.6", "5cf695cfc18bff67141e030d3aa6d14a8622b1130236a879f90e19479827de0c")
TOKEN = "7:synthetic-token"
"""The token of its only bot."""
UNSUPPORTED_ARGUMENTS = {"sendMessage": {"link_preview_options"}, "editMessageText": {"link_preview_options"}}
"""Arguments that the emulator refuses, by method."""
UNSUPPORTED_UPDATES = {"stopped_message_generation"}
TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.05


class TelegramEmulator(FakePlatformServer):
    """``with TelegramEmulator(folder) as telegram:`` and ``telegram.url`` is its URL. Raises WheelUnavailable."""

    def __init__(self, folder: Path) -> None:
        bell = ChangeSignal()
        super().__init__(bell, PlatformFaults(), 0)
        self.calls: list[RecordedCall] = []
        """All calls of the bot, with their responses."""
        self._notify_change = bell.notify
        self._emulator_url = f"http://127.0.0.1:{(port := free_port())}"
        options = ["--port", str(port), "--enable-control", "--allow-insecure-loopback-webhooks"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from lo_bot_api_emulator import main; main()", *options],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(WHEEL.ensure_installed())},
            stdout=subprocess.DEVNULL,
        )

    # ------------------------------------------------------------ users' actions

    def push_update(self, update: Json) -> int:
        """Adds an update and returns its id. With a webhook, delivers it once before returning.

        An update that the webhook did not acknowledge is sent again with the next one, or when a webhook is set.
        """
        number: int = self._request("__fixture/updates", {"token": TOKEN, "update": update})["update_id"]
        return number

    # ------------------------------------------------------------ results

    def bot_messages(self, chat: int) -> list[str]:
        """Returns the bot's messages in a chat."""
        sent = [call for call in self.calls if call.method == "sendMessage" and call.summary == "200"]
        return [call.args["text"] for call in sent if int(call.args["chat_id"]) == chat]

    def refused_calls(self) -> list[str]:
        """Returns the refused calls with the emulator's descriptions."""
        refused = [call for call in self.calls if call.summary != "200"]
        return [f"{call.method}: {call.answer.get('description')}" for call in refused]

    def pending_updates(self) -> int:
        waits: int = self._request(f"bot{TOKEN}/getWebhookInfo", {})["pending_update_count"]
        return waits

    def _describe(self) -> str:
        return "\n".join(f"{call.method} {call.args} {call.summary} {call.answer}" for call in self.calls[-20:])

    def _request(self, path: str, body: Json) -> Json:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._emulator_url}/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            result: Json = json.load(answer)["result"]
            return result

    # ------------------------------------------------------------ proxy

    async def _on_start(self) -> None:
        self._http = aiohttp.ClientSession()
        until = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                async with self._http.get(f"{self._emulator_url}/bot{TOKEN}/getMe"):
                    return
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < until, "the emulator does not listen"
                await asyncio.sleep(POLL_SECONDS)

    async def _on_stop(self) -> None:
        await self._http.close()
        self._process.kill()
        self._process.communicate()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        method = request.path.rpartition("/")[2]
        args = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        call = RecordedCall(method, args, TOKEN)
        await self.faults.run_before(call)
        forwarded = asyncio.ensure_future(self._forward(request.path, call))
        while not forwarded.done():
            if request.transport is None or request.transport.is_closing():
                forwarded.cancel()  # so that a poll ends when its client disconnects
            await asyncio.wait({forwarded}, timeout=POLL_SECONDS)
        return web.Response() if forwarded.cancelled() else forwarded.result()

    async def _forward(self, path: str, call: RecordedCall) -> web.Response:
        async with self._http.post(
            f"{self._emulator_url}{path}", data=supported_arguments(call.method, call.args)
        ) as answer:
            said = await answer.json()
            with self._notify_change():
                self.calls.append(replace(call, summary=str(answer.status), answer=said))
            return web.json_response(said, status=answer.status)


def supported_arguments(method: str, args: dict[str, str]) -> dict[str, str]:
    """Returns the arguments without those that the emulator does not support."""
    kept = {name: value for name, value in args.items() if name not in UNSUPPORTED_ARGUMENTS.get(method, ())}
    if kinds := kept.get("allowed_updates"):
        known: Sequence[str] = [kind for kind in json.loads(kinds) if kind not in UNSUPPORTED_UPDATES]
        kept["allowed_updates"] = json.dumps(known)
    return kept
