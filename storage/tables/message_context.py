"""The context of a message, as the table of turns holds it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from gateway.domain.context import ChatContext, Label, Quote, QuoteKind
from storage.tables.column_types import ConvertedText


class ContextJson(ConvertedText[ChatContext]):
    """The context of a message as JSON, without its files, which the message has; an empty text for none."""

    cache_ok = True

    @staticmethod
    def to_sql(value: ChatContext | None) -> str | None:
        if value is None:
            return ""
        fields = asdict(replace(value, files=()))
        del fields["files"]
        return json.dumps(fields)

    @staticmethod
    def from_sql(stored: str | None) -> ChatContext | None:
        if not stored:
            return None
        found = json.loads(stored)
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
