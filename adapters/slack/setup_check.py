"""Checks whether Slack accepts the tokens and which scopes are missing, for ``python -m gateway check``."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.base.setup_check import check_setup
from adapters.slack.api_client import SlackClient, TokenIdentity
from adapters.slack.manifest import DISPENSABLE, PATHS, SCOPES
from adapters.slack.reply_target import Workspace
from adapters.slack.settings import SlackSettings
from adapters.slack.workspaces import Workspaces
from gateway.domain.errors import DeliveryError
from gateway.ports.check import CheckResult

ENCRYPTED = "encrypted in the database"
IN_CLEAR = "warning: stored in clear; set SLACK_ENCRYPTION_KEYS to encrypt them"


async def check(settings: SlackSettings, calls: SlackClient, workspaces: Workspaces) -> Sequence[CheckResult]:
    """Returns a check of the token, of its scopes, and of how events are received. Raises nothing."""
    if settings.installable:
        page = settings.path(PATHS["install"])
        token: Sequence[CheckResult] = (
            CheckResult(settings.name, ok=True, detail=f"workspaces install the app at {page}"),
            CheckResult(f"{settings.name} tokens", ok=True, detail=ENCRYPTED if settings.encryption_keys else IN_CLEAR),
        )
    else:
        token = await check_setup(settings.name, _token(settings, calls, workspaces))
    return (*token, await _events(settings, calls))


async def _token(settings: SlackSettings, calls: SlackClient, workspaces: Workspaces) -> Sequence[CheckResult]:
    who = await calls.identify(await workspaces.find({}))
    if not who.bot_id:
        advice = "is not the token of a bot; take the Bot User OAuth Token, which begins with xoxb-"
        return (CheckResult(settings.name, ok=False, detail=f"{settings.where('slack_bot_token')} {advice}"),)
    line = CheckResult(settings.name, ok=True, detail=f"bot {who.user} of {who.url or who.team}")
    return (line, _scopes(settings.name, who))


def _scopes(name: str, who: TokenIdentity) -> CheckResult:
    if not who.scopes:  # a proxy removed the header: a token has at least one scope
        return CheckResult(f"{name} scopes", ok=True, detail="unknown: the answer did not say")
    missing = [scope for scope in SCOPES if scope not in who.scopes]
    if DISPENSABLE.keys() >= set(missing):
        without = "".join(f", but without {scope} {DISPENSABLE[scope]}" for scope in missing)
        return CheckResult(f"{name} scopes", ok=True, detail=f"complete{without}")
    advice = "add them under OAuth & Permissions, or put the manifest in again, and install the app again"
    return CheckResult(f"{name} scopes", ok=False, detail=f"missing: {', '.join(missing)}; {advice}")


async def _events(settings: SlackSettings, calls: SlackClient) -> CheckResult:
    name = f"{settings.name} events"
    if settings.slack_app_token is None:
        return CheckResult(name, ok=True, detail=f"by HTTP, at POST {settings.path(PATHS['events'])}")
    app = Workspace("", settings.slack_app_token.get_secret_value())
    try:
        await calls.call("apps.connections.open", {}, workspace=app, delivery=None)
    except DeliveryError as exc:
        advice = "must be an app-level token with the scope connections:write, and Socket Mode be on"
        return CheckResult(name, ok=False, detail=f"{exc} ({settings.where('slack_app_token')} {advice})")
    return CheckResult(name, ok=True, detail="by Socket Mode")
