"""What a store promises whatever happens in whatever order: nothing lost, nothing twice, nothing out of turn."""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from gateway.errors import LeaseLost
from gateway.messages import Claim, Edit, Kind, Message, Turn, TurnId, TurnState
from gateway.storing import Brought, Change, Released, Store
from tests.contracts.store_words import PLATFORM, Expire, answer, at_once, finish, message, new_turn, say, write

OWNERS = st.sampled_from(["one", "two"])
CHANNELS = st.sampled_from(["a", "b", "c"])
SIDES = st.integers(0, 1)
PARTS = st.sampled_from(["1.1", "1.2", 'file:"🕊"'])


@dataclass
class Expected:
    """A turn as it should be."""

    message: Message
    id: TurnId
    state: TurnState = TurnState.QUEUED
    attempts: int = 0
    parts: tuple[str, ...] = ()


@dataclass
class Line:
    """A conversation as it should be."""

    turns: list[Expected] = field(default_factory=list)
    head: int = 0
    """How many turns are finished."""
    claim: Claim | None = None
    """The one that counts; None: whoever comes may claim."""

    @property
    def front(self) -> Expected:
        return self.turns[self.head]

    @property
    def waiting(self) -> bool:
        return self.head < len(self.turns)


class Schedule(RuleBasedStateMachine):
    """Any order of what owners and people do, compared step by step with what should come of it."""

    def __init__(self, stores: tuple[Store, Store], expire: Expire) -> None:
        super().__init__()
        self.stores = stores
        self.expire = expire
        self.platform = f"{PLATFORM}-{uuid.uuid4().hex}"  # examples share a database
        self.lines: dict[str, Line] = {}
        self.stale: list[Claim] = []

    def held(self) -> list[Line]:
        return [line for line in self.lines.values() if line.claim is not None]

    def pick(self, number: int) -> tuple[Line, Claim]:
        held = self.held()
        line = held[number % len(held)]
        assert line.claim is not None
        return line, line.claim

    def begun(self, line: Line, claim: Claim) -> None:
        """A claim is on the foremost turn, and says truly whether that was begun before."""
        front = line.front
        assert claim.turn.id == front.id
        assert claim.fresh is (front.state is TurnState.QUEUED)
        if not front.state.decided:
            front.state = TurnState.RUNNING
            front.attempts += 1
        assert (claim.turn.state, claim.turn.attempts) == (front.state, front.attempts)
        assert (claim.turn.message, claim.turn.parts) == (front.message, front.parts)
        line.claim = claim

    @rule(channel=CHANNELS, owner=st.none() | OWNERS, side=SIDES)
    def record(self, channel: str, owner: str | None, side: int) -> None:
        line = self.lines.setdefault(channel, Line())
        told, turn, idle = message(channel, platform=self.platform), new_turn(), not line.waiting
        recorded = self.stores[side].record(told, turn, owner=owner)
        line.turns.append(Expected(told, turn))
        assert (recorded.new, recorded.turn.seq) == (True, len(line.turns))
        assert (recorded.claim is not None) is (idle and owner is not None)
        if recorded.claim is not None:
            self.begun(line, recorded.claim)

    @precondition(lambda self: self.lines)
    @rule(channel=CHANNELS, number=st.integers(0, 100), side=SIDES)
    def record_again(self, channel: str, number: int, side: int) -> None:
        line = self.lines.get(channel) or next(iter(self.lines.values()))
        turn = line.turns[number % len(line.turns)]
        recorded = self.stores[side].record(turn.message, new_turn(), owner="one")
        assert (recorded.new, recorded.claim, recorded.stopped, recorded.turn.id) == (False, None, (), turn.id)
        assert (recorded.turn.state, recorded.turn.attempts) == (turn.state, turn.attempts)

    @precondition(lambda self: self.lines)
    @rule(number=st.integers(0, 2), side=SIDES)
    def stop(self, number: int, side: int) -> None:
        channel, line = list(self.lines.items())[number % len(self.lines)]
        asked = [turn for turn in line.turns if turn.message.kind is Kind.ASK and not turn.state.decided]
        told, turn = message(channel, platform=self.platform, kind=Kind.STOP), new_turn()
        recorded = self.stores[side].record(told, turn, backlog=1)
        assert recorded.stopped == tuple(turn.id for turn in asked)
        for each in asked:
            each.state = TurnState.CANCELLED
        line.turns.append(Expected(told, turn))

    @precondition(lambda self: self.lines)
    @rule(number=st.integers(0, 100), text=st.sampled_from(["Hallo", "Salut"]), side=SIDES)
    def edit(self, number: int, text: str, side: int) -> None:
        turns = [turn for line in self.lines.values() for turn in line.turns]
        turn = turns[number % len(turns)]
        edited = self.stores[side].edit(Edit(self.platform, turn.message.message_id, text))
        assert edited is (turn.state is TurnState.QUEUED)
        if edited:
            turn.message = replace(turn.message, text=text)

    @precondition(lambda self: self.held())
    @rule(number=st.integers(0, 2), parts=st.lists(PARTS, max_size=2).map(tuple), side=SIDES)
    def bring(self, number: int, parts: tuple[str, ...], side: int) -> None:
        line, claim = self.pick(number)
        assert write(self.stores[side], Brought(claim.lease, claim.turn.id, parts)) is None
        line.front.parts = parts

    @rule(owner=OWNERS, limit=st.integers(1, 3), side=SIDES)
    def claim(self, owner: str, limit: int, side: int) -> None:
        due = [line for line in self.lines.values() if line.waiting and line.claim is None]
        claims = self.stores[side].claim(owner, [self.platform], limit)
        assert len(claims) == min(limit, len(due))
        for claim in claims:
            line = self.lines[claim.conversation.key.channel]
            assert line in due
            self.begun(line, claim)

    @precondition(lambda self: self.held())
    @rule(number=st.integers(0, 2), side=SIDES)
    def settle(self, number: int, side: int) -> None:
        line, claim = self.pick(number)
        turn = write(self.stores[side], answer(claim))
        if line.front.state is TurnState.RUNNING:
            line.front.state = TurnState.ANSWERED
        assert turn == self.stores[1 - side].turn(claim.turn.id)

    @precondition(lambda self: any(line.front.state.decided for line in self.held()))
    @rule(keep=st.booleans(), side=SIDES)
    def finish(self, keep: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line = next(line for line in self.held() if line.front.state.decided)
        claim, line.claim = line.claim, None
        assert claim is not None
        following = write(self.stores[side], finish(claim, keep=keep))
        if line.front.state is TurnState.ANSWERED:
            line.front.state = TurnState.DELIVERED
        line.head += 1
        assert isinstance(following, Claim) is (keep and line.waiting)
        if isinstance(following, Claim):
            assert following.lease == claim.lease
            self.begun(line, following)
        else:
            self.stale.append(claim)

    @precondition(lambda self: self.held())
    @rule(number=st.integers(0, 2), fresh=st.booleans(), side=SIDES)
    def release(self, number: int, fresh: bool, side: int) -> None:  # noqa: FBT001  # drawn by name
        line, claim = self.pick(number)
        assert write(self.stores[side], Released(claim.lease, fresh=fresh)) is None
        line.claim = None
        self.stale.append(claim)
        if line.front.state is TurnState.RUNNING:
            line.front.attempts -= 1
            line.front.state = TurnState.QUEUED if fresh else TurnState.RUNNING

    @precondition(lambda self: self.held())
    @rule(number=st.integers(0, 2))
    def die(self, number: int) -> None:
        line, claim = self.pick(number)
        self.expire(claim.conversation.id)
        line.claim = None

    @precondition(lambda self: self.stale)
    @rule(number=st.integers(0, 100), side=SIDES)
    def come_late(self, number: int, side: int) -> None:
        claim = self.stale[number % len(self.stale)]
        late: list[Change] = [answer(claim), Brought(claim.lease, claim.turn.id, ("late",))]
        late += [finish(claim), Released(claim.lease)]
        assert all(isinstance(result, LeaseLost) for result in self.stores[side].write(late))

    @precondition(lambda self: any(line.waiting for line in self.lines.values()))
    @rule(number=st.integers(0, 100), side=SIDES)
    def cancel(self, number: int, side: int) -> None:
        open_turns = [turn for line in self.lines.values() for turn in line.turns[line.head :]]
        turn = open_turns[number % len(open_turns)]
        if not turn.state.decided:
            turn.state = TurnState.CANCELLED
        cancelled = self.stores[side].cancel(turn.id)
        assert cancelled is not None
        assert cancelled.state is turn.state

    def teardown(self) -> None:
        """Whatever happened: one owner can bring everything to its end, each turn once and in order."""
        for line in self.held():
            assert line.claim is not None
            self.expire(line.claim.conversation.id)
            line.claim = None
        for claim in self.stores[0].claim("last", [self.platform], 10):
            self.drain(claim)
        assert not any(line.waiting for line in self.lines.values())
        assert self.stores[0].claim("last", [self.platform], 10) == ()

    def drain(self, first: Claim) -> None:
        line, claim = self.lines[first.conversation.key.channel], first
        while True:
            self.begun(line, claim)
            _, following = self.stores[0].write([answer(claim), finish(claim)])
            line.head += 1
            if not isinstance(following, Claim):
                break
            claim = following
        turns = self.stores[1].transcript(first.conversation.id)
        assert [(turn.id, turn.message, turn.parts) for turn in turns] == [
            (turn.id, turn.message, turn.parts) for turn in line.turns
        ]
        assert {turn.state for turn in turns} <= {TurnState.DELIVERED, TurnState.CANCELLED}


class Crowd:
    """Owners on threads of their own, who take, answer, hand back and drop turns as chance will have it."""

    def __init__(self, stores: tuple[Store, Store], expire: Expire, total: int) -> None:
        self.stores = stores
        self.expire = expire
        self.total = total
        self.finished: list[tuple[int, int]] = []
        self.active: set[int] = set()
        self.news = threading.Condition()
        self.deadline = time.monotonic() + 30

    @property
    def going(self) -> bool:
        """Until all is done; when something is lost, until the deadline, so that the test fails and does not hang."""
        return len(self.finished) < self.total and time.monotonic() < self.deadline

    def carefully(self, store: Store, claim: Claim, chance: random.Random) -> None:
        """One that fails ends it for all."""
        try:
            self.follow(store, claim, chance)
        except BaseException:
            self.deadline = 0.0
            raise

    def speak(self, chance: random.Random, count: int) -> None:
        for _ in range(count):
            store = chance.choice(self.stores)
            recorded = say(store, f"{chance.randrange(6)}", owner=chance.choice([None, "speaker"]))
            if recorded.claim is not None:
                self.carefully(store, recorded.claim, chance)

    def work(self, chance: random.Random, owner: str) -> None:
        store = chance.choice(self.stores)
        while self.going:
            claims = store.claim(owner, [PLATFORM], chance.randint(1, 3))
            for claim in claims:
                self.carefully(store, claim, chance)
            if not claims:
                with self.news:
                    self.news.wait(0.01)

    def follow(self, store: Store, claim: Claim, chance: random.Random) -> None:
        following: object = claim
        while isinstance(following, Claim):
            following = self.bring(store, following, chance)
            assert following is None or isinstance(following, Claim)

    def bring(self, store: Store, claim: Claim, chance: random.Random) -> object:
        with self.news:
            assert claim.conversation.id not in self.active, "two owners hold one conversation"
            self.active.add(claim.conversation.id)
        if chance.random() < 0.1:
            self.drop(store, claim, chance)
            return None
        assert isinstance(write(store, answer(claim)), Turn)
        if chance.random() < 0.1:
            self.drop(store, claim, chance)
            return None
        with self.news:
            self.finished.append((claim.conversation.id, claim.turn.seq))
        self.leave(claim)  # before it is written: another may claim as soon as it is
        return write(store, finish(claim, keep=chance.random() < 0.7))

    def drop(self, store: Store, claim: Claim, chance: random.Random) -> None:
        self.leave(claim)
        if chance.random() < 0.5:
            self.expire(claim.conversation.id)
        else:
            assert write(store, Released(claim.lease, fresh=chance.random() < 0.5)) is None

    def leave(self, claim: Claim) -> None:
        with self.news:
            self.active.remove(claim.conversation.id)
            self.news.notify_all()


class ScheduleContract:
    def test_any_schedule_keeps_order_and_loses_nothing(self, store: Store, peer: Store, expire: Expire) -> None:
        thorough = settings(
            max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(lambda: Schedule((store, peer), expire), settings=thorough)  # type: ignore[arg-type]  # any factory will do

    @pytest.mark.parametrize("seed", [1, 2])
    def test_a_crowd_of_owners_finishes_every_turn_once_and_in_order(
        self, store: Store, peer: Store, expire: Expire, seed: int
    ) -> None:
        chance, each = random.Random(seed), 40
        crowd = Crowd((store, peer), expire, total=3 * each)
        speakers = [partial(crowd.speak, random.Random(chance.random()), each) for _ in range(3)]
        owners = [partial(crowd.work, random.Random(chance.random()), f"{number}") for number in range(4)]
        at_once([*speakers, *owners])
        assert len(crowd.finished) == crowd.total
        for number in {number for number, _ in crowd.finished}:
            finished = [seq for conversation, seq in crowd.finished if conversation == number]
            turns = store.transcript(number)
            assert finished == [turn.seq for turn in turns] == list(range(1, len(turns) + 1))
            assert {turn.state for turn in turns} == {TurnState.DELIVERED}
