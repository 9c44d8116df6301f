"""Receives Slack's events by webhook or Socket Mode, and acts on those that are not messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING

from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from adapters.base.approvals import told
from adapters.base.background_task import RunCoroutine
from adapters.base.inbound import Receive
from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.update_handler import AcceptAll, UpdateHandler, blocking
from adapters.base.webhook import MAX_BODY_BYTES, WebhookReceiver
from adapters.slack.event_context import TeamContext, bot_installation
from adapters.slack.event_parser import EventParser
from adapters.slack.identities import Identities
from adapters.slack.installations import Installations
from adapters.slack.locales import Locales
from adapters.slack.manifest import PATHS
from adapters.slack.mrkdwn import escaped
from adapters.slack.prompts import PromptSuggester
from adapters.slack.settings import SlackSettings
from adapters.slack.signed_request import decode
from adapters.slack.socket_mode import SocketMode
from adapters.slack.token_cipher import TokenCipher
from adapters.slack.unparsed_update import identify
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.domain.approvals import VerdictResult
from gateway.ports.inbox import AsyncInbox, Inbox
from gateway.ports.platform import ParsedUpdate, Request, Webhook, WebhookResponse
from gateway.ports.store import KeyValueStore
from gateway.ports.unparsed_updates import UnparsedUpdates

if TYPE_CHECKING:
    import flask

REACTED_TO = ("app_home_opened", "app_uninstalled", "tokens_revoked")
"""Events that are no messages and are acted on: see PromptSuggester, UninstallHandler."""

SAID = ("message", "app_mention")
TOO_MANY = "app_rate_limited"
"""What Slack sends in place of events, of which it sends an app 30,000 an hour from a workspace:
docs.slack.dev/apis/events-api#rate-limiting"""
TELL_SECONDS = 2
"""Slack waits three seconds for the answer to a click."""

log = logs.get_logger(__name__)


class SlackReceiver:
    """Has no threads but those of an open Socket Mode connection, and one for suggested prompts."""

    def __init__(
        self,
        settings: SlackSettings,
        parser: EventParser,
        identities: Identities,
        locales: Locales,
        workspaces: Workspaces,
        memory: KeyValueStore,
        unparsed_updates: UnparsedUpdates,
        run: RunCoroutine,
    ) -> None:
        self._settings = settings
        self._parser = parser
        self._identities = identities
        self._locales = locales
        self._unparsed_updates = unparsed_updates
        self._run = run
        self._prompts = PromptSuggester(settings, workspaces) if settings.prompts else None
        self._memory = memory
        installations = Installations(memory, TokenCipher(settings.encryption_keys))
        self._uninstalls = UninstallHandler(installations, workspaces) if settings.installable else None
        self._socket: SocketMode | None = None

    def webhooks(self, receive: Receive, inbox: AsyncInbox) -> Sequence[Webhook]:
        """Returns none without a signing secret: then requests cannot be verified."""
        if self._settings.slack_signing_secret is None:
            return ()
        take = partial(self._take, self._handler(inbox.accept_all))
        receiver = WebhookReceiver(receive, take, self._settings.where("slack_signing_secret"))

        async def handle_command(request: Request) -> WebhookResponse:
            response = await receiver.handle(request)  # which verifies it
            if not response.body:
                return response
            form = decode(request.headers.get("content-type", ""), request.body.decode())
            has_asked = await asyncio.to_thread(self._locales.learn, form)
            return replace(response, body=self._parser.parse(form).response_body) if has_asked else response

        events, interactive, command = (
            self._settings.path(PATHS[each]) for each in ("events", "interactive", "commands")
        )
        return (*receiver.at(events, interactive), Webhook(command, MAX_BODY_BYTES, handle_command))

    def routes(self) -> flask.Blueprint:
        """Returns the pages by which workspaces install the app. Loads what they need."""
        if self._settings.installable:
            from adapters.slack.oauth import OAuthRoutes  # noqa: PLC0415  # until a page is asked for, 6 MB less

            return OAuthRoutes(self._settings, self._memory, self._locales.languages).blueprint()
        import flask  # noqa: PLC0415  # likewise

        return flask.Blueprint(self._settings.name, __name__)

    def start_receiving(self, inbox: Inbox) -> None:
        """Opens a Socket Mode connection if there is a token for it. Returns at once."""
        token = self._settings.slack_app_token
        if token is not None:
            receive = partial(self._receive_payload, self._handler(blocking(inbox)))
            setting, url = self._settings.where("slack_app_token"), self._settings.slack_api_url
            self._socket = SocketMode(receive, token.get_secret_value(), url, self._run, setting=setting)
            self._socket.open()

    def stop_receiving(self) -> None:
        """Closes the connection. Events that are being processed are committed and acknowledged before it returns."""
        if self._socket is not None:
            self._socket.close()
        if self._prompts is not None:
            self._prompts.close()

    def _handler(self, accept_all: AcceptAll) -> UpdateHandler:
        identified = partial(identify, self._settings.name)
        return UpdateHandler(accept_all, self._unparsed_updates, identified, self._tell)

    async def _tell(self, update: ParsedUpdate, result: VerdictResult) -> None:
        """Tells whoever pressed a button why it did nothing, and nobody else. Raises nothing.

        docs.slack.dev/interactivity/handling-user-interaction#message_responses
        """
        who = {"team_id": text_in(object_in(update.payload, "team"), "id")}
        who["user_id"] = text_in(object_in(update.payload, "user"), "id")
        text, url = told(result, self._locales.known(who)), text_in(update.payload, "response_url")
        if not (text and url.startswith("http")):
            return
        client = WebhookClient(url, timeout=TELL_SECONDS, retry_handlers=[])
        send = partial(client.send, text=escaped(text), response_type="ephemeral", replace_original=False)
        try:
            await asyncio.to_thread(send)
        except (OSError, HTTPException, SlackClientError) as exc:
            log.info("somebody was not told that they may not decide", error=type(exc).__name__)

    def _receive_payload(self, handler: UpdateHandler, payload: Fields) -> str:
        if "command" in payload:
            self._locales.learn(payload)
        receipt = self._parser.parse(payload)
        self._run(self._take(handler, receipt))
        return receipt.response_body

    async def _take(self, handler: UpdateHandler, receipt: ParsedUpdate) -> None:
        """Raises what ``accept_all`` raises, and StoreUnavailable: then Slack has to send it again."""
        event = _event_of(receipt)
        kind = event.get("type")
        if receipt.payload.get("type") == TOO_MANY:
            log.warning("Slack leaves out events for a minute", team=text_in(receipt.payload, "team_id"))
        await handler.take(await self._with_identity(receipt) if kind in SAID else receipt)
        if kind in REACTED_TO:
            await asyncio.to_thread(self._react, receipt.payload, event)

    async def _with_identity(self, receipt: ParsedUpdate) -> ParsedUpdate:
        """Parses a message again if its envelope does not say who the bot is, once that is known from elsewhere."""
        payload = receipt.payload
        if bot_installation(payload):
            return receipt
        team = TeamContext.of(payload)
        if self._identities.is_due(team.team_id):
            await asyncio.to_thread(self._identities.learn, team.team_id, team.enterprise)
        return self._parser.parse(payload)

    def _react(self, payload: Fields, event: Fields) -> None:
        """Does what an event asks for besides. Does I/O. Raises StoreUnavailable."""
        if self._uninstalls is not None:
            self._uninstalls.on_event(payload, event)
        if self._prompts is not None:
            self._prompts.on_event(payload, event)


def _event_of(receipt: ParsedUpdate) -> Fields:
    """Returns the event of an update; {} if it is none."""
    return object_in(receipt.payload, "event") if receipt.payload.get("type") == "event_callback" else {}


class UninstallHandler:
    """Deletes the installations that Slack reports as ended."""

    def __init__(self, installations: Installations, workspaces: Workspaces) -> None:
        self._installations = installations
        self._workspaces = workspaces

    def on_event(self, payload: Fields, event: Fields) -> None:
        """Raises StoreUnavailable: then Slack has to send it again."""
        if not _ends_installation(event):
            return
        reported = payload.get("event_time")
        at = reported if isinstance(reported, int | float) else time.time()
        owner = _owner(payload)
        if self._installations.remove(owner, at=at + 1):  # Slack truncates to whole seconds
            log.info("app removed", owner=owner)
        self._workspaces.drop(text_in(payload, "team_id"))


def _ends_installation(event: Fields) -> bool:
    """Tells whether the bot's token is revoked. Users' tokens may be too, but the gateway has none of those."""
    if event.get("type") != "tokens_revoked":
        return event.get("type") == "app_uninstalled"
    return bool(object_in(event, "tokens").get("bot"))


def _owner(payload: Fields) -> str:
    """Returns whose installation an event is about: the organisation's if it says so, else the workspace's."""
    installation = next(iter(objects_in(payload, "authorizations")), payload)
    of_organisation = installation.get("is_enterprise_install") is True or not text_in(payload, "team_id")
    return text_in(payload, "enterprise_id" if of_organisation else "team_id")
