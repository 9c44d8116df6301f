"""chat.postMessage, update, delete, postEphemeral."""

from __future__ import annotations

from tests.fakes.slack_arguments import (
    MAX_TEXT_CHARS,
    MAX_UPDATE_CHARS,
    SlackArguments,
    blocks_of,
    check_ts,
    markdown_of,
    metadata_of,
)
from tests.fakes.slack_faults import Json, SlackError
from tests.fakes.slack_json import message_json
from tests.fakes.slack_state import FakeSlackMessage, SlackChannel, SlackState, SlackWorkspace


def postable_channel(state: SlackState, workspace: SlackWorkspace, channel: str) -> SlackChannel:
    """Returns the channel if the bot may post there. Raises channel_not_found, is_archived, not_in_channel."""
    found = state.find_channel(workspace, channel)
    if found.archived:
        raise SlackError("is_archived")
    if not found.bot_is_member:
        raise SlackError("not_in_channel")
    return found


def thread_of(channel: SlackChannel, args: SlackArguments) -> str | None:
    """Returns the thread_ts of a new message. Raises restricted_action_non_threadable_channel, invalid_thread_ts."""
    thread_ts = check_ts(args, "thread_ts")
    if thread_ts is not None and not channel.threadable:
        raise SlackError("restricted_action_non_threadable_channel")
    return thread_ts


def message_content(args: SlackArguments) -> tuple[str, str, list[Json]]:
    """Returns text, Markdown and blocks. Raises markdown_text_conflict, no_text, or the error of an invalid one."""
    text, markdown, blocks = args.string("text"), markdown_of(args), blocks_of(args)
    if markdown and (text or blocks):
        raise SlackError("markdown_text_conflict")
    if not (text or markdown or blocks or args.get("attachments")):
        raise SlackError("no_text")
    return text, markdown, blocks


def post_message(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    channel = postable_channel(state, workspace, args.string("channel"))
    text, markdown, blocks = message_content(args)
    message = FakeSlackMessage(
        ts="",
        channel=channel,
        user=workspace.bot_user,
        text=text[:MAX_TEXT_CHARS],
        markdown=markdown,
        thread_ts=thread_of(channel, args),
        blocks=blocks,
        metadata=metadata_of(args),
        bot=workspace,
    )
    message.ts = state.new_ts()
    state.add_message(message)
    return {"ok": True, "channel": channel.id, "ts": message.ts, "message": message_json(state, message)}


def update(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    message = own_message(state, workspace, args, "cant_update_message")
    if message.streaming:
        raise SlackError("streaming_state_conflict")
    text, markdown, blocks = message_content(args)
    if len(text) > MAX_UPDATE_CHARS:
        raise SlackError("msg_too_long")
    metadata = metadata_of(args)
    message.text, message.markdown, message.blocks = text, markdown, blocks
    message.metadata = message.metadata if metadata is None else metadata
    message.edited = {"user": workspace.bot_user, "ts": state.new_ts()}
    message.cached_view = None
    return {
        "ok": True,
        "channel": message.channel.id,
        "ts": message.ts,
        "text": text,
        "message": message_json(state, message),
    }


def delete(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    message = own_message(state, workspace, args, "cant_delete_message")
    state.remove_message(message)
    return {"ok": True, "channel": message.channel.id, "ts": message.ts}


def own_message(
    state: SlackState, workspace: SlackWorkspace, args: SlackArguments, foreign_error: str
) -> FakeSlackMessage:
    """Returns a message of this bot. Raises message_not_found, or ``foreign_error`` for a message of anyone else."""
    state.expire_streams()
    channel = state.find_channel(workspace, args.string("channel"))
    message = channel.messages.get(args.string("ts"))
    if message is None:
        raise SlackError("message_not_found")
    if message.bot is None or message.bot.team != workspace.team:
        raise SlackError(foreign_error)
    return message
