"""chat.postMessage, update, delete, postEphemeral."""

from __future__ import annotations

from tests.fakes.slack_arguments import TEXT_LIMIT, UPDATE_LIMIT, Args, blocks_of, check_ts, markdown_of, metadata_of
from tests.fakes.slack_faults import Json, SlackError
from tests.fakes.slack_json import message_json
from tests.fakes.slack_state import Channel, Message, Workspace, World


def where_to_post(world: World, workspace: Workspace, channel: str) -> Channel:
    """Returns the channel if the bot may post there. Raises channel_not_found, is_archived, not_in_channel."""
    found = world.channel(workspace, channel)
    if found.archived:
        raise SlackError("is_archived")
    if not found.member:
        raise SlackError("not_in_channel")
    return found


def what_to_say(args: Args) -> tuple[str, str, list[Json]]:
    """Returns text, Markdown and blocks. Raises markdown_text_conflict, no_text, or the error of an invalid one."""
    text, markdown, blocks = args.word("text"), markdown_of(args), blocks_of(args)
    if markdown and (text or blocks):
        raise SlackError("markdown_text_conflict")
    if not (text or markdown or blocks or args.get("attachments")):
        raise SlackError("no_text")
    return text, markdown, blocks


def post_message(world: World, workspace: Workspace, args: Args) -> Json:
    channel = where_to_post(world, workspace, args.word("channel"))
    text, markdown, blocks = what_to_say(args)
    message = Message(
        ts="",
        channel=channel,
        user=workspace.bot_user,
        text=text[:TEXT_LIMIT],
        markdown=markdown,
        thread_ts=check_ts(args, "thread_ts"),
        blocks=blocks,
        metadata=metadata_of(args),
        bot=workspace,
    )
    message.ts = world.new_ts()
    world.put(message)
    return {"ok": True, "channel": channel.id, "ts": message.ts, "message": message_json(world, message)}


def update(world: World, workspace: Workspace, args: Args) -> Json:
    message = own(world, workspace, args, "cant_update_message")
    if message.streaming:
        raise SlackError("streaming_state_conflict")
    text, markdown, blocks = what_to_say(args)
    if len(text) > UPDATE_LIMIT:
        raise SlackError("msg_too_long")
    metadata = metadata_of(args)
    message.text, message.markdown, message.blocks = text, markdown, blocks
    message.metadata = message.metadata if metadata is None else metadata
    message.edited = {"user": workspace.bot_user, "ts": world.new_ts()}
    message.posted = None
    return {
        "ok": True,
        "channel": message.channel.id,
        "ts": message.ts,
        "text": text,
        "message": message_json(world, message),
    }


def delete(world: World, workspace: Workspace, args: Args) -> Json:
    message = own(world, workspace, args, "cant_delete_message")
    world.drop(message)
    return {"ok": True, "channel": message.channel.id, "ts": message.ts}


def post_ephemeral(world: World, workspace: Workspace, args: Args) -> Json:
    channel = where_to_post(world, workspace, args.word("channel"))
    text, markdown, blocks = what_to_say(args)
    if (workspace.team, args.need("user")) not in world.users:
        raise SlackError("user_not_in_channel")
    ts = world.new_ts()
    place = {"channel": channel.id, "user": args["user"], "thread_ts": check_ts(args, "thread_ts"), "ts": ts}
    world.whispers.append({**place, "text": text or markdown, "blocks": blocks})
    return {"ok": True, "message_ts": ts}


def own(world: World, workspace: Workspace, args: Args, foreign: str) -> Message:
    """Returns a message of this bot. Raises message_not_found, or ``foreign_error`` for a message of anyone else."""
    world.end_old_streams()
    channel = world.channel(workspace, args.word("channel"))
    message = channel.messages.get(args.word("ts"))
    if message is None:
        raise SlackError("message_not_found")
    if message.bot is None or message.bot.team != workspace.team:
        raise SlackError(foreign)
    return message
