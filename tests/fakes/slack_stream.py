"""chat.startStream, appendStream, stopStream."""

from __future__ import annotations

from tests.fakes.slack_arguments import MARKDOWN_LIMIT, Args, blocks_of, check_ts, markdown_of, metadata_of
from tests.fakes.slack_chat import own, where_to_post
from tests.fakes.slack_faults import Json, SlackError, invalid
from tests.fakes.slack_json import message_json
from tests.fakes.slack_state import Channel, Message, Stream, Workspace, World

TASK_STATUSES = {"pending", "in_progress", "complete", "error"}
TITLE_LIMIT = 256
FIELDS = {"markdown_text": ("text",), "task_update": ("id", "title"), "plan_update": ("title",), "blocks": ("blocks",)}


def start(world: World, workspace: Workspace, args: Args) -> Json:
    channel = where_to_post(world, workspace, args.word("channel"))
    args.need("thread_ts")
    _check_recipient(world, channel, args)
    if args.word("task_display_mode") not in {"", "timeline", "plan", "dense"}:
        raise invalid("must be a valid enum value: task_display_mode")
    chunks = _content(args)
    stream = Stream(until=world.clock() + world.lifespan)
    message = Message("", channel, workspace.bot_user, thread_ts=check_ts(args, "thread_ts"), bot=workspace)
    message.stream = stream
    _grow(world, message, args, chunks)
    message.ts = world.new_ts()
    world.put(message)
    return {"ok": True, "channel": channel.id, "ts": message.ts}


def append(world: World, workspace: Workspace, args: Args) -> Json:
    message = _live(world, workspace, args)
    chunks = _content(args)
    if not chunks:
        raise SlackError("no_text")
    _grow(world, message, args, chunks)
    return {"ok": True, "channel": message.channel.id, "ts": message.ts}


def stop(world: World, workspace: Workspace, args: Args) -> Json:
    """chat.stopStream; its ``session_status`` is handled in slack_agent."""
    message = _live(world, workspace, args)
    chunks, blocks, metadata = _content(args), blocks_of(args), metadata_of(args)
    _grow(world, message, args, chunks)
    message.blocks, message.metadata = [*message.blocks, *blocks], metadata
    world.end_streams([message], "message_not_in_streaming_state")
    return {"ok": True, "channel": message.channel.id, "ts": message.ts, "message": message_json(world, message)}


def _check_recipient(world: World, channel: Channel, args: Args) -> None:
    if channel.kind == "im":
        return
    if not args.word("recipient_team_id"):
        raise SlackError("missing_recipient_team_id")
    if not args.word("recipient_user_id"):
        raise SlackError("missing_recipient_user_id")
    if (args["recipient_team_id"], args["recipient_user_id"]) not in world.users:
        raise SlackError("user_not_found")


def _live(world: World, workspace: Workspace, args: Args) -> Message:
    message = own(world, workspace, args, "message_not_owned_by_app")
    if message.stream is None:
        raise SlackError("message_not_in_streaming_state")
    if message.stream.ended:
        raise SlackError(message.stream.ended)
    return message


def _content(args: Args) -> list[Json]:
    """Returns the content of the call as chunks. Raises SlackError if it is invalid."""
    markdown, chunks = markdown_of(args), args.things("chunks", "invalid_chunks")
    if args.get("markdown_text") is not None and args.get("chunks") is not None:
        raise SlackError("cannot_provide_both_markdown_text_and_chunks")
    for index, chunk in enumerate(chunks):
        _check_chunk(chunk, index)
    if sum(len(chunk["text"]) for chunk in chunks if chunk["type"] == "markdown_text") > MARKDOWN_LIMIT:
        raise SlackError("msg_too_long")
    return [{"type": "markdown_text", "text": markdown}] if markdown else chunks


def _check_chunk(chunk: Json, index: int) -> None:
    kind = str(chunk.get("type"))
    missing = [name for name in FIELDS.get(kind, ("type",)) if not chunk.get(name)]
    if kind not in FIELDS or missing:
        raise _bad_chunk(index, f"missing or unknown: {', '.join(missing)}")
    if kind == "task_update" and chunk.get("status", "pending") not in TASK_STATUSES:
        raise _bad_chunk(index, "must be a valid enum value: status")
    if len(str(chunk.get("title", ""))) > TITLE_LIMIT:
        raise _bad_chunk(index, f"must be less than {TITLE_LIMIT + 1} characters: title")


def _bad_chunk(index: int, why: str) -> SlackError:
    return SlackError(
        "invalid_chunks", response_metadata={"messages": [f"[ERROR] {why} [json-pointer:/chunks/{index}]"]}
    )


def _grow(world: World, message: Message, args: Args, chunks: list[Json]) -> None:
    """Appends chunks to a stream. Raises streaming_mode_mismatch or msg_too_long, and then appends nothing."""
    stream = message.stream
    if stream is None or not chunks:
        return
    mode = "chunks" if args.get("chunks") is not None else "markdown_text"
    if stream.mode not in {"", mode}:
        raise SlackError("streaming_mode_mismatch")
    text = "".join(chunk["text"] for chunk in chunks if chunk["type"] == "markdown_text")
    if len((message.markdown + text).encode()) > world.stream_bytes:
        raise SlackError("msg_too_long")
    stream.mode = mode
    stream.chunks += chunks
    message.markdown += text
    message.blocks += [block for chunk in chunks if chunk["type"] == "blocks" for block in chunk["blocks"]]
    message.posted = None
