"""Pages to search conversations, to read one as a transcript, and to reset it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

import flask
from flask.typing import ResponseReturnValue

from gateway import logs
from gateway.admin import search_params
from gateway.admin.context import Desk
from gateway.domain.errors import Conflict, ThreadNotFound
from gateway.domain.models import Conversation, Kind, Message, Turn, TurnId, TurnState

TURNS = 50
"""Turns on one page of a transcript."""
TURN_NAME = re.compile(r"turn_[A-Za-z0-9_\-]{1,64}")
ONCE = re.compile(r"[0-9a-f]{24}")
RESET = "reset"
LARGEST_ID, LARGEST_SEQ = 2**63 - 1, 2**31 - 1
"""The largest values that the database columns hold."""

log = logs.get(__name__)


class Conversations:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def find(self) -> ResponseReturnValue:
        search = search_params.wanted()
        if TURN_NAME.fullmatch(search.text) and self._desk.store.turn(TurnId(search.text)):
            return flask.redirect(flask.url_for(".turn", turn_id=search.text), 303)
        before = search_params.before_line(self._desk.catalogue)
        found = self._desk.catalogue.find_conversations(search, limit=search_params.PAGE, before=before)
        return flask.render_template(
            "admin/conversations.html",
            lines=found,
            fields=search_params.fields(),
            platforms=self._desk.platforms,
            states=list(TurnState),
            older=search_params.older(found, search_params.mark_of(found[-1])) if found else None,
        )

    def show(self, number: int) -> ResponseReturnValue:
        conversation = self._conversation(number)
        before = _before()
        turns = self._desk.store.transcript(conversation.id, before=before, limit=TURNS)
        return flask.render_template(
            "admin/conversation.html",
            conversation=conversation,
            turns=turns,
            paged=before is not None,
            older=turns[0].seq if turns and turns[0].seq > 1 else None,
        )

    def reset(self, number: int) -> ResponseReturnValue:
        conversation = self._conversation(number)
        once = flask.request.form.get("once", "")
        if not ONCE.fullmatch(once):
            return flask.render_template(
                "admin/confirm_reset.html", conversation=conversation, once=secrets.token_hex(12)
            )
        self._accept_reset(conversation, once)
        return flask.redirect(flask.url_for(".conversation", number=number), 303)

    def _accept_reset(self, conversation: Conversation, once: str) -> None:
        """Enqueues the reset like a message, so that turns that are queued before it are answered first."""
        last = _last_said(self._desk.store.transcript(conversation.id, limit=TURNS)).message
        message = Message(
            conversation.key,
            f"{RESET}:{once}",
            RESET,
            author=last.author,
            address=last.address,
            kind=Kind.RESET,
            opens=False,
        )
        turn = self._desk.inbox.accept(message).turn
        log.info("operator reset a conversation", conversation=conversation.id, turn=turn.id)

    def _conversation(self, number: int) -> Conversation:
        found = self._desk.catalogue.conversation_by_id(number) if number <= LARGEST_ID else None
        if found is None:
            raise ThreadNotFound(f"There is no conversation {number}.")
        return found


def _before() -> int | None:
    """Returns the seq of the first turn on the previous page, from the query; None for the newest page."""
    named = flask.request.args.get("before", type=int)
    return None if named is None else max(0, min(named, LARGEST_SEQ))


def _last_said(turns: Sequence[Turn]) -> Turn:
    """Returns the newest turn whose reply address was not erased. Raises Conflict when there is none."""
    for turn in reversed(turns):
        if turn.erased_at is None:
            return turn
    raise Conflict("All messages of this conversation are erased, so it is not known where to send the confirmation.")


def add_routes(blueprint: flask.Blueprint, desk: Desk) -> None:
    pages = Conversations(desk)
    blueprint.add_url_rule("/conversations", "conversations", pages.find)
    blueprint.add_url_rule("/conversations/<int:number>", "conversation", pages.show)
    blueprint.add_url_rule("/conversations/<int:number>/reset", "reset", pages.reset, methods=["POST"])
