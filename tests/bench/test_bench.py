"""The benchmark table is right about fixed numbers. Nothing is timed here."""

from __future__ import annotations

import sys
from io import StringIO

import pytest
from pydantic import SecretStr
from rich.console import Console

from adapters.slack.event_parser import EventParser
from adapters.slack.settings import SlackSettings
from adapters.telegram import update_parser as telegram_update_parser
from adapters.telegram.message_entities import BotIdentity
from adapters.telegram.settings import TelegramSettings
from gateway.ports.platform import Request
from tests.bench import component_profile, discord_stub, telegram_stub
from tests.bench.measurements import Measurement, at_least_times, at_most_more, below, median, p99
from tests.bench.sampled_gateway import component_of
from tests.bench.slack_scenes import at_most_times
from tests.bench.slack_stub import AnswerTimes, build_event, channel, marker
from tests.bench.table import table_of
from tests.fakes.discord_server import FakeDiscord
from tests.fakes.slack_events import SIGNING_SECRET
from tests.fakes.telegram_messages import BOT_ID, SECRET
from tests.settings import settings_of


def rows_of(*figures: Measurement, footer: str = "") -> list[list[str]]:
    """Returns the words of each printed line, without the frame."""
    console = Console(width=200, file=StringIO(), record=True)
    console.print(table_of(figures, [footer]))
    drawn = str.maketrans("┃┡━┩│└─┘├┤┼┴┏┓┳╇", " " * 16)
    return [words for line in console.export_text().splitlines() if (words := line.translate(drawn).split())]


def test_a_row_shows_both_values_their_difference_their_ratio_and_whether_the_target_is_met() -> None:
    rows = rows_of(Measurement("A single caller, ms", "median", 9.0, 4.5, "the SDK alone", at_most_more(5)))
    assert rows[1] == ["A", "single", "caller,", "ms"]
    assert rows[2] == ["median", "9.00", "4.50", "+4.50", "2.00x", "≤", "+5", "met", "the", "SDK", "alone"]


def test_a_measurement_without_a_baseline_has_no_ratio() -> None:
    assert rows_of(Measurement("Memory", "idle", 130.0, target=below(120)))[2] == ["idle", "130", "<", "120", "missed"]


def test_a_section_is_named_once() -> None:
    rows = rows_of(
        Measurement("Speed", "one", 1.0), Measurement("Speed", "two", 2.0), Measurement("Memory", "three", 3.0)
    )
    assert [row[0] for row in rows[1:]] == ["Speed", "one", "two", "Memory", "three"]


def test_the_footer_is_printed() -> None:
    assert rows_of(Measurement("Speed", "one", 1.0), footer="Python 3")[-1] == ["Python", "3"]


@pytest.mark.parametrize(
    ("ours", "theirs", "met"), [(10.0, 5.0, True), (10.1, 5.0, False), (2.0, 5.0, True)], ids=["at", "over", "under"]
)
def test_an_added_time_is_the_difference_to_the_baseline(ours: float, theirs: float, met: bool) -> None:  # noqa: FBT001  # a parameter of the test
    assert Measurement("", "", ours, theirs, target=at_most_more(5)).target_met is met


def test_twice_as_many_is_at_least_twice() -> None:
    assert Measurement("", "", 240.0, 120.0, target=at_least_times(2)).target_met
    assert not Measurement("", "", 239.0, 120.0, target=at_least_times(2)).target_met


def test_without_a_target_nothing_is_met_or_missed() -> None:
    assert Measurement("", "", 1.0).target_met is None


def test_p99_is_a_sample_that_one_in_a_hundred_exceeds() -> None:
    assert p99([float(number) for number in range(1, 101)]) == 99.0
    assert p99([1.0, 2.0]) == 2.0
    assert median([3.0, 1.0, 2.0]) == 2.0


def test_a_fifth_is_at_most_a_fifth() -> None:
    assert Measurement("", "", 20.0, 100.0, target=at_most_times(0.2)).target_met
    assert not Measurement("", "", 21.0, 100.0, target=at_most_times(0.2)).target_met


def test_an_event_of_the_slack_stub_is_a_message_to_the_gateway() -> None:
    head, body = build_event(57, "http://127.0.0.1:1/slack/events")
    lines = head.decode().split("\r\n\r\n")[0].splitlines()[1:]
    headers = dict(line.split(": ", 1) for line in lines)
    settings = settings_of(SlackSettings, slack_signing_secret=SecretStr(SIGNING_SECRET))
    (message,) = EventParser(settings).receive(Request(headers, body)).messages
    assert (message.key.workspace, message.key.channel, message.author) == ("T0000007", channel(57), "U0000007")
    assert marker(57) in message.text


@pytest.mark.parametrize(
    ("method", "said", "answered"),
    [
        (b"chat.postMessage", f"You said: {marker(57)}", True),
        (b"chat.postMessage", "You said:", False),
        (b"chat.update", marker(57), True),
        (b"chat.stopStream", "", True),
        (b"chat.appendStream", marker(57), False),
        (b"assistant.threads.setStatus", marker(57), False),
    ],
)
def test_the_slack_stub_recognises_a_complete_reply(method: bytes, said: str, answered: bool) -> None:  # noqa: FBT001  # a parameter of the test
    answers = AnswerTimes()
    answers.respond(method, f'{{"channel": "{channel(57)}", "text": "{said}"}}'.encode())
    assert (57 in answers.at) is answered


def test_an_update_of_the_telegram_stub_is_a_message_to_the_gateway() -> None:
    head, body = telegram_stub.build_update(57, "http://127.0.0.1:1/telegram/webhook")
    lines = head.decode().split("\r\n\r\n")[0].splitlines()[1:]
    headers = dict(line.split(": ", 1) for line in lines)
    settings = settings_of(TelegramSettings, telegram_webhook_secret=SecretStr(SECRET))
    (message,) = (
        telegram_update_parser.UpdateParser(settings, BotIdentity(BOT_ID)).receive(Request(headers, body)).messages
    )
    assert message.key.channel == str(telegram_stub.FIRST_CHAT + 57)
    assert marker(57) in message.text


@pytest.mark.parametrize(
    ("method", "said", "answered"),
    [
        (b"sendMessage", f"You said: {marker(57)}", True),
        (b"sendMessage", "You said:", False),
        (b"editMessageText", marker(57), True),
        (b"sendMessageDraft", marker(57), False),
        (b"sendChatAction", marker(57), False),
    ],
)
def test_the_telegram_stub_recognises_a_complete_reply(method: bytes, said: str, answered: bool) -> None:  # noqa: FBT001  # a parameter of the test
    answers = telegram_stub.TelegramAnswerTimes()
    assert answers.respond(method, f"chat_id={telegram_stub.FIRST_CHAT + 57}&text={said}".encode())["ok"]
    assert (57 in answers.at) is answered


@pytest.mark.parametrize("answered", [True, False])
def test_the_discord_stub_recognises_a_complete_reply(answered: bool) -> None:  # noqa: FBT001  # a parameter of the test
    discord = FakeDiscord()
    discord_stub.says(discord, 57)
    assert not discord_stub.is_answered(discord, 57)
    said = f"You said: {marker(57)}" if answered else "You said:"
    discord.state.add_message(discord_stub.channel_of(57), discord.state.bot_user, said)
    assert discord_stub.is_answered(discord, 57) is answered


@pytest.mark.parametrize(
    ("path", "component"),
    [
        ("/srv/gateway/web/http_protocol.py", "HTTP server"),
        ("/srv/gateway/assistants/transport.py", "HTTP client"),
        ("/srv/gateway/http_post.py", "HTTP client"),
        ("/srv/gateway/assistants/responses/backend.py", "assistant backend"),
        ("/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py", "database"),
        ("/usr/lib/python3.11/asyncio/events.py", None),
    ],
)
def test_cpu_time_counts_for_the_component_of_a_source_file(path: str, component: str | None) -> None:
    assert component_of(path) == component


def test_the_profile_of_components_says_how_it_is_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["component_profile", "--help"])
    with pytest.raises(SystemExit) as ended:
        component_profile.main()
    assert ended.value.code == 0
    assert "messages" in capsys.readouterr().out
