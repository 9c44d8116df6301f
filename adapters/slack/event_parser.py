"""Verifies Slack's requests and parses events, commands and button clicks into messages and changes. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from slack_sdk.signature import SignatureVerifier

from adapters.base import text_input as base_text_input
from adapters.base.approvals import verdict_of
from adapters.base.inbound import BOT_TURNS
from adapters.base.json_fields import Fields, object_in, objects_in, parse_object, text_in
from adapters.base.text_input import MENTIONED_ONLY, UNREADABLE
from adapters.base.update_handler import parse_safely
from adapters.slack import replies, text_input
from adapters.slack.attached_file import file_of
from adapters.slack.event_context import BotIds, MessageContext, TeamContext, id_of, is_direct, nobody
from adapters.slack.formatter import APPROVAL_ACTION, FEEDBACK_ACTION, read_feedback
from adapters.slack.settings import SlackSettings
from gateway.domain.approvals import Decider, Verdict
from gateway.domain.errors import MalformedRequest, Unauthenticated
from gateway.domain.files import File
from gateway.domain.models import Address, ConversationKey, Join, Message, MessageKind
from gateway.domain.platform_events import Feedback, MessageDeleted, MessageEdited
from gateway.languages import say
from gateway.ports.platform import ParsedUpdate, Request
from gateway.settings.values import split_list

TIMESTAMP = re.compile(r"[0-9]{1,12}")
SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 100
"""A command has about fifteen."""

MESSAGE_SUBTYPES = (None, "file_share", "thread_broadcast", "me_message", "bot_message")
"""Subtypes of new messages. docs.slack.dev/reference/events/message#subtypes"""
SLACK_USERS = frozenset({"USLACKBOT", "USLACK"})
TWIN_SECONDS = 0.3
"""How long an ``app_mention`` waits for its ``message`` event, which ends the wait."""


class EventParser:
    """Decides from one payload alone what is said to the bot, and in which conversation. Stateless."""

    def __init__(
        self,
        settings: SlackSettings,
        known: Callable[[str], BotIds] = nobody,
        language_of: Callable[[Fields], str] = lambda _: "",
    ) -> None:
        """``known``: returns who the bot is in a workspace, as far as that is known. ``language_of``: returns the
        language of whoever gave a command, likewise. No I/O.
        """
        self._language_of = language_of
        self._known = known
        secret = settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else ""
        self._verifier = SignatureVerifier(secret) if secret.strip() else None
        self._name = settings.name
        self._scope = settings.slack_scope
        self._join_seconds = settings.slack_join_seconds
        self._has_workspaces = settings.installable
        self._joins_threads = settings.slack_replies == "thread"
        self._bots = frozenset(split_list(settings.slack_allowed_bots))

    def receive(self, request: Request) -> ParsedUpdate:
        """Parses a webhook request. Raises Unauthenticated, MalformedRequest."""
        if _is_ssl_check(request):
            return ParsedUpdate()
        return self.parse(decode(request.headers.get("content-type", ""), self._verified(request)))

    def parse(self, payload: Fields) -> ParsedUpdate:
        """Parses a payload that is known to be from Slack. Raises nothing; unknown payloads give an empty update."""
        update = parse_safely(self._parse, payload)
        if not self._has_workspaces:
            return update
        return replace(update, messages=tuple(replace(one, has_workspace_share=True) for one in update.messages))

    def _parse(self, payload: Fields) -> ParsedUpdate:
        match payload.get("type"):
            case "event_callback":
                return self._event(TeamContext.of(payload, self._known), object_in(payload, "event"))
            case "block_actions":
                return _clicks(payload, self._name)
            case "url_verification":
                return ParsedUpdate(response_body=json.dumps({"challenge": text_in(payload, "challenge")}))
        return self._command(payload) if "command" in payload else ParsedUpdate()

    def _verified(self, request: Request) -> str:
        """Returns the body if Slack signed it in the last five minutes. Raises Unauthenticated, MalformedRequest."""
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if self._verifier and TIMESTAMP.fullmatch(timestamp) and SIGNATURE.fullmatch(signature):
            try:
                body = request.body.decode()
            except UnicodeDecodeError:
                raise MalformedRequest("The body is not UTF-8.") from None
            if self._verifier.is_valid(body, timestamp, signature):
                return body
        raise Unauthenticated("The signature is missing, wrong or older than five minutes.")

    def _event(self, team: TeamContext, event: Fields) -> ParsedUpdate:
        match event.get("type"):
            case "message" | "app_mention":
                return self._message(team, event)
            case "agent_session_stopped":
                return _receipt(self._stopped(team, event))
        return ParsedUpdate()

    def _message(self, team: TeamContext, event: Fields) -> ParsedUpdate:
        match event.get("subtype"):
            case "message_changed":
                return self._changed(team, event)
            case "message_deleted":
                return self._deleted(_message_id(team, id_of(event, "channel"), id_of(event, "deleted_ts")))
            case subtype if subtype in MESSAGE_SUBTYPES:
                return _receipt(self._new_message(team, event))
        return ParsedUpdate()

    def _new_message(self, team: TeamContext, event: Fields) -> Message | None:
        """A mention arrives as ``app_mention`` and as ``message``, in any order; both give the same message."""
        context = MessageContext.of(event, self._author(team, event))
        message_id = _message_id(team, context.channel, context.ts)
        said = text_input.written(event)
        mentioned = _mentions_bot(event, said, team)
        addressed = context.direct or mentioned
        if (
            not (message_id and context.user)
            or event.get("hidden")
            or not (addressed or self._joins_thread(team, context, event, said))
        ):
            return None
        files = _files(event)
        text = _text(event, said, team, mentioned=mentioned, has_files=bool(files))
        kind = MessageKind.PROMPT if files else text_input.kind_of(text)
        if kind in (MessageKind.RESET, MessageKind.CHOOSE, MessageKind.HAND_OVER) and not addressed:
            kind = MessageKind.PROMPT  # it may be meant for others, and a reset cannot be undone
        stops = kind is MessageKind.STOP
        answers = stops and text_input.may_answer(text)
        # In a thread without the bot there is nothing to stop, and nobody expects an answer.
        opens = addressed and not (stops and not answers and context.thread_ts)
        key, address = self._key(team, context), self._address(team, context)
        twin_wait = TWIN_SECONDS if _may_be_incomplete(event, files) and kind is MessageKind.PROMPT else 0.0
        join = Join(self._join_seconds) if self._join_seconds and kind is MessageKind.PROMPT else None
        if mentioned:
            address = {**address, "mentions": "bot"}
        return Message(
            *(key, message_id, text, context.user, address, kind, files, opens),
            author_workspace=_guest_team(team, context),
            debounce_seconds=max(twin_wait, join.seconds if join else 0.0),
            join=join,
            stops_channel=stops and not context.thread_ts and bool(key.topic),
            only_if_running=answers or kind is MessageKind.RESUME,
            max_from_author=BOT_TURNS if _is_bot(event) else 0,
        )

    def _joins_thread(self, team: TeamContext, context: MessageContext, event: Fields, said: str) -> bool:
        """Tells whether a message that does not mention the bot may be for it: as part of a thread the bot may be in.

        What calls upon somebody else is for them; other bots have to mention us.
        Where a conversation is a whole channel, its key does not say in which threads the bot was mentioned. There
        only replies to a message of the bot's own count.
        """
        if not self._joins_threads or not context.thread_ts:
            return False
        if _is_bot(event) or text_input.calls_others(said):
            return False
        return self._scope == "topic" or id_of(event, "parent_user_id") == team.bot_user != ""

    def _author(self, team: TeamContext, message: Fields) -> str:
        """Returns the author; "" for those who get no answer: the bot itself, Slack, bots that are not allowed."""
        user, bot = id_of(message, "user"), id_of(message, "bot_id")
        apps = (message.get("app_id"), object_in(message, "bot_profile").get("app_id"))
        ours = {team.bot_user, team.bot_id} - {""}
        if user in SLACK_USERS or ours & {user, bot} or (team.app and team.app in apps):
            return ""
        return "" if _is_bot(message) and not self._bots & {"*", user, bot} else user or bot

    def _deleted(self, message_id: str) -> ParsedUpdate:
        return ParsedUpdate(events=(MessageDeleted(self._name, message_id),) if message_id else ())

    def _changed(self, team: TeamContext, event: Fields) -> ParsedUpdate:
        """An edit, a link's preview, or the deletion of a message with replies, which Slack leaves as a tombstone."""
        message, before = object_in(event, "message"), object_in(event, "previous_message")
        message_id = _message_id(team, id_of(event, "channel"), id_of(message, "ts"))
        if message.get("subtype") == "tombstone":
            return self._deleted(message_id)
        said = text_input.written(message)
        edited = message.get("edited") and said != text_input.written(before)
        # Slack adds what a link leads to a moment after the message.
        unfurled = text_input.enclosed_texts(message) != text_input.enclosed_texts(before)
        if not (edited or unfurled) or not self._author(team, message):
            return ParsedUpdate()
        mentioned, has_files = _mentions_bot(message, said, team), bool(_files(message))
        text = _text(message, said, team, mentioned=mentioned, has_files=has_files)
        edit = MessageEdited(self._name, message_id, text)
        return ParsedUpdate(self._called_by_edit(team, event), (edit,)) if message_id else ParsedUpdate()

    def _called_by_edit(self, team: TeamContext, event: Fields) -> tuple[Message, ...]:
        """Returns the message that an edit addresses to the bot; it has the id of the original, should that be known.

        In a group of direct messages no ``app_mention`` comes with such an edit.
        """
        message, before = object_in(event, "message"), object_in(event, "previous_message")
        if message.get("subtype") not in MESSAGE_SUBTYPES or _mentions_bot(before, text_input.written(before), team):
            return ()
        where = {"channel": event.get("channel"), "channel_type": event.get("channel_type")}
        mentioned = _mentions_bot(message, text_input.written(message), team)
        found = self._new_message(team, {**message, **where}) if mentioned else None
        return (found,) if found else ()

    def _stopped(self, team: TeamContext, event: Fields) -> Message | None:
        """The Stop button. docs.slack.dev/reference/events/agent_session_stopped"""
        context = MessageContext.of(event, id_of(event, "user"), "stop")
        press = team.event_id or id_of(event, "event_ts")
        if not (team.team_id and context.channel and press):
            return None
        key, address = self._key(team, context), self._address(team, context)
        return Message(
            key,
            f"{team.team_id}:stop:{press}",
            "stop",
            context.user,
            address,
            MessageKind.STOP,
            may_start_conversation=False,
            author_workspace=_guest_team(team, context),
        )

    def _command(self, form: Fields) -> ParsedUpdate:
        """A command names no thread: docs.slack.dev/interactivity/implementing-slash-commands"""
        name = text_in(form, "command").replace("-", "/").rpartition("/")[2].lower()
        said = text_in(form, "text").strip()
        asked = f"/{name} {said}".strip() if name in base_text_input.CHOICES else f"/{said}"
        kind = self._command_kind(name, said, asked)
        if kind is MessageKind.PROMPT:
            return ephemeral(say(replies.help_text(self._scope), self._language_of(form)))
        if self._scope == "topic":
            return ephemeral(say(replies.IN_THREADS[kind], self._language_of(form)))
        team = TeamContext(id_of(form, "team_id"), id_of(form, "enterprise_id"))
        channel, user, trigger = (id_of(form, name) for name in ("channel_id", "user_id", "trigger_id"))
        if not (team.team_id and channel and user and trigger):
            return ParsedUpdate()
        context = MessageContext(channel, user, is_direct(channel, None), kind="command")
        key, address = self._key(team, context), self._address(team, context)
        word = self._command_word(name, said)
        text = asked if kind is MessageKind.CHOOSE else word if kind is MessageKind.RESET else f"/{word}"
        return ParsedUpdate((Message(key, f"{team.team_id}:command:{trigger}", text, user, address, kind),))

    def _command_kind(self, name: str, said: str, asked: str) -> MessageKind:
        """Returns what a slash command asks for; PROMPT: for help."""
        if base_text_input.bare_kind(asked) is MessageKind.CHOOSE:
            return MessageKind.CHOOSE
        return base_text_input.kind_of(self._command_word(name, said))

    @staticmethod
    def _command_word(name: str, said: str) -> str:
        """Returns what a slash command says: its own name, else the word behind it; empty if neither is a command."""
        known = {"reset", *base_text_input.HANDOVER_WORDS}
        return next((word for word in (name, said.lower()) if word in known), "")

    def _key(self, team: TeamContext, context: MessageContext) -> ConversationKey:
        topic = (context.thread_ts or context.ts) if self._scope == "topic" else ""
        user = context.user if self._scope == "user" else ""
        return ConversationKey(self._name, team.team_id, context.channel, topic, user)

    def _address(self, team: TeamContext, context: MessageContext) -> Address:
        """A reply goes into the message's thread; in direct messages that are one conversation, into the channel."""
        unthreaded = context.direct and self._scope != "topic"
        return address_of(team, context, context.thread_ts if unthreaded else context.thread_ts or context.ts)


def address_of(team: TeamContext, context: MessageContext, thread_ts: str) -> Address:
    """Returns an address as ``SlackTarget.of`` reads it. Empty parts are left out."""
    parts = {
        "team": team.team_id,
        "enterprise": team.enterprise,
        "channel": context.channel,
        "channel_type": "im" if context.direct else "channel",
        "thread_ts": thread_ts,
        "ts": context.ts,
        "user": context.user,
        "user_team": context.user_team,
        "kind": context.kind,
        "typed": "yes" if context.typed else "",
        "viewed": context.viewed,
        "seen_by": "user" if team.for_user else "",
    }
    return {name: part for name, part in parts.items() if part}


def ephemeral(text: str) -> ParsedUpdate:
    """Returns an answer to a slash command that only the person who gave it sees."""
    return ParsedUpdate(response_body=json.dumps({"response_type": "ephemeral", "text": text}, ensure_ascii=False))


def decode(content_type: str, body: str) -> Mapping[str, Any]:
    """Returns the payload of a request: JSON, a form, or JSON in a form. Raises MalformedRequest."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        return parse_object(body)
    form = _form(body)
    return parse_object(form["payload"]) if "payload" in form else form


def _is_ssl_check(request: Request) -> bool:
    """Tells whether Slack only checks the certificate, which it does without a signature.

    docs.slack.dev/interactivity/implementing-slash-commands
    """
    return b"ssl_check=1" in request.body.split(b"&")


def _form(body: str) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(body, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS)
        )
    except ValueError:  # UnicodeDecodeError among them
        raise MalformedRequest("The body is not a form.") from None


def _guest_team(team: TeamContext, context: MessageContext) -> str:
    """Returns the author's workspace where it is not that of the conversation; else an empty string."""
    return "" if context.user_team == team.team_id else context.user_team


def _message_id(team: TeamContext, channel: str, ts: str) -> str:
    """Returns the same id for every event about a message; "" if the event names no message."""
    return f"{team.team_id}:{channel}:{ts}" if team.team_id and channel and ts else ""


def _receipt(message: Message | None) -> ParsedUpdate:
    return ParsedUpdate((message,) if message else ())


def _is_bot(message: Fields) -> bool:
    return bool(message.get("bot_id")) or message.get("subtype") == "bot_message"


def _mentions_bot(event: Fields, said: str, team: TeamContext) -> bool:
    """Tells whether the bot is mentioned: in the text, or according to Slack. ``said``: see ``text_input.written``."""
    return text_input.mentions(said, team.bot_user) or event.get("type") == "app_mention"


def _text(message: Fields, said: str, team: TeamContext, *, mentioned: bool, has_files: bool) -> str:
    """Returns what a message says, for an assistant; "" for one with files only."""
    text = text_input.with_enclosed(said, message, team.bot_user)
    if text or has_files:
        return text
    return MENTIONED_ONLY if mentioned else UNREADABLE


def _may_be_incomplete(event: Fields, files: tuple[File, ...]) -> bool:
    """Tells whether another event about a message may say more: an ``app_mention`` comes without its files."""
    return event.get("type") == "app_mention" and not files


def _files(message: Fields) -> tuple[File, ...]:
    """Returns the attached files, and those of forwarded messages."""
    if "files" not in message and "attachments" not in message:
        return ()
    forwarded = [part for part in text_input.enclosed(message) if not text_input.is_linked(part)]
    files = [file_of(file) for holder in (message, *forwarded) for file in objects_in(holder, "files")]
    return tuple(file for file in files if file is not None)


def _clicks(payload: Fields, platform: str) -> ParsedUpdate:
    """Clicks on the buttons under replies and questions.

    docs.slack.dev/reference/interaction-payloads/block_actions-payload
    """
    who = object_in(payload, "user")
    author = id_of(who, "id")
    if not author:
        return ParsedUpdate()
    decider = Decider(platform, author, name=text_in(who, "name") or text_in(who, "username"))
    events = [_click(action, decider) for action in objects_in(payload, "actions")]
    return ParsedUpdate(events=tuple(filter(None, events)))


def _click(action: Fields, who: Decider) -> Feedback | Verdict | None:
    name, value = text_in(action, "action_id"), text_in(action, "value")
    if name == FEEDBACK_ACTION and (read := read_feedback(value)):
        return Feedback(read[0], who.user, read[1])
    return verdict_of(value, who) if name.startswith(APPROVAL_ACTION) else None
