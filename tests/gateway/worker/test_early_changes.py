"""An edit or a deletion that comes before its message is made when that comes, and not much later."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.models import ConversationKey, Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from gateway.worker.accepting import early_changes
from gateway.worker.accepting.early_changes import KEEP_SECONDS, EarlyChanges
from tests.fakes.clock import Clock


def message(number: int = 1) -> Message:
    return Message(ConversationKey("pigeon"), f"m{number}", "as it was")


def edit(number: int = 1) -> MessageEdited:
    return MessageEdited("pigeon", f"m{number}", "as it is")


def deletion(number: int = 1) -> MessageDeleted:
    return MessageDeleted("pigeon", f"m{number}")


def test_the_newest_change_counts() -> None:
    kept = EarlyChanges()
    kept.keep(edit())
    assert kept.applied_to(message()) == replace(message(), text="as it is")
    kept.keep(deletion())
    assert kept.applied_to(message()) is None
    for other in (message(2), replace(message(), key=ConversationKey("raven"))):
        assert kept.applied_to(other) == other


def test_a_command_stays_as_it_is() -> None:
    kept = EarlyChanges()
    kept.keep(edit())
    command = replace(message(), kind=MessageKind.STOP)
    assert kept.applied_to(command) == command


def test_of_an_album_the_edited_item_is_changed() -> None:
    kept = EarlyChanges()
    first, second = (replace(message(), album_item_id=number) for number in ("1", "2"))
    kept.keep(replace(edit(), message_id=first.own_id))
    assert [kept.applied_to(each) for each in (first, second)] == [replace(first, text="as it is"), second]


def test_a_change_is_forgotten_after_some_minutes() -> None:
    clock = Clock()
    kept = EarlyChanges(clock)
    kept.keep(deletion())
    clock.now += KEEP_SECONDS + 1
    assert kept.applied_to(message()) == message()
    kept.keep(deletion(2))
    assert kept.applied_to(message(2)) is None


def test_only_so_many_changes_are_kept() -> None:
    kept = EarlyChanges()
    for number in range(early_changes.MOST_CHANGES + 1):
        kept.keep(deletion(number))
    assert kept.applied_to(message(0)) == message(0)
    assert kept.applied_to(message(1)) is None
