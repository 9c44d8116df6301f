"""An event for every message subtype that Slack documents, and for those it sends without a documentation page."""

from __future__ import annotations

from typing import Any

CHANNEL = "C0CHAN"
ANN = "U0ANN"
BOB = "U0BOB"
TS = "1700000100.000100"
ROOT = "1700000000.000100"
HUDDLE_ROOM = {"id": "R0HUDDLE", "created_by": ANN, "channels": [CHANNEL], "participants": [], "has_ended": False}
FILE = {
    "id": "F0FILE",
    "name": "notes.txt",
    "title": "notes.txt",
    "mimetype": "text/plain",
    "filetype": "text",
    "mode": "hosted",
    "size": 5,
    "user": ANN,
    "url_private": "https://files.slack.com/files-pri/T0TEAM-F0FILE/notes.txt",
    "url_private_download": "https://files.slack.com/files-pri/T0TEAM-F0FILE/download/notes.txt",
}


def _message_event(subtype: str, **more: Any) -> dict[str, Any]:
    event = {"type": "message", "subtype": subtype, "channel": CHANNEL, "channel_type": "channel"}
    return {**event, "ts": TS, "event_ts": TS, **more}


def _text_event(subtype: str, text: str, *, user: str = ANN, **more: Any) -> dict[str, Any]:
    return _message_event(subtype, user=user, text=text, **more)


def _root(**more: Any) -> dict[str, Any]:
    """Returns a user's message as embedded in other events."""
    return {"type": "message", "user": ANN, "text": "the root", "ts": ROOT, "team": "T0TEAM", **more}


def _channel_events() -> list[dict[str, Any]]:
    return [
        _text_event("channel_join", f"<@{ANN}> has joined the channel", inviter=BOB),
        _text_event("channel_leave", f"<@{ANN}> has left the channel"),
        _text_event("channel_topic", f"<@{ANN}> set the channel topic: hello", topic="hello"),
        _text_event("channel_purpose", f"<@{ANN}> set the channel purpose: to talk", purpose="to talk"),
        _text_event("channel_name", f"<@{ANN}> has renamed the channel", old_name="old", name="new"),
        _text_event("channel_archive", f"<@{ANN}> archived the channel", members=[ANN, BOB]),
        _text_event("channel_unarchive", f"<@{ANN}> un-archived the channel"),
        _text_event("channel_convert_to_private", "made this channel *private*.", channel_type="group"),
        _text_event("channel_convert_to_public", "made this channel *public*."),
        _text_event("channel_posting_permissions", "changed channel posting permissions."),
        _text_event("channel_canvas_updated", "updated the channel canvas"),
        _text_event("tabbed_canvas_updated", "updated a canvas tab"),
        _text_event("sh_room_created", "A huddle started", user="USLACK", room=HUDDLE_ROOM, no_notifications=True),
        _text_event("huddle_thread", "A huddle started", room=HUDDLE_ROOM, no_notifications=True),
        _text_event("joiner_notification", f"<@{ANN}> joined Slack. Say hello!"),
        _text_event("app_conversation_join", "an app was added to this conversation"),
        _text_event("app_conversation_leave", "an app was removed from this conversation"),
    ]


def _group_events() -> list[dict[str, Any]]:
    events = [
        _text_event("group_join", f"<@{ANN}> has joined the group"),
        _text_event("group_leave", f"<@{ANN}> has left the group"),
        _text_event("group_topic", f"<@{ANN}> set the group topic: hello", topic="hello"),
        _text_event("group_purpose", f"<@{ANN}> set the group purpose: to talk", purpose="to talk"),
        _text_event("group_name", f"<@{ANN}> has renamed the group", old_name="old", name="new"),
        _text_event("group_archive", f"<@{ANN}> archived the group", members=[ANN, BOB]),
        _text_event("group_unarchive", f"<@{ANN}> un-archived the group"),
    ]
    return [{**event, "channel": "G0GROUP", "channel_type": "group"} for event in events]


def _message_events() -> list[dict[str, Any]]:
    now = {**_root(), "text": "the root, better", "edited": {"user": ANN, "ts": TS}}
    told = {"hidden": True}
    thread = {"thread_ts": ROOT, "reply_count": 1, "replies": [{"user": BOB, "ts": TS}]}
    return [
        _text_event("me_message", "is thinking"),
        _text_event(
            "thread_broadcast", "also to the channel", thread_ts=ROOT, root=_root(thread_ts=ROOT, reply_count=1)
        ),
        _text_event(
            "reply_broadcast", "also to the channel", thread_ts=ROOT, root=_root(thread_ts=ROOT, reply_count=1)
        ),
        _message_event("message_changed", **told, message=now, previous_message=_root()),
        _message_event("message_deleted", **told, deleted_ts=ROOT, previous_message=_root()),
        _message_event("message_replied", **told, message=_root(**thread)),
        _text_event("tombstone", "This message was deleted.", user="USLACKBOT", **told),
        _text_event("assistant_app_thread", "New chat", user="U0BOT", bot_id="B0BOT", thread_ts=ROOT, **_im()),
        _text_event("ekm_access_denied", "Your admins have suspended access", user="UREVOKEDU", channel="C0EKM"),
        _text_event("document_mention", f"<@{ANN}> mentioned you in a canvas", file_id="F0FILE"),
        _text_event("share_shortcut", f"<@{ANN}> shared a shortcut"),
    ]


def _bot_events() -> list[dict[str, Any]]:
    icons = {"emoji": ":robot_face:"}
    return [
        _message_event("bot_message", text="a build has failed", bot_id="B0OTHER", username="builds", icons=icons),
        _text_event("bot_add", f"added an integration to this channel: <@{BOB}>", bot_id="B0OTHER", bot_link="<x|y>"),
        _text_event("bot_remove", "removed an integration from this channel", bot_id="B0OTHER", bot_link="<x|y>"),
        _text_event("bot_enable", "enabled an integration in this channel", bot_id="B0OTHER"),
        _text_event("bot_disable", "disabled an integration in this channel", bot_id="B0OTHER"),
        _text_event("slackbot_response", "You rang?", user="USLACKBOT"),
        _text_event("reminder_add", "set up a reminder “to eat” in this channel", reminder_id="Rm0REMINDER"),
    ]


def _file_events() -> list[dict[str, Any]]:
    comment = {"id": "Fc0COMMENT", "user": ANN, "comment": "fine", "timestamp": 1700000100, "created": 1700000100}
    return [
        _text_event("file_share", "look at this", files=[FILE], upload=True, display_as_bot=False),
        _message_event("file_comment", text=f"<@{ANN}> commented on a file: fine", file=FILE, comment=comment),
        _text_event("file_mention", f"<@{ANN}> mentioned a file", file=FILE),
        _text_event("pinned_item", "pinned a message", item_type="C", item={"type": "message", "message": _root()}),
        _text_event("unpinned_item", "unpinned a message", item_type="C", item={"type": "message", "message": _root()}),
    ]


def _im() -> dict[str, Any]:
    return {"channel": "D0DM", "channel_type": "im"}


MESSAGE_SUBTYPES: dict[str, dict[str, Any]] = {
    event["subtype"]: event
    for events in (_channel_events(), _group_events(), _message_events(), _bot_events(), _file_events())
    for event in events
}
"""By name. Only ``file_share``, ``thread_broadcast`` and ``me_message`` are messages that users write.

docs.slack.dev/reference/events/message#subtypes; those without a page there (``sh_room_created``, ``tombstone`` and the
like) come from published clients.
"""
