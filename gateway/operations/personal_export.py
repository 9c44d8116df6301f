"""Writes all that is stored about one person as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gateway.domain.bots import platform_of
from gateway.domain.conversations import Conversation
from gateway.domain.models import Turn
from gateway.domain.platform_events import Feedback
from gateway.operations.stores import AdminStore
from gateway.operations.views import as_json, decision_view, iso, person_view
from gateway.ports.people import PersonId
from gateway.ports.reporting import ReportingStore
from gateway.ports.unparsed_updates import UnparsedUpdate

PAGE = 500


def export(store: AdminStore, platform: str, user: str) -> Iterator[str]:
    """Yields everything stored about a person as parts of one JSON object. Times are ISO 8601, UTC; null: not yet.

    ``platform``, ``user``, ``name`` (empty: not known), ``blocked_at`` (null: not blocked), ``exported_at``;
    ``conversations``: ``id``, ``workspace``, ``channel``, ``topic``, ``alone`` (whether nobody else wrote in it),
    ``thread_id``, ``backend`` and ``assistant`` (its thread, null and empty: none, and whose it is);
    ``turns``, the oldest first: ``turn_id``, ``conversation`` (an ``id``), ``seq`` (its number in it), ``kind``
    (ask, reset, stop, choose, hand_over, resume), ``assistant`` (the name of who was asked), ``state``, ``message``,
    ``files`` and ``reply_files`` (``name``, ``media_type``, ``size``: their content is at the platform and at the
    backend),
    ``reply``, ``error`` (null, or ``code`` and ``message``), ``tokens`` (``in``, ``out``), ``received_at``,
    ``started_at``, ``answered_at``, ``delivered_at``;
    ``quoted``: ``turn_id`` and ``text``, what turns of others quote of their messages;
    ``verdicts``: ``turn_id`` and ``value``, their feedback on replies to them and to others;
    ``decisions``: ``turn_id``, ``tool``, ``decision`` and ``decided_at``: calls of tools they decided on;
    ``unparsed_updates``: ``workspace``, ``channel``, ``received_at`` and ``body`` (the platform's JSON, as a string),
    the oldest first: what the gateway could not parse.
    """
    conversations = [_conversation_view(*each) for each in store.conversations_of(platform, user)]
    head = {"platform": platform, "user": user, **_person_view(store, PersonId(platform_of(platform), user))}
    head |= {"exported_at": iso(store.now()), "conversations": conversations}
    yield as_json(head).removesuffix("}") + ',\n"turns": ['
    separator = "\n"
    for turn in _turns_by_author(store, platform, user):
        yield separator + as_json(person_view(turn))
        separator = ",\n"
    quoted = [{"turn_id": turn, "text": quote.text} for turn, quote in store.quotes_of(platform, user)]
    feedback = [_feedback_view(each) for each in store.feedback_by(platform, user)]
    decisions = [decision_view(each) for each in store.decisions_by(platform, user)]
    updates = [_unparsed_view(each) for each in store.unparsed_updates.by_author(platform, user)]
    yield f'\n],\n"quoted": {as_json(quoted)},\n"verdicts": {as_json(feedback)},\n'
    yield f'"decisions": {as_json(decisions)},\n'
    yield f'"unparsed_updates": {as_json(updates)}}}\n'


def _person_view(store: AdminStore, person: PersonId) -> dict[str, Any]:
    known, block = store.people.get(person), store.blocks.get(person)
    return {"name": known.name if known else "", "blocked_at": iso(block.blocked_at) if block else None}


def _turns_by_author(store: ReportingStore, platform: str, user: str) -> Iterator[Turn]:
    after = None
    while page := store.turns_by_author(platform, user, after=after, limit=PAGE):
        yield from page
        after = page[-1]


def _conversation_view(conversation: Conversation, alone: bool) -> dict[str, Any]:  # noqa: FBT001  # one of a pair
    key = asdict(conversation.key)
    where = {name: key[name] for name in ("workspace", "channel", "topic")}
    thread = {name: getattr(conversation, name) for name in ("thread_id", "backend", "assistant")}
    return {"id": conversation.id, **where, "alone": alone, **thread}


def _feedback_view(feedback: Feedback) -> dict[str, Any]:
    return {"turn_id": feedback.turn_id, "value": feedback.value}


def _unparsed_view(update: UnparsedUpdate) -> dict[str, Any]:
    where = {"workspace": update.workspace, "channel": update.channel}
    return {**where, "received_at": iso(update.received_at), "body": update.body}
