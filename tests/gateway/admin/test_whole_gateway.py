"""The operator's pages in a whole gateway: the live log of a turn that it runs."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gateway import logs
from gateway.admin.pages import turn_log_stream
from gateway.wiring.loading import load_settings
from tests.adapters.app_client import AppClient
from tests.gateway.admin.harness import PASSWORD, csrf_token_of
from tests.gateway.served_gateway import run_gateway


def test_a_turn_is_logged_for_whoever_looks_and_nothing_that_was_said(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DATABASE_URL": sqlite_url, "ASSISTANT_BACKEND": "offline", "ADMIN_PASSWORD": PASSWORD}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    monkeypatch.setattr(turn_log_stream, "QUIET_SECONDS", 1.5)  # longer than the pause between two looks for watchers
    monkeypatch.chdir(tmp_path)
    with run_gateway(load_settings(quiet=True)) as gateway:
        client = AppClient(gateway.web(), gateway.worker._loop)
        turn = json.loads(client.post("/chat", json={"message": "xylophone"}).text)["turn_id"]
        address = f"/admin/turns/{turn}/log"
        assert client.get(address).status_code == 401
        form = client.get("/admin/sign-in")
        cookies = [each.partition(";")[0] for each in form.headers.getlist("Set-Cookie")]
        fields = urlencode({"token": csrf_token_of(form), "password": PASSWORD}).encode()
        sent = {"Cookie": "; ".join(cookies), "Content-Type": "application/x-www-form-urlencoded"}
        signed_in = client.post("/admin/sign-in", data=fields, headers=sent)
        cookies = [each.partition(";")[0] for each in signed_in.headers.getlist("Set-Cookie")]
        text = client.get(address, headers={"Cookie": "; ".join(cookies)}).text
        events = [json.loads(line[6:])["event"] for line in text.splitlines() if line.startswith('data: {"at"')]
        assert {"first words", "turn resolved"} <= set(events)
        assert "xylophone" not in text
        assert logs.has_tap()
    assert not logs.has_tap()
