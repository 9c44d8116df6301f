"""Which conversation something in Slack belongs to, and where the reply to it goes."""

from __future__ import annotations

from adapters.slack.event_context import MessageContext, TeamContext
from adapters.slack.settings import Scope, SlackSettings
from gateway.domain.models import Address, ConversationKey
from gateway.ports.platform import Destination


class Places:
    """Decides it by SLACK_SCOPE."""

    def __init__(self, settings: SlackSettings, staff: ConversationKey | None = None) -> None:
        """``staff``: a channel in which each thread is a conversation, whatever the scope."""
        self._name = settings.name
        self._scope: Scope = settings.slack_scope
        self._staff = (staff.workspace, staff.channel) if staff else None

    def is_of_staff(self, team: TeamContext, channel: str) -> bool:
        """Tells whether a channel is that of the staff."""
        return (team.team_id, channel) == self._staff

    def scope(self, team: TeamContext, channel: str) -> Scope:
        """Returns what a conversation is in a channel."""
        return "topic" if (team.team_id, channel) == self._staff else self._scope

    def of(self, team: TeamContext, context: MessageContext) -> Destination:
        """Returns the conversation, and the address of a reply: in the thread of what was said, or below it.

        In direct messages that are one conversation, what is said outside of a thread is answered there.
        """
        scope, ts = self.scope(team, context.channel), context.thread_ts or context.ts
        topic, user = ts if scope == "topic" else "", context.user if scope == "user" else ""
        key = ConversationKey(self._name, team.team_id, context.channel, topic, user)
        unthreaded = context.direct and scope != "topic"
        return Destination(key, _address(team, context, context.thread_ts if unthreaded else ts))


def _address(team: TeamContext, context: MessageContext, thread_ts: str) -> Address:
    """Returns an address as ``SlackTarget.of`` reads it. Empty parts are left out."""
    parts = {
        "team": team.team_id,
        "enterprise": team.enterprise,
        "channel": context.channel,
        "channel_type": "im" if context.direct else "channel",
        "thread_ts": thread_ts,
        "ts": context.ts,
        "user": context.user,
        "user_team": context.user_team,
        "kind": context.kind,
        "typed": "yes" if context.typed else "",
        "viewed": context.viewed,
        "seen_by": "user" if team.for_user else "",
    }
    return {name: part for name, part in parts.items() if part}
