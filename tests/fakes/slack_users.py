"""User actions in the fake Slack, and the events they send to the app."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from tests.fakes import slack_events as events
from tests.fakes.slack_delivery import Courier, Delivery, Parcel
from tests.fakes.slack_events import TEAM, USER
from tests.fakes.slack_faults import Json
from tests.fakes.slack_files import Attached, keep
from tests.fakes.slack_json import file_json
from tests.fakes.slack_response_urls import Responses
from tests.fakes.slack_state import Channel, Message, World

Order = Literal["mention", "message", "any"]


class People:
    """Actions of users; callable from any thread. The app is notified at once."""

    def __init__(self, world: World, courier: Courier) -> None:
        self._world = world
        self._courier = courier
        self._responses = Responses(world)

    def say(
        self,
        text: str,
        *,
        user: str = USER,
        channel: str = "D0DM",
        thread_ts: str | None = None,
        files: Sequence[Attached] = (),
        mention: bool = False,
        client_msg_id: str | None = None,
        team: str = TEAM,
        order: Order = "any",
    ) -> str:
        """Posts a message as a user; returns its ts.

        In a channel, a ``mention`` of the bot (prepended unless the text contains one) is sent as two events with the
        same ts, ``app_mention`` and ``message``; ``order`` says which is sent first.
        """
        bot = self._world.workspaces[team].bot_user
        if mention and f"<@{bot}" not in text:
            text = f"<@{bot}> {text}"
        with self._world.change():
            where = self._enter(channel, user, team)
            kept = tuple(keep(self._world, file, user, team) for file in files)
            message = Message(self._world.new_ts(), where, user, text, thread_ts=thread_ts, files=kept)
            message.more = {"client_msg_id": client_msg_id or str(uuid4())}
            self._world.put(message)
        if where.member:
            self._courier.bring(*self._news(message, bot, order))
        return message.ts

    def _enter(self, channel: str, user: str, team: str) -> Channel:
        """Returns the channel, creating user and channel if they do not exist."""
        self._world.meet(user, team)
        return self._world.enter(channel, team)

    def _news(self, message: Message, bot: str, order: Order) -> list[Parcel]:
        written = self._written(message)
        channel, team = message.channel.id, message.channel.team
        news = [events.message(message.text, channel=channel, **written)]
        if f"<@{bot}" in message.text and message.channel.kind != "im":
            named = {name: value for name, value in written.items() if name not in {"subtype", "upload"}}
            news.append({**events.message(message.text, channel=channel, **named), "type": "app_mention"})
            del news[-1]["channel_type"]
            if order == "mention" or (order == "any" and random.random() < 0.5):
                news.reverse()
        return [self._parcel(event, team) for event in news]

    def _written(self, message: Message) -> dict[str, Any]:
        written: dict[str, Any] = {"user": message.user, "ts": message.ts, "thread_ts": message.thread_ts}
        written |= {"team": message.channel.team, **message.more}
        if message.files:
            files = [file_json(self._world, file) for file in message.files]
            written |= {"subtype": "file_share", "files": files, "upload": False}
        return written

    def _parcel(self, event: Json, team: str, event_id: str | None = None) -> Parcel:
        envelope = events.callback(event, event_id=event_id, team=team)
        envelope["authorizations"][0]["user_id"] = self._world.workspaces[team].bot_user
        return Parcel("events_api", envelope, envelope["event_id"])

    def tell(self, event: Json, *, event_id: str | None = None, team: str = TEAM) -> str:
        """Delivers any event, related to the state of the fake or not; returns its event_id."""
        parcel = self._parcel(event, team, event_id)
        self._courier.bring(parcel)
        return parcel.id

    def echo(self, message: Message) -> None:
        """Sends the bot's own message to it as an event."""
        if message.bot is not None:
            bot = {"bot_id": message.bot.bot_id, "app_id": events.APP, "team": message.channel.team}
            event = events.message(message.shown().text, **self._place(message), **bot)
            del event["client_msg_id"]
            self.tell(event, team=message.channel.team)

    def send(self, payload: Json) -> None:
        """Delivers a payload as it is, without an event envelope: ``app_rate_limited``, ``url_verification`` and the
        like.
        """
        self._courier.bring(Parcel("events_api", payload, str(payload.get("event_id", payload.get("type", "")))))

    def edit(self, ts: str, text: str) -> None:
        """Edits a user's message. Raises KeyError."""
        with self._world.change():
            message = self._world.messages[ts]
            before, message.text = message.text, text
            at = self._world.new_ts()
            message.edited = {"user": message.user, "ts": at}
            message.posted = None
        self._tell_of(message, events.edited(text, before=before, at=at, **self._place(message)))

    def delete(self, ts: str) -> None:
        """Deletes a user's message. Raises KeyError."""
        with self._world.change():
            message = self._world.messages[ts]
            self._world.drop(message)
            at = self._world.new_ts()
        self._tell_of(message, events.deleted(text=message.text, at=at, **self._place(message)))

    def _tell_of(self, message: Message, event: Json) -> None:
        if message.channel.member:
            self.tell(event, team=message.channel.team)

    def _place(self, message: Message) -> dict[str, Any]:
        place = {"channel": message.channel.id, "user": message.user, "ts": message.ts}
        return place if message.thread_ts is None else {**place, "thread_ts": message.thread_ts}

    def stop(self, channel: str, thread_ts: str, user: str = USER, *, team: str = TEAM) -> list[str]:
        """Presses the Stop button: ends the streams in the thread; returns the ts of each."""
        with self._world.change():
            where = self._enter(channel, user, team)
            ended = self._world.end_streams(where.threads.get(thread_ts, ()), "stopped_by_user")
            at = self._world.new_ts()
        self.tell(events.stopped(channel, thread_ts, user, streaming=ended, event_ts=at), team=where.team)
        return ended

    def open_home(self, *, user: str = USER, channel: str = "D0DM", tab: str = "messages", team: str = TEAM) -> str:
        """Opens the app's home; returns the event id."""
        with self._world.change():
            self._enter(channel, user, team)
            at = self._world.new_ts()
        return self.tell(events.home_opened(user=user, channel=channel, tab=tab, event_ts=at), team=team)

    def command(
        self, name: str, text: str = "", *, user: str = USER, channel: str = "D0DM", team: str = TEAM, **more: str
    ) -> str:
        """Runs a slash command; returns its trigger_id, which is the event_id of its deliveries."""
        with self._world.change():
            url = self._responses.url("commands", self._enter(channel, user, team), user)
        form = events.command(name, text, user=user, channel=channel, team=team, response_url=url, **more)
        self._courier.bring(Parcel("slash_commands", form, form["trigger_id"]))
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
        with self._world.change():
            if message := self._world.messages.get(ts):
                channel, thread_ts, team = message.channel.id, message.thread_ts, message.channel.team
            place = {"user": user, "channel": channel, "team": team, "ts": ts or self._world.new_ts()}
            url = self._responses.url("actions", self._enter(channel, user, team), user)
        click = events.block_action(action_id, value, thread_ts=thread_ts, response_url=url, **place, **more)
        self._courier.bring(Parcel("interactive", click, click["trigger_id"]))
        return str(click["trigger_id"])

    def redeliver(self, delivery: Delivery) -> None:
        """Delivers the same request once more: same id and retry number, newly signed."""
        if delivery.parcel is not None:
            self._courier.bring(delivery.parcel, retry_num=delivery.retry_num)
