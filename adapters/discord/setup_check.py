"""Checks the token, the intents and how interactions arrive, for ``python -m gateway check``."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.base.json_fields import Fields, objects_in, text_in
from adapters.base.setup_check import check_setup
from adapters.discord.api_client import ApplicationIdentity, DiscordClient
from adapters.discord.interactions import PATH
from adapters.discord.settings import DiscordSettings
from gateway.ports.check import CheckResult

NO_CONTENT = (
    "Message Content is not granted, so messages in servers arrive without their text unless they mention the bot. "
    "Switch it on: Bot, Privileged Gateway Intents in the developer portal"
)
PERMISSIONS = {
    "View Channels": 1 << 10,
    "Send Messages": 1 << 11,
    "Attach Files": 1 << 15,
    "Read Message History": 1 << 16,
    "Create Public Threads": 1 << 35,
    "Send Messages in Threads": 1 << 38,
}
"""What the bot needs: docs.discord.com/developers/topics/permissions#permissions-bitwise-permission-flags"""
ADMINISTRATOR = 1 << 3
NAMED_SERVERS = 5


async def check(settings: DiscordSettings, client: DiscordClient) -> Sequence[CheckResult]:
    """Returns a check of the token, the intents, the permissions in servers, and interactions. Raises nothing."""
    return await check_setup(settings.name, _checks(settings, client))


async def _checks(settings: DiscordSettings, client: DiscordClient) -> Sequence[CheckResult]:
    me = await client.identify()
    servers = objects_in({"all": await client.call("GET guilds", "/users/@me/guilds?limit=200")}, "all")
    where = f"in {len(servers)} servers" if servers else f"in no server yet; open {_invitation(settings, me)}"
    return (
        CheckResult(settings.name, ok=True, detail=f"bot {me.name}, {where}"),
        _intents(settings.name, me),
        *_permissions(settings.name, servers),
        _interactions(settings, me),
    )


def _invitation(settings: DiscordSettings, me: ApplicationIdentity) -> str:
    """Returns the address at which a person adds the bot, with its commands, to a server."""
    site = settings.discord_api_url.partition("/api")[0]
    query = f"client_id={me.application}&scope=bot+applications.commands&permissions={sum(PERMISSIONS.values())}"
    return f"{site}/oauth2/authorize?{query}"


def _intents(name: str, me: ApplicationIdentity) -> CheckResult:
    return CheckResult(
        f"{name} intents", ok=me.reads_content, detail="Message Content" if me.reads_content else NO_CONTENT
    )


def _permissions(name: str, servers: Sequence[Fields]) -> Sequence[CheckResult]:
    """Returns what the bot lacks in whole servers; a channel may deny more.

    docs.discord.com/developers/resources/user#get-current-user-guilds
    """
    lacking = {text_in(server, "name"): missing for server in servers if (missing := _missing(server))}
    if not servers:
        return ()
    named = "; ".join(f"{server}: {', '.join(missing)}" for server, missing in list(lacking.items())[:NAMED_SERVERS])
    detail = f"missing in {named}. Give them to the bot's role" if lacking else ", ".join(PERMISSIONS)
    return (CheckResult(f"{name} permissions", ok=not lacking, detail=detail),)


def _missing(server: Fields) -> Sequence[str]:
    told = text_in(server, "permissions")
    granted = int(told) if told.isdecimal() else sum(PERMISSIONS.values())
    return [name for name, bit in PERMISSIONS.items() if not granted & (bit | ADMINISTRATOR)]


def _interactions(settings: DiscordSettings, me: ApplicationIdentity) -> CheckResult:
    """Tells how interactions arrive: to an address or over the gateway connection, never both."""
    name, address = f"{settings.name} interactions", me.interactions_url
    path = settings.path(PATH)
    if not address:
        return CheckResult(name, ok=True, detail="received over the gateway connection")
    if settings.discord_public_key is None:
        key = settings.where("discord_public_key")
        detail = f"sent to {address}, so not over the gateway connection. Set {key}, or remove the address"
        return CheckResult(name, ok=False, detail=detail)
    if not address.endswith(path):
        return CheckResult(name, ok=False, detail=f"sent to {address}, which does not end in {path}")
    return CheckResult(name, ok=True, detail=f"sent to {address}, not over the gateway connection")
