"""The page of what people think of replies, with questions and answers, and its export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import flask

from gateway.admin import exports, names, search_params
from gateway.admin.context import AdminContext
from gateway.admin.sessions import actor
from gateway.logs import mask
from gateway.operations import iso
from gateway.ports.audit_trail import AuditedAction
from gateway.ports.feedback import FeedbackFilter, RatedTurn

FIELDS = ("value", "platform", "assistant", "span")
VALUES = ("good", "bad")
COLUMNS = (
    *("at", "value", "platform", "assistant", "author", "question", "answer"),
    *("turn_id", "conversation", "model", "cost", "currency"),
)


class FeedbackPages:
    def __init__(self, context: AdminContext) -> None:
        self._context = context

    def show(self) -> str:
        fields = search_params.fields(FIELDS)
        criteria, most = self._criteria(fields), search_params.PAGE_SIZE
        found = self._context.feedback.find(criteria, limit=most, before=search_params.cursor_place())
        authors = [(each.turn.message.key.platform, each.author) for each in found]
        return flask.render_template(
            "admin/feedback.html",
            rated=found,
            counts=self._context.feedback.counts(criteria),
            fields=fields,
            values=VALUES,
            spans=search_params.SPANS,
            platforms=self._context.platforms,
            names=names.names_of(self._context.store.people, (), authors),
            query=search_params.query(fields),
            formats=exports.FORMATS,
            older=search_params.query(fields, before=_cursor(found[-1])) if len(found) == most else None,
        )

    def export(self, form: str) -> flask.Response:
        """Sends all ratings that match as a file."""
        criteria = self._criteria(search_params.fields(FIELDS))
        rows = map(self._row, self._all(criteria))
        sent = exports.response("feedback", form, rows, COLUMNS)
        actor.record(self._context.store.audit_trail, AuditedAction.FEEDBACK_EXPORTED, form)
        return sent

    def _criteria(self, fields: Mapping[str, str]) -> FeedbackFilter:
        since = search_params.begin_of(fields["span"], self._context.store)
        return FeedbackFilter(fields["value"], fields["platform"], fields["assistant"], since)

    def _all(self, criteria: FeedbackFilter) -> Iterator[RatedTurn]:
        return exports.in_pages(
            lambda last: self._context.feedback.find(
                criteria, limit=exports.PAGE, before=None if last is None else (last.at, last.turn.id, last.author)
            )
        )

    def _row(self, rated: RatedTurn) -> dict[str, Any]:
        turn = rated.turn
        return {
            "at": iso(rated.at),
            "value": rated.value,
            "platform": turn.message.key.platform,
            "assistant": turn.assistant,
            "author": rated.author,
            "question": mask(turn.message.own_text),
            "answer": mask(turn.reply),
            "turn_id": turn.id,
            "conversation": turn.conversation_id,
            "model": turn.model,
            "cost": turn.cost / 1_000_000,
            "currency": self._context.currency,
        }


def _cursor(rated: RatedTurn) -> str:
    return search_params.cursor_at(rated.at, rated.turn.id, rated.author)


def add_routes(blueprint: flask.Blueprint, context: AdminContext) -> None:
    pages = FeedbackPages(context)
    blueprint.add_url_rule("/feedback", "feedback", pages.show)
    blueprint.add_url_rule("/feedback.<form>", "export_feedback", pages.export)
