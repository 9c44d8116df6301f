"""assistant.threads.* and agents.sessions.*: statuses, titles and suggested prompts of an agent."""

from __future__ import annotations

from tests.fakes import slack_stream
from tests.fakes.slack_arguments import SlackArguments, check_ts
from tests.fakes.slack_faults import Json, SlackError, invalid_arguments
from tests.fakes.slack_state import SlackState, SlackWorkspace

SESSION_STATUSES = {"active", "processing", "suspended", "closed"}
STATUS_SECONDS = 120.0
"""Seconds until a status disappears if nothing is posted."""
MAX_TITLE_CHARS = 200
MAX_LOADING_MESSAGES = 10
MAX_LOADING_CHARS = 50
MAX_PROMPTS = 4


def set_status(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """assistant.threads.setStatus: shown until the bot posts, or for two minutes; an empty status clears it."""
    key = _thread_address(state, workspace, args)
    if "status" not in args:
        raise invalid_arguments("missing required field: status")
    messages = args.get("loading_messages") or []
    if not isinstance(messages, list) or len(messages) > MAX_LOADING_MESSAGES:
        raise invalid_arguments(f"no more than {MAX_LOADING_MESSAGES} items allowed: loading_messages")
    if any(not 0 < len(str(message)) <= MAX_LOADING_CHARS for message in messages):
        raise invalid_arguments(f"must be less than {MAX_LOADING_CHARS + 1} characters: loading_messages")
    status = args.string("status")
    state.agent_activity.statuses.setdefault(key, []).append(status)
    state.agent_activity.current_status[key] = (status, state.clock() + STATUS_SECONDS)
    return {"ok": True}


def set_title(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """assistant.threads.setTitle."""
    state.agent_activity.thread_titles[_thread_address(state, workspace, args)] = args.required_string("title")
    return {"ok": True}


def set_suggested_prompts(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """assistant.threads.setSuggestedPrompts; for an agent, prompts with a thread_ts are accepted but never shown."""
    channel = state.find_channel(workspace, args.required_string("channel_id")).id
    prompts = args.json_objects("prompts", "invalid_arguments")
    if not 0 < len(prompts) <= MAX_PROMPTS:
        raise invalid_arguments(f"between 1 and {MAX_PROMPTS} items allowed: prompts")
    if not all(prompt.get("title") and prompt.get("message") for prompt in prompts):
        raise invalid_arguments("missing required field: title or message")
    if not (state.is_agent and args.get("thread_ts")):
        state.agent_activity.suggested_prompts[channel] = prompts
    return {"ok": True}


def set_session_status(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """agents.sessions.setStatus: creates the session if there is none."""
    _require_agent(state)
    status = args.required_string("status")
    if status not in SESSION_STATUSES:
        raise invalid_arguments("must be a valid enum value: status")
    key = _thread_address(state, workspace, args)
    if len(args.string("title")) > MAX_TITLE_CHARS:
        raise invalid_arguments(f"must be less than {MAX_TITLE_CHARS + 1} characters: title")
    if key not in state.agent_activity.session_statuses:
        state.agent_activity.thread_titles[key] = args.string("title")
    state.agent_activity.session_statuses.setdefault(key, []).append(status)
    return {
        "ok": True,
        "status": status,
        "agent_status": status,
        "title": state.agent_activity.thread_titles.get(key, ""),
    }


def rename_session(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """agents.sessions.rename."""
    _require_agent(state)
    key = _thread_address(state, workspace, args)
    if not 0 < len(args.string("title")) <= MAX_TITLE_CHARS:
        raise invalid_arguments(f"between 1 and {MAX_TITLE_CHARS} characters allowed: title")
    if key not in state.agent_activity.session_statuses:
        raise SlackError("session_not_found")
    state.agent_activity.thread_titles[key] = args["title"]
    return {"ok": True, "title": args["title"]}


def stop_stream(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """chat.stopStream; also sets the status of the session in its thread to ``session_status``, or else to active."""
    status = args.string("session_status") or "active"
    if status not in SESSION_STATUSES:
        raise invalid_arguments("must be a valid enum value: session_status")
    answer = slack_stream.stop(state, workspace, args)
    key = (args["channel"], state.messages[answer["ts"]].thread_ts)
    if key in state.agent_activity.session_statuses:
        state.agent_activity.session_statuses[key].append(status)
    return answer


def _require_agent(state: SlackState) -> None:
    if not state.is_agent:
        raise SlackError("not_authorized")


def _thread_address(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> tuple[str, str | None]:
    """Returns channel and thread_ts. Raises channel_not_found, invalid_thread_ts, or invalid_arguments when one is
    missing.
    """
    channel = state.find_channel(workspace, args.required_string("channel_id")).id
    args.required_string("thread_ts")
    return channel, check_ts(args, "thread_ts")
