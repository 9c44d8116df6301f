"""The HTTP API of a fake Discord, with the rules that it enforces. docs.discord.com/developers/reference"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.discord_state import (
    GUILD,
    MAX_CONTENT,
    PUBLIC_THREAD,
    DiscordError,
    DiscordErrorFault,
    DiscordState,
)
from tests.fakes.platform_api import CallHandler, PlatformResponse
from tests.fakes.platform_faults import Json, PlatformFault, RateLimit, RecordedCall

JSON_TYPE = {"Content-Type": "application/json"}
"""As Discord sends it: discord.py takes a body with a charset for text."""

Perform = Callable[[DiscordState, Mapping[str, str], Json], Any]


def find_route(verb: str, path: str) -> tuple[str, Json]:
    """Returns the name of a route and the parts of its path. Raises DiscordError."""
    for name, (method, pattern, _) in ROUTES.items():
        if method == verb and (found := re.fullmatch(pattern, path)):
            return name, found.groupdict()
    raise DiscordError(404, 0, "404: Not Found")


class DiscordApi(CallHandler):
    def __init__(self, state: DiscordState) -> None:
        super().__init__(state, state.faults, state.calls)
        self._state = state

    async def perform(self, call: RecordedCall) -> PlatformResponse:
        if call.token != self._state.bot.token and call.method != "editAnswer":
            return _refusal(401, 0, "401: Unauthorized")
        try:
            with self._state.notify():
                said = ROUTES[call.method][2](self._state, call.args["path"], call.args["body"])
        except DiscordError as exc:
            return _refusal(exc.status, exc.code, exc.message)
        if said is None:
            return PlatformResponse("ok", {}, 200)
        return PlatformResponse("ok", said, headers=JSON_TYPE)

    def fault_response(self, fault: PlatformFault | None) -> PlatformResponse | None:
        match fault:
            case RateLimit(retry_after=seconds):
                body = {"message": "You are being rate limited.", "retry_after": seconds, "global": False}
                return PlatformResponse("429", body, 429, {"Retry-After": str(seconds)})
            case DiscordErrorFault(status=429):
                body = {"message": "You are being rate limited.", "retry_after": 3.0, "global": True}
                return PlatformResponse("429", body, 429)
            case DiscordErrorFault(status=status, code=code):
                return _refusal(status, code, "Refused")
        return None


def _refusal(status: int, code: int, message: str) -> PlatformResponse:
    return PlatformResponse(str(code), {"code": code, "message": message}, status)


# ---------------------------------------------------------------- messages


def _create_message(state: DiscordState, path: Mapping[str, str], body: Json) -> Json:
    state.channel(path["channel"])
    if body.get("enforce_nonce") and body.get("nonce") in state.nonces:
        return state.nonces[body["nonce"]]
    files = body.pop("files", {})
    _check_content(body, allows_empty=bool(files))
    message = _add_message(state, path["channel"], body, files)
    if "nonce" in body:
        state.nonces[body["nonce"]] = message
    return message


def _add_message(state: DiscordState, channel: str, body: Json, files: Mapping[str, bytes]) -> Json:
    attachments = [
        {"id": state.snowflake(), "filename": name, "size": len(content), "url": ""} for name, content in files.items()
    ]
    more = {name: body[name] for name in ("components", "message_reference", "flags") if name in body}
    nonce = {"nonce": body["nonce"]} if "nonce" in body and state.keeps_nonces else {}
    return state.add_message(channel, state.bot_user, body.get("content", ""), attachments=attachments, **more, **nonce)


def _edit_message(state: DiscordState, path: Mapping[str, str], body: Json) -> Json:
    message = state.message(path["channel"], path["message"])
    if message["author"]["id"] != state.bot.id:
        raise DiscordError(403, 50005, "Cannot edit a message authored by another user")
    if "content" in body:
        _check_content(body, allows_empty=bool(message["attachments"]))
    message.update({name: body[name] for name in ("content", "components") if name in body})
    return message


def _delete_message(state: DiscordState, path: Mapping[str, str], _: Json) -> None:
    state.message(path["channel"], path["message"])
    del state.messages[path["channel"]][path["message"]]


def _get_messages(state: DiscordState, path: Mapping[str, str], _: Json) -> list[Json]:
    state.channel(path["channel"])
    after, limit = int(path["after"] or 0), int(path["limit"])
    found = [message for number, message in state.messages[path["channel"]].items() if int(number) > after]
    return sorted(found, key=lambda message: int(message["id"]))[:limit][::-1]


def _get_messages_before(state: DiscordState, path: Mapping[str, str], _: Json) -> list[Json]:
    state.channel(path["channel"])
    before, limit = int(path["before"]), int(path["limit"])
    found = [message for number, message in state.messages[path["channel"]].items() if int(number) < before]
    return sorted(found, key=lambda message: -int(message["id"]))[:limit]


def _check_content(body: Json, *, allows_empty: bool) -> None:
    content = body.get("content", "")
    if len(content) > MAX_CONTENT:
        raise DiscordError(400, 50035, "Invalid Form Body")
    if not content.strip() and not allows_empty:
        raise DiscordError(400, 50006, "Cannot send an empty message")
    if body.get("allowed_mentions") != {"parse": []}:
        raise AssertionError("a message of the bot may notify people")


def _type(state: DiscordState, path: Mapping[str, str], _: Json) -> None:
    state.channel(path["channel"])
    state.typing.append(path["channel"])


def _start_thread(state: DiscordState, path: Mapping[str, str], body: Json) -> Json:
    state.message(path["channel"], path["message"])
    if path["message"] in state.channels:
        raise DiscordError(400, 160004, "A thread has already been created for this message")
    if not 1 <= len(body["name"]) <= 100:
        raise DiscordError(400, 50035, "Invalid Form Body")
    parent = state.channels[path["channel"]]
    thread = {
        "id": path["message"],
        "type": PUBLIC_THREAD,
        "parent_id": parent["id"],
        "guild_id": parent["guild_id"],
        "name": body["name"],
    }
    state.channels[thread["id"]], state.messages[thread["id"]] = thread, {}
    state.dispatch("THREAD_CREATE", thread)
    return thread


# ---------------------------------------------------------------- interactions and the application


def _acknowledge(state: DiscordState, path: Mapping[str, str], body: Json) -> None:
    interaction = state.interactions.get(path["token"])
    if interaction is None:
        raise DiscordError(404, 10062, "Unknown interaction")
    if interaction.acknowledged is not None:
        raise DiscordError(400, 40060, "Interaction has already been acknowledged")
    interaction.acknowledged = body


def _edit_answer(state: DiscordState, path: Mapping[str, str], body: Json) -> Json:
    interaction = state.interactions.get(path["token"])
    if interaction is None or interaction.acknowledged is None:
        raise DiscordError(404, 10015, "Unknown Webhook")
    if path["message"] != "@original":
        return _edit_message(state, {"channel": interaction.channel, "message": path["message"]}, body)
    if not interaction.original:
        _check_content(body, allows_empty=False)
        message = state.add_message(interaction.channel, state.bot_user, body["content"], components=body["components"])
        interaction.original = message["id"]
        return message
    return _edit_message(state, {"channel": interaction.channel, "message": interaction.original}, body)


def _follow_up(state: DiscordState, path: Mapping[str, str], body: Json) -> Json:
    interaction = state.interactions.get(path["token"])
    if interaction is None or interaction.acknowledged is None:
        raise DiscordError(404, 10015, "Unknown Webhook")
    files = body.pop("files", {})
    _check_content(body, allows_empty=bool(files))
    if body.get("flags", 0) & EPHEMERAL:
        state.whispers.append({"channel": interaction.channel, "content": body["content"]})
        return {"id": "0", "content": body["content"]}
    return _add_message(state, interaction.channel, body, files)


def _application(state: DiscordState, _path: Mapping[str, str], _body: Json) -> Json:
    return {
        "id": state.bot.application,
        "name": "Gateway",
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "",
        "owner": state.bot_user,
        "team": None,
        "bot": state.bot_user,
        "flags": state.application_flags,
        "interactions_endpoint_url": state.interactions_url or None,
    }


def _put_commands(state: DiscordState, _path: Mapping[str, str], body: Any) -> Any:
    state.commands = body
    return body


EPHEMERAL = 1 << 6
CHANNEL_PATH = r"/channels/(?P<channel>\d+)"
MESSAGE_PATH = rf"{CHANNEL_PATH}/messages/(?P<message>\d+)"

ROUTES: dict[str, tuple[str, str, Perform]] = {
    "createMessage": ("POST", rf"{CHANNEL_PATH}/messages", _create_message),
    "editMessage": ("PATCH", MESSAGE_PATH, _edit_message),
    "deleteMessage": ("DELETE", MESSAGE_PATH, _delete_message),
    "getMessages": ("GET", rf"{CHANNEL_PATH}/messages\?limit=(?P<limit>\d+)&after=(?P<after>\d*)", _get_messages),
    "getMessagesBefore": (
        "GET",
        rf"{CHANNEL_PATH}/messages\?limit=(?P<limit>\d+)&before=(?P<before>\d+)",
        _get_messages_before,
    ),
    "getMessage": ("GET", MESSAGE_PATH, lambda state, path, _: state.message(path["channel"], path["message"])),
    "getChannel": ("GET", CHANNEL_PATH, lambda state, path, _: state.channel(path["channel"])),
    "getRoles": ("GET", r"/guilds/\d+/roles", lambda state, *_: state.roles),
    "triggerTyping": ("POST", rf"{CHANNEL_PATH}/typing", _type),
    "startThread": ("POST", rf"{MESSAGE_PATH}/threads", _start_thread),
    "callback": ("POST", r"/interactions/(?P<id>\d+)/(?P<token>[^/]+)/callback", _acknowledge),
    "editAnswer": ("PATCH", r"/webhooks/\d+/(?P<token>[^/]+)/messages/(?P<message>@original|\d+)", _edit_answer),
    "followUp": ("POST", r"/webhooks/\d+/(?P<token>[^/]+)", _follow_up),
    "getApplication": ("GET", r"(?:/oauth2)?/applications/@me", _application),
    "getMe": ("GET", "/users/@me", lambda state, *_: state.bot_user),
    "putCommands": ("PUT", r"/applications/\d+/commands", _put_commands),
    "getGuilds": (
        "GET",
        r"/users/@me/guilds\?limit=\d+",
        lambda state, *_: [{"id": GUILD, "name": "Test", "permissions": str(state.permissions)}],
    ),
    "getGateway": ("GET", "/gateway/bot", lambda state, *_: {"url": state.gateway_url, "shards": 1}),
}
