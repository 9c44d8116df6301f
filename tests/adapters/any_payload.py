"""Payloads of a platform with anything in any place, and what must hold of whatever is read from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from gateway.domain.platform_events import MessageEdited
from gateway.ports.platform import ParsedUpdate


def anything(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """JSON with such leaves."""
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=6,
    )


@st.composite
def altered(draw: st.DrawFn, payloads: Sequence[Any], values: st.SearchStrategy[Any]) -> Any:
    """One of the payloads, with ``values`` in one to three places."""
    payload = draw(st.sampled_from(payloads))
    for _ in range(draw(st.integers(1, 3))):
        payload = _with(payload, draw(st.sampled_from(_places(payload))), draw(values))
    return payload


def check_storable(update: ParsedUpdate) -> None:
    """Whatever a database or a key is made of is plain text, and of a decent length."""
    for said in update.messages:
        key, files = said.key, said.files
        names = [said.message_id, said.author, said.album_item_id, *said.address.values()]
        names += [key.channel, key.topic, key.user]
        assert all(name.isascii() and name.isprintable() for name in names)
        assert max(map(len, names)) <= 255
        assert key.workspace
        assert key.channel
        check_text(said.text, *(part for file in files for part in (file.name, file.reference, file.media_type)))
    assert len({said.message_id for said in update.messages}) == len(update.messages)
    check_text(*(change.text for change in update.events if isinstance(change, MessageEdited)))


def check_text(*texts: str) -> None:
    """These can be stored."""
    assert "\0" not in "".join(texts)
    "".join(texts).encode()


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the way to each value within a payload."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(place for name, inner in items for place in _places(inner, (*path, name)))]


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(copy[path[0]], path[1:], new)
    return copy
