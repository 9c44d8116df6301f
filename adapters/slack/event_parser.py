"""Parses what Slack sends, events, commands and button clicks, into messages and changes. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from adapters.base.edits import stops_by_edit
from adapters.base.inbound import BOT_TURNS
from adapters.base.json_fields import Fields, object_in, text_in
from adapters.base.update_handler import parse_safely
from adapters.slack import text_input
from adapters.slack.clicks import clicks
from adapters.slack.commands import CommandParser
from adapters.slack.event_context import MessageContext, Recognise, TeamContext, as_named, id_of, is_of_bot
from adapters.slack.intent import intent_of
from adapters.slack.places import Places
from adapters.slack.said import Said
from adapters.slack.settings import SlackSettings
from adapters.slack.signed_request import SignedRequests, is_ssl_check
from gateway.domain.models import ConversationKey, Join, Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from gateway.ports.platform import ParsedUpdate, Request
from gateway.settings.values import split_list

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
        recognise: Recognise = as_named,
        language_of: Callable[[Fields], str] = lambda _: "",
        staff: ConversationKey | None = None,
    ) -> None:
        """``language_of``: see ``CommandParser``. ``staff``: see ``Places``."""
        self._recognise = recognise
        self._requests = SignedRequests(settings.slack_signing_secret)
        self._name = settings.name
        self._places = Places(settings, staff)
        self._commands = CommandParser(self._places, language_of)
        self._join_seconds = settings.slack_join_seconds
        self._has_workspaces = settings.installable
        self._joins_threads = settings.slack_replies == "thread"
        self._bots = frozenset(split_list(settings.slack_allowed_bots))

    def receive(self, request: Request) -> ParsedUpdate:
        """Parses a webhook request. Raises Unauthenticated, MalformedRequest."""
        return ParsedUpdate() if is_ssl_check(request) else self.parse(self._requests.payload(request))

    def parse(self, payload: Fields) -> ParsedUpdate:
        """Parses a payload that is known to be from Slack. Raises nothing; unknown payloads give an empty update."""
        update = parse_safely(self._parse, payload)
        if not self._has_workspaces:
            return update
        return replace(update, messages=tuple(replace(one, has_workspace_share=True) for one in update.messages))

    def _parse(self, payload: Fields) -> ParsedUpdate:
        match payload.get("type"):
            case "event_callback":
                return self._event(TeamContext.of(payload, self._recognise), object_in(payload, "event"))
            case "block_actions":
                return clicks(payload, self._name)
            case "url_verification":
                return ParsedUpdate(response_body=json.dumps({"challenge": text_in(payload, "challenge")}))
        return self._commands.parse(payload) if "command" in payload else ParsedUpdate()

    def _event(self, team: TeamContext, event: Fields) -> ParsedUpdate:
        match event.get("type"):
            case "message" | "app_mention":
                return self._message_event(team, event)
            case "agent_session_stopped":
                return _update(self._stopped(team, event))
        return ParsedUpdate()

    def _message_event(self, team: TeamContext, event: Fields) -> ParsedUpdate:
        match event.get("subtype"):
            case "message_changed":
                return self._changed(team, event)
            case "message_deleted":
                return self._deleted(_message_id(team, id_of(event, "channel"), id_of(event, "deleted_ts")))
            case subtype if subtype in MESSAGE_SUBTYPES:
                return _update(self._new_message(team, event))
        return ParsedUpdate()

    # ------------------------------------------------------------ new messages

    def _new_message(self, team: TeamContext, event: Fields) -> Message | None:
        """Returns a message that is for the bot.

        A mention arrives as ``app_mention`` and as ``message``, in any order; both give the same message.
        """
        context = MessageContext.of(event, self._author(team, event))
        if not context.user or event.get("hidden"):
            return None
        said = Said.of(event, team.bot.user)
        addressed = context.direct or said.mentions_bot
        if addressed or self._joins_thread(team, context, said):
            return self._said_to_bot(team, context, said, addressed=addressed)
        return None

    def _said_to_bot(
        self, team: TeamContext, context: MessageContext, said: Said, *, addressed: bool
    ) -> Message | None:
        """Returns the message; None if the event names none. ``addressed``: see ``intent_of``."""
        message_id = _message_id(team, context.channel, context.ts)
        if not message_id:
            return None
        text, files, place = said.text, said.files, self._places.of(team, context)
        intent = intent_of(text, has_files=bool(files), addressed=addressed, in_thread=bool(context.thread_ts))
        is_prompt = intent.kind is MessageKind.PROMPT
        joins = self._join_seconds if is_prompt else 0.0
        waits = TWIN_SECONDS if is_prompt and said.may_be_incomplete else 0.0
        return Message(
            place.key,
            message_id,
            text,
            context.user,
            {**place.address, "mentions": "bot"} if said.mentions_bot else place.address,
            intent.kind,
            files,
            intent.opens,
            author_workspace=_guest_team(team, context),
            debounce_seconds=max(waits, joins),
            join=Join(joins) if joins else None,
            stops_channel=intent.stops_channel and bool(place.key.topic),
            only_if_running=intent.only_if_running,
            max_from_author=BOT_TURNS if context.is_bot else 0,
        )

    def _joins_thread(self, team: TeamContext, context: MessageContext, said: Said) -> bool:
        """Tells whether a message that does not mention the bot may be for it: as part of a thread the bot may be in.

        What calls upon somebody else is for them; other bots have to mention us.
        Where a conversation is a whole channel, its key does not say in which threads the bot was mentioned. There
        only replies to a message of the bot's own count.
        """
        joins = self._joins_threads or self._places.is_of_staff(team, context.channel)
        if not (joins and context.thread_ts) or context.is_bot or text_input.calls_others(said.markup):
            return False
        is_topic = self._places.scope(team, context.channel) == "topic"
        return is_topic or id_of(said.message, "parent_user_id") == team.bot.user != ""

    def _author(self, team: TeamContext, message: Fields) -> str:
        """Returns the author; "" for those who get no answer: the bot itself, Slack, bots that are not allowed."""
        user, bot = id_of(message, "user"), id_of(message, "bot_id")
        is_own = (user and user == team.bot.user) or (bot and bot == team.bot.bot_id) or _is_of_app(message, team)
        if is_own or user in SLACK_USERS:
            return ""
        return "" if is_of_bot(message) and not self._bots & {"*", user, bot} else user or bot

    # ------------------------------------------------------------ changes

    def _deleted(self, message_id: str) -> ParsedUpdate:
        return ParsedUpdate(events=(MessageDeleted(self._name, message_id),) if message_id else ())

    def _changed(self, team: TeamContext, event: Fields) -> ParsedUpdate:
        """An edit, a link's preview, or the deletion of a message with replies, which Slack leaves as a tombstone."""
        message = object_in(event, "message")
        message_id = _message_id(team, id_of(event, "channel"), id_of(message, "ts"))
        if message.get("subtype") == "tombstone":
            return self._deleted(message_id)
        before = Said.of(object_in(event, "previous_message"), team.bot.user)
        said = Said.of(message, team.bot.user)
        edited = message.get("edited") and said.markup != before.markup
        # Slack adds what a link leads to a moment after the message.
        unfurled = said.enclosed != before.enclosed
        if not (edited or unfurled) or not message_id or not self._author(team, message):
            return ParsedUpdate()
        now = self._as_edited(team, event, message)
        if before.mentions_bot and not (now or said.mentions_bot):
            return self._deleted(message_id)
        stops = stops_by_edit(now)
        called = now if said.mentions_bot and not before.mentions_bot else ()
        return ParsedUpdate(stops or called, (MessageEdited(self._name, message_id, said.text),))

    def _as_edited(self, team: TeamContext, event: Fields, message: Fields) -> tuple[Message, ...]:
        """Returns what an edited message says to the bot; it has the id of the original, should that be known.

        In a group of direct messages no ``app_mention`` comes with an edit that mentions the bot.
        """
        if message.get("subtype") not in MESSAGE_SUBTYPES:
            return ()
        where = {"channel": event.get("channel"), "channel_type": event.get("channel_type")}
        found = self._new_message(team, {**message, **where})
        return (found,) if found else ()

    def _stopped(self, team: TeamContext, event: Fields) -> Message | None:
        """The Stop button. docs.slack.dev/reference/events/agent_session_stopped"""
        context = MessageContext.of(event, id_of(event, "user"), "stop")
        press = team.event_id or id_of(event, "event_ts")
        if not (team.team_id and context.channel and press):
            return None
        place = self._places.of(team, context)
        return Message(
            place.key,
            f"{team.team_id}:stop:{press}",
            "stop",
            context.user,
            place.address,
            MessageKind.STOP,
            may_start_conversation=False,
            author_workspace=_guest_team(team, context),
        )


def _guest_team(team: TeamContext, context: MessageContext) -> str:
    """Returns the author's workspace where it is not that of the conversation; else an empty string."""
    return "" if context.user_team == team.team_id else context.user_team


def _message_id(team: TeamContext, channel: str, ts: str) -> str:
    """Returns the same id for every event about a message; "" if the event names no message."""
    return f"{team.team_id}:{channel}:{ts}" if team.team_id and channel and ts else ""


def _update(message: Message | None) -> ParsedUpdate:
    return ParsedUpdate((message,) if message else ())


def _is_of_app(message: Fields, team: TeamContext) -> bool:
    """Tells whether our own app wrote a message, whichever bot it says."""
    if not ("app_id" in message or "bot_profile" in message):
        return False
    apps = (message.get("app_id"), object_in(message, "bot_profile").get("app_id"))
    return bool(team.app) and team.app in apps
