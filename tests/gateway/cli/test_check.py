"""Tests of ``python -m gateway check``: what is counted, and that the OpenID provider is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.check import check
from gateway.domain.models import MessageKind
from storage.migrations import upgrade
from storage.store import SqlStore
from tests.contracts.store_handovers import enqueue_refused_introduction
from tests.contracts.store_helpers import enqueue_one, message, new_turn
from tests.contracts.unparsed_updates import unparsed
from tests.fakes.oidc_provider import CLIENT_ID, FakeOidcProvider


def test_unparsed_updates_are_counted_by_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("ASSISTANT_BACKEND", "offline")
    upgrade(url)
    assert not any("not be parsed" in line.detail for line in check())
    store = SqlStore(url)
    for number in range(2):
        store.unparsed_updates.keep(unparsed(f"{number}", platform="http"))
    store.unparsed_updates.keep(unparsed("9", platform="owl"))
    store.close()
    (line,) = [line for line in check() if "unparsed" in line.name]
    assert (line.name, line.ok) == ("http unparsed", True)
    assert line.detail.startswith("2 updates could not be parsed; newest 2")
    assert line.detail.endswith("; see the table unparsed_updates")


def test_a_database_that_cannot_be_opened_is_named_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/missing/gateway.db")
    monkeypatch.setenv("ASSISTANT_BACKEND", "offline")
    lines = {line.name: line for line in check()}
    assert lines["database"].detail.startswith(f"DATABASE_URL: the folder {tmp_path}/missing does not exist")
    assert "data" not in lines
    assert not any("none.db" in line.detail for line in lines.values())


def test_handovers_are_counted_and_those_who_may_hand_over_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    handover = {"HANDOVER_TOOL": "true", "HANDOVER_CHANNEL": "slack:T0123/C0123"}
    for name, value in ({"DATABASE_URL": url, "ASSISTANT_BACKEND": "offline"} | handover).items():
        monkeypatch.setenv(name, value)
    upgrade(url)
    store = SqlStore(url)
    taken = enqueue_one(store, message(kind=MessageKind.HAND_OVER), new_turn()).turn
    enqueue_refused_introduction(store, taken, "slack")
    store.close()
    found = {line.name: line.detail for line in check()}
    assert found["staff channel"].startswith("HANDOVER_CHANNEL: no threads of the staff can be opened on slack.")
    assert found["tool hand_over"] == "for all assistants"
    assert found["handed over"].startswith("a person answers in 1 of the conversations")
    assert found["handovers not shown"] == (
        "1 of them could not be shown in the channel of the staff: channel_not_found"
    )


def test_the_openid_provider_is_asked_and_what_is_open_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeOidcProvider() as provider:
        for name, value in {
            "DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db",
            "ASSISTANT_BACKEND": "offline",
            "ADMIN_OIDC_ISSUER": provider.issuer,
            "ADMIN_OIDC_CLIENT_ID": CLIENT_ID,
            "ADMIN_URL": "https://bot.example.com/admin",
            "ADMIN_VIEWERS": "*",
        }.items():
            monkeypatch.setenv(name, value)
        lines = {line.name: line for line in check()}
        assert lines["admin sign-in"].ok
        assert lines["admin sign-in"].detail.endswith("https://bot.example.com/admin/oidc/callback")
        assert lines["operator"].detail == f"/admin, with an account at {provider.issuer}; everybody there may"
        provider.faults["/.well-known/openid-configuration"] = (500, "")
        assert not next(line for line in check() if line.name == "admin sign-in").ok
