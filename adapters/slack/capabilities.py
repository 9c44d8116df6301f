"""What a Slack workspace or plan may lack."""

from __future__ import annotations

from enum import StrEnum

from adapters.base.capabilities import Capabilities
from adapters.base.errors import Rejected

LACKING = frozenset(
    {
        "deprecated_endpoint",
        "feature_disabled",
        "feature_not_enabled",
        "method_deprecated",
        "missing_scope",
        "not_agent_app",
        "not_allowed_token_type",
        "not_authorized",
        "not_subscribed_to_message_stream_stopped",
        "unknown_method",
    }
)
"""Slack's errors that count for a whole workspace, not for one message."""


class SlackCapability(StrEnum):
    STREAM = "stream"
    """chat.startStream and the methods that belong to it."""
    STATUS = "status"
    """assistant.threads.setStatus."""
    SESSION = "session"
    """agents.sessions.setStatus: the app is an agent."""


def learn(capabilities: Capabilities, team: str, capability: SlackCapability, rejected: Rejected) -> None:
    """Records that a workspace lacks a capability, if Slack's error says so."""
    if rejected.reason in LACKING:
        capabilities.mark_missing(team, capability)
