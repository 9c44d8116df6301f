"""Sentences of the bot, as the table of turns holds them: not in the language in which somebody read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.domain.sentences import Sentence
from storage.tables.column_types import ConvertedText


class SentencePartsJson(ConvertedText[str]):
    """What a Sentence with values is made of, as JSON; NULL for any other text, which says all itself."""

    cache_ok = True

    @staticmethod
    def to_sql(value: str | None) -> str | None:
        return json.dumps(_parts(value)) if isinstance(value, Sentence) and value.values else None

    @staticmethod
    def from_sql(stored: str | None) -> Sentence | None:
        return _sentence(json.loads(stored)) if stored else None


def _parts(sentence: Sentence) -> Mapping[str, Any]:
    values = {name: _parts(value) if isinstance(value, Sentence) else value for name, value in sentence.values.items()}
    return {"text": sentence.template, "plural": sentence.plural, "values": values}


def _sentence(parts: Mapping[str, Any]) -> Sentence:
    values = {
        name: _sentence(value) if isinstance(value, Mapping) else value for name, value in parts["values"].items()
    }
    return Sentence(parts["text"], parts["plural"], values)
