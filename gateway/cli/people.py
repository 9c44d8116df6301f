"""Commands for people: ``block``, ``unblock``, ``blocked``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gateway import operations
from gateway.cli.actor import actor
from gateway.cli.person_options import PlatformNames, person_platform, person_user, require_platform
from gateway.cli.terminal import one_line
from gateway.cli.turns import OpenAdminStore
from gateway.domain.errors import Conflict
from gateway.operations import as_json, iso
from gateway.ports.blocks import Block
from gateway.ports.people import PersonId


def commands(open_store: OpenAdminStore, platforms: PlatformNames) -> Sequence[click.Command]:
    """Returns the commands."""
    return _block_command(open_store, platforms), _unblock_command(open_store), _blocked_command(open_store)


def _block_command(open_store: OpenAdminStore, platforms: PlatformNames) -> click.Command:
    @click.command("block")
    @person_platform
    @person_user
    @click.option("--reason", default="", metavar="TEXT", help="For operators; the person is not told.")
    def block(platform: str, user: str, reason: str) -> None:
        """Block a person: all processes stop answering them, within about a second.

        What of theirs is not answered yet is cancelled. In a chat they are told once; callers of /chat get 403.
        """
        require_platform(platform, platforms)
        person = PersonId(platform, user)
        with open_store() as store:
            if not operations.block_person(store, actor(), person, reason):
                raise Conflict(f"{person} is blocked already.")
        click.echo(one_line(f"Blocked {person}."))

    return block


def _unblock_command(open_store: OpenAdminStore) -> click.Command:
    @click.command("unblock")
    @person_platform
    @person_user
    def unblock(platform: str, user: str) -> None:
        """Answer a person again who was blocked."""
        person = PersonId(platform, user)
        with open_store() as store:
            if not operations.unblock_person(store, actor(), person):
                raise Conflict(f"{person} is not blocked.")
        click.echo(one_line(f"Unblocked {person}."))

    return unblock


def _blocked_command(open_store: OpenAdminStore) -> click.Command:
    @click.command("blocked")
    @click.option("--json", "prints_json", is_flag=True, help="Print JSON, one object per line.")
    def blocked(*, prints_json: bool) -> None:
        """List blocked people, the newest first."""
        with open_store() as store:
            listed = store.blocks.listed()
        for each in listed:
            click.echo(as_json(_view(each)) if prints_json else one_line(_line(each)))
        if not listed:
            click.echo("Nobody is blocked.", err=True)

    return blocked


def _line(block: Block) -> str:
    reason = f" ({' '.join(block.reason.split())})" if block.reason else ""
    return f"{block.person}  {iso(block.blocked_at)}  by {block.actor}  refused {block.refused}{reason}"


def _view(block: Block) -> dict[str, object]:
    return {
        "platform": block.person.platform,
        "user": block.person.user,
        "blocked_at": iso(block.blocked_at),
        "blocked_by": block.actor,
        "reason": block.reason,
        "refused": block.refused,
        "refused_at": None if block.refused_at is None else iso(block.refused_at),
    }
