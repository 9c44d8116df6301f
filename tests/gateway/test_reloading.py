"""A changed gateway.toml in a running process: taken up as a whole, or refused as a whole."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from gateway import logs
from gateway.configuration import Configuration
from gateway.coordination.retry import repeat
from gateway.domain.errors import SettingsError
from gateway.wiring import loading, reloading
from gateway.wiring.reloading import ReloadAnswer, Reloader, ReloadRequests
from storage.store import SqlStore
from tests.gateway.settings.test_settings_file import folder, write

__all__ = ["folder"]

TEXT = """
[settings]
port = 9000
assistant_time_zone = "UTC"
[assistants.default]
name = "Robin"
[assistants.other]
fallback = ["default"]
[mcp.orders]
url = "http://a"
[[bots]]
platform = "telegram"
name = "sales"
token = "123456:abcdef"
[[keys]]
name = "shop"
key = "key-of-shop"
assistants = ["other"]
"""


class Process:
    """A reloader, and what it has put into force."""

    def __init__(self, folder: Path, text: str = TEXT) -> None:
        self._folder = folder
        write(folder, text)
        self.applied: list[Configuration] = []
        self.reloader = Reloader(loading.read_all(), self.applied.append)

    async def change(self, *replaced: tuple[str, str], text: str = TEXT) -> ReloadAnswer:
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        write(self._folder, text)
        return await self.reloader.reload()


@pytest.fixture
def process(folder: Path) -> Process:
    return Process(folder)


async def test_a_change_is_put_into_force_and_named(process: Process) -> None:
    routes = "\n[[routes]]\nplatform = 'slack'\nassistant = 'other'\n"
    answer = await process.change(
        ('"Robin"', '"Ann"'), ("[assistants.other]", "[assistants.new]\n[assistants.other]"), text=TEXT + routes
    )
    assert answer == ReloadAnswer(ok=True, lines=("assistants.default (changed)", "assistants.new (new)", "routes"))
    (found,) = process.applied
    assert found.default.settings.assistant_name == "Ann"
    answer = await process.change(text=TEXT)
    assert answer.lines == ("assistants.default (changed)", "assistants.new (gone)", "routes")
    assert await process.change() == ReloadAnswer(ok=True)


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ('name = "Robin"', 'nmae = "Ann"', "line 6: assistants.default.nmae: is not known here. Do you mean name?"),
        ('name = "Robin"', 'name = "Ann', "line 6: Illegal character"),
        ("port = 9000", "port = 9001", "line 3: settings.port: a change needs a restart."),
        ("port = 9000\n", "", "PORT: a change needs a restart."),
        (
            "port = 9000",
            "port = 9000\ndatabase_url = 'sqlite:///b.db'",
            "line 4: settings.database_url: a change needs",
        ),
        ("port = 9000", "port = 9000\nallowed = 'http:a'", "line 4: settings.allowed: a change needs a restart."),
        ("123456:abcdef", "123456:abcdeg", "line 12: bots: a change needs a restart."),
        (TEXT[TEXT.index("[[keys]]") :], "", "line 1: keys: a change needs a restart."),
    ],
)
async def test_what_is_faulty_or_needs_a_restart_is_refused_whole(
    process: Process, old: str, new: str, refusal: str
) -> None:
    answer = await process.change((old, new), ("[assistants.other]", "[assistants.other]\naliases = ['o']"))
    assert not answer.ok
    assert any(refusal in line for line in answer.lines), answer.lines
    assert process.applied == []
    assert (await process.change()).ok


async def test_tool_servers_are_taken_up(process: Process) -> None:
    answer = await process.change(('"http://a"', '"http://b"'), ("[[bots]]", "[mcp.time]\ncommand = ['x']\n[[bots]]"))
    assert answer.lines == ("mcp.orders (changed)", "mcp.time (new)")


async def test_what_assistants_share_and_the_keys_of_others_are_taken_up(process: Process) -> None:
    logs.mask_also(["key-of-shop"])  # as the start did
    answer = await process.change(("UTC", "Asia/Tokyo"), ("key-of-shop", "key-of-store"))
    assert answer.lines == ("assistants.default (changed)", "assistants.other (changed)", "keys")
    assert logs.mask("key-of-store") == logs.mask("key-of-shop") == "***"


async def test_a_file_that_is_gone_is_no_change(process: Process, folder: Path) -> None:
    (folder / "gateway.toml").unlink()
    answer = await process.reloader.reload()
    assert not answer.ok
    assert process.applied == []


async def test_what_cannot_be_put_into_force_leaves_all_as_it_was(folder: Path) -> None:
    def refuse(_: Configuration) -> None:
        raise SettingsError("no tool")

    process = Process(folder)
    process.reloader = Reloader(loading.read_all(), refuse)
    assert await process.change(("Robin", "Ann")) == ReloadAnswer(ok=False, lines=("no tool",))


async def test_every_process_on_the_database_answers_a_request(
    sqlite_store: SqlStore, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(reloading, "QUIET_SECONDS", 0.5)
    answers = iter(
        [ReloadAnswer(ok=True, lines=("routes",)), ReloadAnswer(ok=False, lines=("key-of-shop is wrong",))] * 2
    )
    logs.mask_also(["key-of-shop"])

    async def reload() -> ReloadAnswer:
        return next(answers)

    async with asyncio.TaskGroup() as group:
        processes = [ReloadRequests(sqlite_store, reload, name) for name in "ab"]
        sqlite_store.set_value(reloading.REQUEST, "of a day before")
        await asyncio.gather(*(each.look() for each in processes))
        pause = partial(asyncio.sleep, 0.01)
        tasks = [group.create_task(repeat(each.look, "", pause)) for each in processes]
        for _ in range(2):
            found = await asyncio.to_thread(lambda: list(reloading.ask_all(sqlite_store, only_one=False)))
            assert {answer.process for answer in found} == {"a", "b"}
            assert sorted(answer.lines for answer in found) == [("*** is wrong",), ("routes",)]
        for task in tasks:
            task.cancel()


def test_a_request_that_nobody_answers_comes_to_an_end(sqlite_store: SqlStore) -> None:
    slept: list[float] = []
    assert list(reloading.ask_all(sqlite_store, only_one=True, sleep=slept.append)) == []
    assert sum(slept) == reloading.FIRST_ANSWER_SECONDS
