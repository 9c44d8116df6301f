"""Checks whether Slack accepts the tokens and which scopes are missing, for ``python -m gateway check``."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.base.setup_check import check_setup
from adapters.slack.api_client import SlackClient, TokenIdentity
from adapters.slack.manifest import PATHS, SCOPES
from adapters.slack.reply_target import NAME, Workspace
from adapters.slack.settings import SlackSettings
from adapters.slack.workspaces import Workspaces
from gateway.domain.errors import DeliveryError
from gateway.ports.check import CheckResult

ENCRYPTED = "encrypted in the database"
IN_CLEAR = "warning: stored in clear; set SLACK_ENCRYPTION_KEYS to encrypt them"
EVENTS = f"{NAME} events"


async def check(settings: SlackSettings, calls: SlackClient, workspaces: Workspaces) -> Sequence[CheckResult]:
    """Returns a check of the token, of its scopes, and of how events are received. Raises nothing."""
    if settings.installable:
        token: Sequence[CheckResult] = (
            CheckResult(NAME, ok=True, detail=f"workspaces install the app at {PATHS['install']}"),
            CheckResult(f"{NAME} tokens", ok=True, detail=ENCRYPTED if settings.encryption_keys else IN_CLEAR),
        )
    else:
        token = await check_setup(NAME, _token(calls, workspaces))
    return (*token, await _events(settings, calls))


async def _token(calls: SlackClient, workspaces: Workspaces) -> Sequence[CheckResult]:
    who = await calls.identify(await workspaces.find({}))
    if not who.bot_id:
        advice = "SLACK_BOT_TOKEN is not the token of a bot; take the Bot User OAuth Token, which begins with xoxb-"
        return (CheckResult(NAME, ok=False, detail=advice),)
    return (CheckResult(NAME, ok=True, detail=f"bot {who.user} of {who.url or who.team}"), _scopes(who))


def _scopes(who: TokenIdentity) -> CheckResult:
    if not who.scopes:  # a proxy removed the header: a token has at least one scope
        return CheckResult(f"{NAME} scopes", ok=True, detail="unknown: the answer did not say")
    missing = [scope for scope in SCOPES if scope not in who.scopes]
    if not missing:
        return CheckResult(f"{NAME} scopes", ok=True, detail="complete")
    advice = "add them under OAuth & Permissions, or put the manifest in again, and install the app again"
    return CheckResult(f"{NAME} scopes", ok=False, detail=f"missing: {', '.join(missing)}; {advice}")


async def _events(settings: SlackSettings, calls: SlackClient) -> CheckResult:
    if settings.slack_app_token is None:
        return CheckResult(EVENTS, ok=True, detail=f"by HTTP, at POST {PATHS['events']}")
    app = Workspace("", settings.slack_app_token.get_secret_value())
    try:
        await calls.call("apps.connections.open", {}, workspace=app, outbox=None)
    except DeliveryError as exc:
        advice = "SLACK_APP_TOKEN must be an app-level token with the scope connections:write, and Socket Mode be on"
        return CheckResult(EVENTS, ok=False, detail=f"{exc} ({advice})")
    return CheckResult(EVENTS, ok=True, detail="by Socket Mode")
