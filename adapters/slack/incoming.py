"""What Slack tells us, in the words of the core: requests verified and read, and what they ask for. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from slack_sdk.signature import SignatureVerifier

from adapters.slack import words
from adapters.slack.formatter import FEEDBACK_ACTION, read_feedback
from adapters.slack.reply_target import NAME
from adapters.slack.settings import SlackSettings
from adapters.slack.words import Fields, object_in, objects_in, text_in, written
from gateway.errors import Unreadable, Unverified
from gateway.messages import Address, ConversationKey, Edit, File, Kind, Message, Verdict, Withdrawal
from gateway.ports import Receipt, Request

ID = re.compile(r"[A-Za-z0-9_.\-]{1,80}")
"""What Slack's ids and timestamps are made of; three of them fit into a message id."""
TIMESTAMP = re.compile(r"[0-9]{1,12}")
SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 100
"""A command has about fifteen."""
LARGEST_FILE = 2**53

SAID = (None, "file_share", "thread_broadcast", "me_message", "bot_message")
"""The subtypes in which somebody says something. docs.slack.dev/reference/events/message#subtypes"""
SLACK_ITSELF = frozenset({"USLACKBOT", "USLACK"})
GONE = ("tombstone", "hidden_by_limit")
"""Modes of files that have no content any more. docs.slack.dev/reference/objects/file-object"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose event it is: the installation that it was sent to."""

    team: str
    enterprise: str = ""
    bot_user: str = ""
    app: str = ""
    event_id: str = ""

    @classmethod
    def of(cls, payload: Fields) -> Origin:
        """From the envelope of an event.

        In a channel that several companies share, ``authorizations`` names us, and ``team_id`` may be another's.
        """
        ours = next(iter(objects_in(payload, "authorizations")), {})
        return cls(
            team=_id(ours, "team_id") or _id(payload, "team_id"),
            enterprise=_id(ours, "enterprise_id") or _id(payload, "enterprise_id"),
            bot_user=_id(ours, "user_id"),
            app=_id(payload, "api_app_id"),
            event_id=_id(payload, "event_id"),
        )


@dataclass(frozen=True, slots=True)
class Spot:
    """Where somebody did something, and who."""

    channel: str
    user: str
    direct: bool
    ts: str = ""
    """The message; empty where it was none."""
    thread_ts: str = ""
    """The root of the thread it was done in; empty at the top level."""
    user_team: str = ""
    kind: str = ""
    """``stop`` for the Stop button, ``command`` for a slash command, empty for a message."""

    @classmethod
    def of(cls, event: Fields, user: str, kind: str = "") -> Spot:
        channel, ts, thread_ts = _id(event, "channel"), _id(event, "ts"), _id(event, "thread_ts")
        return cls(
            channel,
            user,
            _is_direct(channel, event.get("channel_type")),
            ts=ts,
            thread_ts="" if thread_ts == ts else thread_ts,
            user_team=_user_team(event),
            kind=kind,
        )


class Reader:
    """Decides from one payload alone what is said to us, and where it belongs. Keeps nothing."""

    def __init__(self, settings: SlackSettings) -> None:
        secret = settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else ""
        self._verifier = SignatureVerifier(secret) if secret.strip() else None
        self._scope = settings.slack_scope
        self._joins_threads = settings.slack_replies == "thread"
        self._bots = frozenset(name.strip() for name in settings.slack_allowed_bots.split(",") if name.strip())

    def receive(self, request: Request) -> Receipt:
        """A request to one of our addresses. Raises Unverified, Unreadable."""
        return self.read(decode(request.headers.get("content-type", ""), self._verified(request)))

    def read(self, payload: Fields) -> Receipt:
        """A payload that is known to be Slack's. Raises nothing; what we do not know is nothing to us."""
        match payload.get("type"):
            case "event_callback":
                return self._event(Origin.of(payload), object_in(payload, "event"))
            case "block_actions":
                return _clicks(payload)
        return self._command(payload) if "command" in payload else Receipt()

    def _verified(self, request: Request) -> str:
        """The body, if Slack signed it within the last five minutes. Raises Unverified, Unreadable."""
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if self._verifier and TIMESTAMP.fullmatch(timestamp) and SIGNATURE.fullmatch(signature):
            try:
                body = request.body.decode()
            except UnicodeDecodeError:
                raise Unreadable("The body is not UTF-8.") from None
            if self._verifier.is_valid(body, timestamp, signature):
                return body
        raise Unverified("The signature is missing, wrong or older than five minutes.")

    def _event(self, origin: Origin, event: Fields) -> Receipt:
        match event.get("type"):
            case "message" | "app_mention":
                return self._message(origin, event)
            case "agent_session_stopped":
                return _receipt(self._stopped(origin, event))
        return Receipt()

    def _message(self, origin: Origin, event: Fields) -> Receipt:
        match event.get("subtype"):
            case "message_changed":
                return self._changed(origin, event)
            case "message_deleted":
                return _withdrawn(_message_id(origin, event, _id(event, "deleted_ts")))
            case subtype if subtype in SAID:
                return _receipt(self._said(origin, event))
        return Receipt()

    def _said(self, origin: Origin, event: Fields) -> Message | None:
        """A mention comes as ``app_mention`` and as ``message``, in any order, and is read as the same both times."""
        spot = Spot.of(event, self._author(origin, event))
        message_id = _message_id(origin, event, spot.ts)
        addressed = spot.direct or _is_called(event, origin)
        if not (message_id and spot.user) or event.get("hidden") or not (addressed or self._joins(origin, spot, event)):
            return None
        text, files = _text(event, origin), _files(event)
        kind = Kind.ASK if files else words.kind_of(text)
        if kind is Kind.RESET and not addressed:
            kind = Kind.ASK  # somebody else may be meant, and what is forgotten is gone
        # In a thread that we have no part in there is nothing to stop, and nobody to be told so.
        opens = addressed and not (kind is Kind.STOP and spot.thread_ts)
        key, address = self._key(origin, spot), self._address(origin, spot)
        return Message(key, message_id, text, spot.user, address, kind, files, opens)

    def _joins(self, origin: Origin, spot: Spot, event: Fields) -> bool:
        """Whether a message that does not address us may still be for us: as part of a thread that we may be in.

        Where a conversation is a whole channel, its key does not tell in which threads of it we were mentioned. There
        only replies to a message of our own count.
        """
        if not self._joins_threads or not spot.thread_ts:
            return False
        return self._scope == "topic" or _id(event, "parent_user_id") == origin.bot_user != ""

    def _author(self, origin: Origin, message: Fields) -> str:
        """Who says it; empty when it is nobody whom we answer: we ourselves, Slack, a bot that is not allowed."""
        user, bot = _id(message, "user"), _id(message, "bot_id")
        apps = {_id(message, "app_id"), _id(object_in(message, "bot_profile"), "app_id")}
        if user in SLACK_ITSELF or (user and user == origin.bot_user) or (origin.app and origin.app in apps):
            return ""
        is_bot = bot or message.get("subtype") == "bot_message"
        return "" if is_bot and not self._bots & {"*", user, bot} else user or bot

    def _changed(self, origin: Origin, event: Fields) -> Receipt:
        """An edit, a link's preview, or the end of a message with replies: it stays in its place as an empty one."""
        message, before = object_in(event, "message"), object_in(event, "previous_message")
        message_id = _message_id(origin, event, _id(message, "ts"))
        if message.get("subtype") == "tombstone":
            return _withdrawn(message_id)
        if not message.get("edited") or written(message) == written(before) or not self._author(origin, message):
            return Receipt()
        edit = Edit(NAME, message_id, _text(message, origin))
        return Receipt(changes=(edit,) if message_id else ())

    def _stopped(self, origin: Origin, event: Fields) -> Message | None:
        """The Stop button. docs.slack.dev/reference/events/agent_session_stopped"""
        spot = Spot.of(event, _id(event, "user"), "stop")
        press = origin.event_id or _id(event, "event_ts")
        if not (origin.team and spot.channel and press):
            return None
        key, address = self._key(origin, spot), self._address(origin, spot)
        return Message(key, f"{origin.team}:stop:{press}", "stop", spot.user, address, Kind.STOP, opens=False)

    def _command(self, form: Fields) -> Receipt:
        """A slash command. It never tells of a thread: docs.slack.dev/interactivity/implementing-slash-commands"""
        name = text_in(form, "command").replace("-", "/").rpartition("/")[2]
        if "reset" not in {name.lower(), text_in(form, "text").strip().lower()}:
            return whisper(words.HELP.format(scope=words.REMEMBERED[self._scope]))
        if self._scope == "topic":
            return whisper(words.RESET_IN_THREADS)
        origin = Origin(_id(form, "team_id"), _id(form, "enterprise_id"))
        channel, user, trigger = (_id(form, name) for name in ("channel_id", "user_id", "trigger_id"))
        if not (origin.team and channel and user and trigger):
            return Receipt()
        spot = Spot(channel, user, _is_direct(channel, None), kind="command")
        key, address = self._key(origin, spot), self._address(origin, spot)
        return Receipt((Message(key, f"{origin.team}:command:{trigger}", "reset", user, address, Kind.RESET),))

    def _key(self, origin: Origin, spot: Spot) -> ConversationKey:
        topic = (spot.thread_ts or spot.ts) if self._scope == "topic" else ""
        user = spot.user if self._scope == "user" else ""
        return ConversationKey(NAME, origin.team, spot.channel, topic, user)

    def _address(self, origin: Origin, spot: Spot) -> Address:
        """A reply goes under the message; only where direct messages are one conversation it goes beside it."""
        beside = spot.direct and self._scope != "topic"
        return address_of(origin, spot, spot.thread_ts if beside else spot.thread_ts or spot.ts)


def address_of(origin: Origin, spot: Spot, thread_ts: str) -> Address:
    """An address as ``places.SlackTarget.of`` reads it. What is empty is left out."""
    parts = {
        "team": origin.team,
        "enterprise": origin.enterprise,
        "channel": spot.channel,
        "channel_type": "im" if spot.direct else "channel",
        "thread_ts": thread_ts,
        "ts": spot.ts,
        "user": spot.user,
        "user_team": spot.user_team,
        "kind": spot.kind,
    }
    return {name: part for name, part in parts.items() if part}


def whisper(text: str) -> Receipt:
    """An answer to a slash command that only the person sees who gave it."""
    return Receipt(body=json.dumps({"response_type": "ephemeral", "text": text}, ensure_ascii=False))


def decode(content_type: str, body: str) -> Mapping[str, Any]:
    """The payload of a request: JSON, a form, or JSON in a form. Raises Unreadable."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        return _json(body)
    form = _form(body)
    return _json(form["payload"]) if "payload" in form else form


def _form(body: str) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(body, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS)
        )
    except ValueError:  # UnicodeDecodeError among them
        raise Unreadable("The body is not a form.") from None


def _json(text: str) -> Mapping[str, Any]:
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("The body is not JSON.") from None
    if not isinstance(payload, dict):
        raise Unreadable("The body is not a JSON object.")
    return payload


def _id(fields: Fields, name: str) -> str:
    """An id or a timestamp; empty when there is none, or none that can be Slack's."""
    value = fields.get(name)
    return value if isinstance(value, str) and ID.fullmatch(value) else ""


def _user_team(event: Fields) -> str:
    """The author's workspace, which in a shared channel may be another company's.

    In an ``app_mention`` it may be an organisation (E…) instead, which nobody can be addressed by.
    """
    named = (_id(event, name) for name in ("user_team", "source_team", "team"))
    return next((team for team in named if team.startswith("T")), "")


def _is_direct(channel: str, channel_type: Any) -> bool:
    """An ``app_mention`` and a command have no type of channel."""
    return channel_type in ("im", "app_home") if channel_type else channel.startswith("D")


def _message_id(origin: Origin, event: Fields, ts: str) -> str:
    """The same for every event about a message; empty when it cannot be told."""
    channel = _id(event, "channel")
    return f"{origin.team}:{channel}:{ts}" if origin.team and channel and ts else ""


def _receipt(message: Message | None) -> Receipt:
    return Receipt((message,) if message else ())


def _withdrawn(message_id: str) -> Receipt:
    return Receipt(changes=(Withdrawal(NAME, message_id),) if message_id else ())


def _is_called(event: Fields, origin: Origin) -> bool:
    """Whether the bot is mentioned. The text decides; what Slack calls a mention is none the less."""
    return words.mentions(written(event), origin.bot_user) or event.get("type") == "app_mention"


def _text(message: Fields, origin: Origin) -> str:
    """What a message says, for an assistant; of one with files it may be nothing."""
    text = words.whole(message, origin.bot_user)
    if text or _files(message):
        return text
    return words.NOTHING_SAID if _is_called(message, origin) else words.UNREADABLE


def _files(message: Fields) -> tuple[File, ...]:
    """What is attached, also to the messages that are forwarded."""
    own = objects_in(message, "files")
    forwarded = (file for part in words.enclosed(message) for file in objects_in(part, "files"))
    return tuple(_file(file) for file in (*own, *forwarded) if _id(file, "id") and file.get("mode") not in GONE)


def _file(file: Fields) -> File:
    """Of a file from another company only the id may be known: docs.slack.dev/apis/slack-connect"""
    url = text_in(file, "url_private_download") or text_in(file, "url_private")
    reference = json.dumps({"id": _id(file, "id"), "url": url}, separators=(",", ":"))
    name = text_in(file, "name") or text_in(file, "title") or _id(file, "id")
    return File(name, reference, text_in(file, "mimetype"), _size(file.get("size")))


def _size(size: Any) -> int:
    return size if isinstance(size, int) and 0 <= size <= LARGEST_FILE else 0


def _clicks(payload: Fields) -> Receipt:
    """What somebody thinks of replies, by the buttons under them.

    docs.slack.dev/reference/interaction-payloads/block_actions-payload
    """
    author = _id(object_in(payload, "user"), "id")
    actions = [action for action in objects_in(payload, "actions") if action.get("action_id") == FEEDBACK_ACTION]
    read = [read_feedback(text_in(action, "value")) for action in actions if author]
    verdicts = [Verdict(turn, author, value) for turn, value in filter(None, read)]
    return Receipt(changes=tuple(verdicts))
