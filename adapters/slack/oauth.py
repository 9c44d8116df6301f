"""Installs the app in workspaces by Slack's OAuth flow. It loads Flask and Bolt, 6 MB."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from html import escape
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urljoin

import flask
from itsdangerous import BadData, URLSafeTimedSerializer
from slack_bolt.adapter.flask.handler import to_flask_response
from slack_bolt.error import BoltError
from slack_bolt.oauth import OAuthFlow
from slack_bolt.oauth.callback_options import CallbackOptions, FailureArgs, SuccessArgs
from slack_bolt.oauth.oauth_settings import OAuthSettings
from slack_bolt.request import BoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.state_store import OAuthStateStore
from slack_sdk.web import SlackResponse

from adapters.slack.installations import Installations
from adapters.slack.manifest import PATHS, SCOPES
from adapters.slack.settings import SlackSettings
from adapters.slack.token_cipher import TokenCipher
from gateway import logs
from gateway.domain.errors import Overloaded, StoreUnavailable
from gateway.domain.sentences import Sentence, sentence
from gateway.languages import Languages, direction_of, say, tag_of
from gateway.ports.store import KeyValueStore
from gateway.web.api.call_limit import CallLimit
from gateway.web.api.flask_client import client_network

INSTALL, REDIRECT = PATHS["install"], PATHS["oauth_redirect"]
STATE_SECONDS = 600
"""How long a person may take at Slack before they are sent back."""
CALL_SECONDS = 10
CODES_PER_MINUTE = 10
"""Installations that one network may try: Slack is called for each."""

REASONS = {
    "access_denied": (200, sentence("The app was not installed, as you wished.")),
    "invalid_browser": (
        400,
        sentence("The installation has to begin and end in one browser, with cookies allowed and over https."),
    ),
    "invalid_state": (400, sentence("The installation took too long, or did not begin here.")),
    "missing_code": (400, sentence("Slack did not say what to install.")),
    "invalid_code": (400, sentence("Slack did not accept the installation. The log of the gateway says why.")),
    "storage_error": (503, sentence("The installation could not be kept. Please try again in a minute.")),
    "too_many": (429, sentence("That was tried too often. Please try again in a minute.")),
    "unreachable": (502, sentence("Slack could not be reached. Please try again in a minute.")),
}
"""Status and sentence by the reason of a failure."""
OTHER_REASON = (400, sentence("Slack did not go on with the installation."))

log = logs.get_logger(__name__)


class SignedStates(OAuthStateStore):
    """Signed states with an expiry, of which nothing is stored.

    A cookie binds a state to one browser. Slack accepts each code once, so that nothing is installed twice.
    """

    def __init__(self, secret: str) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="slack.install")

    def issue(self, *_: Any, **__: Any) -> str:
        return str(self._signer.dumps(secrets.token_urlsafe(16)))

    def consume(self, state: str) -> bool:
        try:
            self._signer.loads(state, max_age=STATE_SECONDS)
        except BadData:
            return False
        return True


class InstallFlow(OAuthFlow):
    """Bolt's flow, except where it trusts a URL, logs a code, or loses the bot token when a later call fails."""

    def __init__(self, check_limit: Callable[[], None], **options: Any) -> None:
        """``check_limit``: called before each call of Slack; raises Overloaded. ``options``: those of Bolt's flow."""
        super().__init__(**options)
        self._check_limit = check_limit

    def build_authorize_url(self, state: str, request: BoltRequest) -> str:
        asked = {"client_id": self.client_id, "scope": ",".join(SCOPES), "user_scope": "", "state": state}
        team = request.query.get("team", [""])[0]
        if team:
            asked["team"] = team
        if self.settings.redirect_uri:  # needed where the app has several, docs.slack.dev/authentication
            asked["redirect_uri"] = self.settings.redirect_uri
        return f"{self.settings.authorization_url}?{urlencode(asked)}"

    def run_installation(self, code: str) -> Installation | None:
        """Exchanges a code; returns None, and logs why, if Slack refuses it.

        Raises OSError, HTTPException, Overloaded.
        """
        self._check_limit()
        try:
            answer = self._exchange(code)
        except SlackApiError as exc:
            log.warning("Slack refused an installation", error=exc.response.get("error"))
            return None
        token = answer.get("access_token")
        if not token:
            log.warning("Slack sent no bot token for an installation")
            return None
        return _installation(answer, token, self._bot_id(token))

    def store_installation(self, request: BoltRequest, installation: Installation) -> None:  # noqa: ARG002  # Bolt's signature
        try:
            self.settings.installation_store.save(installation)
        except StoreUnavailable as exc:
            log.warning("installation not stored", team=installation.team_id, error=str(exc))
            raise BoltError(str(exc)) from exc
        owner = installation.enterprise_id if installation.is_enterprise_install else installation.team_id
        log.info("app installed", owner=owner, name=installation.team_name or installation.enterprise_name)

    def _exchange(self, code: str) -> SlackResponse:
        return self.client.oauth_v2_access(
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            code=code,
            redirect_uri=self.settings.redirect_uri,
        )

    def _bot_id(self, token: str) -> str:
        """Asks for what oauth.v2.access leaves out. Raises nothing, so that the token gets stored."""
        try:
            return str(self.client.auth_test(token=token).get("bot_id") or "")
        except (OSError, HTTPException, SlackApiError) as exc:
            log.warning("auth.test failed after an installation", error=type(exc).__name__)
            return ""


def _installation(answer: SlackResponse, token: str, bot_id: str) -> Installation:
    """Returns what Slack gave for a code: docs.slack.dev/reference/methods/oauth.v2.access"""
    team, enterprise = answer.get("team") or {}, answer.get("enterprise") or {}
    return Installation(
        app_id=answer.get("app_id"),
        enterprise_id=enterprise.get("id"),
        enterprise_name=enterprise.get("name"),
        team_id=team.get("id"),
        team_name=team.get("name"),
        is_enterprise_install=bool(answer.get("is_enterprise_install")),
        bot_token=token,
        bot_id=bot_id,
        bot_user_id=answer.get("bot_user_id"),
        bot_scopes=answer.get("scope") or "",
        bot_refresh_token=answer.get("refresh_token"),
        bot_token_expires_in=answer.get("expires_in"),
        user_id=(answer.get("authed_user") or {}).get("id", ""),
    )


class OAuthRoutes:
    """The two pages of an installation."""

    def __init__(self, settings: SlackSettings, memory: KeyValueStore, languages: Languages) -> None:
        self._languages = languages
        assert settings.slack_client_secret is not None  # noqa: S101  # both: settings.installable
        self._name = settings.name
        self._install_path, self._redirect_path = settings.path(INSTALL), settings.path(REDIRECT)
        self._slack = urljoin(settings.slack_api_url, "..")
        secret = settings.slack_client_secret.get_secret_value()
        limit, proxies = CallLimit(CODES_PER_MINUTE), settings.trusted_proxies
        self._flow = InstallFlow(
            lambda: limit.check(client_network(proxies)),
            client=WebClient(base_url=settings.slack_api_url, timeout=CALL_SECONDS, retry_handlers=[]),
            logger=logging.getLogger(__name__),
            settings=OAuthSettings(
                client_id=settings.slack_client_id,
                client_secret=secret,
                scopes=list(SCOPES),
                user_scopes=[],
                install_path=self._install_path,
                install_page_rendering_enabled=False,
                redirect_uri=settings.public_url + self._redirect_path if settings.public_url else None,
                redirect_uri_path=self._redirect_path,
                callback_options=CallbackOptions(self._succeeded, self._failed),
                authorization_url=urljoin(self._slack, "oauth/v2/authorize"),
                installation_store=Installations(memory, TokenCipher(settings.encryption_keys)),
                installation_store_bot_only=True,
                state_store=SignedStates(secret),
                state_expiration_seconds=STATE_SECONDS,
            ),
        )

    def blueprint(self) -> flask.Blueprint:
        blueprint = flask.Blueprint(self._name, __name__)
        blueprint.add_url_rule(self._install_path, "install", self._install)
        blueprint.add_url_rule(self._redirect_path, "oauth_redirect", self._redirect)
        return blueprint

    def _install(self) -> flask.Response:
        """Sends a person to Slack."""
        return to_flask_response(self._flow.handle_installation(_bolt_request()))

    def _redirect(self) -> flask.Response:
        """The person comes back from Slack, with a code or without."""
        try:
            answer = self._flow.handle_callback(_bolt_request())
        except (OSError, HTTPException) as exc:
            log.warning("Slack could not be reached for an installation", error=type(exc).__name__)
            answer = self._page(*REASONS["unreachable"])
        except Overloaded:
            answer = self._page(*REASONS["too_many"])
        return to_flask_response(answer)

    def _succeeded(self, success: SuccessArgs) -> BoltResponse:
        made = success.installation
        where = made.enterprise_name if made.is_enterprise_install else made.team_name
        place = urlencode({"app": made.app_id or "", "team": made.team_id or made.enterprise_id or ""})
        link = escape(urljoin(self._slack, f"app_redirect?{place}"))
        hint = escape(say(sentence("Send it a direct message, or mention it in a channel."), self._language))
        label = escape(say(sentence("Open it in Slack"), self._language))
        body = f'<p>{hint}</p><p><a href="{link}">{label}</a></p>'
        done = (
            sentence("The app is installed in {workspace}.", workspace=where)
            if where
            else sentence("The app is installed in your workspace.")
        )
        return self._page(200, done, body)

    def _failed(self, failure: FailureArgs) -> BoltResponse:
        status, said = REASONS.get(failure.reason, OTHER_REASON)
        log.info("installation ended", reason=failure.reason if failure.reason in REASONS else "other")
        return self._page(status, said)

    @property
    def _language(self) -> str:
        """Of the person who sends the present request."""
        return self._languages.accepted(flask.request.headers.get("Accept-Language", ""))

    def _page(self, status: int, said: Sentence, body: str = "") -> BoltResponse:
        """``body``: HTML; without it, a link to try again."""
        title, again = (escape(say(text, self._language)) for text in (said, sentence("Try again")))
        language = f'lang="{tag_of(self._language)}" dir="{direction_of(self._language)}"'
        page = (
            f'<!doctype html><html {language}><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>'
            f"""{body or f'<p><a href="{self._install_path}">{again}</a></p>'}</html>"""
        )
        over = self._flow.settings.state_utils.build_set_cookie_for_deletion()
        return BoltResponse(
            status=status, body=page, headers={"Content-Type": "text/html; charset=utf-8", "Set-Cookie": over}
        )


def _bolt_request() -> BoltRequest:
    """Returns what the flow reads of the request. Bytes of the query that are not UTF-8 are replaced."""
    return BoltRequest(body="", query=flask.request.args.to_dict(), headers=dict(flask.request.headers))
