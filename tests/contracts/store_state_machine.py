"""State-machine test of Store: in any order of calls no turn is lost, repeated or out of order."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from gateway.domain.errors import Conflict, LeaseLost
from gateway.domain.models import Claim, Edit, Failure, Kind, Mark, Message, RunId, Turn, TurnId, TurnState
from gateway.ports.store import Brought, Change, Finished, Marked, Released, Result, Settled, Started, Store
from tests.contracts.store_helpers import FAILURE, PLATFORM, Expire, answer, finish, message, new_turn

OWNERS = st.sampled_from(["one", "two"])
CHANNELS = st.sampled_from(["a", "b", "c"])
SIDES = st.integers(0, 1)
NUMBERS = st.integers(0, 100)
TAKERS = st.sampled_from(["", "web"])
PARTS = st.sampled_from(["1.1", "1.2", 'file:"🕊"'])
CODES = st.sampled_from(["overloaded", "closed"])
UNDELIVERED = Failure("undeliverable", "It could not be brought.")
WEEK = 7 * 86400.0


@dataclass
class Expected:
    """The expected state of a turn."""

    message: Message
    id: TurnId
    state: TurnState = TurnState.QUEUED
    attempts: int = 0
    parts: tuple[str, ...] = ()
    trail: list[tuple[Mark, str]] = field(default_factory=list)
    run: str | None = None
    begun: bool = False
    answered: bool = False
    retried: bool = False
    refused: str = ""
    """The code, if it was recorded as failed."""

    def check(self, turn: Turn) -> None:
        assert (turn.id, turn.state, turn.attempts, turn.parts) == (self.id, self.state, self.attempts, self.parts)
        assert (turn.message, turn.run_id, bool(turn.reply)) == (self.message, self.run, self.answered)
        assert [(step.mark, step.detail) for step in turn.trail] == self.trail


@dataclass
class Line:
    """The expected state of a conversation."""

    turns: list[Expected] = field(default_factory=list)
    id: int = 0
    head: int = 0
    """How many turns are finished."""
    claim: Claim | None = None
    """The valid claim; None: nobody may write."""
    known: bool = True
    """Whether the claim has reached its owner."""
    due: bool = False
    """Whether it may be claimed, even if the earlier claim is valid until then."""

    @property
    def front(self) -> Expected:
        return self.turns[self.head]

    @property
    def waiting(self) -> bool:
        return self.head < len(self.turns)

    def add(self, turn: Expected, seen: Turn) -> None:
        """Adds a turn that was enqueued without a claim."""
        self.id, self.due = seen.conversation, self.due or not self.waiting
        self.turns.append(turn)
        assert seen.seq == len(self.turns)


class Schedule(RuleBasedStateMachine):
    """Random sequences of calls by workers and people, compared with a model after each step."""

    def __init__(self, stores: tuple[Store, Store], expire_lease: Expire) -> None:
        super().__init__()
        self.stores = stores
        self.expire = expire_lease
        self.platform = f"{PLATFORM}-{uuid.uuid4().hex}"  # examples share a database
        self.lines: dict[str, Line] = {}
        self.stale: list[Claim] = []

    # ---------------------------------------------------------------- the model

    def held(self) -> list[Line]:
        return [line for line in self.lines.values() if line.claim is not None and line.known]

    def pick(self, number: int) -> tuple[Line, Claim]:
        held = self.held()
        line = held[number % len(held)]
        assert line.claim is not None
        return line, line.claim

    def any_turn(self, number: int) -> tuple[Line, Expected]:
        turns = [(line, turn) for line in self.lines.values() for turn in line.turns]
        return turns[number % len(turns)]

    def begun(self, line: Line, claim: Claim) -> None:
        """Checks that a claim is on the current turn and tells whether it is a first attempt."""
        front = line.front
        assert claim.fresh is (front.state is TurnState.QUEUED)
        if not front.state.decided:
            front.state, front.begun = TurnState.RUNNING, True
            front.attempts += 1
        front.trail.append((Mark.CLAIMED, claim.lease.owner))
        front.check(claim.turn)
        line.claim, line.known, line.due = claim, True, False

    def let_go(self, line: Line, *, due: bool) -> None:
        assert line.claim is not None
        self.stale.append(line.claim)
        line.claim, line.due = None, due

    def write(self, side: int, change: Change, *, again: bool) -> Sequence[Result]:
        """``again``: writes twice, as if the first result had been lost on its way."""
        return [*self.stores[side].write([change]), *(self.stores[1 - side].write([change]) if again else ())]

    # ---------------------------------------------------------------- people

    @rule(channel=CHANNELS, owner=st.none() | OWNERS, taker=TAKERS, side=SIDES)
    def record(self, channel: str, owner: str | None, taker: str, side: int) -> None:
        line = self.lines.setdefault(channel, Line())
        told, turn, idle = message(channel, platform=self.platform), new_turn(), not line.waiting
        recorded = self.stores[side].record(told, turn, owner=owner, taker=taker)
        line.add(Expected(told, turn, trail=[(Mark.RECEIVED, taker)] if taker else []), recorded.turn)
        assert (recorded.new, recorded.claim is not None) == (True, idle and owner is not None)
        if recorded.claim is not None:
            self.begun(line, recorded.claim)

    @precondition(lambda self: self.lines)
    @rule(number=NUMBERS, side=SIDES)
    def record_again(self, number: int, side: int) -> None:
        _, turn = self.any_turn(number)
        recorded = self.stores[side].record(turn.message, new_turn(), owner="one", taker="web")
        assert (recorded.new, recorded.claim, recorded.stopped) == (False, None, ())
        turn.check(recorded.turn)

    @rule(channel=CHANNELS, code=CODES, side=SIDES)
    def refuse(self, channel: str, code: str, side: int) -> None:
        line = self.lines.get(channel, Line())
        told, turn = message(channel, platform=self.platform), new_turn()
        refused = self.stores[side].refuse(told, turn, Failure(code, "Not now."))
        spoken_for = line.waiting and line.turns[-1].refused == code
        assert (refused is None) is spoken_for
        if refused is not None:
            self.lines[channel] = line
            line.add(Expected(told, turn, TurnState.FAILED, refused=code), refused)

    @precondition(lambda self: self.lines)
    @rule(number=NUMBERS, side=SIDES)
    def stop(self, number: int, side: int) -> None:
        channel, line = list(self.lines.items())[number % len(self.lines)]
        asked = [turn for turn in line.turns if turn.message.kind is Kind.ASK and not turn.state.decided]
        told, turn = message(channel, platform=self.platform, kind=Kind.STOP), new_turn()
        recorded = self.stores[side].record(told, turn, backlog=1)
        assert recorded.stopped == tuple(turn.id for turn in asked)
        for each in asked:
            each.state = TurnState.CANCELLED
        line.add(Expected(told, turn), recorded.turn)

    @precondition(lambda self: self.lines)
    @rule(number=NUMBERS, text=st.sampled_from(["Hallo", "Salut"]), side=SIDES)
    def edit(self, number: int, text: str, side: int) -> None:
        _, turn = self.any_turn(number)
        edited = self.stores[side].edit(Edit(self.platform, turn.message.message_id, text))
        assert edited is (turn.state is TurnState.QUEUED)
        if edited:
            turn.message = replace(turn.message, text=text)

    @precondition(lambda self: any(line.waiting for line in self.lines.values()))
    @rule(number=NUMBERS, side=SIDES)
    def cancel(self, number: int, side: int) -> None:
        open_turns = [turn for line in self.lines.values() for turn in line.turns[line.head :]]
        turn = open_turns[number % len(open_turns)]
        if not turn.state.decided:
            turn.state = TurnState.CANCELLED
        cancelled = self.stores[side].cancel(turn.id)
        assert cancelled is not None
        turn.check(cancelled)

    @precondition(lambda self: self.lines)
    @rule(number=NUMBERS, side=SIDES)
    def retry(self, number: int, side: int) -> None:
        line, turn = self.any_turn(number)
        again = new_turn()
        if turn.retried or turn.state not in (TurnState.FAILED, TurnState.CANCELLED):
            with pytest.raises(Conflict):
                self.stores[side].retry(turn.id, again)
            return
        seen = self.stores[side].retry(turn.id, again).turn
        turn.retried = True
        turn.trail.append((Mark.RETRIED, again))
        self.expect_retry(line, turn, seen)

    def expect_retry(self, line: Line, turn: Expected, seen: Turn) -> None:
        told = replace(turn.message, message_id=seen.message.message_id)
        new = Expected(told, seen.id, trail=[(Mark.RECEIVED, f"retry of {turn.id}")], answered=turn.answered)
        if turn.answered:
            new.state, new.parts = TurnState.ANSWERED, turn.parts
        if told.kind is Kind.STOP and not turn.answered:
            for each in line.turns:
                if each.message.kind is Kind.ASK and not each.state.decided:
                    each.state = TurnState.CANCELLED
        line.add(new, seen)
        new.check(seen)

    # ---------------------------------------------------------------- owners

    @rule(owner=OWNERS, limit=st.integers(1, 3), arrives=st.booleans(), side=SIDES)
    def claim(self, owner: str, limit: int, arrives: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        due = [line for line in self.lines.values() if line.due]
        claims = self.stores[side].claim(owner, [self.platform], limit)
        assert len(claims) == min(limit, len(due))
        for claim in claims:
            line = self.lines[claim.conversation.key.channel]
            assert line in due
            if line.claim is not None:
                self.stale.append(line.claim)
            self.begun(line, claim)
            line.known = arrives

    @rule(owner=OWNERS, some=st.booleans(), side=SIDES)
    def renew(self, owner: str, some: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        of_owner = [line for line in self.lines.values() if line.claim and line.claim.lease.owner == owner]
        mine = [line for line in of_owner if line.known or not some]
        renewal = self.stores[side].renew(owner, [line.id for line in mine] if some else None)
        theirs = {line.id for line in mine}
        assert renewal.held & {line.id for line in self.lines.values()} == theirs
        known = {line.front.id for line in of_owner if line.front.state is TurnState.CANCELLED and line.front.begun}
        told = renewal.cancelled & {turn.id for line in self.lines.values() for turn in line.turns}
        assert told == (known if mine else told & known)
        for line in mine:
            line.due = False

    @precondition(lambda self: self.held())
    @rule(number=NUMBERS, run=st.sampled_from(["r1", "r2"]), again=st.booleans(), side=SIDES)
    def start(self, number: int, run: str, again: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line, claim = self.pick(number)
        assert set(self.write(side, Started(claim.lease, claim.turn.id, RunId(run)), again=again)) == {None}
        if line.front.run != run:
            line.front.trail.append((Mark.RUN, run))
        line.front.run = run

    @precondition(lambda self: self.held())
    @rule(number=NUMBERS, parts=st.lists(PARTS, max_size=2).map(tuple), side=SIDES)
    def bring(self, number: int, parts: tuple[str, ...], side: int) -> None:
        line, claim = self.pick(number)
        brought = Brought(claim.lease, claim.turn.id, parts)
        marked = Marked(claim.lease, claim.turn.id, Mark.PUT_OFF, "later")
        assert self.stores[side].write([brought, marked]) == [None, None]
        line.front.parts = parts
        line.front.trail.append((Mark.PUT_OFF, "later"))

    @precondition(lambda self: self.held())
    @rule(number=NUMBERS, fails=st.booleans(), again=st.booleans(), side=SIDES)
    def settle(self, number: int, fails: bool, again: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line, claim = self.pick(number)
        change = Settled(claim.lease, claim.turn.id, failure=FAILURE) if fails else answer(claim)
        if line.front.state is TurnState.RUNNING:
            line.front.state = TurnState.FAILED if fails else TurnState.ANSWERED
            line.front.answered = not fails
        for turn in self.write(side, change, again=again):
            assert turn == self.stores[1 - side].turn(claim.turn.id)
            assert isinstance(turn, Turn)
            line.front.check(turn)

    @precondition(lambda self: any(line.front.state.decided for line in self.held()))
    @rule(keep=st.booleans(), fails=st.booleans(), again=st.booleans(), side=SIDES)
    def finish(self, keep: bool, fails: bool, again: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line = next(line for line in self.held() if line.front.state.decided)
        claim = line.claim
        assert claim is not None
        failure = UNDELIVERED if fails else None
        following, *repeated = self.write(side, Finished(claim.lease, claim.turn.id, failure, keep), again=again)
        if line.front.state is TurnState.ANSWERED:
            line.front.state = TurnState.FAILED if fails else TurnState.DELIVERED
        line.head += 1
        if not (keep and line.waiting):
            assert following is None
            assert all(isinstance(result, LeaseLost) for result in repeated)
            self.let_go(line, due=line.waiting)
            return
        for each in (following, *repeated):
            assert isinstance(each, Claim)
            assert each.lease == claim.lease
            self.begun(line, each)

    @precondition(lambda self: self.held())
    @rule(number=NUMBERS, fresh=st.booleans(), after=st.sampled_from([0.0, WEEK]), again=st.booleans(), side=SIDES)
    def release(self, number: int, fresh: bool, after: float, again: bool, side: int) -> None:  # noqa: FBT001  # likewise
        line, claim = self.pick(number)
        result, *repeated = self.write(side, Released(claim.lease, after, fresh=fresh), again=again)
        assert result is None
        assert all(isinstance(result, LeaseLost) for result in repeated)
        line.front.trail.append((Mark.HANDED_BACK, claim.lease.owner))
        if line.front.state is TurnState.RUNNING:
            line.front.attempts -= 1
            line.front.state = TurnState.QUEUED if fresh else TurnState.RUNNING
            line.front.begun = not fresh
        self.let_go(line, due=not after)

    @precondition(lambda self: any(line.waiting for line in self.lines.values()))
    @rule(number=NUMBERS)
    def wait(self, number: int) -> None:
        """Lets a lease expire or a delay end. The holder may write until another process claims the conversation."""
        waiting = [line for line in self.lines.values() if line.waiting]
        line = waiting[number % len(waiting)]
        self.expire(line.id)
        line.due = True

    @precondition(lambda self: self.stale)
    @rule(number=NUMBERS, side=SIDES)
    def come_late(self, number: int, side: int) -> None:
        claim = self.stale[number % len(self.stale)]
        late: list[Change] = [answer(claim), Brought(claim.lease, claim.turn.id, ("late",))]
        late += [Marked(claim.lease, claim.turn.id, Mark.PUT_OFF), finish(claim), Released(claim.lease)]
        assert all(isinstance(result, LeaseLost) for result in self.stores[side].write(late))

    # ---------------------------------------------------------------- the end

    def teardown(self) -> None:
        """Checks that a single owner can finish everything, each turn once and in order."""
        for line in self.lines.values():
            self.expire(line.id)
        for claim in self.stores[0].claim("last", [self.platform], 10):
            self.drain(claim)
        assert not any(line.waiting for line in self.lines.values())
        assert self.stores[0].claim("last", [self.platform], 10) == ()

    def drain(self, first: Claim) -> None:
        line, claim = self.lines[first.conversation.key.channel], first
        while True:
            self.begun(line, claim)
            line.front.answered = line.front.answered or not line.front.state.decided
            _, following = self.stores[0].write([answer(claim), finish(claim)])
            if line.front.state in (TurnState.RUNNING, TurnState.ANSWERED):
                line.front.state = TurnState.DELIVERED
            line.head += 1
            if not isinstance(following, Claim):
                break
            claim = following
        for turn, expected in zip(self.stores[1].transcript(line.id), line.turns, strict=True):
            expected.check(turn)


class ScheduleContract:
    def test_any_schedule_keeps_order_and_loses_nothing(self, store: Store, peer: Store, expire_lease: Expire) -> None:
        thorough = settings(
            max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(lambda: Schedule((store, peer), expire_lease), settings=thorough)  # type: ignore[arg-type]  # any factory will do
