"""assistant.threads.* and agents.sessions.*: statuses, titles and suggested prompts of an agent."""

from __future__ import annotations

from tests.fakes import slack_stream
from tests.fakes.slack_arguments import Args, check_ts
from tests.fakes.slack_faults import Json, SlackError, invalid
from tests.fakes.slack_state import Workspace, World

SESSION_STATUSES = {"active", "processing", "suspended", "closed"}
STATUS_SECONDS = 120.0
"""Seconds until a status disappears if nothing is posted."""
TITLE_LIMIT = 200
LOADING_LIMIT = 10
LOADING_CHARS = 50
PROMPTS_LIMIT = 4


def set_status(world: World, workspace: Workspace, args: Args) -> Json:
    """assistant.threads.setStatus: shown until the bot posts, or for two minutes; an empty status clears it."""
    key = _thread(world, workspace, args)
    if "status" not in args:
        raise invalid("missing required field: status")
    messages = args.get("loading_messages") or []
    if not isinstance(messages, list) or len(messages) > LOADING_LIMIT:
        raise invalid(f"no more than {LOADING_LIMIT} items allowed: loading_messages")
    if any(not 0 < len(str(message)) <= LOADING_CHARS for message in messages):
        raise invalid(f"must be less than {LOADING_CHARS + 1} characters: loading_messages")
    status = args.word("status")
    world.work.statuses.setdefault(key, []).append(status)
    world.work.showing[key] = (status, world.clock() + STATUS_SECONDS)
    return {"ok": True}


def set_title(world: World, workspace: Workspace, args: Args) -> Json:
    """assistant.threads.setTitle."""
    world.work.titles[_thread(world, workspace, args)] = args.need("title")
    return {"ok": True}


def set_suggested_prompts(world: World, workspace: Workspace, args: Args) -> Json:
    """assistant.threads.setSuggestedPrompts; for an agent, prompts with a thread_ts are accepted but never shown."""
    channel = world.channel(workspace, args.need("channel_id")).id
    prompts = args.things("prompts", "invalid_arguments")
    if not 0 < len(prompts) <= PROMPTS_LIMIT:
        raise invalid(f"between 1 and {PROMPTS_LIMIT} items allowed: prompts")
    if not all(prompt.get("title") and prompt.get("message") for prompt in prompts):
        raise invalid("missing required field: title or message")
    if not (world.agent and args.get("thread_ts")):
        world.work.prompts[channel] = prompts
    return {"ok": True}


def set_session_status(world: World, workspace: Workspace, args: Args) -> Json:
    """agents.sessions.setStatus: creates the session if there is none."""
    _agents_only(world)
    status = args.need("status")
    if status not in SESSION_STATUSES:
        raise invalid("must be a valid enum value: status")
    key = _thread(world, workspace, args)
    if len(args.word("title")) > TITLE_LIMIT:
        raise invalid(f"must be less than {TITLE_LIMIT + 1} characters: title")
    if key not in world.work.sessions:
        world.work.titles[key] = args.word("title")
    world.work.sessions.setdefault(key, []).append(status)
    return {"ok": True, "status": status, "agent_status": status, "title": world.work.titles.get(key, "")}


def rename_session(world: World, workspace: Workspace, args: Args) -> Json:
    """agents.sessions.rename."""
    _agents_only(world)
    key = _thread(world, workspace, args)
    if not 0 < len(args.word("title")) <= TITLE_LIMIT:
        raise invalid(f"between 1 and {TITLE_LIMIT} characters allowed: title")
    if key not in world.work.sessions:
        raise SlackError("session_not_found")
    world.work.titles[key] = args["title"]
    return {"ok": True, "title": args["title"]}


def stop_stream(world: World, workspace: Workspace, args: Args) -> Json:
    """chat.stopStream; also sets the status of the session in its thread to ``session_status``, or else to active."""
    status = args.word("session_status") or "active"
    if status not in SESSION_STATUSES:
        raise invalid("must be a valid enum value: session_status")
    answer = slack_stream.stop(world, workspace, args)
    key = (args["channel"], world.messages[answer["ts"]].thread_ts)
    if key in world.work.sessions:
        world.work.sessions[key].append(status)
    return answer


def _agents_only(world: World) -> None:
    if not world.agent:
        raise SlackError("not_authorized")


def _thread(world: World, workspace: Workspace, args: Args) -> tuple[str, str | None]:
    """Returns channel and thread_ts. Raises channel_not_found, invalid_thread_ts, or invalid_arguments when one is
    missing.
    """
    channel = world.channel(workspace, args.need("channel_id")).id
    args.need("thread_ts")
    return channel, check_ts(args, "thread_ts")
