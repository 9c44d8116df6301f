"""App installation: the consent page, authorization codes, tokens and token rotation."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from tests.fakes.slack_arguments import SlackArguments
from tests.fakes.slack_events import APP, TEAM, USER
from tests.fakes.slack_faults import Json, SlackError
from tests.fakes.slack_state import SCOPES, SlackState, SlackWorkspace, TokenGrant

CLIENT_ID = "111111.222222"
CLIENT_SECRET = "0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f"
TOKEN_SECONDS = 43_200
"""Seconds a token is valid with token rotation."""


@dataclass(slots=True)
class _AuthorizationCode:
    team: str
    scopes: tuple[str, ...]
    redirect_uri: str
    used: bool = False


class SlackOAuth:
    """``token_rotation``: tokens expire and can be refreshed; ``user_consents``: whether the user consents."""

    def __init__(self, state: SlackState) -> None:
        self._state = state
        self.token_rotation = True
        self.user_consents = True
        self._codes: dict[str, _AuthorizationCode] = {}
        self._refresh_tokens: dict[str, tuple[str, tuple[str, ...]]] = {}

    def authorize(self, request: web.BaseRequest) -> web.Response:
        """/oauth/v2/authorize: redirects to the app with a code; ``team`` in the query chooses the workspace."""
        asked = request.query
        target = asked.get("redirect_uri", "")
        if asked.get("client_id") != CLIENT_ID or not target:
            return web.Response(status=400, text="invalid client_id or redirect_uri", content_type="text/html")
        said = {"error": "access_denied"}
        if self.user_consents:
            scopes = tuple(filter(None, asked.get("scope", "").split(",")))
            said = {"code": self.new_code(team=asked.get("team") or TEAM, scopes=scopes, redirect_uri=target)}
        back = urlencode({**said, "state": asked.get("state", "")})
        return web.Response(status=302, headers={"Location": f"{target}{'&' if '?' in target else '?'}{back}"})

    def new_code(self, *, team: str = TEAM, scopes: tuple[str, ...] = SCOPES, redirect_uri: str = "") -> str:
        """Returns a code as the consent page would pass to the app."""
        code = f"{secrets.token_hex(6)}.{secrets.token_hex(6)}"
        self._codes[code] = _AuthorizationCode(team, scopes, redirect_uri)
        return code

    def exchange_token(self, state: SlackState, args: SlackArguments) -> Json:
        """oauth.v2.access: exchanges a code or a refresh token for an access token. Both can be used once."""
        if args.string("client_id") != CLIENT_ID:
            raise SlackError("invalid_client_id")
        if args.string("client_secret") != CLIENT_SECRET:
            raise SlackError("bad_client_secret")
        match args.string("grant_type") or "authorization_code":
            case "authorization_code":
                return self._install(self._redeem_code(args))
            case "refresh_token":
                return self._refresh(args)
            case _:
                raise SlackError("invalid_grant_type")

    def _redeem_code(self, args: SlackArguments) -> _AuthorizationCode:
        code = self._codes.get(args.string("code"))
        if code is None:
            raise SlackError("invalid_code")
        if code.used:
            raise SlackError("code_already_used")
        if args.string("redirect_uri") not in {"", code.redirect_uri}:
            raise SlackError("bad_redirect_uri")
        code.used = True
        return code

    def _install(self, code: _AuthorizationCode) -> Json:
        if code.team not in self._state.workspaces:
            bot = SlackWorkspace(code.team, f"U0BOT{code.team[1:]}", f"B0BOT{code.team[1:]}", name=code.team)
            self._state.add_workspace(bot)
        return self._issue_token(code.team, code.scopes)

    def _refresh(self, args: SlackArguments) -> Json:
        known = self._refresh_tokens.pop(args.string("refresh_token"), None)
        if known is None:
            raise SlackError("invalid_refresh_token")
        return self._issue_token(*known)

    def _issue_token(self, team: str, scopes: tuple[str, ...]) -> Json:
        workspace, word = self._state.workspaces[team], secrets.token_hex(8)
        token = f"xoxe.xoxb-1-{word}" if self.token_rotation else f"xoxb-{word}"
        grant = TokenGrant(workspace, scopes)
        granted: Json = {
            "ok": True,
            "access_token": token,
            "token_type": "bot",
            "scope": ",".join(scopes),
            "bot_user_id": workspace.bot_user,
            "app_id": APP,
            "team": {"id": team, "name": workspace.name},
            "enterprise": None,
            "is_enterprise_install": False,
            "authed_user": {"id": USER},
        }
        if self.token_rotation:
            refresh = f"xoxe-1-{secrets.token_hex(8)}"
            self._refresh_tokens[refresh] = (team, scopes)
            grant.expires_at = self._state.clock() + TOKEN_SECONDS
            granted |= {"expires_in": TOKEN_SECONDS, "refresh_token": refresh}
        self._state.grants[token] = grant
        return granted
