"""What is fetched for a message before the assistant is asked: names, the thread above it, what its author looks at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from adapters.slack.api_client import SlackClient
from adapters.slack.context_reader import ContextReader
from adapters.slack.event_context import BotIds
from adapters.slack.event_parser import EventParser
from adapters.slack.reply_target import Workspace
from adapters.slack.settings import SlackSettings
from gateway.domain.errors import DeliveryError, NotForUs
from gateway.domain.models import Message, Turn, TurnId, TurnState
from gateway.ports.platform import KnownNames
from tests.adapters.slack.reply_scene import Installed
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.slack_events import BOT_ID, BOT_USER, TEAM, TOKEN, app_mention, event_envelope, message_event
from tests.fakes.slack_faults import HangingCall, SlackErrorFault
from tests.fakes.slack_reads import USER_GROUP
from tests.fakes.slack_server import FakeSlack
from tests.fakes.slack_state import SCOPES
from tests.settings import settings_of

CHANNEL = "C0CHAN"
ANN, BOB = "U0ANN", "U0BOB"


def settings(**given: Any) -> SlackSettings:
    return settings_of(SlackSettings, **given)


@dataclass
class Reading:
    """The reader of one process, and the turns before a message."""

    slack: FakeSlack
    known: SlackSettings = field(default_factory=settings)
    before: list[Turn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = SlackClient(self.slack.api_url, timeout=5.0)
        self.workspaces = Installed(Workspace(TEAM, TOKEN))
        self.read_with(self.known)
        self.delivery = FakeDeliveryContext()

    def read_with(self, known: SlackSettings) -> None:
        self.known = known
        self.reader = ContextReader(self.client, self.workspaces, known, lambda _: BotIds(BOT_USER, BOT_ID))

    async def turns_before(self, limit: int) -> Sequence[Turn]:
        return self.before[-limit:]

    def turn_of(self, event: dict[str, Any], **envelope: Any) -> Turn:
        (message,) = EventParser(self.known).parse(event_envelope(event, **envelope)).messages
        return Turn(TurnId("turn_1"), 1, len(self.before) + 1, message, TurnState.RUNNING)

    async def seen(self, event: dict[str, Any], **envelope: Any) -> str:
        """Returns the message as the assistant reads it."""
        turn = self.turn_of(event, **envelope)
        context = await self.reader.fetch(turn, self.turns_before, self.delivery)
        return replace(turn.message, context=context).text_with_attachments

    async def mention(self, text: str, thread_ts: str, **more: Any) -> str:
        ts = self.slack.user_says(text, channel=CHANNEL, thread_ts=thread_ts, mention=True)
        return await self.seen(app_mention(text, ts=ts, thread_ts=thread_ts, **more))

    def answered(self, message: Message, *posted: str, reply: str = "Hi.") -> None:
        turn = Turn(TurnId("t"), 1, len(self.before) + 1, message, TurnState.DELIVERED, reply=reply)
        self.before.append(replace(turn, posted_messages=posted))

    def called(self, method: str) -> int:
        return len(self.slack.calls(method))


@pytest.fixture
async def reading(slack: FakeSlack) -> AsyncIterator[Reading]:
    slack.name_user(ANN, "Ann Lee")
    slack.name_user(BOB, "Bob Ray")
    made = Reading(slack)
    yield made
    await made.client.close()


def with_settings(reading: Reading, **given: Any) -> None:
    reading.read_with(settings(**given))


# ---------------------------------------------------------------- names


async def test_in_a_channel_a_message_says_who_speaks_and_names_are_asked_once(reading: Reading) -> None:
    assert await reading.seen(app_mention("I like red, <@U0BOB> not")) == "Ann Lee: I like red, @Bob Ray not"
    assert await reading.seen(app_mention("again", ts="1.2")) == "Ann Lee: again"
    assert reading.called("users.info") == 2


async def test_in_a_direct_message_only_mentions_are_named(reading: Reading) -> None:
    assert await reading.seen(message_event("hello")) == "hello"
    assert reading.slack.calls() == []
    assert await reading.seen(message_event("and <@U0BOB>?")) == "and @Bob Ray?"


async def test_in_a_group_dm_a_message_says_who_speaks(reading: Reading) -> None:
    event = message_event("<@U0BOT> hi", channel="G0GROUP", channel_type="mpim", user=BOB)
    assert await reading.seen(event) == "Bob Ray: hi"


async def test_a_channel_without_a_label_reads_as_its_name(reading: Reading) -> None:
    assert await reading.seen(message_event("see <#C0CHAN> and <#C9|other>")) == "see #general and #other"


async def test_a_user_group_without_a_label_reads_as_its_name(reading: Reading) -> None:
    said = f"<!subteam^{USER_GROUP}> and <!subteam^S9GONE>, @SUPPORT or @SRE"
    for ts in ("1.1", "1.2"):
        assert await reading.seen(message_event(said, ts=ts)) == "@on-duty and @S9GONE, @SUPPORT or @SRE"
    assert reading.called("usergroups.list") == 2  # once for each of the ids
    reading.slack.add_workspace(scopes=[scope for scope in SCOPES if scope != "usergroups:read"])
    assert await reading.seen(message_event("<!subteam^S7>")) == "@S7"


async def test_what_slack_does_not_name_keeps_its_id(reading: Reading) -> None:
    assert await reading.seen(app_mention("ask <@U9GONE> in <#C9GONE>")) == "Ann Lee: ask @U9GONE in #C9GONE"
    assert await reading.seen(app_mention("ask <@U9GONE>")) == "Ann Lee: ask @U9GONE"
    assert reading.called("users.info") == 2


async def test_without_the_scope_people_are_told_apart_by_their_ids(reading: Reading) -> None:
    reading.slack.add_workspace(scopes=[scope for scope in SCOPES if scope != "users:read"])
    assert await reading.seen(app_mention("hi")) == "U0ANN: hi"


async def test_names_of_people_can_be_kept_from_the_assistant(reading: Reading) -> None:
    with_settings(reading, slack_names=False)
    root = reading.slack.user_says("It fails.", channel=CHANNEL, user=BOB)
    seen = await reading.mention("<@U0BOB> says so in <#C0CHAN>. Why?", root)
    assert seen.endswith("\n> It fails.\n\n@U0BOB says so in #general. Why?")
    assert not reading.called("users.info")


@pytest.mark.parametrize(
    ("event", "given", "known"),
    [
        (app_mention("hi"), {}, KnownNames("Ann Lee", "#general")),
        (message_event("hi"), {}, KnownNames("Ann Lee")),
        (app_mention("hi", channel="C9GONE"), {}, KnownNames("Ann Lee")),
        (app_mention("hi"), {"slack_names": False}, KnownNames("", "#general")),
    ],
)
async def test_operators_know_authors_and_channels_by_name(
    reading: Reading, event: dict[str, Any], given: dict[str, Any], known: KnownNames
) -> None:
    with_settings(reading, **given)
    message = reading.turn_of(event).message
    workspace = await reading.workspaces.find(message.address)
    assert reading.reader.known_names(message) is None
    asked = [reading.reader.names_of(message, workspace, reading.delivery) for _ in range(2)]
    assert await asyncio.gather(*asked) == [known, known]
    assert reading.reader.known_names(message) == known
    assert reading.called("users.info") == bool(known.author)


async def test_the_newest_files_of_a_thread_come_along_but_not_our_own(reading: Reading) -> None:
    root = reading.slack.user_says("Look.", channel=CHANNEL, files=[("0.png", b"0"), ("1.png", b"1")])
    reading.slack.user_says("Mine.", channel=CHANNEL, thread_ts=root, user=BOT_USER, files=[("mine.png", b"-")])
    for name in ("2.png", "3.png", "4.png"):
        reading.slack.user_says("", channel=CHANNEL, thread_ts=root, user=BOB, files=[(name, b"x")])
    ts = reading.slack.user_says("What is that?", channel=CHANNEL, thread_ts=root, mention=True)
    turn = reading.turn_of(app_mention("What is that?", ts=ts, thread_ts=root))
    context = await reading.reader.fetch(turn, reading.turns_before, reading.delivery)
    assert context is not None
    assert [file.name for file in context.files] == ["1.png", "2.png", "3.png", "4.png"]
    with_settings(reading, slack_context_chars=0)
    context = await reading.reader.fetch(turn, reading.turns_before, reading.delivery)
    assert context is not None
    assert context.files == ()


async def test_a_conversation_of_one_person_needs_no_speaker(reading: Reading) -> None:
    with_settings(reading, slack_scope="user")
    assert await reading.seen(app_mention("hi")) == "hi"


# ---------------------------------------------------------------- threads


async def test_a_mention_in_a_running_thread_brings_what_stands_above_it(reading: Reading) -> None:
    root = reading.slack.user_says("The checkout fails with error 7341.", channel=CHANNEL)
    reading.slack.user_says("Since release 5.2, <@U0ANN>.", channel=CHANNEL, user=BOB, thread_ts=root)
    heading, *lines = (await reading.mention("Can you summarise?", root)).split("\n")
    assert heading.startswith("[Earlier messages of this thread, quoted as context; they were not said to you")
    assert lines == [
        "> Ann Lee: The checkout fails with error 7341.",
        "> Bob Ray: Since release 5.2, @Ann Lee.",
        "",
        "Ann Lee: Can you summarise?",
    ]


async def test_only_what_came_after_our_last_answered_turn_is_read(reading: Reading) -> None:
    root = reading.slack.user_says("Old.", channel=CHANNEL)
    asked = reading.slack.user_says("Hello.", channel=CHANNEL, thread_ts=root, mention=True)
    ours = reading.slack.user_says("Hi.", channel=CHANNEL, thread_ts=root, user="U0ELSE")
    reading.answered(reading.turn_of(app_mention("Hello.", ts=asked, thread_ts=root)).message, ours)
    lost = reading.slack.user_says("Are you there?", channel=CHANNEL, thread_ts=root, mention=True)
    reading.answered(reading.turn_of(app_mention("Are you there?", ts=lost, thread_ts=root)).message, reply="")
    reading.slack.user_says("New.", channel=CHANNEL, thread_ts=root, user=BOB)
    seen = await reading.mention("And now?", root)
    assert [line for line in seen.split("\n") if line.startswith("> ")] == [
        "> Ann Lee: Are you there?",
        "> Bob Ray: New.",
    ]


async def test_a_thread_under_the_alert_of_an_app_is_read_with_all_that_it_says(reading: Reading) -> None:
    attachment = {"title": "Disk full", "fields": [{"title": "host", "value": "db-7"}]}
    root = reading.slack.app_posts("", channel=CHANNEL, username="Watch: dog", attachments=[attachment])
    nameless = reading.slack.app_posts("Still full.", channel=CHANNEL, thread_ts=root)
    assert nameless
    assert "\n> Watch dog: Disk full\n>   host: db-7\n> App B0ALERT: Still full.\n" in await reading.mention("?!", root)


async def test_our_own_first_message_of_a_thread_is_quoted_as_ours(reading: Reading) -> None:
    root = reading.slack.user_says("The weekly report.", channel=CHANNEL, user=BOT_USER)
    assert "\n> you: The weekly report.\n" in await reading.mention("Why so?", root)


@pytest.mark.parametrize("event", [app_mention("hi"), message_event("hi"), message_event("hi", thread_ts="1.1")])
async def test_no_thread_is_read_where_there_is_none_above(reading: Reading, event: dict[str, Any]) -> None:
    await reading.seen(event)
    assert not reading.called("conversations.replies")


async def test_a_message_that_does_not_mention_us_brings_nothing_else(reading: Reading) -> None:
    root = reading.slack.user_says("Old.", channel=CHANNEL)
    event = message_event("and?", channel=CHANNEL, ts="9999999999.1", thread_ts=root)
    assert await reading.seen(event) == "Ann Lee: and?"


async def test_reading_threads_can_be_switched_off(reading: Reading) -> None:
    with_settings(reading, slack_context_chars=0)
    root = reading.slack.user_says("Old.", channel=CHANNEL)
    assert await reading.mention("Why?", root) == "Ann Lee: Why?"
    assert not reading.called("conversations.replies")


async def test_a_long_first_message_has_all_the_room_that_is_left(reading: Reading) -> None:
    root = reading.slack.user_says("word " * 1500, channel=CHANNEL)
    assert (await reading.mention("Summarise!", root)).count("word") == 1500
    reading.slack.user_says("Hm.", channel=CHANNEL, thread_ts=root, user=BOB)
    seen = await reading.mention("Summarise!", root)
    assert 700 < seen.count("word") < 800
    assert "Bob Ray: Hm." in seen


async def test_a_long_thread_keeps_its_first_message_and_the_newest(reading: Reading) -> None:
    with_settings(reading, slack_context_chars=100)
    root = reading.slack.user_says("The first.", channel=CHANNEL)
    for number in range(9):
        reading.slack.user_says(f"Message number {number}.", channel=CHANNEL, thread_ts=root)
    seen = await reading.mention("Why?", root)
    assert "> Ann Lee: The first.\n> Ann Lee: Message number 4." in seen
    assert "[4 more messages of this thread were left out.]" in seen


async def test_a_refusal_is_told_to_the_assistant(reading: Reading) -> None:
    reading.slack.faults.add("conversations.replies", SlackErrorFault("missing_scope"))
    root = reading.slack.user_says("Old.", channel=CHANNEL)
    seen = await reading.mention("Why?", root)
    assert seen == "[The earlier messages of this thread could not be read: missing_scope.]\n\nAnn Lee: Why?"


async def test_a_slack_that_does_not_answer_holds_a_turn_up_for_a_while_only(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.context_reader.FETCH_SECONDS", 0.05)
    reading.slack.faults.add("users.info", HangingCall())
    assert "Slack did not answer in time.]\n\nhi" in await reading.seen(app_mention("hi"))


# ---------------------------------------------------------------- what the author looks at


async def test_what_the_author_looks_at_is_quoted(reading: Reading) -> None:
    ts = reading.slack.user_says("The plan is X.", channel=CHANNEL, user=BOB)
    message = {"type": "slack#/types/message_context", "value": {"channel_id": CHANNEL, "message_ts": ts}}
    channel = {"type": "slack#/types/channel_id", "value": CHANNEL, "team_id": TEAM}
    entities = [channel, message, {"type": "slack#/types/canvas_id", "value": "F1"}, "?"]
    seen = await reading.seen(message_event("What is that?", app_context={"entities": entities}))
    assert seen.endswith(
        "> (the channel #general)\n> (a message in the channel #general)\n> Bob Ray: The plan is X.\n\nWhat is that?"
    )


async def test_what_cannot_be_read_of_it_is_named_at_least(reading: Reading) -> None:
    message = {"type": "slack#/types/message_context", "value": {"channel_id": "C9", "message_ts": "1.2"}}
    seen = await reading.seen(message_event("What?", app_context={"entities": [message]}))
    assert seen.endswith("\n> (a message in the channel #C9)\n\nWhat?")


# ---------------------------------------------------------------- who may be answered


async def test_a_message_that_we_posted_is_not_answered_whatever_its_event_left_out(reading: Reading) -> None:
    args = {"channel": "D0DM", "text": "Hi."}
    posted = await reading.client.call("chat.postMessage", args, workspace=Workspace(TEAM, TOKEN), delivery=None)
    event = {"type": "message", "channel": "D0DM", "user": "U0WHO", "text": "Hi.", "ts": posted["ts"]}
    with pytest.raises(NotForUs):
        await reading.seen(event, authorizations=[])


async def test_a_message_that_another_process_posted_is_not_answered_either(reading: Reading) -> None:
    reading.answered(reading.turn_of(message_event("Hello.")).message, "17.5")
    event = {"type": "message", "channel": "D0DM", "user": "U0WHO", "text": "Hi.", "ts": "17.5", "thread_ts": "17.1"}
    with pytest.raises(NotForUs):
        await reading.seen(event, authorizations=[])


@pytest.mark.parametrize(
    ("fault", "is_answered"), [("channel_not_found", False), ("internal_error", True), (None, True)]
)
async def test_a_channel_that_only_a_person_sees_is_not_ours(
    reading: Reading, fault: str | None, *, is_answered: bool
) -> None:
    if fault:
        reading.slack.faults.add("conversations.replies", SlackErrorFault(fault))
    ts = reading.slack.user_says("hello")
    persons = [{"team_id": TEAM, "user_id": ANN, "is_bot": False}]
    if is_answered:
        assert await reading.seen(message_event("hello", ts=ts), authorizations=persons) == "hello"
        return
    with pytest.raises(NotForUs):
        await reading.seen(message_event("hello", ts=ts), authorizations=persons)


async def test_a_workspace_without_an_installation_is_told_before_a_run(reading: Reading) -> None:
    reading.workspaces.problem = DeliveryError("not installed")
    with pytest.raises(DeliveryError):
        await reading.seen(message_event("hello"))


async def test_an_installation_that_cannot_be_read_now_does_not_end_a_turn(reading: Reading) -> None:
    reading.workspaces.problem = DeliveryError("database away", retry_after=1.0)
    assert await reading.seen(app_mention("hello")) == "hello"
