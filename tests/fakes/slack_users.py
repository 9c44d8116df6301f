"""User actions in the fake Slack, and the events they send to the app."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from tests.fakes import slack_events as events
from tests.fakes.slack_delivery import PendingRequest, SlackDeliveryAttempt, SlackEventSender
from tests.fakes.slack_events import TEAM, USER
from tests.fakes.slack_faults import Json
from tests.fakes.slack_files import FileAttachment, add_file
from tests.fakes.slack_json import file_json
from tests.fakes.slack_response_urls import ResponseUrls
from tests.fakes.slack_state import FakeSlackMessage, SlackChannel, SlackState

MentionOrder = Literal["mention", "message", "any"]


class SlackUsers:
    """Actions of users; callable from any thread. The app is notified at once."""

    def __init__(self, state: SlackState, sender: SlackEventSender) -> None:
        self._state = state
        self._sender = sender
        self._response_urls = ResponseUrls(state)

    def user_says(
        self,
        text: str,
        *,
        user: str = USER,
        channel: str = "D0DM",
        thread_ts: str | None = None,
        files: Sequence[FileAttachment] = (),
        mention: bool = False,
        client_msg_id: str | None = None,
        team: str = TEAM,
        order: MentionOrder = "any",
    ) -> str:
        """Posts a message as a user; returns its ts.

        In a channel, a ``mention`` of the bot (prepended unless the text contains one) is sent as two events with the
        same ts, ``app_mention`` and ``message``; ``order`` says which is sent first.
        """
        bot = self._state.workspaces[team].bot_user
        if mention and f"<@{bot}" not in text:
            text = f"<@{bot}> {text}"
        with self._state.notify():
            where = self._ensure_present(channel, user, team)
            kept = tuple(add_file(self._state, file, user, team) for file in files)
            message = FakeSlackMessage(self._state.new_ts(), where, user, text, thread_ts=thread_ts, files=kept)
            message.extra_fields = {"client_msg_id": client_msg_id or str(uuid4())}
            self._state.add_message(message)
        if where.bot_is_member:
            self._sender.enqueue(*self._events_for(message, bot, order))
        return message.ts

    def name_user(self, user: str, name: str, *, team: str = TEAM) -> None:
        """Gives a user a name as people see it."""
        with self._state.notify():
            profile = {"display_name": name, "real_name": name}
            self._state.ensure_user(user, team).update(real_name=name, profile=profile)

    def app_posts(
        self, text: str, *, channel: str, thread_ts: str | None = None, team: str = TEAM, **fields: Any
    ) -> str:
        """Posts a message of another app, of which ours gets no event; returns its ts."""
        with self._state.notify():
            where = self._state.ensure_channel(channel, team)
            message = FakeSlackMessage(self._state.new_ts(), where, "", text, thread_ts=thread_ts)
            message.extra_fields = {"subtype": "bot_message", "bot_id": "B0ALERT", **fields}
            self._state.add_message(message)
        return message.ts

    def _ensure_present(self, channel: str, user: str, team: str) -> SlackChannel:
        """Returns the channel, creating user and channel if they do not exist."""
        self._state.ensure_user(user, team)
        return self._state.ensure_channel(channel, team)

    def _events_for(self, message: FakeSlackMessage, bot: str, order: MentionOrder) -> list[PendingRequest]:
        written = self._event_fields(message)
        channel, team = message.channel.id, message.channel.team
        news = [events.message_event(message.text, channel=channel, **written)]
        if f"<@{bot}" in message.text and message.channel.kind != "im":
            named = {name: value for name, value in written.items() if name not in {"subtype", "upload", "files"}}
            news.append({**events.message_event(message.text, channel=channel, **named), "type": "app_mention"})
            del news[-1]["channel_type"]
            if order == "mention" or (order == "any" and random.random() < 0.5):
                news.reverse()
        return [self._event_request(event, team) for event in news]

    def _event_fields(self, message: FakeSlackMessage) -> dict[str, Any]:
        written: dict[str, Any] = {"user": message.user, "ts": message.ts, "thread_ts": message.thread_ts}
        written |= {"team": message.channel.team, **message.extra_fields}
        if message.files:
            files = [file_json(self._state, file) for file in message.files]
            written |= {"subtype": "file_share", "files": files, "upload": False}
        return written

    def _event_request(self, event: Json, team: str, event_id: str | None = None) -> PendingRequest:
        envelope = events.event_envelope(event, event_id=event_id, team=team)
        envelope["authorizations"][0]["user_id"] = self._state.workspaces[team].bot_user
        return PendingRequest("events_api", envelope, envelope["event_id"])

    def deliver_event(self, event: Json, *, event_id: str | None = None, team: str = TEAM) -> str:
        """Delivers any event, related to the state of the fake or not; returns its event_id."""
        parcel = self._event_request(event, team, event_id)
        self._sender.enqueue(parcel)
        return parcel.id

    def user_edits(self, ts: str, text: str) -> None:
        """Edits a user's message. Raises KeyError."""
        with self._state.notify():
            message = self._state.messages[ts]
            before, message.text = message.text, text
            at = self._state.new_ts()
            message.edited = {"user": message.user, "ts": at}
            message.cached_view = None
        self._deliver_if_member(
            message, events.message_changed(text, before=before, at=at, **self._location_of(message))
        )

    def user_deletes(self, ts: str) -> None:
        """Deletes a user's message. Raises KeyError."""
        with self._state.notify():
            message = self._state.messages[ts]
            self._state.remove_message(message)
            at = self._state.new_ts()
        self._deliver_if_member(message, events.message_deleted(text=message.text, at=at, **self._location_of(message)))

    def _deliver_if_member(self, message: FakeSlackMessage, event: Json) -> None:
        if message.channel.bot_is_member:
            self.deliver_event(event, team=message.channel.team)

    def _location_of(self, message: FakeSlackMessage) -> dict[str, Any]:
        place = {"channel": message.channel.id, "user": message.user, "ts": message.ts}
        return place if message.thread_ts is None else {**place, "thread_ts": message.thread_ts}

    def press_stop(self, channel: str, thread_ts: str, user: str = USER, *, team: str = TEAM) -> list[str]:
        """Presses the Stop button: ends the streams in the thread; returns the ts of each."""
        with self._state.notify():
            where = self._ensure_present(channel, user, team)
            ended = self._state.end_streams(where.threads.get(thread_ts, ()), "stopped_by_user")
            at = self._state.new_ts()
        self.deliver_event(
            events.agent_session_stopped(channel, thread_ts, user, streaming=ended, event_ts=at), team=where.team
        )
        return ended

    def run_command(
        self, name: str, text: str = "", *, user: str = USER, channel: str = "D0DM", team: str = TEAM, **more: str
    ) -> str:
        """Runs a slash command; returns its trigger_id, which is the event_id of its deliveries."""
        with self._state.notify():
            url = self._response_urls.create("commands", self._ensure_present(channel, user, team), user)
        form = events.slash_command(name, text, user=user, channel=channel, team=team, response_url=url, **more)
        self._sender.enqueue(PendingRequest("slash_commands", form, form["trigger_id"]))
        return form["trigger_id"]

    def click(
        self,
        action_id: str,
        value: str,
        *,
        ts: str = "",
        channel: str = "D0DM",
        thread_ts: str | None = None,
        user: str = USER,
        team: str = TEAM,
        **more: Any,
    ) -> str:
        """Clicks an element of message ``ts``, which determines channel, thread and team if it exists; returns the
        trigger_id.
        """
        with self._state.notify():
            if message := self._state.messages.get(ts):
                channel, thread_ts, team = message.channel.id, message.thread_ts, message.channel.team
            place = {"user": user, "channel": channel, "team": team, "ts": ts or self._state.new_ts()}
            url = self._response_urls.create("actions", self._ensure_present(channel, user, team), user)
        click = events.block_action(action_id, value, thread_ts=thread_ts, response_url=url, **place, **more)
        self._sender.enqueue(PendingRequest("interactive", click, click["trigger_id"]))
        return str(click["trigger_id"])

    def redeliver(self, delivery: SlackDeliveryAttempt) -> None:
        """Delivers the same request once more: same id and retry number, newly signed."""
        if delivery.request is not None:
            self._sender.enqueue(delivery.request, retry_num=delivery.retry_num)
