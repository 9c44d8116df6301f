"""Album items that came before the one that opens their turn wait for it, and not for long."""

from __future__ import annotations

from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message
from gateway.worker.accepting import early_items
from gateway.worker.accepting.early_items import KEEP_SECONDS, EarlyItems
from tests.fakes.clock import Clock


def item(number: int, album: str = "album", text: str = "") -> Message:
    files = (File(f"{number}.jpg", f"F{number}"),)
    return Message(ConversationKey("pigeon"), album, text, files=files, album_item_id=f"{number}")


def names(message: Message) -> list[str]:
    return [file.name for file in message.files]


def joined(kept: EarlyItems, opener: Message) -> Message:
    return kept.join(opener, lambda item: item)


def test_what_came_before_stands_before() -> None:
    kept = EarlyItems()
    for early in (item(1, text="a"), item(2), item(7, "another")):
        kept.keep(early)
    turn = joined(kept, item(3, text="b"))
    assert (names(turn), turn.text) == (["1.jpg", "2.jpg", "3.jpg"], "a\nb")
    assert turn.album_parts == (("album:1", 0), ("album:2", 1), ("album:3", 2))
    assert names(joined(kept, item(4))) == ["4.jpg"]


def test_what_waits_too_long_is_dropped() -> None:
    clock = Clock()
    kept = EarlyItems(clock)
    kept.keep(item(1))
    clock.now += KEEP_SECONDS + 1
    kept.keep(item(2, "another"))
    assert names(joined(kept, item(3))) == ["3.jpg"]
    assert names(joined(kept, item(4, "another"))) == ["2.jpg", "4.jpg"]


def test_only_so_many_albums_wait() -> None:
    kept = EarlyItems()
    for number in range(early_items.MOST_ALBUMS + 1):
        kept.keep(item(number, f"{number}"))
    kept.keep(item(99, "0"))
    assert len(names(joined(kept, item(1, "0")))) == 3
    assert names(joined(kept, item(1, f"{early_items.MOST_ALBUMS}"))) == ["1.jpg"]
