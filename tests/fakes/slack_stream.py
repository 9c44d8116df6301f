"""chat.startStream, appendStream, stopStream."""

from __future__ import annotations

from tests.fakes.slack_arguments import (
    MAX_MARKDOWN_CHARS,
    SlackArguments,
    blocks_of,
    markdown_of,
    metadata_of,
)
from tests.fakes.slack_chat import own_message, postable_channel, thread_of
from tests.fakes.slack_faults import Json, SlackError, invalid_arguments
from tests.fakes.slack_json import message_json
from tests.fakes.slack_state import FakeSlackMessage, SlackChannel, SlackState, SlackStream, SlackWorkspace

TASK_STATUSES = {"pending", "in_progress", "complete", "error"}
MAX_TITLE_CHARS = 256
REQUIRED_FIELDS = {
    "markdown_text": ("text",),
    "task_update": ("id", "title"),
    "plan_update": ("title",),
    "blocks": ("blocks",),
}


def start(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    channel = postable_channel(state, workspace, args.string("channel"))
    args.required_string("thread_ts")
    _check_recipient(state, channel, args)
    if args.string("task_display_mode") not in {"", "timeline", "plan", "dense"}:
        raise invalid_arguments("must be a valid enum value: task_display_mode")
    chunks = _new_chunks(args)
    stream = SlackStream(expires_at=state.clock() + state.stream_seconds)
    message = FakeSlackMessage("", channel, workspace.bot_user, thread_ts=thread_of(channel, args), bot=workspace)
    message.stream = stream
    _append_chunks(state, message, args, chunks)
    message.ts = state.new_ts()
    state.add_message(message)
    return {"ok": True, "channel": channel.id, "ts": message.ts}


def append(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    message = _live_message(state, workspace, args)
    chunks = _new_chunks(args)
    if not chunks:
        raise SlackError("no_text")
    _append_chunks(state, message, args, chunks)
    return {"ok": True, "channel": message.channel.id, "ts": message.ts}


def stop(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """chat.stopStream; its ``session_status`` is handled in slack_agent."""
    message = _live_message(state, workspace, args)
    chunks, blocks, metadata = _new_chunks(args), blocks_of(args), metadata_of(args)
    _append_chunks(state, message, args, chunks)
    message.blocks, message.metadata = [*message.blocks, *blocks], metadata
    state.end_streams([message], "message_not_in_streaming_state")
    return {"ok": True, "channel": message.channel.id, "ts": message.ts, "message": message_json(state, message)}


def _check_recipient(state: SlackState, channel: SlackChannel, args: SlackArguments) -> None:
    if channel.kind == "im":
        return
    if not args.string("recipient_team_id"):
        raise SlackError("missing_recipient_team_id")
    if not args.string("recipient_user_id"):
        raise SlackError("missing_recipient_user_id")
    if (args["recipient_team_id"], args["recipient_user_id"]) not in state.users:
        raise SlackError("user_not_found")


def _live_message(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> FakeSlackMessage:
    message = own_message(state, workspace, args, "message_not_owned_by_app")
    if message.stream is None:
        raise SlackError("message_not_in_streaming_state")
    if message.stream.end_error:
        raise SlackError(message.stream.end_error)
    return message


def _new_chunks(args: SlackArguments) -> list[Json]:
    """Returns the content of the call as chunks. Raises SlackError if it is invalid."""
    markdown, chunks = markdown_of(args), args.json_objects("chunks", "invalid_chunks")
    if args.get("markdown_text") is not None and args.get("chunks") is not None:
        raise SlackError("cannot_provide_both_markdown_text_and_chunks")
    for index, chunk in enumerate(chunks):
        _check_chunk(chunk, index)
    if sum(len(chunk["text"]) for chunk in chunks if chunk["type"] == "markdown_text") > MAX_MARKDOWN_CHARS:
        raise SlackError("msg_too_long")
    return [{"type": "markdown_text", "text": markdown}] if markdown else chunks


def _check_chunk(chunk: Json, index: int) -> None:
    kind = str(chunk.get("type"))
    missing = [name for name in REQUIRED_FIELDS.get(kind, ("type",)) if not chunk.get(name)]
    if kind not in REQUIRED_FIELDS or missing:
        raise _invalid_chunk(index, f"missing or unknown: {', '.join(missing)}")
    if kind == "task_update" and chunk.get("status", "pending") not in TASK_STATUSES:
        raise _invalid_chunk(index, "must be a valid enum value: status")
    if len(str(chunk.get("title", ""))) > MAX_TITLE_CHARS:
        raise _invalid_chunk(index, f"must be less than {MAX_TITLE_CHARS + 1} characters: title")


def _invalid_chunk(index: int, reason: str) -> SlackError:
    return SlackError(
        "invalid_chunks", response_metadata={"messages": [f"[ERROR] {reason} [json-pointer:/chunks/{index}]"]}
    )


def _append_chunks(state: SlackState, message: FakeSlackMessage, args: SlackArguments, chunks: list[Json]) -> None:
    """Appends chunks to a stream. Raises streaming_mode_mismatch or msg_too_long, and then appends nothing."""
    stream = message.stream
    if stream is None or not chunks:
        return
    mode = "chunks" if args.get("chunks") is not None else "markdown_text"
    if stream.mode not in {"", mode}:
        raise SlackError("streaming_mode_mismatch")
    text = "".join(chunk["text"] for chunk in chunks if chunk["type"] == "markdown_text")
    if len((message.markdown + text).encode()) > state.max_stream_bytes:
        raise SlackError("msg_too_long")
    stream.mode = mode
    stream.chunks += chunks
    message.markdown += text
    message.blocks += [block for chunk in chunks if chunk["type"] == "blocks" for block in chunk["blocks"]]
    message.cached_view = None
