"""The context of a message, as the table of turns holds it."""

from __future__ import annotations

import json
from dataclasses import asdict

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from gateway.domain.context import ChatContext, Label, Quote, QuoteKind


class ContextJson(TypeDecorator[ChatContext]):
    """The context of a message as JSON; an empty text for none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: ChatContext | None, _dialect: Dialect) -> str | None:
        return "" if value is None else json.dumps(asdict(value))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> ChatContext | None:
        if not value:
            return None
        found = json.loads(value)
        labels, quotes = (tuple(found[name]) for name in ("labels", "quotes"))
        return ChatContext(
            found["speaker"],
            tuple(Label(**label) for label in labels),
            tuple(Quote(**{**quote, "kind": QuoteKind(quote["kind"])}) for quote in quotes),
            tuple(found["notes"]),
            found.get("language", ""),  # not stored by versions of one language
        )


def context_mark(person: str) -> str:
    """Returns what the JSON of a context contains if it names or quotes a person."""
    return f'"person": {json.dumps(person)}'
