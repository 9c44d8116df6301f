"""Pages to search conversations, to read one as a transcript, and to reset it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import replace

import flask
from flask.typing import ResponseReturnValue

from gateway.admin import search_params
from gateway.admin.context import AdminContext
from gateway.admin.names import names_in_list, names_in_transcript
from gateway.admin.sessions import actor
from gateway.domain.conversations import Conversation
from gateway.domain.errors import Conflict, ThreadNotFound
from gateway.domain.models import Message, MessageKind, Turn, TurnId, TurnState
from gateway.handover.looking_back import turns_to_answer
from gateway.ports.audit_trail import AuditedAction

TURNS_PER_PAGE = 50
"""Turns on one page of a transcript."""
TURN_ID = re.compile(r"turn_[A-Za-z0-9_\-]{1,64}")
FORM_ID = re.compile(r"[0-9a-f]{24}")
RESET_TEXT = "reset"
MAX_ID, MAX_SEQ = 2**63 - 1, 2**31 - 1
"""The largest values that the database columns hold."""


class ConversationPages:
    def __init__(self, context: AdminContext) -> None:
        self._context = context

    def find(self) -> ResponseReturnValue:
        search = search_params.requested_search()
        if TURN_ID.fullmatch(search.text) and self._context.store.get_turn(TurnId(search.text)):
            return flask.redirect(flask.url_for(".turn", turn_id=search.text), 303)
        before = search_params.cursor_summary(self._context.store)
        search = replace(search, named=flask.request.args.get("name", "").strip())
        found = self._context.store.find_conversations(search, limit=search_params.PAGE_SIZE, before=before)
        return flask.render_template(
            "admin/conversations.html",
            lines=found,
            names=names_in_list(self._context.store.people, found),
            fields=search_params.form_fields(),
            platforms=self._context.platforms,
            states=list(TurnState),
            older=search_params.next_page_url(found, search_params.cursor_of(found[-1])) if found else None,
        )

    def show(self, number: int) -> ResponseReturnValue:
        conversation = load_conversation(self._context, number)
        before = search_params.cursor_number(MAX_SEQ)
        turns = self._context.store.transcript(conversation.id, before=before, limit=TURNS_PER_PAGE)
        return flask.render_template(
            "admin/conversation.html",
            conversation=conversation,
            names=names_in_transcript(self._context.store.people, conversation, [turn.message for turn in turns]),
            turns=turns,
            paged=before is not None,
            older=turns[0].seq if turns and turns[0].seq > 1 else None,
            handovers=self._context.handovers.of_conversation(conversation.id),
            once=new_form_id(),
            most=self._context.max_answer_chars,
        )

    def reset(self, number: int) -> ResponseReturnValue:
        conversation = load_conversation(self._context, number)
        once = flask.request.form.get("once", "")
        if not FORM_ID.fullmatch(once):
            return flask.render_template("admin/confirm_reset.html", conversation=conversation, once=new_form_id())
        self._enqueue_reset(conversation, once)
        return flask.redirect(flask.url_for(".conversation", number=number), 303)

    def _enqueue_reset(self, conversation: Conversation, confirmation_id: str) -> None:
        """Enqueues the reset like a message, so that turns that are queued before it are answered first."""
        last = _last_unerased(turns_to_answer(self._context.store, conversation.id)).message
        message = Message(
            conversation.key,
            f"{RESET_TEXT}:{confirmation_id}",
            RESET_TEXT,
            author=last.author,
            address=last.address,
            kind=MessageKind.RESET,
            may_start_conversation=False,
        )
        turn = self._context.inbox.accept(message).turn
        trail = self._context.store.audit_trail
        actor.record(trail, AuditedAction.CONVERSATION_RESET, str(conversation.id), turn.id)


def load_conversation(context: AdminContext, number: int) -> Conversation:
    """Returns a conversation by its id. Raises ThreadNotFound."""
    found = context.store.get_conversation(number) if number <= MAX_ID else None
    if found is None:
        raise ThreadNotFound(f"There is no conversation {number}.")
    return found


def new_form_id() -> str:
    """Returns what makes a form that is sent twice one message. It matches FORM_ID."""
    return secrets.token_hex(12)


def _last_unerased(turns: Sequence[Turn]) -> Turn:
    """Returns the newest turn whose reply address was not erased. Raises Conflict when there is none."""
    for turn in reversed(turns):
        if turn.erased_at is None:
            return turn
    raise Conflict("All messages of this conversation are erased, so it is not known where to send the confirmation.")


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = ConversationPages(context)
    blueprint.add_url_rule("/conversations", "conversations", pages.find)
    blueprint.add_url_rule("/conversations/<int:number>", "conversation", pages.show)
    blueprint.add_url_rule("/conversations/<int:number>/reset", "reset", pages.reset, methods=["POST"])
