"""How Slack's events come in, over HTTP or Socket Mode: read, committed, and only then acknowledged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

import flask
from flask.typing import ResponseReturnValue
from slack_bolt import App
from slack_bolt.adapter.flask.handler import to_bolt_request, to_flask_response
from slack_bolt.error import BoltError
from slack_bolt.middleware import Middleware
from slack_bolt.request import BoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk import WebClient

from adapters.slack.incoming import Reader
from adapters.slack.installs import BEGIN, END, Installations, Installs
from adapters.slack.manifest import PATHS
from adapters.slack.prompts import Prompts
from adapters.slack.reply_target import NAME
from adapters.slack.settings import SlackSettings
from adapters.slack.socket_mode import Socket
from adapters.slack.words import Fields, object_in, objects_in, text_in
from adapters.slack.workspaces import Workspaces
from gateway import logs
from gateway.api.bodies import read_body
from gateway.errors import Unreadable, Unverified
from gateway.ports import Inbox, Receipt, Request
from gateway.storing import Memory

WAYS_IN = ("events", "commands", "interactive")
"""Slack's settings have a field for each; any of them takes anything."""
MAX_BODY_BYTES = 1024 * 1024
JSON: Mapping[str, str] = {"Content-Type": "application/json"}
FAILURE = "gateway_failure"

log = logs.get(__name__)


class Door:
    """Where Slack knocks. Keeps no threads but those of an open Socket Mode connection and one for prompts."""

    def __init__(self, settings: SlackSettings, reader: Reader, workspaces: Workspaces, memory: Memory) -> None:
        self._settings = settings
        self._reader = reader
        self._prompts = Prompts(settings, workspaces) if settings.prompts else None
        self._installs = Installs(settings, memory) if settings.installable else None
        self._removals = Removals(Installations(memory), workspaces) if settings.installable else None
        self._socket: Socket | None = None

    def routes(self, inbox: Inbox) -> flask.Blueprint:
        blueprint = flask.Blueprint(NAME, __name__)
        if self._settings.slack_signing_secret is not None:  # without it, nobody could be told from Slack
            view = _view(self._bolt(inbox))
            for name in WAYS_IN:
                blueprint.add_url_rule(PATHS[name], name, view, methods=["POST"])
        if self._installs is not None:
            blueprint.add_url_rule(BEGIN, "install", self._installs.begin)
            blueprint.add_url_rule(END, "oauth_redirect", self._installs.end)
        return blueprint

    def listen(self, inbox: Inbox) -> None:
        """Open a Socket Mode connection, if there is a token for it. Returns at once."""
        token = self._settings.slack_app_token
        if token is not None:
            app = self._bolt(inbox)
            self._socket = Socket(
                lambda request: dispatch(app, request), token.get_secret_value(), self._settings.slack_api_url
            )
            self._socket.open()

    def hush(self) -> None:
        """Take nothing more over Socket Mode. What is half taken is committed and acknowledged when this returns."""
        if self._socket is not None:
            self._socket.shut()
        if self._prompts is not None:
            self._prompts.close()

    def _bolt(self, inbox: Inbox) -> App:
        """Bolt with the one thing in it that decides. The reader verifies, so Bolt need not; nothing calls Slack."""
        quiet = logging.getLogger(f"{NAME}.bolt")
        quiet.setLevel(logging.ERROR)  # its warnings are about variables that it has read beside our settings
        return App(
            name=NAME,
            logger=quiet,
            signing_secret="",
            client=WebClient(base_url=self._settings.slack_api_url),
            authorize=_nobody,
            before_authorize=Taking(self._reader, inbox, self._heed),
            request_verification_enabled=False,
            ignoring_self_events_enabled=False,
            attaching_function_token_enabled=False,
            attaching_conversation_kwargs_enabled=False,
        )

    def _heed(self, payload: Fields) -> None:
        """What an event means beside messages. Raises StoreUnavailable."""
        if payload.get("type") != "event_callback":
            return
        event = object_in(payload, "event")
        if self._removals is not None:
            self._removals.heed(payload, event)
        if self._prompts is not None:
            self._prompts.heed(payload, event)


class Taking(Middleware):
    """Stands first in Bolt and sends almost nobody on: whatever is committed is answered."""

    def __init__(self, reader: Reader, inbox: Inbox, heed: Callable[[Fields], None]) -> None:
        self._reader = reader
        self._inbox = inbox
        self._heed = heed

    def process(
        self,
        *,
        req: BoltRequest,
        resp: BoltResponse,
        next: Callable[[], BoltResponse],  # noqa: A002  # Bolt passes it by this name
    ) -> BoltResponse:
        try:
            receipt = self._read(req)
            if req.body.get("type") == "url_verification":
                return next()
            self._inbox.take(receipt)
            self._heed(req.body)
        except Exception as exc:  # noqa: BLE001  # Bolt would log it and answer 500, whatever it is; see `dispatch`
            req.context[FAILURE] = exc
            return resp
        return BoltResponse(status=200, body=receipt.body, headers=dict(JSON) if receipt.body else None)

    def _read(self, req: BoltRequest) -> Receipt:
        if req.mode == "socket_mode":
            return self._reader.read(req.body)
        headers = {name: values[0] for name, values in req.headers.items()}
        return self._reader.receive(Request(headers, req.raw_body.encode()))


def dispatch(app: App, request: BoltRequest) -> BoltResponse:
    """What Bolt answers. Raises whatever reading and committing raised."""
    response = app.dispatch(request)
    failure = request.context.get(FAILURE)
    if failure is not None:
        raise failure
    return response


def _nobody(**_: object) -> NoReturn:
    """Bolt wants to know how to authorize. It never gets there: who needs a token asks the workspaces."""
    raise BoltError("Nobody is authorized here.")


# ---------------------------------------------------------------- HTTP


def _view(app: App) -> Callable[[], ResponseReturnValue]:
    def receive() -> ResponseReturnValue:
        read_body(MAX_BODY_BYTES)  # from where Bolt reads it again
        try:
            return to_flask_response(dispatch(app, _bolt_request()))
        except Unverified as exc:
            log.info("request refused; is SLACK_SIGNING_SECRET that of this app?", error=str(exc))
            raise

    return receive


def _bolt_request() -> BoltRequest:
    """The request as Bolt has it. Raises Unreadable for what Bolt falls over: it looks into bodies of any form."""
    try:
        request = to_bolt_request(flask.request)
    except Exception as exc:
        log.info("a body that Bolt does not read", error=type(exc).__name__)
        raise Unreadable("The body is not what Slack sends.") from exc
    if not isinstance(request.body, dict):
        raise Unreadable("The body is not what Slack sends.")
    return request


# ---------------------------------------------------------------- what is more than messages


class Removals:
    """Forgets the installations that Slack says are over."""

    def __init__(self, installations: Installations, workspaces: Workspaces) -> None:
        self._installations = installations
        self._workspaces = workspaces

    def heed(self, payload: Fields, event: Fields) -> None:
        """Raises StoreUnavailable: Slack has to say it again."""
        if not _ends(event):
            return
        told_at = payload.get("event_time")
        at = told_at if isinstance(told_at, int | float) else time.time()
        owner = _owner(payload)
        if self._installations.remove(owner, at=at + 1):  # Slack cuts the fraction off
            log.info("app removed", owner=owner)
        self._workspaces.drop(text_in(payload, "team_id"))


def _ends(event: Fields) -> bool:
    """Whether the bot's token is gone: tokens of people may be revoked too, and we have none."""
    if event.get("type") != "tokens_revoked":
        return event.get("type") == "app_uninstalled"
    return bool(object_in(event, "tokens").get("bot"))


def _owner(payload: Fields) -> str:
    """Whose installation an event is about: the organisation's when it says so, else the workspace's."""
    told = next(iter(objects_in(payload, "authorizations")), payload)
    whole = told.get("is_enterprise_install") is True or not text_in(payload, "team_id")
    return text_in(payload, "enterprise_id" if whole else "team_id")
