"""The command ``callbacks``."""

from __future__ import annotations

import json
from contextlib import nullcontext

from click.testing import CliRunner, Result

from gateway.cli import callbacks
from gateway.cli.main import OneLineErrorGroup
from gateway.ports.callbacks import Callback
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue


def run(store: SqlStore, *args: str) -> Result:
    command = callbacks.command(lambda: nullcontext((store.callbacks, store.audit_trail)))
    return CliRunner().invoke(OneLineErrorGroup(commands={"callbacks": command}), ["callbacks", *args])


def test_dead_letters_are_listed_and_sent_again(sqlite_store: SqlStore) -> None:
    turn = enqueue(sqlite_store).turn.id
    for name in ("msg_1", "msg_2", "msg_3"):
        sqlite_store.callbacks.add(Callback(name, name, "https://example.com/", "turn.failed", turn, '{"a": 1}'), 9)
    for claimed in sqlite_store.callbacks.claim(2, 60.0)[1]:
        sqlite_store.callbacks.mark_failed(claimed, "the receiver\nanswered 410", None)
    assert [line.split()[:2] for line in run(sqlite_store).stdout.splitlines()] == [
        *(["msg_3", "waits"], ["msg_2", "dead"], ["msg_1", "dead"]),
    ]
    shown = [json.loads(line) for line in run(sqlite_store, "--dead", "--json").stdout.splitlines()]
    assert [(each["id"], each["state"], each["body"]) for each in shown] == [
        *(("msg_2", "dead", {"a": 1}), ("msg_1", "dead", {"a": 1})),
    ]
    both = run(sqlite_store, "--resend", "msg_1", "--resend-all")
    assert (both.exit_code, "not both" in both.stderr) == (2, True)
    assert run(sqlite_store, "--resend", "msg_1").stdout == "Sent again: 1.\n"
    assert run(sqlite_store, "--resend", "msg_1").exit_code == 1
    assert run(sqlite_store, "--resend-all").stdout == "Sent again: 1.\n"
    assert run(sqlite_store, "--dead").stdout == ""
