"""Read methods and small writes: conversations.*, users.info, reactions.*, views.publish."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.fakes.slack_arguments import Args
from tests.fakes.slack_faults import Json, SlackError, invalid
from tests.fakes.slack_json import channel_json, message_json, user_json
from tests.fakes.slack_state import Message, Workspace, World

PAGE = 100
LARGEST_PAGE = 999


def replies(world: World, workspace: Workspace, args: Args) -> Json:
    """conversations.replies: the root message, then its replies, oldest first."""
    channel = world.channel(workspace, args.word("channel"))
    ts = args.need("ts")
    message = channel.messages.get(ts)
    root = message.thread_ts or ts if message else ts
    found = [channel.messages[root]] if root in channel.messages else []
    found += channel.threads.get(root, [])
    if not found:
        raise SlackError("thread_not_found")
    return _page(world, found[:1] + _between(found[1:], args), args)


def history(world: World, workspace: Workspace, args: Args) -> Json:
    """conversations.history: top-level messages, newest first."""
    channel = world.channel(workspace, args.word("channel"))
    if not channel.member:
        raise SlackError("not_in_channel")
    top = [message for message in channel.messages.values() if message.thread_ts in {None, message.ts}]
    return _page(world, _between(top, args)[::-1], args)


def _between(messages: Sequence[Message], args: Args) -> list[Message]:
    """Returns the messages after ``oldest`` and before ``latest``, including both ends when ``inclusive`` is set."""
    oldest, latest = _time(args, "oldest", 0.0), _time(args, "latest", float("inf"))
    if args.flag("inclusive"):
        return [message for message in messages if oldest <= float(message.ts) <= latest]
    return [message for message in messages if oldest < float(message.ts) < latest]


def _time(args: Args, name: str, default: float) -> float:
    try:
        return float(args.word(name) or default)
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None


def _page(world: World, messages: Sequence[Message], args: Args) -> Json:
    limit = args.number("limit", PAGE)
    if not 0 < limit <= LARGEST_PAGE:
        raise SlackError("invalid_limit")
    begin, metadata = _cursor(args), args.flag("include_all_metadata")
    end = begin + limit
    shown = [message_json(world, message, metadata=metadata) for message in messages[begin:end]]
    more = end < len(messages)
    cursor = f"next:{end}" if more else ""
    return {"ok": True, "messages": shown, "has_more": more, "response_metadata": {"next_cursor": cursor}}


def _cursor(args: Args) -> int:
    cursor = args.word("cursor")
    match = re.fullmatch(r"next:(\d+)", cursor or "next:0")
    if match is None:
        raise SlackError("invalid_cursor")
    return int(match[1])


def channel_info(world: World, workspace: Workspace, args: Args) -> Json:
    return {"ok": True, "channel": channel_json(world.channel(workspace, args.word("channel")))}


def user_info(world: World, workspace: Workspace, args: Args) -> Json:
    user = world.users.get((workspace.team, args.word("user")))
    if user is None:
        raise SlackError("user_not_found")
    return {"ok": True, "user": user_json(user)}


def add_reaction(world: World, workspace: Workspace, args: Args) -> Json:
    message, reaction = _reacted(world, workspace, args)
    if reaction in message.reactions:
        raise SlackError("already_reacted")
    message.reactions.append(reaction)
    message.posted = None
    return {"ok": True}


def remove_reaction(world: World, workspace: Workspace, args: Args) -> Json:
    message, reaction = _reacted(world, workspace, args)
    if reaction not in message.reactions:
        raise SlackError("no_reaction")
    message.reactions.remove(reaction)
    message.posted = None
    return {"ok": True}


def _reacted(world: World, workspace: Workspace, args: Args) -> tuple[Message, tuple[str, str]]:
    channel = world.channel(workspace, args.word("channel"))
    message = channel.messages.get(args.need("timestamp"))
    if message is None:
        raise SlackError("message_not_found")
    name = args.need("name")
    if not re.fullmatch(r"[a-z0-9_+'-]+(::skin-tone-\d)?", name):
        raise SlackError("invalid_name")
    return message, (name, workspace.bot_user)


def publish_view(world: World, workspace: Workspace, args: Args) -> Json:
    view = args.thing("view", "invalid_arguments")
    if view is None or view.get("type") != "home" or not isinstance(view.get("blocks"), list):
        raise invalid("must be a home view with blocks: view")
    user = args.need("user_id")
    if (workspace.team, user) not in world.users:
        raise SlackError("user_not_found")
    world.views[user] = view
    return {"ok": True, "view": {"id": f"V{user[1:]}", "team_id": workspace.team, **view}}
