"""Files that came with messages: kept in pieces, and deleted with the content of their turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import update

from gateway.domain.conversations import Conversation
from gateway.domain.models import Message
from storage.connecting.database import Database
from storage.reporting import UPLOAD_KEEP_SECONDS
from storage.store import SqlStore
from storage.tables.schema import uploads
from tests.contracts.reporting_helpers import answered_turn

PIECES = [b"\0\xff" * 100, b"end"]
Erase = Callable[[SqlStore, Conversation], object]


def keep(store: SqlStore, upload_id: str, message: Message) -> None:
    for seq, piece in enumerate(PIECES):
        store.uploads.append(upload_id, seq, piece, platform=message.key.platform, message_id=message.message_id)


def is_kept(store: SqlStore, upload_id: str) -> bool:
    return store.uploads.read(upload_id, 0) is not None


def test_pieces_are_read_as_they_were_stored(store: SqlStore) -> None:
    turn = answered_turn(store, "a")
    keep(store, "one", turn.message)
    assert [store.uploads.read("one", seq) for seq in range(3)] == [*PIECES, None]
    store.uploads.delete("one")
    assert not is_kept(store, "one")


@pytest.mark.parametrize(
    "erase",
    [
        lambda store, _: store.erase_older_than(0.0),
        lambda store, conversation: store.erase_author(conversation, "Ada"),
        lambda store, conversation: store.delete_conversation(conversation.id),
    ],
    ids=["retention", "forget", "deleted thread"],
)
def test_files_are_deleted_with_the_content_of_their_turn(store: SqlStore, erase: Erase) -> None:
    turn, other = answered_turn(store, "a"), answered_turn(store, "b", author="Bob")
    keep(store, "one", turn.message)
    keep(store, "other", replace(other.message, message_id="of a message that is not recorded yet"))
    conversation = store.find_conversation(turn.message.key)
    assert conversation is not None
    erase(store, conversation)
    assert not is_kept(store, "one")
    assert is_kept(store, "other")


def test_files_are_deleted_in_a_week_whatever_became_of_their_message(store: SqlStore, database_url: str) -> None:
    message = answered_turn(store, "a").message
    keep(store, "old", message)
    database = Database(database_url)
    with database.transaction() as connection:
        connection.execute(update(uploads).values(received_at=uploads.c.received_at - UPLOAD_KEEP_SECONDS - 1.0))
    database.close()
    keep(store, "new", message)
    store.purge_expired()
    assert not is_kept(store, "old")
    assert is_kept(store, "new")
