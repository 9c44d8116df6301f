"""Contract of Store: whatever another process does to a turn, the next write of its lease holder takes it into account.

Each case runs twice: with what the holder knew before, and with the turn as it is stored at the time of the write. Both
must have the same result and leave the same behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.context import ChatContext
from gateway.domain.conversations import Claim
from gateway.domain.errors import LeaseLost
from gateway.domain.files import File
from gateway.domain.models import Join, MessageKind, RunId, ThreadId, Turn, TurnState
from gateway.domain.platform_events import ChannelMigrated, MessageEdited
from gateway.ports.leased_writes import (
    FinishTurn,
    LeasedWrite,
    RecordOutcome,
    SetContext,
    SetPostedMessages,
    SetRun,
    SetThread,
)
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FAILURE,
    PLATFORM,
    ExpireLease,
    answer,
    apply_write,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    get_turn,
    key,
    message,
    new_turn,
)


class FullStore(Store, ReportingStore, Protocol):
    """Everything that a process of ours may do to the database."""


@dataclass
class Scene:
    """A claimed turn with another one behind it."""

    holder: Store
    other: FullStore
    channel: str
    claim: Claim
    behind: Turn
    expire_lease: ExpireLease

    def write(self, change: LeasedWrite) -> object:
        """Writes as the lease holder, who learns the result."""
        result = apply_write(self.holder, change)
        if isinstance(result, Turn):
            self.claim = replace(self.claim, turn=result)
        return result

    def edit(self, turn: Turn) -> None:
        self.other.edit_queued(MessageEdited(PLATFORM, turn.message.message_id, "Hallo"))

    def add_album_item(self, turn: Turn) -> None:
        item = message(self.channel, "more", name=turn.message.message_id, files=(File("1.jpg", "F1"),))
        self.other.append_to_queued(replace(item, album_item_id="1"))

    def join_turn_behind(self) -> None:
        more = message(self.channel, "more", join=Join(60.0), files=(File("1.jpg", "F1"),))
        assert enqueue_one(self.other, more, new_turn()).turn.id == self.behind.id

    def move_channel(self) -> None:
        self.other.migrate_channel(ChannelMigrated(PLATFORM, "workspace", self.channel, f"{self.channel} moved"))

    def claim_again(self, owner: str) -> None:
        self.expire_lease(self.claim.conversation.id)
        assert [claim.turn.id for claim in self.other.claim(owner, [PLATFORM], 10)] == [self.claim.turn.id]

    def finish_and_lose_the_result(self) -> None:
        apply_write(self.other, answer(self.claim))
        apply_write(self.other, FinishTurn(self.claim.lease, get_turn(self.other, self.claim.turn)))

    # ---------------------------------------------------------------- what can be compared

    def shape(self, turn: Turn) -> tuple[Any, ...]:
        """Returns a turn without what differs from one scene to another."""
        times = (turn.started_at, turn.answered_at, turn.delivered_at, turn.erased_at)
        return (
            *(turn.seq, turn.state, turn.attempts, turn.run_id, turn.reply, turn.posted_messages, turn.failure),
            *(turn.usage, turn.message.text, turn.message.files, turn.message.author, turn.message.kind),
            turn.message.key.channel.removeprefix(self.channel),
            [at is not None for at in times],
            [(entry.event, "" if entry.event in NAMES_A_TURN else entry.detail) for entry in turn.audit_log],
        )

    def result_shape(self, result: object) -> object:
        if isinstance(result, Turn):
            assert result == self.other.get_turn(result.id)
            return self.shape(result)
        if isinstance(result, Claim):
            assert result.turn == self.other.get_turn(result.turn.id)
            assert result.conversation == self.other.get_conversation(self.claim.conversation.id)
            return result.first_attempt, result.conversation.thread_id, self.shape(result.turn)
        return type(result)

    def left_behind(self) -> object:
        number = self.claim.conversation.id
        conversation = self.other.get_conversation(number)
        claimed = self.other.renew_leases("one", [number]).held_conversations
        return (
            conversation and (conversation.thread_id, conversation.backend),
            self.other.former_threads(number),
            bool(claimed),
            [self.shape(turn) for turn in self.other.transcript(number)],
        )


NAMES_A_TURN = (AuditEvent.RECEIVED, AuditEvent.RETRIED_AS)
ForeignWrite = Callable[[Scene], object]
FOREIGN_WRITES: dict[str, ForeignWrite] = {
    "nothing": lambda _: None,
    "stop": lambda it: enqueue_one(it.other, message(it.channel, "Stop", kind=MessageKind.STOP), new_turn()),
    "new": lambda it: enqueue_one(it.other, message(it.channel, "New", kind=MessageKind.RESET), new_turn()),
    "cancel": lambda it: it.other.cancel_turn(it.claim.turn.id),
    "cancel the turn behind": lambda it: it.other.cancel_turn(it.behind.id),
    "edit": lambda it: it.edit(it.claim.turn),
    "edit the turn behind": lambda it: it.edit(it.behind),
    "merged piece": lambda it: it.add_album_item(it.claim.turn),
    "merged piece of the turn behind": lambda it: it.add_album_item(it.behind),
    "message that joins the turn behind": Scene.join_turn_behind,
    "forget": lambda it: it.other.erase_author(it.claim.conversation, "Ada"),
    "delete": lambda it: it.other.delete_conversation(it.claim.conversation.id),
    "channel migration": lambda it: it.move_channel(),
    "claim of another process": lambda it: it.claim_again("two"),
    "claim of the same process": lambda it: it.claim_again("one"),
    "retention": lambda it: it.other.erase_older_than(-60.0),
    "retry": lambda it: (
        it.other.retry_turn(it.claim.turn.id, new_turn()) if it.claim.turn.state is TurnState.FAILED else None
    ),
    "posted messages whose result was lost": lambda it: apply_write(
        it.other, SetPostedMessages(it.claim.lease, it.claim.turn, ("9",))
    ),
    "finish whose result was lost": Scene.finish_and_lose_the_result,
}
READ = ChatContext("Ann", notes=("n\x00\ud800",), files=(File("a.txt\x00", "F1"),))
WRITES: dict[str, Callable[[Claim], LeasedWrite]] = {
    "thread": lambda claim: SetThread(claim.lease, ThreadId("thread of it"), "b"),
    "run": lambda claim: SetRun(claim.lease, claim.turn, RunId("run")),
    "context": lambda claim: SetContext(claim.lease, claim.turn, READ),
    "outcome": lambda claim: RecordOutcome(claim.lease, claim.turn, "Hi", shown="H"),
    "posted messages": lambda claim: SetPostedMessages(claim.lease, claim.turn, ("1.1", "1.2")),
    "finish": lambda claim: FinishTurn(claim.lease, claim.turn),
    "finish with posted messages": lambda claim: FinishTurn(claim.lease, claim.turn, posted_messages=("1.1",)),
    "finish without the next": lambda claim: FinishTurn(claim.lease, claim.turn, claim_next=False),
}
PROGRESS: dict[str, Callable[[Scene], object]] = {
    "running": lambda _: None,
    "with a run": lambda it: it.write(SetRun(it.claim.lease, it.claim.turn, RunId("first"))),
    "answered": lambda it: it.write(answer(it.claim)),
    "failed": lambda it: it.write(RecordOutcome(it.claim.lease, it.claim.turn, failure=FAILURE)),
    "partly posted": lambda it: (
        it.write(answer(it.claim)),
        it.write(SetPostedMessages(it.claim.lease, it.claim.turn, ("1.1",))),
    ),
}
"""What the holder has done with the turn when the other process comes."""
RELEVANT_PROGRESS: dict[str, Sequence[str]] = {
    "thread": ["running"],
    "run": ["running", "with a run"],
    "context": ["running"],
    "outcome": ["running", "with a run"],
    "posted messages": ["running", "answered", "failed"],
    "finish": ["answered", "failed", "partly posted"],
    "finish with posted messages": ["answered"],
    "finish without the next": ["answered"],
}
PAIRS = [
    pytest.param(foreign, write, marks=() if (row + column) % 6 == 0 else pytest.mark.slow)
    for row, foreign in enumerate(FOREIGN_WRITES)
    for column, write in enumerate(WRITES)
]
"""A sixth of them, with each write and each foreign write; the others in `make slow`."""


class ForeignWriteContract:
    @pytest.fixture
    def full_peer(self, peer: Store) -> FullStore:
        return cast("FullStore", peer)

    @pytest.mark.parametrize(("foreign", "write"), PAIRS)
    def test_next_write_takes_a_foreign_write_into_account(
        self, store: Store, full_peer: FullStore, expire_lease: ExpireLease, foreign: str, write: str
    ) -> None:
        for progress in RELEVANT_PROGRESS[write]:
            seen = []
            for knows in (False, True):
                scene = self.scene(store, full_peer, f"{progress}, {knows}", expire_lease)
                PROGRESS[progress](scene)
                FOREIGN_WRITES[foreign](scene)
                stored = full_peer.get_turn(scene.claim.turn.id)
                known = replace(scene.claim, turn=stored) if knows and stored else scene.claim
                result = apply_write(store, WRITES[write](known))
                seen.append((scene.result_shape(result), scene.left_behind()))
                full_peer.delete_conversation(scene.claim.conversation.id)
            assert seen[0] == seen[1], progress

    def scene(self, store: Store, peer: FullStore, channel: str, expire_lease: ExpireLease) -> Scene:
        claim = enqueue_and_claim(store, channel)
        return Scene(store, peer, channel, claim, enqueue(store, channel).turn, expire_lease)

    @pytest.mark.parametrize("foreign", ["stop", "cancel", "forget"])
    @pytest.mark.parametrize("write", ["run", "outcome", "posted messages"])
    def test_cancelled_turn_stays_cancelled_whatever_its_holder_knows(
        self, store: Store, full_peer: FullStore, expire_lease: ExpireLease, foreign: str, write: str
    ) -> None:
        scene = self.scene(store, full_peer, "loft", expire_lease)
        FOREIGN_WRITES[foreign](scene)
        turn = scene.write(WRITES[write](scene.claim))
        assert isinstance(turn, Turn)
        assert turn == get_turn(full_peer, turn)
        assert (turn.state, turn.reply, turn.message.author) == (
            *(TurnState.CANCELLED, "H" if write == "outcome" and foreign != "forget" else ""),
            "" if foreign == "forget" else "Ada",
        )

    @pytest.mark.parametrize("foreign", ["delete", "claim of another process", "claim of the same process"])
    @pytest.mark.parametrize("write", WRITES)
    def test_lost_lease_is_told_and_nothing_changes(
        self, store: Store, full_peer: FullStore, expire_lease: ExpireLease, foreign: str, write: str
    ) -> None:
        scene = self.scene(store, full_peer, "loft", expire_lease)
        FOREIGN_WRITES[foreign](scene)
        before = full_peer.transcript(scene.claim.conversation.id), full_peer.find_conversation(key())
        assert isinstance(apply_write(store, WRITES[write](scene.claim)), LeaseLost)
        assert (full_peer.transcript(scene.claim.conversation.id), full_peer.find_conversation(key())) == before

    def test_reply_goes_to_the_new_id_of_a_channel(
        self, store: Store, full_peer: FullStore, expire_lease: ExpireLease
    ) -> None:
        scene = self.scene(store, full_peer, "loft", expire_lease)
        scene.move_channel()
        turn = scene.write(answer(scene.claim))
        assert isinstance(turn, Turn)
        assert (turn.state, turn.message.key.channel) == (TurnState.ANSWERED, "loft moved")

    def test_retry_during_the_delivery_of_a_failure_stays_logged(
        self, store: Store, full_peer: FullStore, expire_lease: ExpireLease
    ) -> None:
        scene = self.scene(store, full_peer, "loft", expire_lease)
        scene.write(RecordOutcome(scene.claim.lease, scene.claim.turn, failure=FAILURE))
        again = new_turn()
        full_peer.retry_turn(scene.claim.turn.id, again)
        turn = scene.write(SetRun(scene.claim.lease, scene.claim.turn, RunId("run")))
        assert isinstance(turn, Turn)
        assert [entry.detail for entry in turn.audit_log] == ["one", again, "run"]
        assert turn == get_turn(full_peer, turn)
