"""Slack as a platform of the gateway: the rooms of this package put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import flask

from adapters.base.background_task import RunCoroutine
from adapters.slack import dry_run, files, setup_check
from adapters.slack.calls import Calls
from adapters.slack.event_parser import EventParser
from adapters.slack.places import NAME
from adapters.slack.reply import Replies
from adapters.slack.settings import SlackSettings
from adapters.slack.webhook import SlackReceiver
from adapters.slack.workspaces import InstalledWorkspaces, OneWorkspace, Workspaces
from gateway.errors import DeliveryError
from gateway.messages import Attachment, Shown, Turn
from gateway.ports import Check, Inbox, Outbox, Receipt, Request, Supposed, Webhook
from gateway.storing import Memory


class SlackAdapter:
    """Workspaces: the one whose token is given, or all that have installed the app."""

    name = NAME

    def __init__(self, settings: SlackSettings, memory: Memory, run: RunCoroutine) -> None:
        """``run``: runs a coroutine to its end, on an event loop of its own."""
        self._settings = settings
        self._calls = Calls(settings.slack_api_url)
        self._workspaces = _workspaces(settings, memory)
        self._parser = EventParser(settings)
        self._receiver = SlackReceiver(settings, self._parser, self._workspaces, memory, run)
        self._replies = Replies(self._calls, self._workspaces, settings)

    def receive(self, request: Request) -> Receipt:
        return self._parser.receive(request)

    def suppose(self, supposed: Supposed) -> Receipt:
        return dry_run.dry_run(self._parser, supposed)

    def webhooks(self, inbox: Inbox) -> Sequence[Webhook]:
        return self._receiver.webhooks(self.receive, inbox)

    def routes(self, inbox: Inbox) -> flask.Blueprint:  # noqa: ARG002  # the pages take in no messages
        return self._receiver.routes()

    def listen(self, inbox: Inbox) -> None:
        self._receiver.listen(inbox)

    def hush(self) -> None:
        self._receiver.hush()

    async def fetch(self, turn: Turn) -> Sequence[Attachment]:
        message = turn.message
        try:
            workspace = await self._workspaces.find(message.address)
        except DeliveryError as exc:
            return [Attachment(file, problem=str(exc)) for file in message.files]
        return await files.fetch(self._calls, workspace, message, self._settings.slack_max_file_bytes)

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        await self._replies.follow(turn, events, outbox)

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        await self._replies.deliver(turn, outbox)

    async def check(self) -> Sequence[Check]:
        return await setup_check.check(self._settings, self._calls, self._workspaces)

    async def close(self) -> None:
        await self._calls.close()


def _workspaces(settings: SlackSettings, memory: Memory) -> Workspaces:
    if settings.installable:
        return InstalledWorkspaces(settings, memory)
    assert settings.slack_bot_token is not None  # noqa: S101  # `on` has seen to it
    return OneWorkspace(settings.slack_bot_token.get_secret_value())
