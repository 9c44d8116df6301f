"""With whose token we speak: found without asking twice, renewed in time by one process only, never shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.oauth.installation_store import Bot
from structlog.testing import capture_logs

from adapters.slack import workspaces
from adapters.slack.installations import Installations
from adapters.slack.reply_target import Workspace
from adapters.slack.settings import SlackSettings
from adapters.slack.token_cipher import TokenCipher
from adapters.slack.workspaces import InstalledWorkspaces, OneWorkspace
from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.ports.store import KeyValueStore
from storage.store import SqlStore
from tests.adapters.chat import in_thread
from tests.fakes.slack_events import TEAM
from tests.fakes.slack_faults import HttpStatus, RateLimit, ResponseLost, SlackErrorFault
from tests.fakes.slack_oauth import CLIENT_ID, CLIENT_SECRET
from tests.fakes.slack_server import FakeSlack
from tests.settings import settings_of

HERE = {"team": TEAM, "channel": "C1"}
HOUR = 3600
LEASE = f"slack:installation:{TEAM}:rotation"


class Watched:
    """A database that counts what is read, and fails where it is told."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self.reads = 0
        self.down: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.reads += name == "get_value"
        if name in self.down:
            raise StoreUnavailable("The database is down.")
        found: Callable[..., Any] = getattr(self._store, name)
        return found


@pytest.fixture
def memory(sqlite_store: SqlStore) -> Watched:
    return Watched(sqlite_store)


def process(slack: FakeSlack, memory: Watched) -> InstalledWorkspaces:
    """What one of several processes knows."""
    known = settings_of(
        SlackSettings,
        slack_client_id=CLIENT_ID,
        slack_client_secret=SecretStr(CLIENT_SECRET),
        slack_api_url=slack.api_url,
    )
    return InstalledWorkspaces(known, cast("KeyValueStore", memory))


@pytest.fixture
def installed(slack: FakeSlack, memory: Watched) -> InstalledWorkspaces:
    return process(slack, memory)


def keep(slack: FakeSlack, memory: Watched, ends_in: float | None) -> str:
    """Install the app, with a token that ends in so many seconds as far as we know; the token."""
    code = slack.oauth.new_code(team=TEAM)
    granted = WebClient(base_url=slack.api_url).oauth_v2_access(
        client_id=CLIENT_ID, client_secret=CLIENT_SECRET, code=code
    )
    bot = Bot(
        team_id=TEAM,
        bot_token=granted["access_token"],
        bot_id="B1",
        bot_user_id=granted["bot_user_id"],
        bot_refresh_token=granted["refresh_token"],
        bot_token_expires_at=None if ends_in is None else int(time.time() + ends_in),
        installed_at=time.time(),
    )
    Installations(cast("KeyValueStore", memory), TokenCipher(())).save_bot(bot)
    return str(granted["access_token"])


def renewals(slack: FakeSlack) -> list[str]:
    """What became of each attempt to renew a token."""
    return [call.summary for call in slack.calls("oauth.v2.access") if "refresh_token" in call.args]


def works(slack: FakeSlack, found: Workspace) -> bool:
    return bool(WebClient(found.token, slack.api_url).auth_test()["ok"])


# ---------------------------------------------------------------- finding


async def test_one_workspace_has_one_token() -> None:
    one = OneWorkspace("xoxb-secret")
    found = await one.find(HERE)
    assert (found.team, found.token) == (TEAM, "xoxb-secret")
    one.drop(TEAM)
    assert await one.find(HERE) == found
    assert "secret" not in repr(found) + repr(one)


async def test_where_the_app_is_not_installed_nothing_can_be_said(installed: InstalledWorkspaces) -> None:
    for address in (HERE, {"team": "", "enterprise": ""}, {}):
        with pytest.raises(DeliveryError, match="not installed") as refused:
            await installed.find(address)
        assert refused.value.retry_after is None


async def test_an_installation_is_remembered_for_a_while(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = keep(slack, memory, None)
    found = await asyncio.gather(*(installed.find(HERE) for _ in range(20)))
    assert {workspace.token for workspace in found} == {token}
    assert memory.reads == 1
    another = keep(slack, memory, None)
    assert (await installed.find(HERE)).token == token
    installed.drop(TEAM)
    assert (await installed.find(HERE)).token == another
    monkeypatch.setattr(workspaces, "KNOWN_SECONDS", 0.0)
    installed.drop(TEAM)
    await installed.find(HERE)
    newest = keep(slack, memory, None)
    assert (await installed.find(HERE)).token == newest


async def test_without_a_database_it_is_tried_again(memory: Watched, installed: InstalledWorkspaces) -> None:
    memory.down = {"get_value"}
    with pytest.raises(DeliveryError) as later:
        await installed.find(HERE)
    assert later.value.retry_after


# ---------------------------------------------------------------- renewing


@pytest.mark.parametrize("ends_in", [None, 3 * HOUR])
async def test_a_token_that_lives_on_is_left_alone(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces, ends_in: float | None
) -> None:
    token = keep(slack, memory, ends_in)
    assert (await installed.find(HERE)).token == token
    assert renewals(slack) == []


@pytest.mark.parametrize("ends_in", [HOUR, -HOUR])
async def test_a_token_that_ends_soon_is_renewed_once_by_all_processes_together(
    slack: FakeSlack, memory: Watched, ends_in: float
) -> None:
    old = keep(slack, memory, ends_in)
    processes = [process(slack, memory) for _ in range(4)]
    with capture_logs() as logs:
        found = await asyncio.gather(*(each.find(HERE) for each in processes for _ in range(3)))
    assert renewals(slack) == ["ok"]
    tokens = {workspace.token for workspace in found}
    assert all(works(slack, workspace) for workspace in found)
    later = await process(slack, memory).find(HERE)
    assert later.token != old
    assert tokens <= {old, later.token}
    assert ends_in > 0 or tokens == {later.token}
    assert logs == []


async def test_a_renewed_token_is_renewed_again(
    slack: FakeSlack, memory: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(slack, memory, HOUR)
    monkeypatch.setattr(workspaces, "RENEW_MINUTES", 24 * 60)
    found = [await process(slack, memory).find(HERE) for _ in range(3)]
    assert renewals(slack) == ["ok"] * 3
    assert len({workspace.token for workspace in found}) == 3


@pytest.mark.parametrize(
    "fault",
    [
        RateLimit(),
        SlackErrorFault("internal_error"),
        HttpStatus(502),
        ResponseLost(),
        SlackErrorFault("bad_client_secret"),
    ],
)
async def test_a_token_that_still_lives_is_used_when_slack_does_not_renew_it(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces, fault: Any
) -> None:
    token = keep(slack, memory, HOUR)
    slack.faults.add("oauth.v2.access", fault)
    with capture_logs() as logs:
        assert (await installed.find(HERE)).token == token
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "xox" not in str(logs)
    assert len(renewals(slack)) == 1
    assert memory.try_lock(LEASE, "anybody", 1.0)  # it was given back


@pytest.mark.parametrize(
    ("fault", "final"), [(HttpStatus(502), False), (SlackErrorFault("invalid_refresh_token"), True)]
)
async def test_a_dead_token_is_not_used(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces, fault: Any, *, final: bool
) -> None:
    keep(slack, memory, -1)
    slack.faults.add("oauth.v2.access", fault)
    with pytest.raises(DeliveryError) as refused:
        await installed.find(HERE)
    assert (refused.value.retry_after is None) is final
    assert "xox" not in str(refused.value)
    if not final:
        assert works(slack, await installed.find(HERE))


async def test_while_another_process_renews_it_a_token_that_lives_is_used(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces
) -> None:
    token = keep(slack, memory, HOUR)
    assert memory.try_lock(LEASE, "another", 60)
    assert (await installed.find(HERE)).token == token
    assert renewals(slack) == []


async def test_who_has_a_dead_token_waits_for_the_process_that_renews_it(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces
) -> None:
    keep(slack, memory, -1)
    assert memory.try_lock(LEASE, "another", 60)
    waiting = asyncio.create_task(installed.find(HERE))
    fresh = await asyncio.to_thread(keep, slack, memory, 12 * HOUR)
    memory.try_lock(LEASE, "another", 0)
    assert (await waiting).token == fresh
    assert renewals(slack) == []


async def test_nobody_waits_for_ever(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "WAIT_SECONDS", 0.0)
    keep(slack, memory, -1)
    assert memory.try_lock(LEASE, "another", 60)
    with pytest.raises(DeliveryError) as later:
        await installed.find(HERE)
    assert later.value.retry_after


async def test_a_renewed_token_outlives_a_database_that_goes_away(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(slack, memory, -1)
    slack.faults.before("oauth.v2.access", lambda _: memory.down.add("set_value"))
    with capture_logs() as logs:
        found = await installed.find(HERE)
    assert works(slack, found)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    slack.faults.clear()
    memory.down.clear()
    installed.drop(TEAM)
    assert await installed.find(HERE) == found
    assert renewals(slack) == ["ok"]
    with monkeypatch.context() as soon:
        soon.setattr(workspaces, "RENEW_MINUTES", 24 * 60)
        newer = await process(slack, memory).find(HERE)
    assert newer != found
    installed.drop(TEAM)
    assert await installed.find(HERE) == newer  # what was kept late is not kept again


async def test_an_installation_that_is_over_or_new_is_not_overwritten_by_a_renewal(
    slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces
) -> None:
    keep(slack, memory, -1)
    newer: list[str] = []

    def again(_: object) -> None:
        if not newer:
            newer.append("")
            newer.append(keep(slack, memory, None))

    slack.faults.before("oauth.v2.access", again)
    await installed.find(HERE)
    installed.drop(TEAM)
    assert (await installed.find(HERE)).token == newer[-1]


def test_other_threads_find_it_too(slack: FakeSlack, memory: Watched, installed: InstalledWorkspaces) -> None:
    token = keep(slack, memory, None)
    found: list[Workspace] = []
    in_thread(lambda: found.append(installed.look_up(HERE))).join(20)
    assert [workspace.token for workspace in found] == [token]
