"""The Web API methods of the fake, with scopes and rate limit of each."""

from __future__ import annotations

from tests.fakes import slack_agent, slack_chat, slack_files, slack_reads, slack_stream
from tests.fakes.slack_arguments import Args
from tests.fakes.slack_faults import Json
from tests.fakes.slack_rate_limits import TIER
from tests.fakes.slack_state import Workspace, World
from tests.fakes.slack_web_api import Method

WRITE = ("chat:write",)
ASSIST = ("assistant:write",)
HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
READ = ("channels:read", "groups:read", "im:read", "mpim:read")
REACT = ("reactions:write",)
STATUSES = 600
"""Calls a minute of assistant.threads.setStatus; docs.slack.dev says only that its tier is special."""


def auth_test(world: World, workspace: Workspace, args: Args) -> Json:
    return {
        "ok": True,
        "url": f"{world.url}/",
        "team": workspace.name,
        "user": "bot",
        "team_id": workspace.team,
        "user_id": workspace.bot_user,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": False,
    }


def methods(*, streaming: bool) -> dict[str, Method]:
    known = _common()
    return known | _streams() if streaming else known


def _common() -> dict[str, Method]:
    return {
        "auth.test": Method(auth_test),
        "chat.postMessage": Method(slack_chat.post_message, WRITE),
        "chat.update": Method(slack_chat.update, WRITE, TIER[3]),
        "chat.delete": Method(slack_chat.delete, WRITE, TIER[3]),
        "chat.postEphemeral": Method(slack_chat.post_ephemeral, WRITE, TIER[4]),
        "files.info": Method(slack_files.info, ("files:read",), TIER[4]),
        "files.getUploadURLExternal": Method(slack_files.get_upload_url, ("files:write",), TIER[4]),
        "files.completeUploadExternal": Method(slack_files.complete_upload, ("files:write",), TIER[4]),
        "assistant.threads.setStatus": Method(slack_agent.set_status, WRITE + ASSIST, STATUSES),
        "assistant.threads.setSuggestedPrompts": Method(slack_agent.set_suggested_prompts, ASSIST, TIER[4]),
        "assistant.threads.setTitle": Method(slack_agent.set_title, ASSIST, TIER[4]),
        "agents.sessions.setStatus": Method(slack_agent.set_session_status, WRITE, TIER[3]),
        "agents.sessions.rename": Method(slack_agent.rename_session, WRITE, TIER[3]),
        "conversations.replies": Method(slack_reads.replies, HISTORY, TIER[3]),
        "conversations.history": Method(slack_reads.history, HISTORY, TIER[3]),
        "conversations.info": Method(slack_reads.channel_info, READ, TIER[3]),
        "users.info": Method(slack_reads.user_info, ("users:read",), TIER[4]),
        "reactions.add": Method(slack_reads.add_reaction, REACT, TIER[3]),
        "reactions.remove": Method(slack_reads.remove_reaction, REACT, TIER[2]),
        "views.publish": Method(slack_reads.publish_view, (), TIER[4]),
    }


def _streams() -> dict[str, Method]:
    return {
        "chat.startStream": Method(slack_stream.start, WRITE, TIER[2]),
        "chat.appendStream": Method(slack_stream.append, WRITE, TIER[4]),
        "chat.stopStream": Method(slack_agent.stop_stream, WRITE, TIER[2]),
    }
