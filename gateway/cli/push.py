"""Commands that push messages: ``send``, ``schedules``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import click

from gateway import operations
from gateway.cli.actor import actor
from gateway.cli.terminal import one_line
from gateway.domain.errors import TurnNotFound
from gateway.operations import iso
from gateway.ports.audit_trail import AuditedAction, AuditTrail
from gateway.ports.schedules import Schedule, Schedules
from gateway.ports.store import Store
from gateway.push import views
from gateway.push.messages import PushMessages, check_same_schedule, check_same_turn, name_for, owner_name
from gateway.push.request import PushOrder, PushRequest, order_of
from gateway.web.api.json_body import validate

OWNER = owner_name("operator")
LISTED = 1000


@dataclass(frozen=True, slots=True)
class PushContext:
    """What the commands work with."""

    messages: PushMessages
    store: Store
    schedules: Schedules
    audit_trail: AuditTrail
    now: float
    """By the database's clock."""
    max_prompt_chars: int
    max_text_chars: int
    max_backlog: int


OpenPushContext = Callable[[], AbstractContextManager[PushContext]]


def commands(open_context: OpenPushContext) -> Sequence[click.Command]:
    """Returns the commands ``send`` and ``schedules``."""
    return _send_command(open_context), _schedules_command(open_context)


def _send_command(open_context: OpenPushContext) -> click.Command:
    @click.command("send")
    @click.option("--platform", required=True, metavar="NAME", help="Such as slack, telegram, discord.")
    @click.option("--workspace", default="", metavar="ID", help="Of Slack's workspace or Discord's server.")
    @click.option("--channel", required=True, metavar="ID", help="Where to write.")
    @click.option("--topic", default="", metavar="ID", help="The thread or topic in the channel.")
    @click.option("--prompt", is_flag=True, help="Have the assistant answer the text, and send its reply.")
    @click.option("--assistant", default=None, metavar="NAME", help="Which assistant is asked.")
    @click.option("--at", default=None, metavar="TIME", help="When: ISO 8601 with a zone. Default: now.")
    @click.option("--every", default=None, metavar="CRON", help='When, again and again: "0 9 * * MON-FRI".')
    @click.option("--time-zone", default="UTC", show_default=True, metavar="NAME", help="Of --every.")
    @click.option("--key", default=None, metavar="KEY", help="The same key again is the same message.")
    @click.argument("text")
    def send(text: str, *, prompt: bool, key: str | None, **fields: str | None) -> None:
        """Send TEXT to a channel, now or at a time. A running gateway delivers it."""
        with open_context() as context:
            order = _order(context, {"prompt" if prompt else "text": text, **fields})
            name = name_for(OWNER, key)
            click.echo(_send_now(context, order, name) if order.first_at is None else _schedule(context, order, name))

    return send


def _order(context: PushContext, fields: dict[str, str | None]) -> PushOrder:
    """Raises MalformedRequest."""
    body = validate(PushRequest, {name: value for name, value in fields.items() if value is not None})
    limits = {"max_prompt_chars": context.max_prompt_chars, "max_text_chars": context.max_text_chars}
    return order_of(body, context.now, **limits)


def _send_now(context: PushContext, order: PushOrder, name: str) -> str:
    message = context.messages.message(order.push, OWNER, name)
    placed, route = context.messages.router.place(message)
    turn = operations.record_message(context.store, placed, route, max_backlog=context.max_backlog)
    check_same_turn(message, turn)
    context.audit_trail.record(actor(), AuditedAction.MESSAGE_SENT, turn.id)
    return turn.id


def _schedule(context: PushContext, order: PushOrder, name: str) -> str:
    wanted = context.messages.schedule(order, OWNER, name, context.now)
    stored = context.schedules.add(wanted)
    check_same_schedule(wanted, stored)
    context.audit_trail.record(actor(), AuditedAction.SCHEDULE_ADDED, stored.id)
    return stored.id


def _schedules_command(open_context: OpenPushContext) -> click.Command:
    @click.command("schedules")
    @click.option("--cancel", default=None, metavar="ID", help="Cancel this one instead of listing them.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
    def schedules(cancel: str | None, *, as_json: bool) -> None:
        """List scheduled messages, the newest first."""
        with open_context() as context:
            if cancel is not None:
                _cancel(context.schedules, cancel)
                context.audit_trail.record(actor(), AuditedAction.SCHEDULE_CANCELLED, cancel)
                return
            listed = context.schedules.listed(LISTED)
        for each in listed:
            shown = operations.as_json(views.schedule_view(each).model_dump(mode="json"))
            click.echo(shown if as_json else one_line(_line(each)))
        if not listed:
            click.echo("No message is scheduled.", err=True)

    return schedules


def _cancel(schedules: Schedules, schedule_id: str) -> None:
    if not schedules.cancel(schedule_id):
        raise TurnNotFound(f"There is no schedule {schedule_id!r} that is still to come.")
    click.echo(f"Cancelled {schedule_id}.")


def _line(schedule: Schedule) -> str:
    place, said = schedule.push.place, schedule.push.text or schedule.push.prompt
    following = "over" if schedule.next_at is None else iso(schedule.next_at)
    when = f"{schedule.every} {schedule.time_zone}" if schedule.every else "once"
    problem = f" ({schedule.problem})" if schedule.problem else ""
    begin = " ".join(said.split())[:60]
    return f"{schedule.id}  {following}  {when}  {place.platform} {place.channel}  {begin}{problem}"
