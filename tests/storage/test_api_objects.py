"""Objects of OpenAI's API, calls that a turn waits for, and messages for idle conversations only, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.domain.conversations import Claim
from gateway.domain.errors import Conflict
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import AWAITS_OUTPUTS, ConversationKey, Message, TurnState, Usage
from gateway.ports.api_objects import ApiObject, NewestMessages, ThreadState
from gateway.ports.enqueue import EnqueueRequest, EnqueueResult
from gateway.ports.leased_writes import ParkTurn
from storage.store import SqlStore
from tests import postgres
from tests.contracts.store_helpers import answer, apply_write, enqueue_one, finish, get_turn, new_turn

THREAD = ApiObject("thread_1", "thread", "ann", {"metadata": {}})


def note(name: str, *, owner: str = "ann", request: str | None = None) -> ApiObject:
    return ApiObject(f"msg_{name}", "message", owner, {"text": name}, "thread_1", request)


def said(text: str, *, idle: bool = True, **address: str) -> Message:
    return Message(key_of("ann"), f"m {text}", text, address=address, only_if_idle=idle)


def looked_at(store: SqlStore, *, max_seconds: float) -> Claim:
    """Returns the claim on a turn that waits for an output, for so long in all, and that a worker looks at."""
    enqueue_one(store, said("weather?"), new_turn())
    claim = store.claim("one", ["openai"], 1)[0]
    asked = CallRound((RequestedCall("c1", "weather", "{}"),))
    apply_write(store, ParkTurn(claim.lease, claim.turn, AWAITS_OUTPUTS, 0.0, max_seconds, claim.turn.id, round=asked))
    return store.claim("one", ["openai"], 1)[0]


def state_of(store: SqlStore, owner: str) -> ThreadState:
    (found,) = store.api_objects.thread_states([key_of(owner)])
    return found


def key_of(owner: str) -> ConversationKey:
    return ConversationKey("openai", owner, "thread_1")


class ApiObjectsContract:
    @pytest.fixture
    def store(self, database_url: str) -> Iterator[SqlStore]:
        store = SqlStore(database_url)
        yield store
        store.close()

    def test_messages_keep_their_order_and_say_what_no_turn_took(self, store: SqlStore) -> None:
        objects = store.api_objects
        assert objects.add_messages(THREAD, [note("a")]) is None
        assert objects.add_messages(THREAD, [note("a"), note("b")], opens=True) is not None
        assert [each.id for each in state_of(store, "ann").pending] == ["msg_a", "msg_b"]
        turn = enqueue_one(store, said("a b", taken="2"), new_turn()).turn
        with pytest.raises(Conflict):
            objects.add_messages(THREAD, [note("c")])
        store.cancel_turn(turn.id)
        added = objects.add_messages(THREAD, [note("c")])
        assert added is not None
        assert [(each.position, each.turns) for each in added] == [(3, 1)]
        state = state_of(store, "ann")
        assert [each.id for each in state.pending] == ["msg_c"]
        assert state.newest is not None
        assert [each.id for each in objects.list_of_parent("thread_1", turns_from=1)] == ["msg_c"]
        assert [each.id for each in objects.list_of_parent("thread_1", newest=2)] == ["msg_b", "msg_c"]
        assert state_of(store, "bob").thread is None
        self._check_the_end_is_read_alone(store)
        assert objects.delete("thread_1")
        assert objects.list_of_parent("thread_1") == []

    def test_a_conversation_is_deleted_with_what_was_added_to_it(self, store: SqlStore) -> None:
        objects = store.api_objects
        others = ApiObject("msg_other", "message", "bob", {"text": "other"}, "thread_1")
        objects.add([others])
        assert objects.add_messages(THREAD, [note("a"), note("b")], opens=True) is not None
        turn = enqueue_one(store, said("a b", taken="2"), new_turn()).turn
        store.delete_conversation(turn.conversation_id)
        assert [each.id for each in objects.list_of_parent("thread_1")] == ["msg_other"]
        assert objects.get("thread_1") is not None

    def _check_the_end_is_read_alone(self, store: SqlStore) -> None:
        newer = enqueue_one(store, said("c", taken="3"), new_turn()).turn
        asked = [NewestMessages(key_of(owner), most) for owner, most in (("ann", 1), ("ann", 9), ("bob", 9))]
        found, whole, another = store.api_objects.newest_messages(asked)
        assert found.thread is not None
        assert [each.id for each in found.turns] == [newer.id]
        assert [each.id for each in found.rows] == ["msg_c"]
        assert [each.seq for each in whole.turns] == [1, 2]
        assert [each.id for each in whole.rows] == ["msg_a", "msg_b", "msg_c"]
        assert (another.thread, another.turns, another.rows) == (None, [], [])

    def test_an_id_is_added_once_and_found_by_its_request(self, store: SqlStore) -> None:
        objects = store.api_objects
        objects.add_messages(THREAD, [note("a", request="00aa01")], opens=True)
        objects.add_messages(THREAD, [note("b", request="00aa05"), note("c", request="00aa05")])
        objects.add([ApiObject("thread_1", "thread", "bob", {})])
        found = objects.get("thread_1")
        assert found is not None
        assert found.owner == "ann"
        assert [each.id for each in objects.find_by_request("00aa00", "00aaff")] == ["msg_b", "msg_c"]
        assert objects.find_by_request("00aa06", "00aaff") == []

    def test_what_was_made_without_keys_is_given_to_one(self, store: SqlStore) -> None:
        objects = store.api_objects
        objects.add([replace(THREAD, owner=""), ApiObject("asst_1", "assistant", "", {}), replace(note("a"), owner="")])
        ended = enqueue_one(store, replace(said("x"), key=replace(said("x").key, workspace="")), new_turn()).turn
        claim = store.claim("one", ["openai"], 1)[0]
        apply_write(store, answer(claim))
        apply_write(store, finish(claim))
        assert objects.count_ownerless() == 2
        assert objects.assign_ownerless("ann") == 2
        assert objects.count_ownerless() == 0
        state = state_of(store, "ann")
        assert state.thread is not None
        assert state.newest is not None
        assert state.newest.id == ended.id

    def test_only_one_turn_is_unresolved_of_those_for_idle_conversations(self, store: SqlStore) -> None:
        requests = [EnqueueRequest(said(text), new_turn()) for text in ("a", "b")]
        first, second = store.enqueue_all(requests)
        assert isinstance(first, EnqueueResult)
        assert isinstance(second, Conflict)
        assert second.code == "conversation_busy"
        claim = store.claim("one", ["openai"], 1)[0]
        apply_write(store, answer(claim))
        again = store.enqueue_all([EnqueueRequest(said("b"), new_turn())])[0]
        assert isinstance(again, EnqueueResult), "an answered turn is only to be delivered"
        repeated = store.enqueue_all([EnqueueRequest(said("a"), new_turn())])[0]
        assert isinstance(repeated, EnqueueResult)
        assert (repeated.is_new, repeated.turn.id) == (False, first.turn.id)

    def test_a_turn_waits_for_outputs_and_goes_on_when_it_has_all(self, store: SqlStore) -> None:
        enqueue_one(store, said("weather?"), new_turn())
        claim = store.claim("one", ["openai"], 1)[0]
        asked = CallRound((RequestedCall("c1", "weather", "{}"), RequestedCall("c2", "weather", "{}")), "Let me see.")
        write = ParkTurn(
            *(claim.lease, claim.turn, "tool outputs", 600.0, 600.0, claim.turn.id),
            round=asked,
            usage=Usage(3, 4),
            model="m",
            cost=5,
        )
        apply_write(store, write)
        turn = get_turn(store, claim.turn)
        assert turn.awaits_outputs
        assert (turn.usage, turn.cost, turn.rounds[0].text) == (Usage(3, 4), 5, "Let me see.")
        assert turn.rounds[0].requested_at > 0
        assert store.claim("one", ["openai"], 1) == ()
        part = store.provide_outputs(turn.id, {"c1": "sun", "other": "x"})
        assert part is not None
        assert part.awaits_outputs
        assert store.claim("one", ["openai"], 1) == ()
        store.provide_outputs(turn.id, {"c1": "rain", "c2": "fog"})
        again = store.claim("one", ["openai"], 1)[0]
        assert [call.output for call in again.turn.rounds[0].calls] == ["sun", "fog"]
        assert (again.turn.state, again.turn.attempts) == (TurnState.RUNNING, 1)

    def test_outputs_are_taken_while_a_worker_looks_at_the_turn(self, store: SqlStore) -> None:
        claim = looked_at(store, max_seconds=600.0)
        assert get_turn(store, claim.turn).awaits_outputs
        store.provide_outputs(claim.turn.id, {"c1": "sun"})
        again = ParkTurn(claim.lease, claim.turn, AWAITS_OUTPUTS, 600.0, 600.0, claim.turn.id, awaits_outputs=True)
        apply_write(store, again)
        claim = store.claim("one", ["openai"], 1)[0]
        assert [call.output for call in claim.turn.rounds[0].calls] == ["sun"]

    def test_no_outputs_are_taken_once_their_time_is_over(self, store: SqlStore) -> None:
        claim = looked_at(store, max_seconds=0.0)
        store.provide_outputs(claim.turn.id, {"c1": "sun"})
        assert get_turn(store, claim.turn).has_open_round

    def test_old_messages_are_deleted(self, store: SqlStore) -> None:
        store.api_objects.add([replace(note("old"), created_at=1.0), THREAD])
        assert store.api_objects.erase_older_than(3600.0) == 1
        assert store.api_objects.get("thread_1") is not None


class TestSqliteApiObjects(ApiObjectsContract):
    @pytest.fixture
    def database_url(self, sqlite_url: str) -> str:
        return sqlite_url


class TestPostgresApiObjects(ApiObjectsContract):
    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        postgres.delete_all_rows(postgres_url)
        return postgres_url
