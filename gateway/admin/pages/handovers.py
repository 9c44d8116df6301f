"""The page of conversations in which a person answers, and the forms by which one takes over, answers, gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import flask
from flask.typing import ResponseReturnValue

from gateway.admin import search_params
from gateway.admin.context import AdminContext
from gateway.admin.pages.conversations import FORM_ID, MAX_ID, load_conversation
from gateway.admin.sessions.actor import actor, record
from gateway.domain.conversations import Conversation
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import Message, Turn
from gateway.domain.past import unanswered
from gateway.handover import messages
from gateway.handover.looking_back import turns_to_answer
from gateway.ports.handovers import OpenHandover


@dataclass(frozen=True, slots=True)
class HandoverLine:
    """A conversation in the list, with what waits for an answer there."""

    found: OpenHandover
    unanswered: int
    newest: str
    """The newest of these messages."""


class HandoverPages:
    def __init__(self, context: AdminContext) -> None:
        self._context = context

    def show(self) -> str:
        """Lists the conversations in which a person answers, the oldest first."""
        most, after = search_params.PAGE_SIZE, self._requested_place()
        found = self._context.handovers.listed_open(most, after=after)
        return flask.render_template(
            "admin/handovers.html",
            lines=[self._line(each) for each in found],
            newer=search_params.query({}, after=found[-1].conversation.id) if len(found) == most else None,
        )

    def _requested_place(self) -> OpenHandover | None:
        """Returns the last handover of the previous page; None on the first one, and if it is over meanwhile."""
        number = flask.request.args.get("after", 0, type=int)
        conversation = self._context.store.get_conversation(number) if 0 < number <= MAX_ID else None
        newest = next(iter(self._context.handovers.of_conversation(number, 1)), None) if conversation else None
        return OpenHandover(newest, conversation) if newest is not None and conversation is not None else None

    def take_over(self, number: int) -> ResponseReturnValue:
        (conversation, turns), reason = self._load(number), flask.request.form.get("reason", "")
        return self._record(messages.take_over(conversation, turns, _caller(), reason, _form_id()), conversation)

    def answer(self, number: int) -> ResponseReturnValue:
        conversation, turns = self._load(number)
        text, most = flask.request.form.get("text", "").replace("\r\n", "\n").strip(), self._context.max_answer_chars
        return self._record(messages.answer(conversation, turns, _caller(), text, _form_id(), most), conversation)

    def give_back(self, number: int) -> ResponseReturnValue:
        conversation, turns = self._load(number)
        return self._record(messages.give_back(conversation, turns, _caller(), _form_id()), conversation)

    def _record(self, message: Message, conversation: Conversation) -> ResponseReturnValue:
        turn = self._context.inbox.accept(message).turn
        record(self._context.store.audit_trail, messages.ACTIONS[message.kind], str(conversation.id), turn.id)
        return flask.redirect(flask.url_for(".conversation", number=conversation.id), 303)

    def _line(self, found: OpenHandover) -> HandoverLine:
        waiting = unanswered(turns_to_answer(self._context.store, found.conversation.id))
        return HandoverLine(found, len(waiting), waiting[-1].message.own_text if waiting else "")

    def _load(self, number: int) -> tuple[Conversation, Sequence[Turn]]:
        """Returns a conversation and its newest turns, oldest first. Raises ThreadNotFound."""
        found = load_conversation(self._context, number)
        return found, turns_to_answer(self._context.store, found.id)


def _form_id() -> str:
    name = flask.request.form.get("once", "")
    if not FORM_ID.fullmatch(name):
        raise MalformedRequest("The form is incomplete. Go back, reload the page, and try again.")
    return name


def _caller() -> str:
    return messages.staff(actor())


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = HandoverPages(context)
    blueprint.add_url_rule("/handovers", "handovers", pages.show)
    for path, name in (("take-over", "take_over"), ("answer", "answer"), ("give-back", "give_back")):
        address = f"/conversations/<int:number>/{path}"
        blueprint.add_url_rule(address, name, getattr(pages, name), methods=["POST"])
