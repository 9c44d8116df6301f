"""Contract of UnparsedUpdates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.ports.unparsed_updates import UnparsedUpdate, UnparsedUpdateCount, UnparsedUpdates


def unparsed(update_id: str = "1", author: str = "", platform: str = "pigeon", **content: Any) -> UnparsedUpdate:
    return UnparsedUpdate(platform, "loft", update_id, json.dumps(content), author, "roof", "KeyError: 'chat'")


class UnparsedUpdatesContract:
    def test_an_update_is_kept_once_and_counted_by_platform(self, updates: UnparsedUpdates) -> None:
        assert updates.count("pigeon") == UnparsedUpdateCount(0)
        updates.keep(unparsed("1", "Ada", text="Hello\x00 \ud800"))
        (first,) = updates.by_author("pigeon", "Ada")
        updates.keep(unparsed("1", "Bob", text="again"))
        updates.keep(unparsed("1", platform="owl"))
        assert updates.by_author("pigeon", "Ada") == [first]
        assert json.loads(first.body) == {"text": "Hello\x00 \ud800"}
        assert (first.workspace, first.channel, first.error) == ("loft", "roof", "KeyError: 'chat'")
        assert updates.count("pigeon") == UnparsedUpdateCount(1, first.received_at)
        updates.keep(unparsed("2"))
        assert updates.count("pigeon").count == 2

    @pytest.mark.parametrize("content", [{"from": {"id": 7}}, {"from": [{"id": "7"}]}, {"7": True}])
    def test_an_update_of_an_unknown_author_is_found_by_the_id_in_it(
        self, updates: UnparsedUpdates, content: dict[str, Any]
    ) -> None:
        updates.keep(unparsed("1", **content))
        others: list[dict[str, Any]] = [{"id": 70}, {"text": "on the 7th"}, {"id": 1.7}]
        for number, other in enumerate(others):
            updates.keep(unparsed(f"other{number}", **other))
        assert [update.update_id for update in updates.by_author("pigeon", "7")] == ["1"]
        assert updates.erase_author("owl", "7") == 0
        assert updates.erase_author("pigeon", "7") == 1
        assert updates.by_author("pigeon", "7") == []
        assert updates.count("pigeon").count == 3

    def test_those_of_all_bots_of_a_platform_are_a_persons(self, updates: UnparsedUpdates) -> None:
        for platform in ("pigeon", "pigeon:sales", "pigeons"):
            updates.keep(unparsed(author="Ada", platform=platform))
        assert [update.platform for update in updates.by_author("pigeon", "Ada")] == ["pigeon", "pigeon:sales"]
        assert updates.erase_author("pigeon", "Ada") == 2
        assert (updates.count("pigeon:sales").count, updates.count("pigeons").count) == (0, 1)

    def test_what_another_person_quotes_is_erased_but_not_exported(self, updates: UnparsedUpdates) -> None:
        updates.keep(unparsed("1", "Bob", reply_to={"from": "Ada", "text": "secret"}))
        assert updates.by_author("pigeon", "Ada") == []
        assert updates.erase_author("pigeon", "Ada") == 1
        assert updates.count("pigeon").count == 0

    @pytest.mark.parametrize("person", ["Ωμέγα", 'a"b\\', "100%", "a_b"])
    def test_any_id_is_found(self, updates: UnparsedUpdates, person: str) -> None:
        updates.keep(unparsed("1", user=person))
        updates.keep(unparsed("2", user="100 and more, aXb"))
        assert updates.erase_author("pigeon", person) == 1

    def test_old_updates_are_erased(self, updates: UnparsedUpdates) -> None:
        updates.keep(unparsed("1"))
        assert updates.erase_older_than(60.0) == 0
        assert updates.erase_older_than(-60.0) == 1
        assert updates.count("pigeon") == UnparsedUpdateCount(0)
