"""The app as Slack has to know it: scopes, events and commands, and the manifest that sets them up at once.

docs.slack.dev/reference/app-manifest
"""

from __future__ import annotations

import json
import re
from typing import Any

import click

from adapters.base.public_url import public_url
from adapters.slack.settings import SlackSettings

SCOPES = (
    "app_mentions:read",  # mentions of the bot
    "assistant:write",  # the agent view: suggested prompts, sessions with a Stop button
    "channels:history",  # messages in public channels, and to find our own reply there after a lost answer
    "channels:read",  # the names of public channels that messages mention
    "chat:write",  # replies, streams, status
    "commands",  # the slash commands
    "files:read",  # attached files
    "files:write",  # files that the assistant makes
    "groups:history",  # as channels:history, in private channels
    "groups:read",  # as channels:read, of private channels
    "im:history",  # as channels:history, in direct messages
    "metadata.message:read",  # the metadata on the bot's own replies, to recognise them
    "mpim:history",  # as channels:history, in direct messages of several people
    "usergroups:read",  # the names of user groups that messages mention
    "users:read",  # the names of people who write and are mentioned, and of apps
)
"""What a bot token must permit. docs.slack.dev/reference/scopes"""
DISPENSABLE = {"usergroups:read": "user groups are told to the assistant by their ids"}
"""Scopes that an app which was installed earlier may lack, and what is so without them."""

EVENTS = (
    "agent_session_stopped",  # the Stop button
    "app_home_opened",  # a person opens the agent view: prompts are suggested
    "app_mention",  # mentions of the bot
    "app_uninstalled",  # the installation is over
    "message.channels",  # replies in threads that the bot is in, edits, deletions
    "message.groups",  # likewise, in private channels
    "message.im",  # what is said to the bot directly
    "message.mpim",  # as message.channels, in direct messages of several people
    "tokens_revoked",  # the installation is over
)
"""The events that Slack is asked for. docs.slack.dev/reference/events"""

COMMANDS = {
    "reset": "Forget what was said and begin anew",
    "help": "Tell what the bot does",
}

PATHS = {
    "events": "/slack/events",
    "commands": "/slack/commands",
    "interactive": "/slack/interactive",
    "install": "/slack/install",
    "oauth_redirect": "/slack/oauth_redirect",
}
"""Of this server, for Slack."""

DEFAULT_NAME = "Assistant"
LONGEST_NAME = 35
DESCRIPTION = "An assistant to talk with, in direct messages and in channels."
AGENT_DESCRIPTION = "Ask me anything, attach files, and go on in the thread: I remember what was said there."
OWN_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
PREFIX = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LONGEST_COMMAND = 32

Manifest = dict[str, Any]


def build(
    settings: SlackSettings, *, name: str = DEFAULT_NAME, url: str | None = None, prefix: str = "", rotate: bool = False
) -> Manifest:
    """Returns the manifest of an app that receives requests at ``url``, or events by Socket Mode if there is none.

    ``prefix``: of its commands. ``rotate``: whether its tokens expire and are renewed.
    """
    oauth: Manifest = {"scopes": {"bot": list(SCOPES)}}
    if url:
        oauth["redirect_urls"] = [url + settings.path(PATHS["oauth_redirect"])]
    return {
        "display_information": {"name": name, "description": DESCRIPTION},
        "features": {
            "agent_view": _agent(settings),
            "app_home": {
                "home_tab_enabled": False,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": name, "always_online": True},
            "slash_commands": [_command(settings, name, what, url, prefix) for name, what in COMMANDS.items()],
        },
        "oauth_config": oauth,
        "settings": {
            "event_subscriptions": {"bot_events": list(EVENTS), **_at(settings, url, "request_url", "events")},
            "interactivity": {"is_enabled": True, **_at(settings, url, "request_url", "interactive")},
            "org_deploy_enabled": False,
            "socket_mode_enabled": url is None,
            "token_rotation_enabled": rotate,
        },
    }


def _agent(settings: SlackSettings) -> Manifest:
    prompts = [{"title": title, "message": message} for title, message in settings.prompts]
    return {"agent_description": AGENT_DESCRIPTION, **({"suggested_prompts": prompts} if prompts else {})}


def _command(settings: SlackSettings, name: str, what: str, url: str | None, prefix: str) -> Manifest:
    return {
        "command": f"/{prefix}-{name}" if prefix else f"/{name}",
        "description": what,
        "should_escape": False,
        **_at(settings, url, "url", "commands"),
    }


def _at(settings: SlackSettings, url: str | None, field: str, path: str) -> dict[str, str]:
    """Returns the address of a path of this server; nothing for Socket Mode."""
    return {field: url + settings.path(PATHS[path])} if url else {}


# ---------------------------------------------------------------- the command line


def command() -> click.Group:
    """Returns the command group ``slack``."""

    @click.group("slack")
    def slack() -> None:
        """Set Slack up."""

    @slack.command("manifest")
    @click.option("--url", callback=_public, metavar="URL", help="Slack calls this server at this public address.")
    @click.option("--socket", is_flag=True, help="Socket Mode: this server calls Slack, and needs no public address.")
    @click.option("--name", default=DEFAULT_NAME, show_default=True, callback=_short, help="The name of the bot.")
    @click.option(
        "--prefix", default="", callback=_prefix, metavar="WORD", help="Commands are /WORD-reset, /WORD-help."
    )
    @click.option("--bot", default="", metavar="NAME", help="Its name in [[bots]], which is in its addresses.")
    @click.option(
        "--rotate-tokens", is_flag=True, help="Tokens live for 12 hours and are renewed. For installs by OAuth."
    )
    def manifest(url: str | None, name: str, prefix: str, bot: str, *, socket: bool, rotate_tokens: bool) -> None:
        """Print the manifest of the app: create the app from it at https://api.slack.com/apps."""
        if socket is (url is not None):
            raise click.UsageError("Give either --url URL, or --socket if Slack cannot reach this server.")
        if rotate_tokens and socket:
            raise click.UsageError("--rotate-tokens needs --url: Slack brings the tokens there.")
        made = build(SlackSettings.load().for_bot(bot), name=name, url=url, prefix=prefix, rotate=rotate_tokens)
        click.echo(json.dumps(made, indent=2, ensure_ascii=False))

    return slack


def _public(_ctx: click.Context, _param: click.Parameter, url: str | None) -> str | None:
    """Returns the address as Slack needs it: with https, and without the path of events."""
    if url is None:
        return None
    try:
        parts = public_url(url, PATHS["events"])
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in OWN_MACHINE):
        raise click.BadParameter("Slack calls addresses with https only.")
    return parts.geturl()


def _short(_ctx: click.Context, _param: click.Parameter, name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise click.BadParameter(f"A name has 1 to {LONGEST_NAME} characters.")
    return name


def _prefix(_ctx: click.Context, _param: click.Parameter, prefix: str) -> str:
    prefix = prefix.strip().lstrip("/").lower()
    room = LONGEST_COMMAND - max(len(f"/-{name}") for name in COMMANDS)
    if prefix and (not PREFIX.fullmatch(prefix) or len(prefix) > room):
        raise click.BadParameter(f"Up to {room} of a to z, 0 to 9 and -.")
    return prefix
