"""Read methods and small writes: conversations.*, users.info, reactions.*, views.publish."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.fakes.slack_arguments import SlackArguments
from tests.fakes.slack_faults import Json, SlackError, invalid_arguments
from tests.fakes.slack_json import channel_json, message_json, user_json
from tests.fakes.slack_state import FakeSlackMessage, SlackState, SlackWorkspace

DEFAULT_PAGE = 100
MAX_PAGE = 999


def replies(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """conversations.replies: the root message, then its replies, oldest first."""
    channel = state.find_channel(workspace, args.string("channel"))
    ts = args.required_string("ts")
    message = channel.messages.get(ts)
    root = message.thread_ts or ts if message else ts
    found = [channel.messages[root]] if root in channel.messages else []
    found += channel.threads.get(root, [])
    if not found:
        raise SlackError("thread_not_found")
    return _page(state, found[:1] + _in_time_range(found[1:], args), args)


def history(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """conversations.history: top-level messages, newest first."""
    channel = state.find_channel(workspace, args.string("channel"))
    if not channel.bot_is_member:
        raise SlackError("not_in_channel")
    top = [message for message in channel.messages.values() if message.thread_ts in {None, message.ts}]
    return _page(state, _in_time_range(top, args)[::-1], args)


def _in_time_range(messages: Sequence[FakeSlackMessage], args: SlackArguments) -> list[FakeSlackMessage]:
    """Returns the messages after ``oldest`` and before ``latest``, including both ends when ``inclusive`` is set."""
    oldest, latest = _timestamp(args, "oldest", 0.0), _timestamp(args, "latest", float("inf"))
    if args.flag("inclusive"):
        return [message for message in messages if oldest <= float(message.ts) <= latest]
    return [message for message in messages if oldest < float(message.ts) < latest]


def _timestamp(args: SlackArguments, name: str, default: float) -> float:
    try:
        return float(args.string(name) or default)
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None


def _page(state: SlackState, messages: Sequence[FakeSlackMessage], args: SlackArguments) -> Json:
    limit = args.number("limit", DEFAULT_PAGE)
    if not 0 < limit <= MAX_PAGE:
        raise SlackError("invalid_limit")
    begin, metadata = _offset(args), args.flag("include_all_metadata")
    end = begin + limit
    shown = [message_json(state, message, metadata=metadata) for message in messages[begin:end]]
    more = end < len(messages)
    cursor = f"next:{end}" if more else ""
    return {"ok": True, "messages": shown, "has_more": more, "response_metadata": {"next_cursor": cursor}}


def _offset(args: SlackArguments) -> int:
    cursor = args.string("cursor")
    match = re.fullmatch(r"next:(\d+)", cursor or "next:0")
    if match is None:
        raise SlackError("invalid_cursor")
    return int(match[1])


def channel_info(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    return {"ok": True, "channel": channel_json(state.find_channel(workspace, args.string("channel")))}


def user_info(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    user = state.users.get((workspace.team, args.string("user")))
    if user is None:
        raise SlackError("user_not_found")
    return {"ok": True, "user": user_json(user)}


def add_reaction(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    message, reaction = _reaction_target(state, workspace, args)
    if reaction in message.reactions:
        raise SlackError("already_reacted")
    message.reactions.append(reaction)
    message.cached_view = None
    return {"ok": True}


def remove_reaction(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    message, reaction = _reaction_target(state, workspace, args)
    if reaction not in message.reactions:
        raise SlackError("no_reaction")
    message.reactions.remove(reaction)
    message.cached_view = None
    return {"ok": True}


def _reaction_target(
    state: SlackState, workspace: SlackWorkspace, args: SlackArguments
) -> tuple[FakeSlackMessage, tuple[str, str]]:
    channel = state.find_channel(workspace, args.string("channel"))
    message = channel.messages.get(args.required_string("timestamp"))
    if message is None:
        raise SlackError("message_not_found")
    name = args.required_string("name")
    if not re.fullmatch(r"[a-z0-9_+'-]+(::skin-tone-\d)?", name):
        raise SlackError("invalid_name")
    return message, (name, workspace.bot_user)


def publish_view(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    view = args.json_object("view", "invalid_arguments")
    if view is None or view.get("type") != "home" or not isinstance(view.get("blocks"), list):
        raise invalid_arguments("must be a home view with blocks: view")
    user = args.required_string("user_id")
    if (workspace.team, user) not in state.users:
        raise SlackError("user_not_found")
    state.home_views[user] = view
    return {"ok": True, "view": {"id": f"V{user[1:]}", "team_id": workspace.team, **view}}
