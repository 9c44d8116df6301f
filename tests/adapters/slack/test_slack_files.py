"""Files in both directions: every way in which one is not to be had, and a repeat that shows nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from adapters.base.errors import OutcomeUnknown, Rejected, Unreachable
from adapters.slack.api_client import SlackClient
from adapters.slack.attached_file import CANVAS, file_of
from adapters.slack.files import fetch, share, upload
from adapters.slack.reply_target import SlackTarget, Workspace
from gateway.domain.files import BytesContent, File
from gateway.domain.models import ConversationKey, Message
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.discarding_server import DiscardingServer
from tests.fakes.file_contents import Fetched, LargeContent, fetched_by, little_memory
from tests.fakes.raw_server import RawServer
from tests.fakes.slack_events import TEAM, TOKEN
from tests.fakes.slack_server import FakeSlack, HttpStatus, ResponseLost, SlackErrorFault
from tests.fakes.slack_server import SlackFile as Kept

COMPLETE, INFO = "files.completeUploadExternal", "files.info"
HERE = Workspace(TEAM, TOKEN)
LIMIT = 1000
MADE = File("chart.png", "file-1", "image/png")


@pytest.fixture
def slack(running: FakeSlack) -> Iterator[FakeSlack]:
    yield running
    running.faults.clear()


@pytest.fixture
async def calls(slack: FakeSlack) -> AsyncIterator[SlackClient]:
    calls = SlackClient(slack.api_url)
    yield calls
    await calls.close()


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture
async def raw_calls(raw: RawServer) -> AsyncIterator[SlackClient]:
    calls = SlackClient(f"http://127.0.0.1:{raw.port}/api/", timeout=5)
    yield calls
    await calls.close()


def attached(name: str, url: str, media_type: str = "text/plain", size: int = 0, file_id: str = "F1") -> File:
    return File(name, json.dumps({"id": file_id, "url": url}), media_type, size)


async def fetched(calls: SlackClient, *files: File, workspace: Workspace = HERE) -> list[Fetched]:
    message = Message(ConversationKey("slack", TEAM, "D0DM"), "id", "look", files=files)
    return await fetched_by(lambda spool: fetch(calls, workspace, message, spool, LIMIT))


async def problem(calls: SlackClient, file: File, workspace: Workspace = HERE) -> str:
    (one,) = await fetched(calls, file, workspace=workspace)
    assert (one.file, one.content) == (file, b"")
    assert one.problem
    assert workspace.token not in one.problem
    return one.problem


def said(slack: FakeSlack, name: str, content: bytes, media_type: str) -> File:
    """As somebody attached it in Slack, and as its message then says."""
    slack.user_says("look", files=[(name, content, media_type)])
    (kept,) = slack.messages("D0DM")[-1].files
    url = f"{slack.url}/files-pri/{kept.team}-{kept.id}/download/{kept.name}"
    return attached(name, url, media_type, len(content), kept.id)


# ---------------------------------------------------------------- what people attach


async def test_files_come_with_their_content_in_their_order(slack: FakeSlack, calls: SlackClient) -> None:
    files = [said(slack, f"{number}.txt", b"text %d" % number, "text/plain") for number in range(5)]
    assert [one.content for one in await fetched(calls, *files)] == [b"text %d" % number for number in range(5)]


async def test_a_few_files_are_fetched_at_a_time(raw: RawServer, raw_calls: SlackClient) -> None:
    files = [attached(f"{number}.txt", f"http://127.0.0.1:{raw.port}/{number}") for number in range(9)]
    for _ in files:
        raw.add_response(b"text", content_type="text/plain")
    assert [one.content for one in await fetched(raw_calls, *files)] == [b"text"] * 9
    assert 1 < raw.connections <= 3


async def test_a_file_that_is_a_page_of_html_is_no_sign_in_page(slack: FakeSlack, calls: SlackClient) -> None:
    (one,) = await fetched(calls, said(slack, "page.html", b"<html>mine</html>", "text/html"))
    assert (one.content, one.problem) == (b"<html>mine</html>", "")


async def test_a_file_of_which_only_the_id_is_known_is_looked_up(slack: FakeSlack, calls: SlackClient) -> None:
    file = said(slack, "a.txt", b"from elsewhere", "text/plain")
    reference = json.dumps({"id": json.loads(file.reference)["id"], "url": ""})
    (one,) = await fetched(calls, replace(file, reference=reference))
    assert one.content == b"from elsewhere"
    assert "file_not_found" in await problem(calls, attached("b.txt", "", file_id="F0NONE"))


async def test_of_a_file_of_another_company_name_type_and_size_are_looked_up(
    slack: FakeSlack, calls: SlackClient
) -> None:
    known = said(slack, "report.txt", b"a walrus", "text/plain")
    event = {"id": json.loads(known.reference)["id"], "mode": "file_access", "file_access": "check_file_info"}
    untold = file_of(event)
    assert untold is not None
    (one,) = await fetched(calls, untold)
    assert (one.file.name, one.file.media_type, one.file.size) == ("report.txt", "text/plain", 8)
    assert one.content == b"a walrus"
    slack.faults.add(INFO, SlackErrorFault("file_not_found", times=None))
    (missing,) = await fetched(calls, untold)
    assert "file_not_found" in missing.problem


async def test_a_canvas_is_text_and_one_that_may_not_be_read_is_a_problem(slack: FakeSlack, calls: SlackClient) -> None:
    fields = {"mimetype": CANVAS, "filetype": "quip", "mode": "quip"}
    html = b"<h1>Launch plan</h1><p>The ninth of May</p>"
    kept = Kept("F0CANVAS", "Launch plan", "text/html", TEAM, "U0ANN", content=html, extra_fields=fields)
    slack.user_says("look", files=[kept])
    url = f"{slack.url}/files-pri/{TEAM}-F0CANVAS/Launch_plan.canvas"
    plan = file_of({"id": "F0CANVAS", "name": "Launch plan", "url_private": url, "size": 900, **fields})
    assert plan is not None
    (one,) = await fetched(calls, plan)
    assert (one.file.media_type, one.content) == ("text/plain", b"# Launch plan\n\nThe ninth of May")
    assert "files:read" in await problem(calls, plan, replace(HERE, token="xoxb-another"))


@pytest.mark.parametrize(
    ("fields", "media_type"),
    [
        ({"mimetype": "video/mp4", "subtype": "slack_audio"}, "audio/mp4"),
        ({"mimetype": "video/webm", "subtype": "slack_audio"}, "audio/webm"),
        ({"mimetype": "audio/mp4", "subtype": "slack_audio"}, "audio/mp4"),
        ({"subtype": "slack_audio"}, "audio/mp4"),
        ({"mimetype": "video/mp4", "subtype": "slack_video"}, "video/mp4"),
        ({"filetype": "quip"}, CANVAS),
        ({"filetype": "canvas", "mimetype": "text/html"}, CANVAS),
    ],
)
def test_a_voice_clip_is_speech_and_a_canvas_is_a_canvas(fields: dict[str, str], media_type: str) -> None:
    found = file_of({"id": "F1", "name": "audio_message.mp4", **fields})
    assert found is not None
    assert found.media_type == media_type


async def test_a_file_that_is_linked_and_not_in_slack_is_not_fetched(slack: FakeSlack, calls: SlackClient) -> None:
    kept = Kept(
        "F0EXT", "doc", "text/plain", TEAM, "U0ANN", extra_fields={"url_private": "", "url_private_download": None}
    )
    slack.user_says("look", files=[kept])
    assert await problem(calls, attached("doc", "", file_id="F0EXT")) == "it is not stored at Slack"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:1/x",
        "https://127.0.0.1:1/x",
        "http://127.0.0.1:1/x",
        "https://files.slack.com:8443/x",
        "https://files.slack.com.evil.example/x",
        "https://evilslack.com/x",
        "https://files.slack.com@evil.example/x",
        "http://files.slack.com/x",
        "file:///etc/passwd",
        "//evil.example/x",
        "not a url",
    ],
)
async def test_the_token_goes_to_no_other_host(calls: SlackClient, url: str) -> None:
    assert (await problem(calls, attached("x", url))).startswith("it is not stored at Slack, but at ")


async def test_an_address_that_is_none_is_a_problem(calls: SlackClient) -> None:
    assert await problem(calls, attached("x", "http://[")) == "its address is not valid"
    with pytest.raises(Rejected):
        await calls.upload_content("http://[", "x", BytesContent(b"x"))


async def test_a_redirect_within_slack_is_followed(raw: RawServer, raw_calls: SlackClient) -> None:
    raw.add_response(b"", status="302 Found", headers="Location: /there\r\n")
    raw.add_response(b"content", content_type="text/plain")
    (one,) = await fetched(raw_calls, attached("x", f"http://127.0.0.1:{raw.port}/here"))
    assert one.content == b"content"
    assert all(b"Authorization: Bearer xoxb-fake" in request for request in raw.requests)


async def test_a_redirect_to_another_host_is_not_followed(raw: RawServer, raw_calls: SlackClient) -> None:
    raw.add_response(b"", status="302 Found", headers=f"Location: http://localhost:{raw.port}/there\r\n")
    assert "not stored at Slack" in await problem(raw_calls, attached("x", f"http://127.0.0.1:{raw.port}/here"))
    assert len(raw.requests) == 1


async def test_redirects_come_to_an_end(raw: RawServer, raw_calls: SlackClient) -> None:
    for _ in range(10):
        raw.add_response(b"", status="307 Temporary Redirect", headers="Location: /again\r\n")
    assert "redirects too often" in await problem(raw_calls, attached("x", f"http://127.0.0.1:{raw.port}/"))


@pytest.mark.parametrize(("kind", "size"), [("image/png", 3), ("text/html", 3), ("", 0)])
async def test_a_page_that_asks_to_sign_in_is_not_taken_for_the_file(
    slack: FakeSlack, calls: SlackClient, kind: str, size: int
) -> None:
    slack.add_workspace("T0BLIND", "xoxb-blind", scopes=["chat:write"])
    file = replace(said(slack, "x", b"abc", kind or "text/plain"), media_type=kind, size=size)
    assert "files:read" in await problem(calls, file, Workspace("T0BLIND", "xoxb-blind"))


async def test_a_file_that_is_too_large_is_not_asked_for(calls: SlackClient) -> None:
    assert await problem(calls, attached("x", "http://127.0.0.1:1/", size=LIMIT + 1)) == "it is larger than 0.001 MB"


async def test_a_file_larger_than_it_said_is_broken_off(slack: FakeSlack, calls: SlackClient) -> None:
    file = replace(said(slack, "x", b"x" * (LIMIT + 1), "text/plain"), size=0)
    assert await problem(calls, file) == "it is larger than 0.001 MB"
    exact = said(slack, "x", b"x" * LIMIT, "text/plain")
    assert len((await fetched(calls, exact))[0].content) == LIMIT


async def test_a_file_that_does_not_arrive_whole_is_a_problem(raw: RawServer, raw_calls: SlackClient) -> None:
    url = f"http://127.0.0.1:{raw.port}/x"
    raw.answers.append(([b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 99\r\n\r\nabc"], True))
    assert "did not answer" in await problem(raw_calls, attached("x", url))
    for status in ("404 Not Found", "500 Oops"):
        raw.add_response(b"x", status=status)
        assert status[:3] in await problem(raw_calls, attached("x", url))


@pytest.mark.parametrize("reference", ["", "{", "[]", "{}", '{"id": 1}', '{"id": "F1", "url": 5}', "null"])
async def test_a_reference_that_cannot_be_read_is_a_problem_and_no_exception(
    slack: FakeSlack, calls: SlackClient, reference: str
) -> None:
    good = said(slack, "good.txt", b"good", "text/plain")
    bad, fine = await fetched(calls, File("x", reference), good)
    assert bad.problem
    assert fine.content == b"good"


# ---------------------------------------------------------------- what the assistant made


@pytest.fixture
def place(slack: FakeSlack) -> SlackTarget:
    root = slack.user_says("draw", user="U0ANN")
    return SlackTarget(HERE, "D0DM", root, root, "U0ANN", TEAM)


def shown(slack: FakeSlack, place: SlackTarget) -> list[tuple[str, bytes]]:
    return [
        (file.name, file.content) for one in slack.bot_messages(place.channel, place.thread_ts) for file in one.files
    ]


async def test_a_file_appears_in_the_thread(slack: FakeSlack, calls: SlackClient, place: SlackTarget) -> None:
    delivery = FakeDeliveryContext()
    noted: list[str] = []

    async def note(file_id: str) -> None:
        noted.append(file_id)
        assert shown(slack, place) == []

    file_id = await upload(calls, place, delivery, MADE, BytesContent(b"png"), before_sharing=note)
    assert shown(slack, place) == [("chart.png", b"png")]
    assert noted == [file_id] == [one.id for one in slack.bot_messages("D0DM", place.thread_ts)[-1].files]
    assert f"slack:{TEAM}:{COMPLETE}" in delivery.acquired


async def test_an_empty_file_is_declined_before_anything_is_asked(
    slack: FakeSlack, calls: SlackClient, place: SlackTarget
) -> None:
    before = len(slack.calls())
    with pytest.raises(Rejected):
        await upload(calls, place, FakeDeliveryContext(), MADE, BytesContent())
    assert len(slack.calls()) == before


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", COMPLETE])
async def test_a_refusal_is_passed_on_and_shows_nothing(
    slack: FakeSlack, calls: SlackClient, place: SlackTarget, method: str
) -> None:
    slack.faults.add(method, SlackErrorFault("file_uploads_disabled"))
    with pytest.raises(Rejected, match="file_uploads_disabled"):
        await upload(calls, place, FakeDeliveryContext(), MADE, BytesContent(b"png"))
    assert shown(slack, place) == []


async def test_content_that_is_not_taken_may_be_brought_again(raw: RawServer, raw_calls: SlackClient) -> None:
    raw.add_response(b"no", status="500 Oops")
    with pytest.raises(Unreachable) as caught:
        await raw_calls.upload_content(f"http://127.0.0.1:{raw.port}/up", "x", BytesContent(b"png"))
    assert caught.value.retry_after
    raw.answers.append(([b""], True))
    with pytest.raises(Unreachable):
        await raw_calls.upload_content(f"http://127.0.0.1:{raw.port}/up", "x", BytesContent(b"png"))
    assert raw.requests[-1].endswith(b"\r\n\r\npng")


async def test_a_large_file_goes_to_slack_without_being_in_memory() -> None:
    async with DiscardingServer(b"OK") as server:
        calls = SlackClient(f"{server.url}/api/")
        with little_memory():
            await calls.upload_content(f"{server.url}/up", "x", LargeContent())
        await calls.close()
    assert server.received == LargeContent().size


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.slack.files.LOOKUP_PAUSES", (0.0, 0.0))


@pytest.mark.usefixtures("at_once")
async def test_a_file_whose_sharing_went_unanswered_is_looked_for(
    slack: FakeSlack, calls: SlackClient, place: SlackTarget
) -> None:
    slack.faults.add(COMPLETE, ResponseLost())
    await upload(calls, place, FakeDeliveryContext(), MADE, BytesContent(b"png"))
    assert shown(slack, place) == [("chart.png", b"png")]


@pytest.mark.usefixtures("at_once")
async def test_a_file_that_was_not_shared_is_shared_later_and_once(
    slack: FakeSlack, calls: SlackClient, place: SlackTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.files.LOOKUP_PAUSES", (0.0,))
    slack.faults.add(COMPLETE, HttpStatus(500))
    noted: asyncio.Queue[str] = asyncio.Queue()
    with pytest.raises(OutcomeUnknown):
        await upload(calls, place, FakeDeliveryContext(), MADE, BytesContent(b"png"), before_sharing=noted.put)
    assert shown(slack, place) == []
    file_id = noted.get_nowait()
    for _ in range(2):
        await share(calls, place, FakeDeliveryContext(), MADE, file_id)
    assert shown(slack, place) == [("chart.png", b"png")]


async def test_a_file_that_slack_does_not_know_yet_is_not_shared_yet(
    slack: FakeSlack, calls: SlackClient, place: SlackTarget
) -> None:
    slack.faults.add(COMPLETE, SlackErrorFault("ekm_access_denied"))
    noted: asyncio.Queue[str] = asyncio.Queue()
    with pytest.raises(Rejected):
        await upload(calls, place, FakeDeliveryContext(), MADE, BytesContent(b"png"), before_sharing=noted.put)
    slack.faults.add(INFO, SlackErrorFault("file_not_found"))
    await share(calls, place, FakeDeliveryContext(), MADE, noted.get_nowait())
    assert shown(slack, place) == [("chart.png", b"png")]
    slack.faults.add(INFO, SlackErrorFault("missing_scope"))
    with pytest.raises(Rejected, match="missing_scope"):
        await share(calls, place, FakeDeliveryContext(), MADE, "F1")
