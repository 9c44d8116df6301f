"""The command ``handover``: lists the conversations in which a person answers, takes over, answers, gives back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import click

from gateway.cli.actor import actor, login_name
from gateway.cli.terminal import one_line
from gateway.domain.conversations import Conversation
from gateway.domain.errors import ThreadNotFound
from gateway.domain.models import Message, Turn
from gateway.domain.past import unanswered
from gateway.handover import messages
from gateway.handover.looking_back import refusals, turns_to_answer
from gateway.operations import iso, record_message
from gateway.ports.audit_trail import AuditTrail
from gateway.ports.enqueue import AssistantRoute
from gateway.ports.handovers import Handovers, OpenHandover
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store

LISTED = 100

_by = click.option("--by", default=None, metavar="NAME", help="Who you are. Default: your login name.")
_number = click.argument("number", type=click.IntRange(1, 2**63 - 1))


@dataclass(frozen=True, slots=True)
class HandoverContext:
    """What the command works with."""

    store: Store
    reporting: ReportingStore
    handovers: Handovers
    audit_trail: AuditTrail
    max_answer_chars: int
    max_backlog: int
    staff_platform: str = ""
    """Of the channel of the staff; "": there is none."""

    def load(self, number: int) -> tuple[Conversation, list[Turn]]:
        """Returns a conversation and its newest turns, oldest first. Raises ThreadNotFound."""
        found = self.reporting.get_conversation(number)
        if found is None:
            raise ThreadNotFound(f"There is no conversation {number}.")
        return found, list(turns_to_answer(self.store, found.id))

    def record(self, message: Message, route: AssistantRoute) -> Turn:
        """Records a message, and who sent it; a running gateway does the rest. Raises InputError, Overloaded."""
        turn = record_message(self.store, message, route, max_backlog=self.max_backlog)
        action = messages.ACTIONS[message.kind]
        self.audit_trail.record(actor(), action, str(turn.conversation_id), turn.id)
        return turn


OpenHandoverContext = Callable[[], AbstractContextManager[HandoverContext]]


def command(open_context: OpenHandoverContext) -> click.Group:
    """Returns the command group ``handover``."""

    @click.group("handover", invoke_without_command=True)
    @click.pass_context
    def handover(ctx: click.Context) -> None:
        """List the conversations in which a person answers instead of the assistant; take one over, give it back."""
        if ctx.invoked_subcommand is None:
            with open_context() as context:
                _list(context)

    for subcommand in (_take_command, _answer_command, _resume_command):
        handover.add_command(subcommand(open_context))
    return handover


def _list(context: HandoverContext) -> None:
    found, hidden = context.handovers.listed_open(LISTED), _not_shown(context)
    if not found:
        click.echo("The assistant answers everywhere.")
    while found:
        for each in found:
            click.echo(_line(context, each))
            if each.conversation.id in hidden:
                click.echo(f"    not shown in the channel of the staff: {one_line(hidden[each.conversation.id])}")
        found = context.handovers.listed_open(LISTED, after=found[-1])


def _take_command(open_context: OpenHandoverContext) -> click.Command:
    @click.command("take")
    @_number
    @click.option("--reason", default="", help="For the staff only.")
    @_by
    def take(number: int, reason: str, by: str | None) -> None:
        """Answer in conversation NUMBER yourself from now on. People there are told."""
        with open_context() as context:
            found, turns = context.load(number)
            made = messages.take_over(found, turns, _caller(by), reason, secrets.token_hex(12))
            click.echo(f"Conversation {number} is handed over, by {context.record(made, _route(found, turns)).id}.")

    return take


def _answer_command(open_context: OpenHandoverContext) -> click.Command:
    @click.command("answer")
    @_number
    @click.argument("text")
    @_by
    def answer(number: int, text: str, by: str | None) -> None:
        """Send TEXT as the answer in conversation NUMBER, which is handed over."""
        with open_context() as context:
            found, turns = context.load(number)
            most, name = context.max_answer_chars, secrets.token_hex(12)
            made = messages.answer(found, turns, _caller(by), text, name, most)
            click.echo(f"The answer is recorded as {context.record(made, _route(found, turns)).id}.")

    return answer


def _resume_command(open_context: OpenHandoverContext) -> click.Command:
    @click.command("resume")
    @_number
    @_by
    def resume(number: int, by: str | None) -> None:
        """Give conversation NUMBER back to the assistant, which answers what you have not."""
        with open_context() as context:
            found, turns = context.load(number)
            made = messages.give_back(found, turns, _caller(by), secrets.token_hex(12))
            click.echo(f"Conversation {number} goes back, by {context.record(made, _route(found, turns)).id}.")

    return resume


def _not_shown(context: HandoverContext) -> Mapping[int, str]:
    """Returns why handovers are not shown in the channel of the staff, by conversation."""
    return refusals(context.handovers.introduced(context.staff_platform)) if context.staff_platform else {}


def _line(context: HandoverContext, found: OpenHandover) -> str:
    record, key = found.record, found.conversation.key
    waiting = unanswered(turns_to_answer(context.store, found.conversation.id))
    place = " ".join(part for part in (key.platform, key.workspace, key.channel, key.topic, key.user) if part)
    why = f": {record.reason}" if record.reason else ""
    newest = f"\n    {one_line(waiting[-1].message.own_text)}" if waiting else ""
    said = f"{record.conversation_id}  since {iso(record.since)} by {record.by or 'somebody'}{why}"
    return f"{one_line(said)}  {one_line(place)}  {len(waiting)} unanswered{newest}"


def _caller(by: str | None) -> str:
    return messages.staff(login_name() if by is None else by)


def _route(conversation: Conversation, turns: list[Turn]) -> AssistantRoute:
    """Returns who is asked when the conversation goes back: whom its last message was for."""
    asked = (each.assistant for each in reversed(turns) if not each.message.is_pushed)
    return AssistantRoute(next(asked, conversation.assistant))
