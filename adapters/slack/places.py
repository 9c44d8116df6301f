"""Where a reply goes, and with whose token."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.messages import Address

NAME = "slack"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One installation of the app."""

    team: str
    token: str = field(repr=False)
    bot_user: str = ""
    bot_id: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A strand of a channel of a workspace."""

    workspace: Workspace
    channel: str
    thread_ts: str
    """The message under which a reply goes; empty: into the channel itself."""
    message_ts: str
    """What is answered; empty where it was no message, such as a command."""
    user: str
    """Whom the reply is for."""
    user_team: str

    @classmethod
    def of(cls, address: Address, workspace: Workspace) -> Place:
        """From an address as ``incoming.address_of`` writes it."""
        return cls(
            workspace,
            address["channel"],
            address.get("thread_ts", ""),
            address.get("ts", ""),
            address.get("user", ""),
            address.get("user_team") or workspace.team,
        )
