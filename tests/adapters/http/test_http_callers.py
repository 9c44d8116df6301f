"""Who calls /chat, and how often: names, limits of reads and of wrong keys, pages of transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
from pydantic import SecretStr

from adapters.http.settings import HttpSettings
from gateway.configuration import ApiKey
from gateway.domain.errors import Overloaded, Unauthenticated
from gateway.domain.exchange import Exchange
from gateway.domain.models import Message, ThreadId
from gateway.ports.token_buckets import TokenRequest
from gateway.web.api import views
from gateway.web.api.api_keys import ApiKeys, caller_name
from gateway.web.api.call_limit import REFUSALS_PER_MINUTE
from gateway.web.api.request_limit import RequestLimit
from tests.adapters.chat import Chat, error
from tests.fakes.token_buckets import FakeTokenBuckets


def test_a_caller_is_its_key_or_without_keys_its_network() -> None:
    assert caller_name("abc", "192.0.2.1") == "key abc"
    assert caller_name("", "192.0.2.1") == "address 192.0.2.1"


def test_bound_keys_are_those_that_are_valid_when_somebody_calls() -> None:
    valid = tuple(ApiKey(name, SecretStr(f"key-{name}"), (name,)) for name in ("code", "support"))
    keys = ApiKeys(["key-of-all"], lambda: valid)
    code = keys.owner("key-code", "no")
    assert (keys.assistants_of(code), keys.assistants_of(keys.owner("key-of-all", "no"))) == (("code",), ())
    valid = (ApiKey("code", SecretStr("key-code"), ("other",)),)
    assert (keys.owner("key-code", "no"), keys.assistants_of(code)) == (code, ("other",))
    with pytest.raises(Unauthenticated):
        keys.owner("key-support", "no")


def message_of(chat: Chat, **headers: str) -> Message:
    return chat.inbox.get_turn(chat.say("hello", **headers)["turn_id"]).message


def test_a_message_says_who_called() -> None:
    keyed, open_to_all = Chat(keys="key-one, key-two"), Chat(trusted_proxies=1)
    one, two = (message_of(keyed, key=key).caller for key in ("key-one", "key-two"))
    assert one.startswith("key ")
    assert one != two
    near, far = ("2001:db8::1", "2001:db8::ffff"), "2001:db8:0:1::1"
    callers = [message_of(open_to_all, X_Forwarded_For=address).caller for address in (*near, far)]
    assert callers[0] == callers[1] != callers[2]
    keyed.close()
    open_to_all.close()


def test_reads_have_a_limit_of_their_own() -> None:
    chat = Chat(keys="key-one, key-two", chat_reads_per_minute=2)
    turn = chat.say("hello")["turn_id"]
    assert chat.call("GET", f"/chat/turns/{turn}").status_code == 200
    assert chat.call("GET", "/chat/threads/conv_junk").status_code == 404
    for method, path in (("GET", "threads/conv_junk"), ("DELETE", "threads/x"), ("POST", f"turns/{turn}/cancel")):
        assert error(chat.call(method, f"/chat/{path}")) == (429, "rate_limited")
    assert chat.say("again")
    assert chat.call("GET", "/chat/threads/conv_junk", key="key-two").status_code == 404
    chat.close()


def test_wrong_keys_are_limited_and_the_right_one_is_not() -> None:
    chat = Chat(keys="key-one")
    answers = [chat.post({"message": "hello"}, key=f"wrong-{n}") for n in range(REFUSALS_PER_MINUTE + 2)]
    assert [answer.status_code for answer in answers] == [401] * REFUSALS_PER_MINUTE + [429] * 2
    assert error(chat.call("GET", "/chat/turns/x", key="wrong")) == (429, "rate_limited")
    assert chat.say("hello")
    chat.close()


class CountingBuckets(FakeTokenBuckets):
    """Counts how often tokens are taken."""

    taken = 0

    def take_tokens(self, requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        self.taken += 1
        return super().take_tokens(requests)


def send(limit: RequestLimit, caller: str = "ann") -> bool:
    """Returns whether a request is let through."""
    with suppress(Overloaded):
        if not limit.take_held(caller):
            limit.check(caller)
        return True
    return False


def test_a_high_limit_holds_over_all_processes_and_few_requests_cost_a_write() -> None:
    buckets = CountingBuckets(clock=lambda: 1000.0)
    processes = [RequestLimit(600, buckets) for _ in range(2)]
    assert sum(send(processes[number % 2]) for number in range(1000)) == 600
    assert buckets.taken == 60 + 400
    assert send(processes[0], "bob")


def test_an_ordinary_caller_is_limited_by_default_and_a_zero_switches_that_off() -> None:
    assert HttpSettings.model_fields["chat_requests_per_minute"].default == 600
    limit = RequestLimit(0, FakeTokenBuckets(clock=lambda: 1000.0))
    assert all(send(limit) for _ in range(1000))


@pytest.mark.parametrize(
    ("keys", "adopts", "status"),
    [(None, None, 200), ("one", None, 200), ("one, two", None, 404), ("one, two", True, 200)],
)
def test_threads_are_adopted_unless_several_keys_are_set(keys: str | None, *, adopts: bool | None, status: int) -> None:
    chat = Chat(keys=keys, chat_adopts_threads=adopts)
    chat.inbox.at_backend[ThreadId("conv_9")] = (Exchange("hi", "hello"),)
    assert chat.call("GET", "/chat/threads/conv_9").status_code == status
    assert chat.post({"message": "hello", "thread_id": "conv_9"}).status_code == status
    chat.close()


def test_a_transcript_comes_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "TRANSCRIPT_TURNS", 2)
    chat = Chat()
    thread = chat.say("1")["thread_id"]
    for number in range(2, 6):
        chat.say(f"{number}", thread)
    path, pages = f"/chat/threads/{thread}", []
    page = chat.call("GET", path).json
    while True:
        pages.append([line["text"] for line in page["messages"] if line["role"] == "user"])
        if page["earlier"] is None:
            break
        page = chat.call("GET", f"{path}?before={page['earlier']}").json
    assert pages == [["4", "5"], ["2", "3"], ["1"]]
    assert error(chat.call("GET", f"{path}?before=turn_none")) == (404, "turn_not_found")
    chat.close()
