"""JSON of messages, files, channels and users as the Web API returns them."""

from __future__ import annotations

from tests.fakes.slack_events import APP
from tests.fakes.slack_faults import Json
from tests.fakes.slack_state import FakeSlackMessage, SlackChannel, SlackFile, SlackState


def message_json(state: SlackState, message: FakeSlackMessage, *, metadata: bool = True) -> Json:
    """Returns the JSON of a message; metadata only if asked for."""
    shown: Json = {"type": "message", "user": message.user, "ts": message.ts, "team": message.channel.team}
    shown["text"] = message.view().text
    if message.bot is not None:
        shown |= {"bot_id": message.bot.bot_id, "app_id": APP}
    if message.thread_ts is not None:
        shown["thread_ts"] = message.thread_ts
    elif replies := message.channel.threads.get(message.ts):
        shown |= {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts}
    if message.blocks:
        shown["blocks"] = message.blocks
    if message.files:
        shown["files"] = [file_json(state, file) for file in message.files]
    if message.edited is not None:
        shown["edited"] = message.edited
    if metadata and message.metadata is not None:
        shown["metadata"] = message.metadata
    return {**shown, **message.extra_fields}


def file_json(state: SlackState, file: SlackFile) -> Json:
    private = f"{state.url}/files-pri/{file.team}-{file.id}"
    return {
        "id": file.id,
        "created": 1700000000,
        "timestamp": 1700000000,
        "name": file.name,
        "title": file.title or file.name,
        "mimetype": file.mimetype,
        "filetype": file.name.rpartition(".")[2],
        "user": file.user,
        "user_team": file.team,
        "mode": "hosted",
        "size": len(file.content),
        "is_external": False,
        "url_private": f"{private}/{file.name}",
        "url_private_download": f"{private}/download/{file.name}",
        **file.extra_fields,
    }


def channel_json(channel: SlackChannel) -> Json:
    kind = channel.kind
    shown: Json = {
        "id": channel.id,
        "created": 1700000000,
        "is_archived": channel.archived,
        "is_member": channel.bot_is_member,
    }
    shown |= {"is_im": kind == "im", "is_channel": kind == "channel", "is_group": kind == "group", "is_mpim": False}
    return shown if kind == "im" else {**shown, "name": channel.name, "is_private": kind == "group"}


def user_json(user: Json) -> Json:
    name = user["name"]
    profile = {"real_name": name.title(), "display_name": name, "email": f"{name}@example.com"}
    return {"deleted": False, "is_bot": False, "real_name": profile["real_name"], "profile": profile, **user}
