"""Contract of Store: a turn has an assistant, a thread belongs to one, and a conversation may have chosen one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import AssistantThread, Claim
from gateway.domain.exchange import Exchange
from gateway.domain.models import DEFAULT_ASSISTANT, Join, MessageKind, RunId, ThreadId, Turn
from gateway.ports.enqueue import AssistantRoute, EnqueueRequest, EnqueueResult
from gateway.ports.leased_writes import ReassignTurn, SetRun, SetThread
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FAILURE,
    ExpireLease,
    answer,
    apply_write,
    claim_one,
    enqueue_and_claim,
    finish,
    get_turn,
    key,
    message,
    new_turn,
)

ROUTE = AssistantRoute("support", frozenset({"support", "code", DEFAULT_ASSISTANT}))


def add(store: Store, route: AssistantRoute = ROUTE, owner: str | None = None, **more: object) -> EnqueueResult:
    (result,) = store.enqueue_all([EnqueueRequest(message(**more), new_turn(), owner, route=route)])  # type: ignore[arg-type]
    assert isinstance(result, EnqueueResult)
    return result


def claimed(store: Store, route: AssistantRoute = ROUTE) -> Claim:
    claim = add(store, route, owner="one").claim
    assert claim is not None
    return claim


class AskedAssistantContract:
    def test_a_turn_has_the_assistant_of_its_route(self, store: Store, peer: Store) -> None:
        turn = add(store).turn
        assert turn.assistant == "support"
        assert get_turn(peer, turn) == turn
        assert claim_one(peer).turn.assistant == "support"

    def test_without_a_route_a_turn_has_the_default_assistant(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        assert claim.turn.assistant == claim.conversation.assistant == DEFAULT_ASSISTANT
        assert claim.conversation.chosen == ""

    def test_an_assistant_that_is_asked_for_stays_that_of_the_conversation(self, store: Store, peer: Store) -> None:
        assert add(store, assistant="code").turn.assistant == "code"
        later = add(peer).turn
        assert (later.assistant, later.message.assistant) == ("code", "")
        assert get_turn(store, later) == later
        conversation = store.find_conversation(key())
        assert conversation is not None
        assert conversation.chosen == "code"

    def test_the_default_assistant_can_be_chosen_against_the_route(self, store: Store) -> None:
        add(store, assistant=DEFAULT_ASSISTANT)
        assert add(store).turn.assistant == DEFAULT_ASSISTANT

    def test_a_choice_that_the_route_no_longer_allows_does_not_count(self, store: Store) -> None:
        add(store, assistant="code")
        assert add(store, AssistantRoute("support", frozenset({"support"}))).turn.assistant == "support"
        assert add(store).turn.assistant == "code"

    def test_a_choice_does_not_change_turns_before_it(self, store: Store) -> None:
        before = add(store).turn
        after = [add(store, assistant="code", text=text).turn.assistant for text in ("a", "b")]
        assert (get_turn(store, before).assistant, after) == ("support", ["code", "code"])

    def test_messages_that_are_committed_together_see_each_others_choices(self, store: Store) -> None:
        asked = [message(), message(assistant="code"), message()]
        results = store.enqueue_all([EnqueueRequest(each, new_turn(), route=ROUTE) for each in asked])
        found = [each.turn.assistant for each in results if isinstance(each, EnqueueResult)]
        assert found == ["support", "code", "code"]

    def test_a_message_for_another_assistant_does_not_join(self, store: Store) -> None:
        first = add(store, debounce_seconds=60.0).turn
        same = add(store, join=Join(60.0), assistant="support")
        other = add(store, join=Join(60.0), assistant="code")
        assert (same.turn.id, same.is_joined) == (first.id, True)
        assert (other.is_new, other.turn.assistant) == (True, "code")

    def test_the_command_that_chooses_is_stored_as_such(self, store: Store, peer: Store) -> None:
        turn = add(store, text="/assistant code", kind=MessageKind.CHOOSE, assistant="code").turn
        assert get_turn(peer, turn).message.kind is MessageKind.CHOOSE
        assert claim_one(peer).turn.message.kind is MessageKind.CHOOSE

    def test_a_failed_turn_and_its_retry_have_the_same_assistant(self, store: Store) -> None:
        failed = store.enqueue_failed(message(), new_turn(), FAILURE, ROUTE)
        assert failed is not None
        assert failed.assistant == "support"
        assert store.retry_turn(failed.id, new_turn()).turn.assistant == "support"

    # ------------------------------------------------------------ threads

    def test_a_thread_belongs_to_an_assistant(self, store: Store, peer: Store) -> None:
        claim = claimed(store)
        add(store)
        assert apply_write(store, SetThread(claim.lease, ThreadId("t1"), "chat", "support")) is None
        conversation = peer.find_conversation(key())
        assert conversation is not None
        assert conversation.has_thread_of("support", "chat")
        assert not conversation.has_thread_of("support", "responses")
        assert not conversation.has_thread_of(DEFAULT_ASSISTANT, "chat")
        answered = apply_write(store, answer(claim))
        assert isinstance(answered, Turn)
        following = apply_write(store, finish(replace(claim, turn=answered)))
        assert isinstance(following, Claim)
        assert following.conversation == conversation

    def test_former_threads_say_whose_they_were(self, store: Store) -> None:
        claim = claimed(store)
        apply_write(store, SetThread(claim.lease, ThreadId("t1"), "chat", "support"))
        apply_write(store, SetThread(claim.lease, ThreadId("t2"), "chat"))
        assert store.former_threads(claim.conversation.id) == [AssistantThread(ThreadId("t1"), "chat", "support")]
        found = store.find_conversation(key())
        assert found is not None
        assert found.has_thread_of(DEFAULT_ASSISTANT, "chat")

    def test_an_imported_thread_is_of_the_assistant_that_knew_it(self, store: Store) -> None:
        imported = store.import_thread(key(), ThreadId("t1"), "chat", [Exchange("a", "b")], "support")
        assert imported.has_thread_of("support", "chat")
        assert [turn.assistant for turn in store.transcript(imported.id)] == ["support"]

    # ------------------------------------------------------------ another one in its place

    def test_a_turn_is_passed_on_to_another_assistant(
        self, store: Store, peer: Store, expire_lease: ExpireLease
    ) -> None:
        claim = claimed(store)
        turn = apply_write(store, SetRun(claim.lease, claim.turn, RunId("run_1")))
        assert isinstance(turn, Turn)
        passed = apply_write(store, ReassignTurn(claim.lease, turn, "code", "code; unavailable"))
        assert isinstance(passed, Turn)
        assert (passed.assistant, passed.run_id) == ("code", None)
        assert (passed.audit_log[-1].event, passed.audit_log[-1].detail) == (
            AuditEvent.REASSIGNED,
            "code; unavailable",
        )
        expire_lease(claim.conversation.id)
        again = claim_one(peer, "two").turn
        assert (again.assistant, again.run_id) == ("code", None)

    @pytest.mark.parametrize("ended", ["cancelled", "answered"])
    def test_a_turn_that_has_ended_is_not_passed_on(self, store: Store, ended: str) -> None:
        claim = claimed(store)
        if ended == "cancelled":
            store.cancel_turn(claim.turn.id)
        else:
            apply_write(store, answer(claim))
        passed = apply_write(store, ReassignTurn(claim.lease, claim.turn, "code", "code; unavailable"))
        assert isinstance(passed, Turn)
        assert passed.assistant == "support"
        assert passed == get_turn(store, claim.turn)
