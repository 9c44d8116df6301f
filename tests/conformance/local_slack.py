"""Runs github.com/parvalabs/local-slack as a process, performs users' actions in it, and reads the bot's messages.

It has events over HTTP and Socket Mode, commands, buttons and files. It has no streaming and no methods for agents, it
never answers 429, it stores neither metadata nor ``markdown_text``, and its tokens have no scopes.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
import urllib.request
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

from tests.conformance.npm import NpmPackage, NpmUnavailable

PACKAGE = NpmPackage(
    "local-slack-linux-x64",
    "0.1.8",
    "sha512-2BCTKxKajjZNWCSCj66Jq5VDScUDNpGZ1lA3281I8RvpDE4/ULCwC26TlcW6/4sPbSTs02Q3KjTiltJp3ZBEvg==",
)
TEAM, APP, BOT, CHANNEL = "T0LOCAL", "A0LOCAL", "U0BOT", "C0GENERAL"
BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-local", "xapp-local", "local-signing-secret"
USER_COUNT = 30
TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.05

Mode = Literal["events", "socket"]
Json = dict[str, Any]
Value = TypeVar("Value")


class LocalSlack:
    """One workspace with one app. ``mode``: how it sends events to the app; ``request_url``: where, over HTTP."""

    def __init__(self, folder: Path, mode: Mode, request_url: str) -> None:
        """Raises NpmUnavailable."""
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise NpmUnavailable(f"{PACKAGE.name} needs Linux on x86-64")
        program = PACKAGE.ensure_installed() / "bin" / "local-slack"
        config = folder / "slack.json"
        config.write_text(json.dumps(_config(mode, request_url)))
        where = ["--port", "0", "--base-host", "127.0.0.1", "--files-dir", str(folder)]
        self._process = subprocess.Popen(
            [str(program), "--config", str(config), *where],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.url = self._wait_for_url()
        self._users = (f"U0P{number:02}" for number in count())

    def _wait_for_url(self) -> str:
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if "Web UI:" in line:
                return line.split()[-1]
        raise RuntimeError(f"local-slack did not start\n{said}")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    # ------------------------------------------------------------ users' actions; each returns when the app has it

    def new_user(self) -> str:
        """Returns the id of a user who has not written yet."""
        return next(self._users)

    def say(self, user: str, text: str, *, channel: str = "", thread_ts: str | None = None) -> Json:
        """Sends a message, directly to the app unless a channel is given, and returns it."""
        said = self._send_control("message", channel=channel or user, user=user, text=text, thread_ts=thread_ts)
        message: Json = said["message"]
        return message

    def edit(self, message: Json, text: str) -> None:
        self._send_control(
            "edit-message", channel=message["channel"], ts=message["ts"], user=message["user"], text=text
        )

    def delete(self, message: Json) -> None:
        self._send_control("delete-message", channel=message["channel"], ts=message["ts"], user=message["user"])

    def command(self, user: str, channel: str, name: str, text: str = "") -> None:
        self._send_control("command", user=user, channel=channel, command=name, text=text)

    def click(self, user: str, message: Json, element: Json, value: str) -> None:
        action = {"type": element["type"], "action_id": element["action_id"], "value": value}
        self._send_control("interact", channel=message["channel"], messageTs=message["ts"], user=user, action=action)

    def open_home(self, user: str) -> None:
        self._send_control("open-home", user=user)

    def upload(self, user: str, text: str, name: str, content: bytes) -> Json:
        boundary = uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in (("channel", user), ("user", user), ("text", text))
        ]
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        body = "".join([*parts, head, "Content-Type: text/plain\r\n\r\n"]).encode()
        body += content + f"\r\n--{boundary}--\r\n".encode()
        said = self._request("_control/upload", body, f"multipart/form-data; boundary={boundary}")
        message: Json = said["message"]
        return message

    # ------------------------------------------------------------ results

    def replies(self, message: Json) -> list[Json]:
        """Returns the bot's messages in the thread of a message."""
        root = message.get("thread_ts") or message["ts"]
        return [one for one in self.bot_messages(message["channel"]) if one.get("thread_ts") == root]

    def bot_messages(self, channel: str) -> list[Json]:
        """Returns the bot's messages in a channel, including its threads."""
        messages: list[Json] = self._request(f"_control/messages/{channel}")["messages"]
        return [one for one in messages if one["user"] == BOT]

    def log(self) -> list[Json]:
        """Returns the log of all requests to and from the app."""
        entries: list[Json] = self._request("_control/log")["log"]
        return entries

    def wait_for(self, probe: Callable[[], Value]) -> Value:
        """Polls until ``probe`` returns something true, as local-slack reports no changes. Raises AssertionError."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while not (seen := probe()):
            if time.monotonic() > until:
                last = [f"{one['direction']} {one['kind']} {one['summary']}" for one in self.log()[-20:]]
                raise AssertionError("the expected state was not reached; last log entries:\n" + "\n".join(last))
            time.sleep(POLL_SECONDS)
        return seen

    def _send_control(self, what: str, **fields: Any) -> Json:
        body = json.dumps({name: value for name, value in fields.items() if value is not None})
        return self._request(f"_control/{what}", body.encode(), "application/json")

    def _request(self, path: str, body: bytes | None = None, content_type: str = "") -> Json:
        request = urllib.request.Request(f"{self.url}/{path}", body, {"Content-Type": content_type} if body else {})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            said: Json = json.load(answer)
            return said


def _config(mode: Mode, request_url: str) -> Json:
    people = [{"id": f"U0P{number:02}", "name": f"person{number}"} for number in range(USER_COUNT)]
    members = [BOT, *(person["id"] for person in people)]
    app = {"appId": APP, "botUserId": BOT, "botName": "bot", "mode": mode, "requestUrl": request_url}
    return {
        "workspace": {"name": "Local", "domain": "local", "teamId": TEAM},
        "app": {**app, "botToken": BOT_TOKEN, "appToken": APP_TOKEN, "signingSecret": SIGNING_SECRET},
        "users": people,
        "channels": [{"id": CHANNEL, "name": "general", "members": members}],
    }
