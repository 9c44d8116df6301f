"""The Web API methods of the fake, with scopes and rate limit of each."""

from __future__ import annotations

from tests.fakes import slack_agent, slack_chat, slack_files, slack_reads, slack_stream
from tests.fakes.slack_arguments import SlackArguments
from tests.fakes.slack_faults import Json
from tests.fakes.slack_rate_limits import CALLS_PER_MINUTE
from tests.fakes.slack_state import SlackState, SlackWorkspace
from tests.fakes.slack_web_api import SlackMethod

WRITE_SCOPES = ("chat:write",)
ASSISTANT_SCOPES = ("assistant:write",)
HISTORY_SCOPES = ("channels:history", "groups:history", "im:history", "mpim:history")
READ_SCOPES = ("channels:read", "groups:read", "im:read", "mpim:read")
STATUSES_PER_MINUTE = 600
"""Calls a minute of assistant.threads.setStatus; docs.slack.dev says only that its tier is special."""


def auth_test(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    return {
        "ok": True,
        "url": f"{state.url}/",
        "team": workspace.name,
        "user": "bot",
        "team_id": workspace.team,
        "user_id": workspace.bot_user,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": False,
    }


def methods(*, streaming: bool) -> dict[str, SlackMethod]:
    known = _common_methods()
    return known | _streaming_methods() if streaming else known


def _common_methods() -> dict[str, SlackMethod]:
    return {
        "auth.test": SlackMethod(auth_test),
        "chat.postMessage": SlackMethod(slack_chat.post_message, WRITE_SCOPES),
        "chat.update": SlackMethod(slack_chat.update, WRITE_SCOPES, CALLS_PER_MINUTE[3]),
        "chat.delete": SlackMethod(slack_chat.delete, WRITE_SCOPES, CALLS_PER_MINUTE[3]),
        "files.info": SlackMethod(slack_files.info, ("files:read",), CALLS_PER_MINUTE[4]),
        "files.getUploadURLExternal": SlackMethod(slack_files.get_upload_url, ("files:write",), CALLS_PER_MINUTE[4]),
        "files.completeUploadExternal": SlackMethod(slack_files.complete_upload, ("files:write",), CALLS_PER_MINUTE[4]),
        "assistant.threads.setStatus": SlackMethod(
            slack_agent.set_status, WRITE_SCOPES + ASSISTANT_SCOPES, STATUSES_PER_MINUTE
        ),
        "assistant.threads.setSuggestedPrompts": SlackMethod(
            slack_agent.set_suggested_prompts, ASSISTANT_SCOPES, CALLS_PER_MINUTE[4]
        ),
        "assistant.threads.setTitle": SlackMethod(slack_agent.set_title, ASSISTANT_SCOPES, CALLS_PER_MINUTE[4]),
        "agents.sessions.setStatus": SlackMethod(slack_agent.set_session_status, WRITE_SCOPES, CALLS_PER_MINUTE[3]),
        "agents.sessions.rename": SlackMethod(slack_agent.rename_session, WRITE_SCOPES, CALLS_PER_MINUTE[3]),
        "conversations.replies": SlackMethod(slack_reads.replies, HISTORY_SCOPES, CALLS_PER_MINUTE[3]),
        "conversations.history": SlackMethod(slack_reads.history, HISTORY_SCOPES, CALLS_PER_MINUTE[3]),
        "conversations.info": SlackMethod(slack_reads.channel_info, READ_SCOPES, CALLS_PER_MINUTE[3]),
        "bots.info": SlackMethod(slack_reads.bot_info, ("users:read",), CALLS_PER_MINUTE[3]),
        "usergroups.list": SlackMethod(slack_reads.user_groups, ("usergroups:read",), CALLS_PER_MINUTE[2]),
        "users.info": SlackMethod(slack_reads.user_info, ("users:read",), CALLS_PER_MINUTE[4]),
    }


def _streaming_methods() -> dict[str, SlackMethod]:
    return {
        "chat.startStream": SlackMethod(slack_stream.start, WRITE_SCOPES, CALLS_PER_MINUTE[2]),
        "chat.appendStream": SlackMethod(slack_stream.append, WRITE_SCOPES, CALLS_PER_MINUTE[4]),
        "chat.stopStream": SlackMethod(slack_agent.stop_stream, WRITE_SCOPES, CALLS_PER_MINUTE[2]),
    }
