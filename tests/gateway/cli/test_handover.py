"""The command ``handover``."""

from __future__ import annotations

from contextlib import nullcontext

from click.testing import CliRunner, Result

from gateway.cli import handover
from gateway.cli.handover import HandoverContext
from gateway.cli.main import OneLineErrorGroup
from gateway.domain.models import MessageKind
from storage.store import SqlStore
from tests.contracts.store_handovers import claim_one_of, enqueue_refused_introduction, held
from tests.contracts.store_helpers import PLATFORM, enqueue


def run(store: SqlStore, *args: str) -> Result:
    context = HandoverContext(store, store, store.handovers, store.audit_trail, 100, 100, PLATFORM)
    command = handover.command(lambda: nullcontext(context))
    return CliRunner().invoke(OneLineErrorGroup(commands={"handover": command}), ["handover", *args])


def test_a_conversation_is_taken_over_answered_and_given_back(sqlite_store: SqlStore) -> None:
    number = str(enqueue(sqlite_store, text="My order\x1bis lost").turn.conversation_id)
    assert run(sqlite_store).stdout == "The assistant answers everywhere.\n"
    assert run(sqlite_store, "take", number, "--reason", "angry", "--by", "Eve").exit_code == 0
    first, taken = sqlite_store.transcript(int(number))
    assert (taken.message.kind, taken.message.sender, taken.message.address) == (
        MessageKind.HAND_OVER,
        "staff Eve",
        first.message.address,
    )
    held(sqlite_store, claim_one_of(sqlite_store, first))
    listed = run(sqlite_store).stdout
    assert "by staff Eve: angry" in listed
    assert "1 unanswered\n    My order is lost" in listed
    enqueue_refused_introduction(sqlite_store, taken, PLATFORM)
    assert "\n    not shown in the channel of the staff: channel_not_found\n" in run(sqlite_store).stdout
    assert run(sqlite_store, "answer", number, "It comes.", "--by", "Eve").exit_code == 0
    assert run(sqlite_store, "resume", number, "--by", "Eve").exit_code == 0
    answered, given = sqlite_store.transcript(int(number))[-2:]
    assert (answered.reply, answered.is_pushed_text, given.message.kind) == ("It comes.", True, MessageKind.RESUME)
    assert given.assistant == first.assistant


def test_what_cannot_be_done_is_said_in_a_line(sqlite_store: SqlStore) -> None:
    number = str(enqueue(sqlite_store).turn.conversation_id)
    for command in (("answer", number, "Hi"), ("resume", number)):
        refused = run(sqlite_store, *command)
        assert refused.exit_code == 1
        assert "Take it over first" in refused.output
    assert "There is no conversation 999" in run(sqlite_store, "take", "999").output
    run(sqlite_store, "take", number)
    assert "already" in run(sqlite_store, "take", number).output
    assert "at most 100" in run(sqlite_store, "answer", number, "x" * 101).output
