"""Read methods: conversations.*, users.info, bots.info, usergroups.list."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.fakes.slack_arguments import SlackArguments
from tests.fakes.slack_faults import Json, SlackError
from tests.fakes.slack_json import channel_json, message_json, user_json
from tests.fakes.slack_state import FakeSlackMessage, SlackState, SlackWorkspace

DEFAULT_PAGE = 100
MAX_PAGE = 999
USER_GROUP = "S0DUTY1"


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


def bot_info(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """bots.info: every app but ours goes by its id."""
    bot = args.required_string("bot")
    name = workspace.name if bot == workspace.bot_id else f"App {bot}"
    return {"ok": True, "bot": {"id": bot, "deleted": False, "name": name, "app_id": f"A{bot[1:]}"}}


def user_groups(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """usergroups.list: every workspace has one group."""
    group = {"id": USER_GROUP, "team_id": workspace.team, "is_usergroup": True, "name": "On Duty", "handle": "on-duty"}
    return {"ok": True, "usergroups": [group]}
