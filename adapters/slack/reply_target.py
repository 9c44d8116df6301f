"""Where a reply goes, and with which workspace's token."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.models import Address

NAME = "slack"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One installation of the app."""

    team: str
    token: str = field(repr=False)
    bot_user: str = ""
    bot_id: str = ""


@dataclass(frozen=True, slots=True)
class SlackTarget:
    """A thread of a channel, or a channel, in a workspace."""

    workspace: Workspace
    channel: str
    thread_ts: str
    """The message under which a reply goes; empty: into the channel itself."""
    message_ts: str
    """The message that is answered; empty if it was no message, such as a command."""
    user: str
    """The person for whom the reply is."""
    user_team: str

    @classmethod
    def of(cls, address: Address, workspace: Workspace) -> SlackTarget:
        """Reads an address that the event parser wrote."""
        return cls(
            workspace,
            address["channel"],
            address.get("thread_ts", ""),
            address.get("ts", ""),
            address.get("user", ""),
            address.get("user_team") or workspace.team,
        )
