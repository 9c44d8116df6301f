"""Checks the token, the intents and how interactions arrive, for ``python -m gateway check``."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.base.setup_check import check_setup
from adapters.discord.api_client import DiscordClient, Identity
from adapters.discord.interactions import PATH
from adapters.discord.reply_target import NAME
from adapters.discord.settings import DiscordSettings
from gateway.ports.check import CheckResult

NO_CONTENT = (
    "Message Content is not granted, so messages in servers arrive without their text unless they mention the bot. \
Switch it on: Bot, Privileged Gateway Intents in the developer portal"
)
SCOPES = "bot applications.commands"
PERMISSIONS = 274_878_008_320 | 1 << 15 | 1 << 16 | 1 << 35
"""View Channels, Send Messages, Send Messages in Threads; Attach Files; Read Message History; Create Public Threads:
docs.discord.com/developers/topics/permissions#permissions-bitwise-permission-flags"""


async def check(settings: DiscordSettings, client: DiscordClient) -> Sequence[CheckResult]:
    """Returns a check of the token, of the intents, and of interactions. Raises nothing."""
    return await check_setup(NAME, _checks(settings, client))


async def _checks(settings: DiscordSettings, client: DiscordClient) -> Sequence[CheckResult]:
    me = await client.identify()
    servers = await client.call("GET guilds", "/users/@me/guilds?limit=200")
    count = len(servers) if isinstance(servers, list) else 0
    invite = f"{settings.discord_api_url.partition('/api')[0]}/oauth2/authorize?client_id={me.application}"
    where = (
        f"in {count} servers"
        if count
        else f"in no server yet; open {invite}&scope=bot+applications.commands&permissions={PERMISSIONS}"
    )
    return (
        CheckResult(NAME, ok=True, detail=f"bot {me.name}, {where}"),
        CheckResult(
            f"{NAME} intents", ok=me.reads_content, detail="Message Content" if me.reads_content else NO_CONTENT
        ),
        _interactions(settings, me),
    )


def _interactions(settings: DiscordSettings, me: Identity) -> CheckResult:
    """Discord sends interactions to an address or over the gateway, never both."""
    name, address = f"{NAME} interactions", me.interactions_url
    if not address:
        return CheckResult(name, ok=True, detail="received over the gateway connection")
    if settings.discord_public_key is None:
        detail = f"sent to {address}, so not over the gateway connection. Set DISCORD_PUBLIC_KEY, or remove the address"
        return CheckResult(name, ok=False, detail=detail)
    if not address.endswith(PATH):
        return CheckResult(name, ok=False, detail=f"sent to {address}, which does not end in {PATH}")
    return CheckResult(name, ok=True, detail=f"sent to {address}, not over the gateway connection")
