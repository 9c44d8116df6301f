"""Read methods, files and installation, with the real clients."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.clock import Clock
from tests.fakes.slack_events import TEAM, TOKEN
from tests.fakes.slack_server import CLIENT_ID, CLIENT_SECRET, FakeSlack, SlackFile


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slack(clock: Clock) -> Iterator[FakeSlack]:
    with FakeSlack(clock=clock) as running:
        yield running


@pytest.fixture
def client(slack: FakeSlack) -> WebClient:
    return WebClient(token=TOKEN, base_url=slack.api_url, retry_handlers=[])


def code(call: Any, **more: Any) -> str:
    with pytest.raises(SlackApiError) as refusal:
        call(**more)
    return str(refusal.value.response["error"])


# ---------------------------------------------------------------- messages and lookups


def test_replies_come_oldest_first_in_pages_with_their_root(client: WebClient) -> None:
    root = client.chat_postMessage(channel="C0CHAN", text="root")["ts"]
    for text in "abc":
        client.chat_postMessage(channel="C0CHAN", text=text, thread_ts=root)
    pages = client.conversations_replies(channel="C0CHAN", ts=root, limit=3)
    assert [[message["text"] for message in page["messages"]] for page in pages] == [["root", "a", "b"], ["c"]]
    assert code(client.conversations_replies, channel="C0CHAN", ts="1.1") == "thread_not_found"


def test_replies_can_start_at_a_time(client: WebClient) -> None:
    root = client.chat_postMessage(channel="C0CHAN", text="root")["ts"]
    first, second = (client.chat_postMessage(channel="C0CHAN", text=text, thread_ts=root)["ts"] for text in "ab")
    later = client.conversations_replies(channel="C0CHAN", ts=root, oldest=first)["messages"]
    assert [message["ts"] for message in later] == [root, second]
    both = client.conversations_replies(channel="C0CHAN", ts=root, oldest=first, inclusive=True)["messages"]
    assert [message["ts"] for message in both] == [root, first, second]


def test_metadata_is_returned_on_request(client: WebClient) -> None:
    metadata = {"event_type": "reply", "event_payload": {"turn": "1"}}
    ts = client.chat_postMessage(channel="C0CHAN", text="x", metadata=metadata)["ts"]
    shown = [
        client.conversations_replies(channel="C0CHAN", ts=ts, include_all_metadata=asked)["messages"][0].get("metadata")
        for asked in (True, False)
    ]
    assert shown == [metadata, None]


def test_the_history_is_the_top_level_newest_first(slack: FakeSlack, client: WebClient) -> None:
    first = slack.user_says("one")
    slack.user_says("in the thread", thread_ts=first)
    client.chat_postMessage(channel="D0DM", text="two")
    messages = client.conversations_history(channel="D0DM")["messages"]
    assert [message["text"] for message in messages] == ["two", "one"]
    assert messages[1]["reply_count"] == 1
    assert [page["messages"][0]["text"] for page in client.conversations_history(channel="D0DM", limit=1)] == [
        "two",
        "one",
    ]
    assert code(client.conversations_history, channel="D0DM", cursor="elsewhere") == "invalid_cursor"


# ---------------------------------------------------------------- files


def fetched(url: str, token: str | None) -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return answer.status, answer.headers.get_content_type(), answer.read()


def test_an_attached_file_needs_the_bots_token(slack: FakeSlack, client: WebClient) -> None:
    slack.user_says("look", files=[("notes.txt", b"hello"), ("data", b"\x00", "application/x-data")])
    notes, data = slack.messages("D0DM")[0].files
    shown = client.files_info(file=notes.id)["file"]
    assert (shown["name"], shown["mimetype"], shown["size"]) == ("notes.txt", "text/plain", 5)
    assert fetched(shown["url_private"], TOKEN) == (200, "text/plain", b"hello")
    assert fetched(shown["url_private_download"], TOKEN) == (200, "text/plain", b"hello")
    assert data.mimetype == "application/x-data"
    slack.add_workspace("T0ELSE", "xoxb-else")
    for token in (None, "wrong", "xoxb-else"):
        status, kind, page = fetched(shown["url_private"], token)
        assert (status, kind) == (200, "text/html")
        assert b"hello" not in page
    assert code(client.files_info, file="F0NONE") == "file_not_found"


def test_the_json_of_a_file_can_be_overridden(slack: FakeSlack, client: WebClient) -> None:
    odd = SlackFile("F0ODD", "", "", TEAM, "U0ANN", extra_fields={"file_access": "check_file_info"})
    slack.user_says("look", files=[odd])
    assert client.files_info(file="F0ODD")["file"]["file_access"] == "check_file_info"


async def test_an_upload_appears_in_the_thread(slack: FakeSlack) -> None:
    root = slack.user_says("make one")
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=TOKEN, base_url=slack.api_url, session=session)
        await client.files_upload_v2(
            channel="D0DM", thread_ts=root, filename="a.csv", content="1,2", title="Numbers", initial_comment="Here"
        )
    posted = slack.messages("D0DM", root)[-1]
    assert (posted.text, posted.thread_ts) == ("Here", root)
    assert [(file.name, file.title, file.content) for file in posted.files] == [("a.csv", "Numbers", b"1,2")]


def test_an_incomplete_upload_is_refused(slack: FakeSlack, client: WebClient) -> None:
    ticket = client.files_getUploadURLExternal(filename="a.txt", length=5)
    files = [{"id": ticket["file_id"]}]
    assert code(client.files_completeUploadExternal, files=files, channel_id="D0DM") == "file_not_found"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(ticket["upload_url"], data=b"four", timeout=20)
    urllib.request.urlopen(ticket["upload_url"], data=b"five!", timeout=20).close()
    client.files_completeUploadExternal(files=files, channel_id="D0DM")
    assert slack.messages("D0DM")[0].files[0].content == b"five!"


# ---------------------------------------------------------------- installing


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Does not follow redirects."""


def consented(slack: FakeSlack, **more: str) -> dict[str, list[str]]:
    """Returns the query the consent page sends back to the app."""
    asked = {"client_id": CLIENT_ID, "scope": "chat:write,commands", "state": "s1", "redirect_uri": "http://app/back"}
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.build_opener(_NoRedirect).open(f"{slack.url}/oauth/v2/authorize?{urlencode({**asked, **more})}")
    answer.value.close()
    assert answer.value.code == 302
    return parse_qs(urlsplit(answer.value.headers["location"]).query)


def keys(**more: str) -> dict[str, str]:
    return {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **more}


def test_a_code_can_be_exchanged_once(slack: FakeSlack) -> None:
    back, client = consented(slack, team="T0NEW"), WebClient(base_url=slack.api_url)
    assert back["state"] == ["s1"]
    granted = client.oauth_v2_access(**keys(code=back["code"][0]))
    assert (granted["team"]["id"], granted["scope"]) == ("T0NEW", "chat:write,commands")
    assert WebClient(token=granted["access_token"], base_url=slack.api_url).auth_test()["team_id"] == "T0NEW"
    assert code(client.oauth_v2_access, **keys(code=back["code"][0])) == "code_already_used"
    assert code(client.oauth_v2_access, **keys(code="other")) == "invalid_code"
    assert code(client.oauth_v2_access, **{**keys(code="x"), "client_secret": "y"}) == "bad_client_secret"


def test_a_user_can_deny_consent(slack: FakeSlack) -> None:
    slack.oauth.user_consents = False
    assert consented(slack) == {"error": ["access_denied"], "state": ["s1"]}


def test_a_token_expires_and_is_renewed_once(slack: FakeSlack, clock: Clock) -> None:
    client = WebClient(base_url=slack.api_url)
    first = client.oauth_v2_access(**keys(code=slack.oauth.new_code()))
    clock.now += first["expires_in"]
    assert code(WebClient(token=first["access_token"], base_url=slack.api_url).auth_test) == "token_expired"
    again = keys(grant_type="refresh_token", refresh_token=first["refresh_token"])
    second = client.oauth_v2_access(**again)
    assert WebClient(token=second["access_token"], base_url=slack.api_url).auth_test()["ok"]
    assert code(client.oauth_v2_access, **again) == "invalid_refresh_token"


def test_tokens_without_rotation_do_not_expire(slack: FakeSlack) -> None:
    slack.oauth.token_rotation = False
    granted = WebClient(base_url=slack.api_url).oauth_v2_access(**keys(code=slack.oauth.new_code()))
    assert "refresh_token" not in granted.data
    assert granted["access_token"].startswith("xoxb-")
