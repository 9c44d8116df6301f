"""State-machine test of Store: in any order of calls no turn is lost, repeated or out of order."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.errors import Conflict, LeaseLost
from gateway.domain.models import Failure, Message, MessageKind, RunId, Turn, TurnId, TurnState
from gateway.domain.platform_events import MessageEdited
from gateway.ports.leased_writes import (
    AppendAuditEntry,
    FinishTurn,
    LeasedWrite,
    ParkTurn,
    RecordOutcome,
    ReleaseLease,
    SetPostedMessages,
    SetRun,
    WriteResult,
)
from gateway.ports.store import Store
from tests.contracts.store_helpers import FAILURE, PLATFORM, ExpireLease, answer, enqueue_one, finish, message, new_turn
from tests.examples import examples

OWNERS = st.sampled_from(["one", "two"])
CHANNELS = st.sampled_from(["a", "b", "c"])
SIDES = st.integers(0, 1)
NUMBERS = st.integers(0, 100)
RECEIVERS = st.sampled_from(["", "web"])
PARTS = st.sampled_from(["1.1", "1.2", 'file:"🕊"'])
CODES = st.sampled_from(["overloaded", "closed"])
UNDELIVERED = Failure("undeliverable", "It could not be brought.")
WEEK = 7 * 86400.0


@dataclass
class ExpectedTurn:
    """The expected state of a turn."""

    message: Message
    id: TurnId
    state: TurnState = TurnState.QUEUED
    attempts: int = 0
    parts: tuple[str, ...] = ()
    trail: list[tuple[AuditEvent, str]] = field(default_factory=list)
    run_id: str | None = None
    was_started: bool = False
    answered: bool = False
    retried: bool = False
    refused_with: str = ""
    """The code, if it was recorded as failed."""

    def check(self, turn: Turn) -> None:
        assert (turn.id, turn.state, turn.attempts, turn.posted_messages) == (
            self.id,
            self.state,
            self.attempts,
            self.parts,
        )
        assert (turn.message, turn.run_id, bool(turn.reply)) == (self.message, self.run_id, self.answered)
        assert [(step.event, step.detail) for step in turn.audit_log] == self.trail


@dataclass
class ExpectedConversation:
    """The expected state of a conversation."""

    turns: list[ExpectedTurn] = field(default_factory=list)
    id: int = 0
    head: int = 0
    """How many turns are finished."""
    claim: Claim | None = None
    """The valid claim; None: nobody may write."""
    claim_arrived: bool = True
    """Whether the claim has reached its owner."""
    due: bool = False
    """Whether it may be claimed, even if the earlier claim is valid until then."""
    parked: bool = False

    @property
    def current(self) -> ExpectedTurn:
        return self.turns[self.head]

    @property
    def has_unfinished(self) -> bool:
        return self.head < len(self.turns)

    def add(self, turn: ExpectedTurn, seen: Turn) -> None:
        """Adds a turn that was enqueued without a claim."""
        self.id, self.due = seen.conversation_id, self.due or not self.has_unfinished
        self.turns.append(turn)
        assert seen.seq == len(self.turns)

    def wake_if_ended(self) -> None:
        """A parked turn that was cancelled is due."""
        if self.parked and self.current.state.is_resolved:
            self.parked, self.due = False, True


class StoreMachine(RuleBasedStateMachine):
    """Random sequences of calls by workers and people, compared with a model after each step."""

    def __init__(self, stores: tuple[Store, Store], expire_lease: ExpireLease) -> None:
        super().__init__()
        self.stores = stores
        self.expire = expire_lease
        self.platform = f"{PLATFORM}-{uuid.uuid4().hex}"  # examples share a database
        self.conversations: dict[str, ExpectedConversation] = {}
        self.lost_claims: list[Claim] = []

    # ---------------------------------------------------------------- the model

    def claimed(self) -> list[ExpectedConversation]:
        return [line for line in self.conversations.values() if line.claim is not None and line.claim_arrived]

    def pick(self, number: int) -> tuple[ExpectedConversation, Claim]:
        held = self.claimed()
        line = held[number % len(held)]
        assert line.claim is not None
        return line, line.claim

    def any_turn(self, number: int) -> tuple[ExpectedConversation, ExpectedTurn]:
        turns = [(line, turn) for line in self.conversations.values() for turn in line.turns]
        return turns[number % len(turns)]

    def expect_claim(self, line: ExpectedConversation, claim: Claim) -> None:
        """Checks that a claim is on the current turn and tells whether it is a first attempt."""
        front = line.current
        assert claim.first_attempt is (front.state is TurnState.QUEUED)
        if not front.state.is_resolved:
            front.state, front.was_started = TurnState.RUNNING, True
            front.attempts += 1
        front.trail.append((AuditEvent.CLAIMED, claim.lease.owner))
        front.check(claim.turn)
        line.claim, line.claim_arrived, line.due, line.parked = claim, True, False, False

    def expect_release(self, line: ExpectedConversation, *, due: bool) -> None:
        assert line.claim is not None
        self.lost_claims.append(line.claim)
        line.claim, line.due = None, due

    def learn(self, line: ExpectedConversation, side: int, turn: WriteResult, *, arrives: bool) -> None:
        """Checks the result of a write. If it arrives, it is what the holder knows from now on."""
        assert line.claim is not None
        assert isinstance(turn, Turn)
        assert turn == self.stores[1 - side].get_turn(turn.id)
        line.current.check(turn)
        if arrives:
            line.claim = replace(line.claim, turn=turn)

    def write(self, side: int, change: LeasedWrite, *, again: bool) -> Sequence[WriteResult]:
        """``again``: writes twice, as if the first result had been lost on its way."""
        return [
            *self.stores[side].apply_writes([change]),
            *(self.stores[1 - side].apply_writes([change]) if again else ()),
        ]

    # ---------------------------------------------------------------- people

    @rule(channel=CHANNELS, owner=st.none() | OWNERS, taker=RECEIVERS, side=SIDES)
    def record(self, channel: str, owner: str | None, taker: str, side: int) -> None:
        line = self.conversations.setdefault(channel, ExpectedConversation())
        told, turn, idle = message(channel, platform=self.platform), new_turn(), not line.has_unfinished
        recorded = enqueue_one(self.stores[side], told, turn, owner=owner, received_by=taker)
        line.add(ExpectedTurn(told, turn, trail=[(AuditEvent.RECEIVED, taker)] if taker else []), recorded.turn)
        assert (recorded.is_new, recorded.claim is not None) == (True, idle and owner is not None)
        if recorded.claim is not None:
            self.expect_claim(line, recorded.claim)

    @precondition(lambda self: self.conversations)
    @rule(number=NUMBERS, side=SIDES)
    def record_again(self, number: int, side: int) -> None:
        _, turn = self.any_turn(number)
        recorded = enqueue_one(self.stores[side], turn.message, new_turn(), owner="one", received_by="web")
        assert (recorded.is_new, recorded.claim, recorded.cancelled) == (False, None, ())
        turn.check(recorded.turn)

    @rule(channel=CHANNELS, code=CODES, side=SIDES)
    def refuse(self, channel: str, code: str, side: int) -> None:
        line = self.conversations.get(channel, ExpectedConversation())
        told, turn = message(channel, platform=self.platform), new_turn()
        refused = self.stores[side].enqueue_failed(told, turn, Failure(code, "Not now."))
        spoken_for = line.has_unfinished and line.turns[-1].refused_with == code
        assert (refused is None) is spoken_for
        if refused is not None:
            self.conversations[channel] = line
            line.add(ExpectedTurn(told, turn, TurnState.FAILED, refused_with=code), refused)

    @precondition(lambda self: self.conversations)
    @rule(number=NUMBERS, side=SIDES)
    def stop(self, number: int, side: int) -> None:
        channel, line = list(self.conversations.items())[number % len(self.conversations)]
        asked = [turn for turn in line.turns if turn.message.kind is MessageKind.PROMPT and not turn.state.is_resolved]
        told, turn = message(channel, platform=self.platform, kind=MessageKind.STOP), new_turn()
        recorded = enqueue_one(self.stores[side], told, turn, max_backlog=1)
        assert recorded.cancelled == tuple(turn.id for turn in asked)
        for each in asked:
            each.state = TurnState.CANCELLED
        line.add(ExpectedTurn(told, turn), recorded.turn)
        line.wake_if_ended()

    @precondition(lambda self: self.conversations)
    @rule(number=NUMBERS, text=st.sampled_from(["Hallo", "Salut"]), side=SIDES)
    def edit(self, number: int, text: str, side: int) -> None:
        _, turn = self.any_turn(number)
        edited = self.stores[side].edit_queued(MessageEdited(self.platform, turn.message.message_id, text))
        assert edited is (turn.state is TurnState.QUEUED)
        if edited:
            turn.message = replace(turn.message, text=text)

    @precondition(lambda self: any(line.has_unfinished for line in self.conversations.values()))
    @rule(number=NUMBERS, side=SIDES)
    def cancel(self, number: int, side: int) -> None:
        open_turns = [(line, turn) for line in self.conversations.values() for turn in line.turns[line.head :]]
        line, turn = open_turns[number % len(open_turns)]
        if not turn.state.is_resolved:
            turn.state = TurnState.CANCELLED
        cancelled = self.stores[side].cancel_turn(turn.id)
        assert cancelled is not None
        turn.check(cancelled)
        line.wake_if_ended()

    @precondition(lambda self: self.conversations)
    @rule(number=NUMBERS, side=SIDES)
    def retry(self, number: int, side: int) -> None:
        line, turn = self.any_turn(number)
        again = new_turn()
        if turn.retried or turn.state not in (TurnState.FAILED, TurnState.CANCELLED):
            with pytest.raises(Conflict):
                self.stores[side].retry_turn(turn.id, again)
            return
        seen = self.stores[side].retry_turn(turn.id, again).turn
        turn.retried = True
        turn.trail.append((AuditEvent.RETRIED_AS, again))
        self.expect_retry(line, turn, seen)

    def expect_retry(self, line: ExpectedConversation, turn: ExpectedTurn, seen: Turn) -> None:
        told = replace(turn.message, message_id=seen.message.message_id)
        new = ExpectedTurn(told, seen.id, trail=[(AuditEvent.RECEIVED, f"retry of {turn.id}")], answered=turn.answered)
        if turn.answered:
            new.state, new.parts = TurnState.ANSWERED, turn.parts
        if told.kind is MessageKind.STOP and not turn.answered:
            for each in line.turns:
                if each.message.kind is MessageKind.PROMPT and not each.state.is_resolved:
                    each.state = TurnState.CANCELLED
        line.add(new, seen)
        line.wake_if_ended()
        new.check(seen)

    # ---------------------------------------------------------------- owners

    @rule(owner=OWNERS, limit=st.integers(1, 3), arrives=st.booleans(), side=SIDES)
    def claim(self, owner: str, limit: int, arrives: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        due = [line for line in self.conversations.values() if line.due]
        claims = self.stores[side].claim(owner, [self.platform], limit)
        assert len(claims) == min(limit, len(due))
        for claim in claims:
            line = self.conversations[claim.conversation.key.channel]
            assert line in due
            if line.claim is not None:
                self.lost_claims.append(line.claim)
            self.expect_claim(line, claim)
            line.claim_arrived = arrives

    @rule(owner=OWNERS, some=st.booleans(), side=SIDES)
    def renew(self, owner: str, some: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        of_owner = [line for line in self.conversations.values() if line.claim and line.claim.lease.owner == owner]
        mine = [line for line in of_owner if line.claim_arrived or not some]
        renewal = self.stores[side].renew_leases(owner, [line.id for line in mine] if some else None)
        theirs = {line.id for line in mine}
        assert renewal.held_conversations & {line.id for line in self.conversations.values()} == theirs
        known = {
            line.current.id
            for line in of_owner
            if line.current.state is TurnState.CANCELLED and line.current.was_started
        }
        told = renewal.cancelled_turns & {turn.id for line in self.conversations.values() for turn in line.turns}
        assert told == (known if mine else told & known)
        for line in mine:
            line.due = False

    @precondition(lambda self: self.claimed())
    @rule(number=NUMBERS, run=st.sampled_from(["r1", "r2"]), again=st.booleans(), arrives=st.booleans(), side=SIDES)
    def start(self, number: int, run: str, again: bool, arrives: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line, claim = self.pick(number)
        first, *repeated = self.write(side, SetRun(claim.lease, claim.turn, RunId(run)), again=again)
        if line.current.run_id != run:
            line.current.trail.append((AuditEvent.RUN_STARTED, run))
        line.current.run_id = run
        for turn in (first, *repeated):
            self.learn(line, side, turn, arrives=arrives)

    @precondition(lambda self: self.claimed())
    @rule(number=NUMBERS, parts=st.lists(PARTS, max_size=2).map(tuple), arrives=st.booleans(), side=SIDES)
    def set_posted_messages(self, number: int, parts: tuple[str, ...], arrives: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line, claim = self.pick(number)
        brought = SetPostedMessages(claim.lease, claim.turn, parts)
        marked = AppendAuditEntry(claim.lease, claim.turn, AuditEvent.DELIVERY_DEFERRED, "later")
        *_, turn = self.stores[side].apply_writes([brought, marked])
        line.current.parts = parts
        line.current.trail.append((AuditEvent.DELIVERY_DEFERRED, "later"))
        self.learn(line, side, turn, arrives=arrives)

    @precondition(lambda self: self.claimed())
    @rule(number=NUMBERS, fails=st.booleans(), again=st.booleans(), arrives=st.booleans(), side=SIDES)
    def record_outcome(self, number: int, fails: bool, again: bool, arrives: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line, claim = self.pick(number)
        change = RecordOutcome(claim.lease, claim.turn, failure=FAILURE) if fails else answer(claim)
        if line.current.state is TurnState.RUNNING:
            line.current.state = TurnState.FAILED if fails else TurnState.ANSWERED
            line.current.answered = not fails
        for turn in self.write(side, change, again=again):
            self.learn(line, side, turn, arrives=arrives)

    @precondition(lambda self: any(line.current.state.is_resolved for line in self.claimed()))
    @rule(keep=st.booleans(), fails=st.booleans(), again=st.booleans(), side=SIDES)
    def finish(self, keep: bool, fails: bool, again: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line = next(line for line in self.claimed() if line.current.state.is_resolved)
        claim = line.claim
        assert claim is not None
        failure = UNDELIVERED if fails else None
        following, *repeated = self.write(side, FinishTurn(claim.lease, claim.turn, failure, keep), again=again)
        if line.current.state is TurnState.ANSWERED:
            line.current.state = TurnState.FAILED if fails else TurnState.DELIVERED
        line.head += 1
        if not (keep and line.has_unfinished):
            assert following is None
            assert all(isinstance(result, LeaseLost) for result in repeated)
            self.expect_release(line, due=line.has_unfinished)
            return
        for each in (following, *repeated):
            assert isinstance(each, Claim)
            assert each.lease == claim.lease
            self.expect_claim(line, each)

    @precondition(lambda self: self.claimed())
    @rule(number=NUMBERS, fresh=st.booleans(), after=st.sampled_from([0.0, WEEK]), again=st.booleans(), side=SIDES)
    def release(self, number: int, fresh: bool, after: float, again: bool, side: int) -> None:  # noqa: FBT001  # likewise
        line, claim = self.pick(number)
        result, *repeated = self.write(side, ReleaseLease(claim.lease, after, not_started=fresh), again=again)
        assert result is None
        assert all(isinstance(result, LeaseLost) for result in repeated)
        line.current.trail.append((AuditEvent.RELEASED, claim.lease.owner))
        if line.current.state is TurnState.RUNNING:
            line.current.attempts -= 1
            line.current.state = TurnState.QUEUED if fresh else TurnState.RUNNING
            line.current.was_started = not fresh
        self.expect_release(line, due=not after)

    @precondition(lambda self: self.claimed())
    @rule(number=NUMBERS, fresh=st.booleans(), again=st.booleans(), side=SIDES)
    def park(self, number: int, fresh: bool, again: bool, side: int) -> None:  # noqa: FBT001  # likewise
        line, claim = self.pick(number)
        write = ParkTurn(claim.lease, claim.turn, "money", WEEK, WEEK, self.platform, not_started=fresh)
        result, *repeated = self.write(side, write, again=again)
        assert result is None
        assert all(isinstance(result, LeaseLost) for result in repeated)
        line.parked = line.current.state is TurnState.RUNNING
        if line.parked:
            line.current.trail.append((AuditEvent.RELEASED, f"{claim.lease.owner}; waits for: money"))
            line.current.attempts -= 1
            line.current.state = TurnState.QUEUED if fresh else TurnState.RUNNING
            line.current.was_started = not fresh
        self.expect_release(line, due=not line.parked)

    @precondition(lambda self: any(line.parked for line in self.conversations.values()))
    @rule(side=SIDES)
    def wake(self, side: int) -> None:
        parked = [line for line in self.conversations.values() if line.parked]
        assert self.stores[side].wake(self.platform, 10) == len(parked)
        for line in parked:
            line.parked, line.due = False, True

    @precondition(lambda self: any(line.has_unfinished for line in self.conversations.values()))
    @rule(number=NUMBERS)
    def wait(self, number: int) -> None:
        """Lets a lease expire or a delay end. The holder may write until another process claims the conversation."""
        waiting = [line for line in self.conversations.values() if line.has_unfinished]
        line = waiting[number % len(waiting)]
        self.expire(line.id)
        line.parked, line.due = False, True  # nobody has to wake it any more

    @precondition(lambda self: self.lost_claims)
    @rule(number=NUMBERS, side=SIDES)
    def write_after_lease_lost(self, number: int, side: int) -> None:
        claim = self.lost_claims[number % len(self.lost_claims)]
        late: list[LeasedWrite] = [answer(claim), SetPostedMessages(claim.lease, claim.turn, ("late",))]
        late += [
            AppendAuditEntry(claim.lease, claim.turn, AuditEvent.DELIVERY_DEFERRED),
            finish(claim),
            ReleaseLease(claim.lease),
        ]
        assert all(isinstance(result, LeaseLost) for result in self.stores[side].apply_writes(late))

    # ---------------------------------------------------------------- the end

    def teardown(self) -> None:
        """Checks that a single owner can finish everything, each turn once and in order."""
        for line in self.conversations.values():
            self.expire(line.id)
        for claim in self.stores[0].claim("last", [self.platform], 10):
            self.drain(claim)
        assert not any(line.has_unfinished for line in self.conversations.values())
        assert self.stores[0].claim("last", [self.platform], 10) == ()

    def drain(self, first: Claim) -> None:
        line, claim = self.conversations[first.conversation.key.channel], first
        while True:
            self.expect_claim(line, claim)
            line.current.answered = line.current.answered or not line.current.state.is_resolved
            _, following = self.stores[0].apply_writes([answer(claim), finish(claim)])
            if line.current.state in (TurnState.RUNNING, TurnState.ANSWERED):
                line.current.state = TurnState.DELIVERED
            line.head += 1
            if not isinstance(following, Claim):
                break
            claim = following
        for turn, expected in zip(self.stores[1].transcript(line.id), line.turns, strict=True):
            expected.check(turn)


class RandomOrderContract:
    @pytest.mark.hypothesis
    def test_any_order_of_calls_keeps_the_turns_in_order_and_loses_none(
        self, store: Store, peer: Store, expire_lease: ExpireLease
    ) -> None:
        thorough = settings(
            max_examples=examples(10), stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(lambda: StoreMachine((store, peer), expire_lease), settings=thorough)  # type: ignore[arg-type]  # any factory will do
