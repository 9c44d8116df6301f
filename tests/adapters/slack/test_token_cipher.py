"""Tokens of installed workspaces in the database: encrypted, under keys that may change, and may be lost."""

from __future__ import annotations

import pytest
from slack_sdk.oauth.installation_store import Bot

from adapters.slack.installations import Installations
from adapters.slack.settings import SlackSettings
from adapters.slack.token_cipher import TokenCipher
from gateway.domain.errors import DeliveryError, SettingsError
from storage.store import SqlStore

OLD, NEW = "old" * 12, "new" * 12
TOKEN, REFRESH = "xoxb-111-secret", "xoxe-1-secret"
NAME = "slack:installation:T1"


def installation(*, installed_at: float = 1000.0) -> Bot:
    return Bot(
        team_id="T1",
        bot_token=TOKEN,
        bot_refresh_token=REFRESH,
        bot_id="B1",
        bot_user_id="U1",
        installed_at=installed_at,
    )


def installations(store: SqlStore, *keys: str) -> Installations:
    return Installations(store, TokenCipher(keys))


def tokens(found: Bot | None) -> tuple[str | None, str | None]:
    assert found is not None
    return found.bot_token, found.bot_refresh_token


def read(store: SqlStore, *keys: str) -> tuple[str | None, str | None]:
    return tokens(installations(store, *keys).find_bot(enterprise_id=None, team_id="T1"))


def kept(store: SqlStore) -> str:
    return store.get_value(NAME) or ""


def test_with_a_key_no_token_is_stored_in_clear(sqlite_store: SqlStore) -> None:
    installations(sqlite_store, NEW).save_bot(installation())
    assert "secret" not in kept(sqlite_store)
    assert '"team_id": "T1"' in kept(sqlite_store)
    assert read(sqlite_store, NEW) == (TOKEN, REFRESH)


def test_what_was_stored_in_clear_is_encrypted_when_it_is_read(sqlite_store: SqlStore) -> None:
    installations(sqlite_store).save_bot(installation())
    assert TOKEN in kept(sqlite_store)
    assert read(sqlite_store, NEW) == (TOKEN, REFRESH)
    assert "secret" not in kept(sqlite_store)


def test_keys_are_rotated_as_installations_are_read(sqlite_store: SqlStore) -> None:
    installations(sqlite_store, OLD).save_bot(installation())
    before = kept(sqlite_store)
    assert read(sqlite_store, NEW, OLD) == (TOKEN, REFRESH)
    assert kept(sqlite_store) != before
    assert read(sqlite_store, NEW) == (TOKEN, REFRESH)
    settled = kept(sqlite_store)
    assert read(sqlite_store, NEW) == (TOKEN, REFRESH)
    assert kept(sqlite_store) == settled


@pytest.mark.parametrize("keys", [(), (NEW,)])
def test_a_lost_key_is_told_and_the_turn_is_tried_again(sqlite_store: SqlStore, keys: tuple[str, ...]) -> None:
    installations(sqlite_store, OLD).save_bot(installation())
    before = kept(sqlite_store)
    with pytest.raises(DeliveryError, match="SLACK_ENCRYPTION_KEYS does not have") as caught:
        read(sqlite_store, *keys)
    assert caught.value.retry_after is not None
    assert kept(sqlite_store) == before
    assert read(sqlite_store, NEW, OLD) == (TOKEN, REFRESH)


def test_an_app_is_uninstalled_whatever_its_token_is_encrypted_with(sqlite_store: SqlStore) -> None:
    installations(sqlite_store, OLD).save_bot(installation())
    assert not installations(sqlite_store, NEW).remove("T1", at=999.0)
    assert installations(sqlite_store, NEW).remove("T1", at=1000.0)
    assert kept(sqlite_store) == ""


def test_a_token_that_was_renewed_meanwhile_is_not_overwritten(
    sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = installations(sqlite_store, NEW)
    installations(sqlite_store).save_bot(installation())
    get_value = sqlite_store.get_value
    renewed = Bot(team_id="T1", bot_token="xoxb-2", bot_id="B1", bot_user_id="U1", installed_at=2000.0)

    def read_and_renew(name: str) -> str | None:
        found: str | None = get_value(name)
        installations(sqlite_store, NEW).save_bot(renewed)
        return found

    monkeypatch.setattr(sqlite_store, "get_value", read_and_renew)
    assert tokens(reader.find_bot(enterprise_id=None, team_id="T1")) == (TOKEN, REFRESH)
    monkeypatch.undo()
    assert read(sqlite_store, NEW) == ("xoxb-2", None)


def test_a_short_key_is_refused_and_all_keys_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_ENCRYPTION_KEYS", f"{NEW}, {OLD}")
    assert SlackSettings.load().encryption_keys == (NEW, OLD)
    assert {NEW, OLD} <= set(SlackSettings.load().secrets())
    monkeypatch.setenv("SLACK_ENCRYPTION_KEYS", f"{NEW}, short")
    with pytest.raises(SettingsError, match="SLACK_ENCRYPTION_KEYS: has a key of fewer than 32 characters"):
        SlackSettings.load()
