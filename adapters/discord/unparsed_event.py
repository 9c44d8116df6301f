"""Whose an event is that cannot be parsed, as far as that can be recognised."""

from __future__ import annotations

import json

from adapters.base.json_fields import Fields, object_in, text_in
from gateway.ports.unparsed_updates import UnparsedUpdate


def identify(name: str, event: Fields) -> UnparsedUpdate:
    """Returns an event as it is stored. ``name``: the adapter's. Raises nothing."""
    people = (object_in(event, "author"), object_in(object_in(event, "member"), "user"), object_in(event, "user"))
    author = next((found for person in people if (found := text_in(person, "id"))), "")
    place = text_in(event, "guild_id"), text_in(event, "channel_id")
    return UnparsedUpdate(name, place[0], text_in(event, "id"), json.dumps(dict(event)), author, place[1])
