"""The command ``callbacks``: what is posted to programs and was not accepted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import click

from gateway.cli.actor import actor
from gateway.cli.terminal import one_line
from gateway.domain.errors import TurnNotFound
from gateway.operations import as_json, iso
from gateway.ports.audit_trail import AuditedAction, AuditTrail
from gateway.ports.callbacks import Callback, Callbacks

LISTED = 1000

OpenCallbacks = Callable[[], AbstractContextManager[tuple[Callbacks, AuditTrail]]]


def command(open_callbacks: OpenCallbacks) -> click.Command:
    """Returns the command."""

    @click.command("callbacks")
    @click.option("--dead", is_flag=True, help="Only dead letters.")
    @click.option("--resend", default=None, metavar="ID", help="Send this dead letter again.")
    @click.option("--resend-all", is_flag=True, help="Send all dead letters again.")
    @click.option("--json", "prints_json", is_flag=True, help="Print JSON, one object per line.")
    def callbacks(resend: str | None, *, dead: bool, resend_all: bool, prints_json: bool) -> None:
        """List answers and events that wait to be posted, and dead letters, the newest first."""
        if resend is not None and resend_all:
            raise click.UsageError("Write --resend ID or --resend-all, not both.")
        with open_callbacks() as (stored, trail):
            if resend is not None or resend_all:
                _resend(stored, trail, resend)
                return
            listed = stored.listed(LISTED, dead=dead or None)
        for each in listed:
            click.echo(as_json(_view(each)) if prints_json else one_line(_line(each)))
        if not listed:
            click.echo("There is no dead letter." if dead else "Nothing waits to be posted.", err=True)

    return callbacks


def _resend(stored: Callbacks, trail: AuditTrail, name: str | None) -> None:
    """``name``: None for all dead letters."""
    sent = _resent(stored) if name is None else [name] if stored.resend(name) else []
    if name is not None and not sent:
        raise TurnNotFound(f"There is no dead letter {name!r}.")
    for each in sent:
        trail.record(actor(), AuditedAction.CALLBACK_RESENT, each)
    click.echo(f"Sent again: {len(sent)}.")


def _resent(stored: Callbacks) -> Sequence[str]:
    """Sends all dead letters again, page by page; returns their ids, the oldest of each page first."""
    sent = list[str]()
    while again := [each.id for each in reversed(stored.listed(LISTED, dead=True)) if stored.resend(each.id)]:
        sent += again
    return sent


def _line(callback: Callback) -> str:
    state = "waits" if callback.dead_at is None else "dead"
    error = f" ({' '.join(callback.error.split())})" if callback.error else ""
    what = f"{callback.event} {callback.turn_id} -> {callback.url}"
    return f"{callback.id}  {state}  {iso(callback.created_at)}  attempts {callback.attempts}  {what}{error}"


def _view(callback: Callback) -> dict[str, object]:
    return {
        "id": callback.id,
        "event": callback.event,
        "turn_id": callback.turn_id,
        "url": callback.url,
        "state": "waits" if callback.dead_at is None else "dead",
        "attempts": callback.attempts,
        "error": callback.error,
        "created_at": iso(callback.created_at),
        "body": json.loads(callback.body),
    }
